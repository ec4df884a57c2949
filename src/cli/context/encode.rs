//! The numbers of a context, as the flow takes them.

use super::{Raw, Values, list};
use crate::cli::failure::Failure;
use crate::data::table::is_default_name;
use crate::flow::Variable;
use eigenflow_linalg::Matrix;

/// The columns of a context for these variables: by name where there is one for each, else by place, unless names contradict places.
fn in_order_of<'a>(known: &[Variable], context: &'a [Raw]) -> Result<Vec<&'a Raw>, Failure> {
    // Where several have one name, the first is the first.
    let named = |i: usize| {
        let same = |v: &&Variable| v.name == known[i].name;
        let mut all = context.iter().filter(|raw| raw.name == known[i].name);
        let fits = all.clone().count() == known.iter().filter(same).count();
        all.nth(known[..i].iter().filter(same).count()).filter(|_| fits)
    };
    if let Some(found) = (0..known.len()).map(named).collect() {
        return Ok(found);
    }
    let given: Vec<String> = context.iter().map(|raw| format!("'{}'", raw.name)).collect();
    let message =
        format!("--context gives {}, the model is conditional on {}", given.join(", "), list(known));
    if context.len() != known.len() || context.iter().any(Raw::is_constant) {
        return Err(Failure::Input(message));
    }
    // Names that nobody gave say nothing.
    let elsewhere = |raw: &&Raw| !is_default_name(&raw.name) && known.iter().any(|v| v.name == raw.name);
    let Some((raw, v)) = context.iter().zip(known).find(|(raw, v)| raw.name != v.name && elsewhere(raw))
    else {
        return Ok(context.iter().collect());
    };
    let missing = known.iter().find(|v| context.iter().all(|raw| raw.name != v.name)).unwrap_or(v);
    Err(Failure::Input(format!(
        "{message}: '{}' stands at another's place, and '{}' is missing; name the columns as these are, or give them all",
        raw.name, missing.name
    )))
}

/// The numbers of a context, as the flow takes them: `rows` rows (those of the context itself where `None`).
pub(crate) fn encode(
    context: &[Raw],
    known: &[Variable],
    rows: Option<usize>,
) -> Result<Matrix<f64>, Failure> {
    let ordered = in_order_of(known, context)?;
    let own = ordered.iter().find_map(|raw| raw.rows());
    let n = rows.or(own).unwrap_or(1);
    if let Some(given) = own.filter(|&given| given != n) {
        return Err(crate::flow::Error::ContextRows { expected: n, given }.into());
    }
    let width: usize = known.iter().map(Variable::width).sum();
    let mut out = Matrix::zeros(n, width);
    let mut first = 0;
    for (raw, variable) in ordered.into_iter().zip(known) {
        for row in 0..n {
            let (at, value) = raw.code(row, variable)?;
            out[(row, first + at)] = value;
        }
        first += variable.width();
    }
    Ok(out)
}

impl Raw {
    fn is_constant(&self) -> bool {
        matches!(self.values, Values::Always(_))
    }

    fn rows(&self) -> Option<usize> {
        match &self.values {
            Values::Numbers(x) => Some(x.len()),
            Values::Classes(labels) => Some(labels.codes.len()),
            Values::Always(_) => None,
        }
    }

    /// The column of the variable that a row sets, and to what.
    fn code(&self, row: usize, variable: &Variable) -> Result<(usize, f64), Failure> {
        let text = match &self.values {
            Values::Numbers(x) if variable.levels.is_empty() => return Ok((0, x[row])),
            Values::Numbers(x) => x[row].to_string(),
            Values::Classes(labels) => labels.classes[labels.codes[row]].clone(),
            Values::Always(text) => text.clone(),
        };
        let at = if self.is_constant() { String::new() } else { format!("row {}: ", row + 1) };
        let name = &variable.name;
        if variable.levels.is_empty() {
            return match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok((0, value)),
                _ => Err(Failure::Input(format!(
                    "--context: {at}'{name}' is '{text}', which is no finite number"
                ))),
            };
        }
        // `3` and `3.0` are the same class.
        let same = |level: &String| {
            *level == text
                || matches!((level.parse::<f64>(), text.parse::<f64>()), (Ok(a), Ok(b)) if a.to_bits() == b.to_bits())
        };
        match variable.levels.iter().position(same) {
            Some(k) => Ok((k, 1.0)),
            None => Err(Failure::Input(format!(
                "--context: {at}'{name}' is '{text}', the model knows the classes {}",
                variable.levels.join(", ")
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By name where there is one for each, the first of a name being the first; else by place, unless names contradict places.
    #[test]
    fn columns_of_a_context_are_paired_with_variables() {
        let one = |(k, name): (usize, &str)| Raw {
            name: name.to_owned(),
            values: Values::Numbers(vec![k as f64]),
            one_hot: false,
        };
        let paired = |known: &str, given: &str| {
            let known: Vec<Variable> = known.split(',').map(Variable::number).collect();
            let raws: Vec<Raw> = given.split(',').enumerate().map(one).collect();
            match encode(&raws, &known, None) {
                Ok(encoded) => Ok(encoded.data().iter().map(|&v| v as usize).collect::<Vec<_>>()),
                Err(Failure::Input(message)) => Err(message),
                Err(other) => panic!("{given}: {other:?}"),
            }
        };
        for (known, given, places) in [
            ("t,s", "s,u,t", vec![2, 0]),
            ("t,s", "a,b", vec![0, 1]),
            ("t,s", "t,b", vec![0, 1]),
            ("e,e", "e,e", vec![0, 1]),
            ("e,t,e", "t,e,e", vec![1, 0, 2]),
            // Nobody gave these names.
            ("c1,c2", "c0,c1", vec![0, 1]),
        ] {
            assert_eq!(paired(known, given), Ok(places), "{known} of {given}");
        }
        for (known, given, moved, missing) in
            [("t,s", "s,u", "s", "t"), ("e,t,s", "e,e,s", "e", "t"), ("e,e,t", "e,t,s", "t", "e")]
        {
            let message = paired(known, given).unwrap_err();
            let part = format!("'{moved}' stands at another's place, and '{missing}' is missing");
            assert!(message.contains(&part), "{known} of {given}: {message}");
        }
        assert!(paired("e", "e,e").is_err());
    }
}
