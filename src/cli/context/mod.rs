//! `--context`: what a conditional flow is given beside its rows.
//!
//! Columns of the data by name or number (`a,b`, `3-5`, `class:one-hot`), which then are no data; a file with as many rows; or the
//! same values for all rows (`a=1.5,class=3`).

mod encode;

pub(crate) use self::encode::encode;

use super::failure::Failure;
use super::session::Session;
use crate::data::{Error, Labels, Selection, Source, Table};
use crate::flow::Variable;
use eigenflow_linalg::Matrix;
use std::path::Path;

/// One variable as it comes from data.
pub(crate) struct Raw {
    name: String,
    values: Values,
    one_hot: bool,
}

enum Values {
    Numbers(Vec<f64>),
    Classes(Labels),
    /// The same for all rows.
    Always(String),
}

/// Most classes of a one-hot variable.
const MOST: usize = 1000;
/// A column of at most this many whole numbers may be meant as classes.
const FEW: usize = 20;
/// What makes classes of a column.
const ONE_HOT: &str = ":one-hot";

/// The data without its context, and the context as the option says, or as the names of the model's variables do.
pub(crate) fn read(s: &Session, data: &str, known: &[Variable]) -> Result<(Table, Vec<Raw>), Failure> {
    if let Some(text) = &s.global.context {
        return match given(text)? {
            Some(context) => Ok((s.data(data)?, context)),
            None => columns(s, data, &parts(text), known),
        };
    }
    let names: Vec<(String, bool)> = known.iter().map(|v| (v.name.clone(), false)).collect();
    columns(s, data, &names, known).map_err(|failure| match failure {
        Failure::Input(m) if m.starts_with("--context") => Failure::Input(format!(
            "{m}; the model is conditional on {}: say with --context where they are",
            list(known)
        )),
        other => other,
    })
}

/// The context alone, where no data come with it: a file, or constants.
pub(crate) fn alone(s: &Session, known: &[Variable]) -> Result<Vec<Raw>, Failure> {
    let Some(text) = &s.global.context else {
        return Err(Failure::Input(format!(
            "the model is conditional on {}: give --context FILE with a row of them for each, or --context {}",
            list(known),
            known.iter().map(|v| format!("{}=…", v.name)).collect::<Vec<_>>().join(",")
        )));
    };
    given(text)?.ok_or_else(|| {
        Failure::Input(format!(
            "--context {text}: is no file; give one with a row for each, or NAME=VALUE,NAME=VALUE"
        ))
    })
}

/// Whether the option names a file or a built-in set, whose rows go with those of one DATA alone.
pub(crate) fn has_its_own_rows(s: &Session) -> Result<bool, Failure> {
    s.global.context.as_deref().map_or(Ok(false), |text| Ok(source(text)?.is_some()))
}

/// Names of variables, in messages.
pub(crate) fn list(variables: &[Variable]) -> String {
    variables.iter().map(|v| format!("'{}'", v.name)).collect::<Vec<_>>().join(", ")
}

/// `a=1,b=2`.
fn constants(text: &str) -> Option<Vec<Raw>> {
    text.split(',')
        .map(|part| {
            let (name, value) = part.split_once('=')?;
            let values = Values::Always(value.trim().to_owned());
            Some(Raw { name: name.trim().to_owned(), values, one_hot: false })
        })
        .collect()
}

/// The columns of a file or of a built-in set, or constants; none where the text names columns.
fn given(text: &str) -> Result<Option<Vec<Raw>>, Failure> {
    match source(text)? {
        Some(source) => Ok(Some(raws(&source.load(&Selection::default())?, false))),
        None => Ok(constants(text)),
    }
}

/// A file, or a built-in set, if the text is one.
fn source(text: &str) -> Result<Option<Source>, Failure> {
    let path = text.split(".npz:").next().unwrap_or(text);
    if text.starts_with("builtin:") || text.contains(".npz:") || Path::new(path).is_file() {
        return Ok(Some(text.parse::<Source>()?));
    }
    match text.parse::<Source>() {
        // A word that only looks like a file is one that is missing.
        Ok(Source::File(_)) => Err(Failure::Input(format!("--context {text}: there is no such file"))),
        _ => Ok(None),
    }
}

/// `NAME[:one-hot]`, comma separated.
fn parts(text: &str) -> Vec<(String, bool)> {
    let one = |part: &str| match part.strip_suffix(ONE_HOT) {
        Some(name) => (name.trim().to_owned(), true),
        None => (part.to_owned(), false),
    };
    text.split(',').map(str::trim).map(one).collect()
}

/// The columns of a table, one by one.
fn raws(table: &Table, one_hot: bool) -> Vec<Raw> {
    let column = |j: usize| Values::Numbers(table.values.col(j));
    (0..table.cols()).map(|j| Raw { name: table.names[j].clone(), values: column(j), one_hot }).collect()
}

