//! `report DIR`: rebuilds the HTML report of a run from its JSON.

use super::failure::Failure;
use super::output::{print, print_json};
use super::session::Session;
use crate::report::{html, json as file};
use serde_json::json;
use std::path::PathBuf;

/// Options of `report`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folder that `verify --out` wrote: its report.json is read, its report.html written
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    let report = file::read(&a.folder.join("report.json"))?;
    let page = a.folder.join("report.html");
    html::write(&page, &report)?;
    s.note(&format!("{}: written", page.display()));
    if s.global.json {
        let counts = report.counts();
        return print_json(
            &json!({ "page": page.display().to_string(), "sentence": report.sentence(), "counts": counts }),
        );
    }
    print(&format!("{}\n", report.sentence()))
}
