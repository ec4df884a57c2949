//! IDX: the format of MNIST. Two zero bytes, a type, the number of axes, their lengths, the numbers;
//! all big-endian. Format: <http://yann.lecun.com/exdb/mnist/>.

use super::numbers::{self, fill};
use super::{RawArray, entries, looks_like};
use crate::data::{Dtype, Error};
use std::io::Read;

const EXPECTED: &str = "an IDX file: bytes 0 0 TYPE AXES, the lengths of the axes, the numbers";

/// Reads one array; nothing may follow it.
///
/// # Errors
/// Wrong magic, unknown type, too few or too many bytes.
pub fn read(input: &mut dyn Read, file: &str) -> Result<RawArray, Error> {
    let failed = |e| Error::read(file, e, EXPECTED);
    let mut magic = [0; 4];
    let n = fill(input, &mut magic).map_err(failed)?;
    if n == 0 {
        return Err(Error::Empty { file: file.into(), what: "bytes" });
    }
    let [0, 0, code, axes] = magic else {
        return Err(Error::damaged(file, format!("this is {}", looks_like(&magic[..n])), EXPECTED));
    };
    let dtype = match code {
        0x08 => Dtype::Uint(1),
        0x09 => Dtype::Int(1),
        0x0b => Dtype::Int(2),
        0x0c => Dtype::Int(4),
        0x0d => Dtype::F32,
        0x0e => Dtype::F64,
        _ => return Err(Error::Dtype { file: file.into(), dtype: format!("IDX {code:#04x}") }),
    };
    let mut shape = Vec::with_capacity(axes.into());
    for _ in 0..axes {
        let mut length = [0; 4];
        if fill(input, &mut length).map_err(failed)? < 4 {
            return Err(Error::damaged(file, "cut short within the header", EXPECTED));
        }
        shape.push(u32::from_be_bytes(length) as usize);
    }
    let data = numbers::read(input, file, entries(file, &shape)?, dtype, true)?;
    Ok(RawArray { shape, data, dtype })
}
