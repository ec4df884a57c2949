//! Serves the list of cases to a program that compares libraries (`compare.py`): one command a line on
//! standard input, one JSON object a line on standard output.
//!
//! | command | answer |
//! | --- | --- |
//! | `list` | `{"cases": [NAME, ...]}` |
//! | `load MODEL.safetensors` | `{"dim": D}`; forgets what is prepared |
//! | `prepare CASE [INPUT.npy]` | `{"prepared": CASE}`: its data is built from the model and the input |
//! | `answer CASE FILE.npy` | `{"entries": N}`: the numbers that it computes are in the file, as f64 |
//! | `run CASE K` | `{"seconds": S}`, of one call, a mean over K |
//!
//! A command that fails answers `{"error": REASON}`. Names of files end with their line and must not
//! hold line breaks.

#[path = "../cases/mod.rs"]
mod cases;

use cases::given::Given;
use cases::{Case, Kind, Work};
use eigenflow::data::formats::Location;
use eigenflow::data::{Array, output};
use eigenflow::flow::AnyModel;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

#[derive(Default)]
struct Server {
    given: Given,
    prepared: HashMap<String, Box<dyn Work>>,
}

impl Server {
    fn obey(&mut self, line: &str) -> Result<Value, String> {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        match command {
            "list" => {
                let names: Vec<String> = Case::of(&Kind::ALL).iter().map(Case::to_string).collect();
                Ok(json!({"cases": names}))
            }
            "load" => {
                let model = AnyModel::load(Path::new(rest)).map_err(|e| e.to_string())?;
                let dim = model.cast::<f64>().flow.dim();
                self.prepared.clear();
                self.given.model = Some(model);
                Ok(json!({"dim": dim}))
            }
            "prepare" => {
                let case =
                    Case::find(first).ok_or_else(|| format!("there is no case '{first}'; see list"))?;
                self.given.input = match second {
                    "" => None,
                    file => Some(read(file)?),
                };
                self.prepared.insert(first.to_owned(), case.prepare(&self.given)?);
                Ok(json!({"prepared": first}))
            }
            "answer" => {
                let answer = self.work(first)?.answer();
                let array = Array::new("answer", &[answer.len()], &answer);
                output::write(Path::new(second), &[array]).map_err(|e| e.to_string())?;
                Ok(json!({"entries": answer.len()}))
            }
            "run" => {
                let calls: u32 = second.parse().map_err(|_| format!("run CASE K: '{second}' is no count"))?;
                let work = self.work(first)?;
                let start = Instant::now();
                // By a thread of the pool, as the command line does: one from outside would sleep and be woken at each call.
                rayon::scope(|_| work.calls(calls.into()));
                Ok(json!({"seconds": start.elapsed().as_secs_f64() / f64::from(calls.max(1))}))
            }
            _ => Err(format!("no command '{command}'; there are: list, load, prepare, answer, run")),
        }
    }

    fn work(&mut self, name: &str) -> Result<&mut dyn Work, String> {
        match self.prepared.get_mut(name) {
            Some(work) => Ok(work.as_mut()),
            None => Err(format!("'{name}' is not prepared")),
        }
    }
}

fn read(file: &str) -> Result<Vec<f64>, String> {
    let array = Location::of(file).and_then(|location| location.array()).map_err(|e| e.to_string())?;
    Ok(array.data)
}

fn main() -> std::io::Result<()> {
    let mut server = Server::default();
    for line in std::io::stdin().lock().lines() {
        let answer = server.obey(line?.trim_end()).unwrap_or_else(|error| json!({"error": error}));
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