/// Columns of the data, taken out of it: numbers first, then those that are classes, then the label.
fn columns(
    s: &Session,
    data: &str,
    parts: &[(String, bool)],
    known: &[Variable],
) -> Result<(Table, Vec<Raw>), Failure> {
    let source: Source = data.parse()?;
    let has_levels = |name: &str| known.iter().any(|v| v.name == name && !v.levels.is_empty());
    let classes: Vec<&str> = parts.iter().filter(|p| p.1 || has_levels(&p.0)).map(|p| p.0.as_str()).collect();
    let found = match of_numbers(&source, &s.selection(), parts) {
        Err(Error::Cell { .. }) if !classes.is_empty() => of_words(&source, &s.selection(), parts, &classes)?,
        other => other?,
    };
    found.ok_or_else(|| Failure::Input(format!("--context leaves no column of {data}; keep at least one")))
}

/// Where all columns hold numbers, but for the label; nothing if no column is left.
fn of_numbers(
    source: &Source,
    selection: &Selection,
    parts: &[(String, bool)],
) -> Result<Option<(Table, Vec<Raw>)>, Error> {
    let whole = source.load(selection)?;
    let label = whole.label.clone().filter(|l| parts.iter().any(|(name, _)| *name == l.name));
    let rest: Vec<&(String, bool)> =
        parts.iter().filter(|(name, _)| label.as_ref().is_none_or(|l| l.name != *name)).collect();
    let mut context = Vec::new();
    let mut taken = Vec::new();
    for one_hot in [false, true] {
        let wanted: Vec<&str> = rest.iter().filter(|p| p.1 == one_hot).map(|p| p.0.as_str()).collect();
        if wanted.is_empty() {
            continue;
        }
        let columns = Some(wanted.join(","));
        let table = source.load(&Selection { columns, exclude: None, label: None }).map_err(of_context)?;
        taken.extend_from_slice(&table.places);
        context.extend(raws(&table, one_hot));
    }
    let table = if taken.is_empty() {
        whole
    } else {
        // By place: several columns may have one name.
        let kept: Vec<usize> = (0..whole.cols()).filter(|&j| !taken.contains(&whole.places[j])).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        whole.select_columns(&kept)?
    };
    context.extend(label.map(|l| Raw { name: l.name.clone(), values: Values::Classes(l), one_hot: true }));
    Ok(Some((table, context)))
}

/// Where `classes` among the parts hold words: each is read as a label, the others leave it out.
fn of_words(
    source: &Source,
    selection: &Selection,
    parts: &[(String, bool)],
    classes: &[&str],
) -> Result<Option<(Table, Vec<Raw>)>, Error> {
    let without = |left: &str| {
        let own = selection.exclude.as_deref().into_iter();
        own.chain(classes.iter().copied().filter(|c| *c != left)).collect::<Vec<_>>().join(",")
    };
    let numbers: Vec<(String, bool)> =
        parts.iter().filter(|p| !classes.contains(&p.0.as_str())).cloned().collect();
    let exclude = Some(without("")).filter(|text| !text.is_empty());
    let Some((table, mut context)) =
        of_numbers(source, &Selection { exclude, ..selection.clone() }, &numbers)?
    else {
        return Ok(None);
    };
    for class in classes {
        let exclude = Some(without(class)).filter(|text| !text.is_empty());
        let label = Some((*class).to_owned());
        let found = source.load(&Selection { exclude, label, columns: selection.columns.clone() })?.label;
        context.extend(found.map(|l| Raw {
            name: l.name.clone(),
            values: Values::Classes(l),
            one_hot: true,
        }));
    }
    Ok(Some((table, context)))
}

/// The same error, of this option.
fn of_context(error: Error) -> Error {
    match error {
        Error::NoColumn { data, column, names, .. } => {
            Error::NoColumn { option: "--context", data, column, names }
        }
        Error::ColumnChoice { text, problem, .. } => {
            Error::ColumnChoice { option: "--context", text, problem }
        }
        other => other,
    }
}

/// The variables that a new model is to be conditional on.
pub(crate) fn variables(s: &Session, context: &[Raw]) -> Result<Vec<Variable>, Failure> {
    let one = |raw: &Raw| match &raw.values {
        Values::Numbers(x) => {
            let texts: Vec<String> = x.iter().map(ToString::to_string).collect();
            let classes = Labels::new(&raw.name, &texts).classes;
            if !raw.one_hot {
                if classes.len() <= FEW && x.iter().all(|v| v.fract() == 0.0) {
                    s.note(&format!(
                        "context '{}' holds {} whole numbers; if they are classes, write {}{ONE_HOT}",
                        raw.name,
                        classes.len(),
                        raw.name
                    ));
                }
                return Ok(Variable::number(&raw.name));
            }
            levels(&raw.name, &classes)
        }
        Values::Classes(labels) => levels(&raw.name, &labels.classes),
        Values::Always(_) => Err(Failure::Input(format!(
            "--context {}=…: a model is trained on contexts that vary; name columns of the data, or a file",
            raw.name
        ))),
    };
    context.iter().map(one).collect()
}

