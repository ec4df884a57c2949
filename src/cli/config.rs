//! `--config FILE.toml`: options from a file, where the command line is silent.
//!
//! A key is the long name of any option of the command, those of every command included; a value is what would be written behind it. The file is turned
//! into options that are read like all others, so that an option cannot be forgotten here.

use super::failure::Failure;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Command, Error};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Commands whose `--config` holds their own options.
const COMMANDS: [&str; 2] = ["train", "verify"];
/// What a file cannot say.
const NOT_IN_FILES: [&str; 3] = ["config", "help", "version"];

/// The words of a command line with those of the file that it names, and that file.
pub(crate) fn with_file(
    command: &Command,
    words: Vec<OsString>,
) -> Result<(Vec<OsString>, Option<PathBuf>), Failure> {
    let mut command = command.clone();
    command.build();
    // Whatever is wrong with them is told when they are read in earnest.
    let Ok(matches) = command.clone().ignore_errors(true).try_get_matches_from(&words) else {
        return Ok((words, None));
    };
    let Some((name, given)) = matches.subcommand().filter(|(name, _)| COMMANDS.contains(name)) else {
        return Ok((words, None));
    };
    let (Some(path), Some(own)) = (given.get_one::<PathBuf>("config"), command.find_subcommand(name)) else {
        return Ok((words, None));
    };
    let fail = |problem: String| Failure::Input(format!("--config {}: {problem}", path.display()));
    let can_be = |a: &&Arg| a.get_long().is_some() && !NOT_IN_FILES.contains(&a.get_id().as_str());
    let known: Vec<&Arg> = own.get_arguments().filter(can_be).collect();
    let mut more = Vec::new();
    for (key, value) in read(path)? {
        let Some(option) = known.iter().find(|a| a.get_long() == Some(&key)) else {
            let names: Vec<&str> = known.iter().filter_map(|a| a.get_long()).collect();
            return Err(fail(format!(
                "there is no option '{key}' of {name}; there are: {}",
                names.join(", ")
            )));
        };
        if given.value_source(option.get_id().as_str()) != Some(ValueSource::CommandLine) {
            more.extend(word(option, &key, &value).map_err(fail)?);
        }
    }
    let end = words.iter().position(|w| w == "--").unwrap_or(words.len());
    let path = path.clone();
    let mut all = words;
    all.splice(end..end, more);
    Ok((all, Some(path)))
}

/// An error of reading those words: the file's, unless the command line is at fault by itself.
pub(crate) fn blame(command: &Command, words: &[OsString], file: &Path, error: &Error) -> Error {
    match command.clone().try_get_matches_from(words) {
        Err(own) if own.kind() == error.kind() => own,
        _ => Error::raw(error.kind(), format!("--config {}: {}", file.display(), text(error))),
    }
}

/// What an error says, without the word that it begins with.
pub(crate) fn text(error: &Error) -> String {
    error.render().to_string().trim_start_matches("error: ").trim_end().to_owned()
}

fn read(path: &Path) -> Result<Table, Failure> {
    let file = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::Input(format!("--config {file}: cannot be read: {e}")))?;
    text.parse().map_err(|e: toml::de::Error| {
        Failure::Input(format!("--config {file}: {}", e.to_string().trim_end()))
    })
}

/// A key and its value as on the command line: nothing for a switch that is off.
fn word(option: &Arg, key: &str, value: &Value) -> Result<Option<OsString>, String> {
    if matches!(option.get_action(), ArgAction::SetTrue) {
        return match value {
            Value::Boolean(on) => Ok(on.then(|| format!("--{key}").into())),
            other => Err(format!("{key} = {other}: it is true or false")),
        };
    }
    // Intervals hold commas.
    let between = if key == "support" { ";" } else { "," };
    let text = match value {
        Value::Array(all) => {
            let each: Option<Vec<String>> = all.iter().map(scalar).collect();
            each.map(|each| each.join(between))
        }
        one => scalar(one),
    };
    let text = text.ok_or_else(|| format!("{key} = {value}: it is a number, a text, or a list of them"))?;
    Ok(Some(format!("--{key}={text}").into()))
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(n) => Some(n.to_string()),
        Value::Float(x) => Some(x.to_string()),
        Value::Boolean(on) => Some(on.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn write(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    /// The words of a command that takes its options from a file of this text.
    fn words(command: &str, text: &str) -> Result<Vec<OsString>, String> {
        let file = write(text);
        let mut given: Vec<OsString> = command.split_whitespace().map(OsString::from).collect();
        given.push(OsString::from(format!("--config={}", file.path().display())));
        let count = given.len();
        match with_file(&Cli::command(), given) {
            Ok((all, _)) => Ok(all[count..].to_vec()),
            Err(Failure::Input(message)) => Err(message),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Values of which every option takes one.
    const VALUES: [&str; 9] =
        ["true", "1", "0.5", "\"nsf\"", "\"silu\"", "\"mixed\"", "\"whiten\"", "\"cosine\"", "\"uniform\""];
    const FURTHER: [&str; 4] = ["\"principal\"", "\"f32\"", "[\"positive\", \"0,1\"]", "\"S1\""];

    /// Whatever a command takes on the command line its file can say.
    #[test]
    fn every_option_can_be_in_the_file() {
        let mut command = Cli::command();
        command.build();
        for name in COMMANDS {
            let own = command.find_subcommand(name).unwrap();
            let options = own.get_arguments().filter(|a| a.get_long().is_some());
            let mut count = 0;
            for option in options.filter(|a| !NOT_IN_FILES.contains(&a.get_id().as_str())) {
                let key = option.get_long().unwrap();
                let taken = VALUES.iter().chain(&FURTHER).any(|value| {
                    let base =
                        if key == "out" { format!("x {name} d") } else { format!("x {name} d --out=m") };
                    let Ok(more) = words(&base, &format!("{key} = {value}")) else { return false };
                    let all = base.split_whitespace().map(OsString::from).chain(more);
                    let Ok(matches) = Cli::command().try_get_matches_from(all) else { return false };
                    let (_, given) = matches.subcommand().unwrap();
                    given.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine)
                });
                assert!(taken, "{name}: {key}");
                count += 1;
            }
            assert!(count > 40, "{name}: {count} options");
        }
    }

    #[test]
    fn values_are_written_as_on_the_command_line() {
        let text = "hidden = [8, 4]\nsupport = [\"0,1\", \"real\"]\nlr = 1e-3\nresidual = true\nresume = false\n\
                    context = [\"t\", \"class:one-hot\"]\ndequantize = \"uniform\"\nquiet = true\n";
        let found = words("x train d --out m --lr 2", text).unwrap();
        let mut found: Vec<&str> = found.iter().map(|w| w.to_str().unwrap()).collect();
        found.sort_unstable();
        let expected = [
            "--context=t,class:one-hot",
            "--dequantize=uniform",
            "--hidden=8,4",
            "--quiet",
            "--residual=true",
            "--support=0,1;real",
        ];
        assert_eq!(found, expected);
        assert!(words("x train d", "config = \"a\"").unwrap_err().contains("no option 'config'"));
        assert!(words("x train d", "lr = { a = 1 }").unwrap_err().contains("lr"));
        assert!(words("x train d", "quiet = 3").unwrap_err().contains("true or false"));
        // The file of an import is its own.
        assert!(words("x import zuko w --out m", "bound = 3").unwrap().is_empty());
    }
}
