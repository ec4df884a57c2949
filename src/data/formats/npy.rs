//! `.npy`: one array of numpy (format versions 1.0 to 3.0).
//!
//! The header is a Python dictionary; the little of Python that numpy writes there is parsed here,
//! without recursion, and no larger header than numpy's own limit is read.
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use super::numbers::{self, fill};
use super::{RawArray, entries, looks_like};
use crate::data::output::{Array, Values};
use crate::data::{Dtype, Error};
use std::io::{self, Read, Write};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Far above what numpy writes for any array of numbers.
const MAX_HEADER: usize = 1 << 16;
const EXPECTED: &str = "an array of numpy: bytes \\x93NUMPY, version 1, 2 or 3, a header, the numbers";

/// Reads one array; nothing may follow it.
///
/// # Errors
/// Wrong magic, damaged header, an element type that is no real number, too few or too many bytes.
pub fn read(input: &mut dyn Read, file: &str) -> Result<RawArray, Error> {
    let header = Header::read(input, file)?;
    let count = entries(file, &header.shape)?;
    let data = numbers::read(input, file, count, header.dtype, header.big_endian)?;
    let data = if header.fortran { from_fortran(&data, &header.shape) } else { data };
    Ok(RawArray { shape: header.shape, data, dtype: header.dtype })
}

/// Writes one array in C order, little-endian, version 1.0.
pub fn write(out: &mut dyn Write, array: &Array<'_>) -> io::Result<()> {
    let lengths: Vec<String> = array.shape.iter().map(ToString::to_string).collect();
    // A Python tuple of one has a comma.
    let shape = lengths.join(", ") + if lengths.len() == 1 { "," } else { "" };
    let descr = match array.values {
        Values::F32(_) => "<f4",
        Values::F64(_) => "<f8",
    };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // Data begin at a multiple of 64 bytes.
    let padding = 64 - (MAGIC.len() + 4 + header.len() + 1) % 64;
    header.extend(std::iter::repeat_n(' ', padding % 64));
    header.push('\n');
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&(header.len() as u16).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    match array.values {
        Values::F32(values) => values.iter().try_for_each(|x| out.write_all(&x.to_le_bytes())),
        Values::F64(values) => values.iter().try_for_each(|x| out.write_all(&x.to_le_bytes())),
    }
}

/// First axis fastest to last axis fastest.
fn from_fortran(data: &[f64], shape: &[usize]) -> Vec<f64> {
    let mut strides = vec![1; shape.len()];
    for axis in 1..shape.len() {
        strides[axis] = strides[axis - 1] * shape[axis - 1];
    }
    let mut index = vec![0; shape.len()];
    let mut place = 0;
    let mut ordered = Vec::with_capacity(data.len());
    for _ in 0..data.len() {
        ordered.push(data[place]);
        // Count up, last axis first.
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            place += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            place -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    ordered
}

struct Header {
    dtype: Dtype,
    big_endian: bool,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn read(input: &mut dyn Read, file: &str) -> Result<Self, Error> {
        let failed = |e| Error::read(file, e, EXPECTED);
        let damaged = |problem: String| Error::damaged(file, problem, EXPECTED);
        let mut start = [0; 8];
        let n = fill(input, &mut start).map_err(failed)?;
        if n == 0 {
            return Err(Error::Empty { file: file.into(), what: "bytes" });
        }
        if n < 8 || !start.starts_with(MAGIC) {
            return Err(damaged(format!("this is {}", looks_like(&start[..n]))));
        }
        let width = match start[6] {
            1 => 2,
            2 | 3 => 4,
            version => return Err(damaged(format!("format version {version} is not known"))),
        };
        let mut length = [0; 4];
        let n = fill(input, &mut length[..width]).map_err(failed)?;
        let length = u32::from_le_bytes(length) as usize;
        if n < width || length > MAX_HEADER {
            return Err(damaged(format!("a header of {length} bytes (cut short, or too long)")));
        }
        let mut text = vec![0; length];
        if fill(input, &mut text).map_err(failed)? < length {
            return Err(damaged("cut short within the header".into()));
        }
        Self::parse(&String::from_utf8_lossy(&text), file)
    }

    /// `{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }`, keys in any order.
    fn parse(text: &str, file: &str) -> Result<Self, Error> {
        let damaged = || {
            let shown: String = text.trim_end().chars().take(80).collect();
            Error::damaged(
                file,
                format!("the header reads {shown}"),
                "{'descr': '<f8', 'fortran_order': False, 'shape': (rows, columns), }",
            )
        };
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        let mut rest = eat(text, "{").ok_or_else(damaged)?;
        while eat(rest, "}").is_none() {
            let (key, after) = quoted(rest).ok_or_else(damaged)?;
            let value = eat(after, ":").ok_or_else(damaged)?;
            rest = match key {
                "descr" if value.starts_with('[') => {
                    let fields = value.chars().take_while(|&c| c != '}').take(40).collect();
                    return Err(Error::Dtype { file: file.into(), dtype: fields });
                }
                "descr" => take(quoted(value), &mut descr),
                "fortran_order" => take(boolean(value), &mut fortran),
                "shape" => take(tuple(value), &mut shape),
                _ => None,
            }
            .ok_or_else(damaged)?;
            match eat(rest, ",") {
                Some(after) => rest = after,
                None if rest.starts_with('}') => {}
                None => return Err(damaged()),
            }
        }
        let (Some(descr), Some(fortran), Some(shape)) = (descr, fortran, shape) else {
            return Err(damaged());
        };
        let (dtype, big_endian) =
            element(descr).ok_or_else(|| Error::Dtype { file: file.into(), dtype: descr.into() })?;
        Ok(Self { dtype, big_endian, fortran, shape })
    }
}

/// Element type and whether it is big-endian: `<f8`, `>i2`, `|b1`.
fn element(descr: &str) -> Option<(Dtype, bool)> {
    let dtype = match descr.get(1..)? {
        "b1" => Dtype::Bool,
        "i1" => Dtype::Int(1),
        "i2" => Dtype::Int(2),
        "i4" => Dtype::Int(4),
        "i8" => Dtype::Int(8),
        "u1" => Dtype::Uint(1),
        "u2" => Dtype::Uint(2),
        "u4" => Dtype::Uint(4),
        "u8" => Dtype::Uint(8),
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        _ => return None,
    };
    match descr.get(..1)? {
        "<" => Some((dtype, false)),
        ">" => Some((dtype, true)),
        "=" => Some((dtype, cfg!(target_endian = "big"))),
        "|" if dtype.size() == 1 => Some((dtype, false)),
        _ => None,
    }
}

/// Each parser returns what it read and the rest of the text, white space skipped.
type Parsed<'a, T> = Option<(T, &'a str)>;

