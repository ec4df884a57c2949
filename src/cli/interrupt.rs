//! Ctrl-C: at once, or, in training, after the epoch and with a checkpoint.

use crate::data::atomic::abandon;
use std::sync::atomic::{AtomicBool, Ordering};

static WANTED: AtomicBool = AtomicBool::new(false);
static WAITING: AtomicBool = AtomicBool::new(false);

/// Exit code of an interrupted run.
const CODE: i32 = 130;

/// Takes over Ctrl-C. A second one ends the process at once.
pub(crate) fn install() {
    // Fails only where a handler is there already; the system's own then applies.
    let _ = ctrlc::set_handler(|| {
        if !WAITING.load(Ordering::SeqCst) || WANTED.swap(true, Ordering::SeqCst) {
            abandon();
            std::process::exit(CODE);
        }
    });
}

/// From now on Ctrl-C only sets [`wanted`].
pub(crate) fn wait_for_epoch() {
    WAITING.store(true, Ordering::SeqCst);
}

/// Whether Ctrl-C was pressed.
pub(crate) fn wanted() -> bool {
    WANTED.load(Ordering::SeqCst)
}
