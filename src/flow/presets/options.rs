//! Which options a flow takes.

use super::{Name, Preset};

impl Preset {
    /// The options that are given and that this flow does not take.
    ///
    /// ```
    /// use eigenflow::flow::presets::{Name, Preset};
    /// let preset = Preset { bins: Some(16), layers: Some(4), ..Preset::named(Name::Realnvp) };
    /// assert_eq!(preset.unused(), ["--bins"]);
    /// ```
    pub fn unused(&self) -> Vec<&'static str> {
        use Name::{Affine, Glow, Iaf, Maf, Nice, Nsf, NsfAr, Paper, PaperTril, Realnvp, Residual};
        let of = |flows: &[Name]| flows.contains(&self.flow);
        let paper = of(&[Paper, PaperTril]);
        let autoregressive = of(&[Iaf, Maf, NsfAr]);
        let conditioned = autoregressive || of(&[Glow, Nice, Nsf, Realnvp]);
        let all = [
            ("--layers", self.layers.is_some(), !of(&[Affine])),
            ("--hidden", self.hidden.is_some(), conditioned || of(&[Residual])),
            ("--residual", self.residual, conditioned),
            ("--activation", self.activation.is_some(), paper || conditioned || of(&[Residual])),
            ("--bins", self.bins.is_some(), of(&[Nsf, NsfAr])),
            ("--scale-bound", self.scale_bound.is_some(), of(&[Realnvp, Glow, Maf, Iaf])),
            ("--mask", self.mask.is_some(), conditioned),
            ("--batch-norm", self.batch_norm.is_some(), paper || autoregressive),
        ];
        all.into_iter().filter(|(_, given, takes)| *given && !takes).map(|(option, ..)| option).collect()
    }
}
