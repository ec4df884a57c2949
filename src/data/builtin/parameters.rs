//! Parameters of built-in sets: names, ranges, defaults.

use super::Builtin;
use crate::data::Error;
use std::fmt;

/// What values a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A whole number in this range, ends included.
    Count(u64, u64),
    /// A real number in this range, ends included.
    Real(f64, f64),
}

/// A parameter's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A whole number.
    Count(u64),
    /// A real number.
    Real(f64),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(n) => n.fmt(f),
            Self::Real(x) => x.fmt(f),
        }
    }
}

/// A parameter that a set takes.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// Its value where none is given.
    pub default: Value,
    /// What it means.
    pub meaning: &'static str,
}

impl Parameter {
    /// `n`: rows, at least one, within what an address can hold.
    pub(super) const fn rows(default: u64, most: u64) -> Self {
        Self {
            name: "n",
            kind: Kind::Count(1, most),
            default: Value::Count(default),
            meaning: "number of rows",
        }
    }

    /// `noise`: standard deviation of isotropic normal noise.
    pub(super) const fn noise(default: f64) -> Self {
        let meaning = "standard deviation of the isotropic normal noise";
        Self { name: "noise", kind: Kind::Real(0.0, 1e6), default: Value::Real(default), meaning }
    }

    /// `seed`: which draws.
    pub(super) const fn seed() -> Self {
        let meaning = "seed of the random numbers";
        Self { name: "seed", kind: Kind::Count(0, u64::MAX), default: Value::Count(0), meaning }
    }

    fn parse(&self, text: &str) -> Option<Value> {
        match self.kind {
            Kind::Count(least, most) => {
                text.parse().ok().filter(|n| (least..=most).contains(n)).map(Value::Count)
            }
            Kind::Real(least, most) => {
                text.parse().ok().filter(|x| (least..=most).contains(x)).map(Value::Real)
            }
        }
    }

    fn wanted(&self) -> String {
        match self.kind {
            Kind::Count(least, most) => format!("a {}: a whole number from {least} to {most}", self.meaning),
            Kind::Real(least, most) => format!("the {}: from {least} to {most}", self.meaning),
        }
    }
}

/// A value for each parameter of a set. Shown as `n=20000&noise=0.1&seed=0`.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    values: Vec<(&'static str, Value)>,
}

impl Parameters {
    /// The whole-number parameter of this name; 0 if there is none.
    pub fn count(&self, name: &str) -> usize {
        self.whole(name) as usize
    }

    /// The real parameter of this name; NaN if there is none.
    pub fn real(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(Value::Real(x)) => x,
            Some(Value::Count(n)) => n as f64,
            None => f64::NAN,
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.whole("seed")
    }

    fn whole(&self, name: &str) -> u64 {
        if let Some(Value::Count(n)) = self.get(name) { n } else { 0 }
    }

    fn get(&self, name: &str) -> Option<Value> {
        self.values.iter().find(|(key, _)| *key == name).map(|&(_, value)| value)
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.values.iter().enumerate().try_for_each(|(i, (name, value))| {
            let and = if i > 0 { "&" } else { "" };
            write!(f, "{and}{name}={value}")
        })
    }
}

impl Builtin {
    /// The parameters at their defaults.
    pub fn defaults(&self) -> Parameters {
        Parameters { values: self.parameters.iter().map(|p| (p.name, p.default)).collect() }
    }

    /// The parameters with these given as text, the others at their defaults.
    ///
    /// # Errors
    /// An unknown name, a name given twice, a value out of range.
    pub fn parameters_from<'a>(
        &self,
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Parameters, Error> {
        let mut parameters = self.defaults();
        let mut seen = vec![false; self.parameters.len()];
        for (key, text) in given {
            let place = self.parameters.iter().position(|p| p.name == key);
            let Some(place) = place else {
                let known = self.parameters.iter().map(|p| p.name).collect();
                return Err(Error::NoParameter { name: self.name, key: key.into(), known });
            };
            let parameter = &self.parameters[place];
            let bad =
                |wanted| Error::BadParameter { name: self.name, key: key.into(), value: text.into(), wanted };
            if std::mem::replace(&mut seen[place], true) {
                return Err(bad("given twice; give it once".into()));
            }
            parameters.values[place].1 = parameter.parse(text).ok_or_else(|| bad(parameter.wanted()))?;
        }
        Ok(parameters)
    }
}