fn levels(name: &str, classes: &[String]) -> Result<Variable, Failure> {
    if classes.len() > MOST {
        let n = classes.len();
        return Err(Failure::Input(format!(
            "--context {name}{ONE_HOT}: {n} classes, at most {MOST} can be told apart"
        )));
    }
    Ok(Variable::one_hot(name, classes))
}

/// A row of context in words: `a = 1.5, class = 3`.
pub(crate) fn describe(variables: &[Variable], row: &[f64]) -> String {
    let mut first = 0;
    let mut all = Vec::new();
    for v in variables {
        let own = &row[first..first + v.width()];
        first += v.width();
        all.push(match own.iter().position(|&x| x > 0.5).and_then(|k| v.levels.get(k)) {
            Some(level) => format!("{} = {level}", v.name),
            None => format!("{} = {}", v.name, own[0]),
        });
    }
    all.join(", ")
}

/// Names of the context's columns, in a table that has them.
fn names(variables: &[Variable]) -> Vec<String> {
    let of = |v: &Variable| match v.levels.len() {
        0 => vec![v.name.clone()],
        _ => v.levels.iter().map(|level| format!("{}={level}", v.name)).collect(),
    };
    variables.iter().flat_map(of).collect()
}

/// DATA with its context beside it, for training, and the variables: those of a model that is trained further, if one is.
pub(crate) fn joint(
    s: &Session,
    data: &str,
    known: Option<&[Variable]>,
) -> Result<(Table, Vec<Variable>), Failure> {
    if s.global.context.is_none() && known.is_none_or(<[Variable]>::is_empty) {
        return Ok((s.data(data)?, Vec::new()));
    }
    if known.is_some_and(<[Variable]>::is_empty) {
        return Err(superfluous());
    }
    let (table, context) = read(s, data, known.unwrap_or_default())?;
    let variables = match known {
        Some(known) => known.to_vec(),
        None => variables(s, &context)?,
    };
    let encoded = encode(&context, &variables, Some(table.rows()))?;
    let d = table.cols();
    let values = Matrix::from_fn(table.rows(), d + encoded.cols(), |i, j| {
        if j < d { table.values[(i, j)] } else { encoded[(i, j - d)] }
    });
    let names = table.names.iter().cloned().chain(names(&variables)).collect();
    let joint = Table::new(values, names, &table.source, table.dtype)?;
    Ok((Table { label: table.label, ..joint }, variables))
}

/// Refuses a conditional model where `what` needs one map for all rows.
pub(crate) fn refuse(what: &str, known: &[Variable]) -> Result<(), Failure> {
    if known.is_empty() {
        return Ok(());
    }
    Err(Failure::Input(format!(
        "{what}: needs one map for all rows, and the model is another one at each context ({}); train one without --context, or on the \
         rows of one context",
        list(known)
    )))
}

/// A context for a model that takes none.
pub(crate) fn superfluous() -> Failure {
    Failure::Input(
        "--context: the model takes no context; leave the option out, or train one with it".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_option() {
        assert_eq!(
            parts("a, b:one-hot,3-5"),
            [("a".into(), false), ("b".into(), true), ("3-5".into(), false)]
        );
        assert!(constants("a=1,b").is_none());
        let raw = constants("a=1.5, class=x").unwrap();
        let known = [Variable::one_hot("class", &["w".into(), "x".into()]), Variable::number("a")];
        let encoded = encode(&raw, &known, Some(2)).unwrap();
        assert_eq!(encoded.data(), [0.0, 1.0, 1.5, 0.0, 1.0, 1.5]);
        assert_eq!(describe(&known, encoded.row(0)), "class = x, a = 1.5");
        assert_eq!(names(&known), ["class=w", "class=x", "a"]);
        let message = |text| match encode(&constants(text).unwrap(), &known, None) {
            Err(Failure::Input(message)) => message,
            _ => panic!("{text}"),
        };
        assert!(message("a=1,class=y").contains("'class' is 'y', the model knows the classes w, x"));
        assert!(message("a=nan,class=x").contains("no finite number"));
        assert!(message("b=1,class=x").contains("the model is conditional on 'class', 'a'"));
        assert!(message("a=1,a=2,class=x").contains("the model is conditional on 'class', 'a'"));
    }
}
