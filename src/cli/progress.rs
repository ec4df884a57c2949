//! Progress of training, on standard error where that is a terminal.

use super::session::Session;
use crate::train::EpochRow;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// A bar over epochs; nothing where standard error is no terminal, or with `--quiet`.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn new(session: &Session, epochs: usize) -> Self {
        let shown = std::io::stderr().is_terminal() && !session.global.quiet;
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(epochs as u64), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} epochs, {eta} left  {wide_msg}")
        {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Shows an epoch.
    pub(crate) fn show(&self, row: &EpochRow) {
        self.0.set_message(format!(
            "NLL {:.4}  validation {:.4}  condition {:.2e}  virial {:+.1e}",
            row.nll, row.valid_nll, row.condition, row.virial
        ));
        self.0.set_position(row.epoch as u64);
    }

    /// Leaves the terminal clean for what follows.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
