//! The figures of a study of images, as JSON and as text.

use crate::cli::output::number;
use crate::components::Traversal;
use crate::report::studies::images::denoiser::Restored;
use crate::report::studies::images::geometry::{Geometry, unit};
use crate::report::studies::images::{Images, Settings};
use crate::report::studies::{Mean, quantile};
use crate::theory::linear::Spectrum;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Quantiles that are reported.
const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];
/// Components in the table.
const SHOWN: [usize; 7] = [1, 2, 3, 5, 10, 20, 50];

/// Everything that was found.
pub(super) struct Found<'a> {
    pub images: &'a Images,
    pub spectrum: &'a Spectrum,
    pub settings: &'a Settings,
    pub geometry: &'a Geometry,
    pub walks: &'a [Traversal<f64>],
    pub restored: &'a [Restored],
}

fn mean(m: Mean) -> Value {
    json!({ "mean": number(m.value), "standard_error": number(m.error) })
}

fn list(v: &[f64]) -> Vec<Value> {
    v.iter().map(|v| number(*v)).collect()
}

fn text(m: Mean) -> String {
    format!("{:.2} ± {:.2}", m.value, m.error)
}

impl Found<'_> {
    /// The largest residual bound of a leading pair, relative to its eigenvalue.
    fn residual(&self) -> f64 {
        let l = &self.geometry.leading;
        l.residuals.data().iter().zip(l.scales.data()).map(|(r, s)| r / (s * s)).fold(0.0, f64::max)
    }

    /// Walks that came to both ends, of all.
    fn walked(&self) -> [usize; 2] {
        let end = |t: &Traversal<f64>| t.positions.last().copied().unwrap_or(0.0);
        let whole = |t: &Traversal<f64>| {
            (0..t.reached.rows()).filter(|&i| t.reached.row(i).iter().all(|r| *r >= end(t))).count()
        };
        [self.walks.iter().map(whole).sum(), self.walks.iter().map(|t| t.reached.rows()).sum()]
    }

    /// Quantiles of component `k` (counted from 0) over the rows.
    fn scales(&self, k: usize) -> [f64; 3] {
        [0.05, 0.5, 0.95].map(|q| quantile(&self.geometry.scales.col(k), q))
    }

    pub(super) fn json(&self) -> Value {
        let (g, settings) = (self.geometry, self.settings);
        let d = g.scales.cols();
        let all: Vec<[f64; 3]> = (0..d).map(|k| self.scales(k)).collect();
        let of = |q: usize| list(&all.iter().map(|s| s[q]).collect::<Vec<_>>());
        let dimension: Map<String, Value> =
            self.images.classes.iter().zip(&g.dimension).map(|(c, m)| (c.clone(), mean(*m))).collect();
        let conditions = QUANTILES.map(|q| (format!("{}%", q * 100.0), number(quantile(&g.condition, q))));
        let restored = self.restored.iter().map(|r| {
            let [noisy, linear, own] = r.psnr.map(mean);
            json!({
                "noise": r.noise, "rows": r.rows[0].rows(), "psnr_noisy": noisy, "psnr_linear": linear, "psnr_flow": own,
                "gain_of_flow": mean(r.gain), "better": r.winner(),
            })
        });
        let [whole, walks] = self.walked();
        json!({
            "rows": { "training": self.images.training.rows(), "validation": self.images.valid.rows(), "held_out": self.images.held.rows() },
            "settings": settings,
            "alpha_training_units": number(0.5 * (settings.scale / unit(self.spectrum)).powi(2)),
            "nats_above_normal": mean(g.gain),
            "local_standard_deviations": { "rows": g.scales.rows(), "5%": of(0), "50%": of(1), "95%": of(2) },
            "local_variance": mean(g.variance),
            "linear_variance": number(g.linear_variance),
            "pca_standard_deviations": list(&self.spectrum.values.iter().map(|l| l.sqrt()).collect::<Vec<_>>()),
            "leading_axes": {
                "examples": g.examples,
                "scales": (0..g.leading.scales.rows()).map(|i| list(g.leading.scales.row(i))).collect::<Vec<_>>(),
                "largest_relative_residual": number(self.residual()),
            },
            "condition": { "rows": g.condition.len(), "quantiles": conditions.into_iter().collect::<Map<_, _>>() },
            "effective_dimension": dimension,
            "effective_dimension_linear": number(g.linear_dimension),
            "walks": { "whole": whole, "all": walks },
            "denoising": restored.collect::<Vec<_>>(),
        })
    }

    pub(super) fn text(&self) -> String {
        let g = self.geometry;
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = writeln!(
            out,
            "{} held-out images of {} pixels; penalty at the scale {} of grey\n\nlog-density above the normal distribution with the same noise: {} nats a row\n",
            self.images.held.rows(),
            g.scales.cols(),
            self.settings.scale,
            text(g.gain)
        );
        let _ = writeln!(
            out,
            "local standard deviations (grey), {} rows\ncomponent      5 %   median     95 %   linear",
            g.scales.rows()
        );
        for k in SHOWN.into_iter().filter(|k| *k <= g.scales.cols()) {
            let [low, median, high] = self.scales(k - 1);
            let linear = self.spectrum.values[k - 1].sqrt().hypot(self.settings.scale);
            let _ = writeln!(out, "{k:>9} {low:>8.3} {median:>8.3} {high:>8.3} {linear:>8.3}");
        }
        let _ = writeln!(
            out,
            "variance, all components: local {} (mean), of the linear optimum {:.2}",
            text(g.variance),
            g.linear_variance
        );
        let _ = writeln!(out, "\ncondition of the Jacobian, {} rows", g.condition.len());
        for q in QUANTILES {
            let _ = writeln!(out, "{:>8.0} % {:>9.1}", 100.0 * q, quantile(&g.condition, q));
        }
        let _ = writeln!(
            out,
            "\neffective dimension at the scale of the penalty (linear optimum: {:.1})",
            g.linear_dimension
        );
        for (class, m) in self.images.classes.iter().zip(&g.dimension) {
            let _ = writeln!(out, "{class:>10} {}", text(*m));
        }
        let [whole, walks] = self.walked();
        let _ =
            writeln!(out, "\nwalks of two local standard deviations: {whole} of {walks} came to both ends");
        let _ = writeln!(
            out,
            "\nnoise taken out: mean PSNR (decibels) of {} held-out rows\nnoise           with it        linear          flow   gain of flow  better",
            self.restored.first().map_or(0, |r| r.rows[0].rows())
        );
        for r in self.restored {
            let [noisy, linear, own] = r.psnr.map(text);
            let _ = writeln!(
                out,
                "{:<8} {noisy:>14} {linear:>13} {own:>13} {:>14}  {}",
                r.noise,
                text(r.gain),
                r.winner()
            );
        }
        out
    }
}