fn take<'a, T>(parsed: Parsed<'a, T>, value: &mut Option<T>) -> Option<&'a str> {
    let (read, rest) = parsed?;
    *value = Some(read);
    Some(rest)
}

fn eat<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.trim_start().strip_prefix(mark).map(str::trim_start)
}

fn quoted(text: &str) -> Parsed<'_, &str> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let (inside, rest) = text[1..].split_once(quote)?;
    Some((inside, rest.trim_start()))
}

fn boolean(text: &str) -> Parsed<'_, bool> {
    let word = |word, value| eat(text, word).map(|rest| (value, rest));
    word("True", true).or_else(|| word("False", false))
}

fn tuple(text: &str) -> Parsed<'_, Vec<usize>> {
    let (inside, rest) = eat(text, "(")?.split_once(')')?;
    let inside = inside.trim();
    let inside = inside.strip_suffix(',').unwrap_or(inside);
    let numbers = inside.split(',').map(|n| n.trim().trim_end_matches('L').parse().ok());
    let shape = if inside.is_empty() { Vec::new() } else { numbers.collect::<Option<Vec<_>>>()? };
    Some((shape, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fortran_order_is_undone_for_any_number_of_axes() {
        assert_eq!(from_fortran(&[0.0, 3.0, 1.0, 4.0, 2.0, 5.0], &[2, 3]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        // a[i, j, k] = 100 i + 10 j + k, first axis fastest.
        let shape = [2, 3, 4];
        let mut fortran = Vec::new();
        for k in 0..4 {
            for j in 0..3 {
                fortran.extend((0..2).map(|i| f64::from(100 * i + 10 * j + k)));
            }
        }
        let ordered = from_fortran(&fortran, &shape);
        assert!(ordered.is_sorted(), "digits in order are numbers in order");
    }

    #[test]
    fn headers_in_all_their_spellings() {
        let parse =
            |text: &str| Header::parse(text, "f").map(|h| (h.dtype, h.big_endian, h.fortran, h.shape));
        let expected = (Dtype::F64, true, true, vec![3, 2]);
        for text in [
            "{'descr': '>f8', 'fortran_order': True, 'shape': (3, 2), }   \n",
            "{\"shape\":(3,2),\"fortran_order\":True,\"descr\":\">f8\"}",
            " { 'shape' : ( 3L , 2L , ) , 'descr':'>f8' , 'fortran_order' : True }",
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        assert_eq!(parse("{'descr': '|u1', 'fortran_order': False, 'shape': ()}").unwrap().3, [0_usize; 0]);
        for text in [
            "",
            "{",
            "{}",
            "{'descr': '<f8'}",
            "{'descr' '<f8'}",
            "{'shape': (3, -2)}",
            "{'shape': (3",
            "{'a': 1}",
            "{'shape': (99999999999999999999, 1), 'descr': '<f8', 'fortran_order': False}",
            "((((((((((",
            "{'descr': '<f8', 'fortran_order': Maybe, 'shape': (1, 1)}",
        ] {
            assert!(matches!(parse(text), Err(Error::Damaged { .. })), "{text}");
        }
        for descr in ["<c16", "|O", "<U3", "<f2", "|f8", "", "é8", "<M8[ns]"] {
            let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (1, 1)}}");
            assert!(matches!(parse(&text), Err(Error::Dtype { .. })), "{descr}");
        }
        assert!(matches!(parse("{'descr': [('a', '<f8')], 'shape': (1,)}"), Err(Error::Dtype { .. })));
    }
}
