//! How a command ends when it does not end well, and the exit codes.

use crate::{data, flow, report, train};
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It ran and its answer is no: 1.
    Answer(String),
    /// The input is at fault: 2.
    Input(String),
    /// Output could not be written: 3.
    Output(String),
    /// Ctrl-C: 130.
    Interrupted(String),
    /// The reader of standard output went away: a quiet 0.
    Closed,
}

impl Failure {
    /// The same with more to say.
    pub(crate) fn with(self, more: &str) -> Self {
        match self {
            Self::Answer(message) => Self::Answer(message + more),
            Self::Input(message) => Self::Input(message + more),
            Self::Output(message) => Self::Output(message + more),
            Self::Interrupted(message) => Self::Interrupted(message + more),
            Self::Closed => Self::Closed,
        }
    }

    /// Prints the message and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        use std::io::Write;
        let (code, message) = match self {
            Self::Answer(message) => (1, message),
            Self::Input(message) => (2, message),
            Self::Output(message) => (3, message),
            Self::Interrupted(message) => (130, message),
            Self::Closed => return ExitCode::SUCCESS,
        };
        // Where standard error is closed too there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "eigenflow: {message}");
        ExitCode::from(code)
    }
}

impl From<data::Error> for Failure {
    fn from(error: data::Error) -> Self {
        if error.is_output() { Self::Output(error.to_string()) } else { Self::Input(error.to_string()) }
    }
}

impl From<flow::FileError> for Failure {
    fn from(error: flow::FileError) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<flow::import::Error> for Failure {
    fn from(error: flow::import::Error) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<flow::Error> for Failure {
    fn from(error: flow::Error) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<report::Error> for Failure {
    fn from(error: report::Error) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<train::Error> for Failure {
    fn from(error: train::Error) -> Self {
        if error.is_answer() { Self::Answer(error.to_string()) } else { Self::Input(error.to_string()) }
    }
}
