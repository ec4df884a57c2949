//! Binary numbers as they lie in files, read as a stream.
//!
//! Memory grows with the bytes that have arrived, never with what a header claims, and stops at what
//! the machine has: a forged header or a compressed file of zeros cannot exhaust it.

use crate::data::{Dtype, Error};
use std::io::Read;

/// Bytes decoded at a time; a multiple of every element size.
const CHUNK: usize = 1 << 16;

/// Reads exactly `count` numbers as `f64`, and makes sure that nothing follows.
///
/// # Errors
/// Too few bytes, bytes left over, more numbers than memory holds, a truth value other than 0 and 1.
pub(crate) fn read(
    input: &mut dyn Read,
    file: &str,
    count: usize,
    dtype: Dtype,
    big_endian: bool,
) -> Result<Vec<f64>, Error> {
    let size = dtype.size().max(1);
    let expected = || format!("{count} numbers of {size} bytes after the header");
    let mut numbers = Vec::new();
    let mut chunk = vec![0; CHUNK];
    while numbers.len() < count {
        let wanted = (count - numbers.len()).min(CHUNK / size);
        let bytes =
            fill(input, &mut chunk[..wanted * size]).map_err(|e| Error::read(file, e, &expected()))?;
        if bytes < wanted * size {
            let have = numbers.len() + bytes / size;
            return Err(Error::damaged(file, format!("cut short: {have} numbers are there"), expected()));
        }
        grow(&mut numbers, wanted, count, file)?;
        decode(&chunk[..bytes], dtype, big_endian, &mut numbers);
    }
    match fill(input, &mut chunk[..1]).map_err(|e| Error::read(file, e, &expected()))? {
        0 => Ok(numbers),
        _ => Err(Error::damaged(file, "more bytes follow the numbers", expected())),
    }
}

/// Reads until `buffer` is full or the input ends; how many bytes were read.
pub(crate) fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Reads everything, within the memory there is.
pub(crate) fn read_all(input: &mut dyn Read, file: &str, bytes: &mut Vec<u8>) -> Result<(), Error> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let n = fill(input, &mut chunk).map_err(|e| Error::read(file, e, "a whole gzip stream"))?;
        grow(bytes, n, usize::MAX, file)?;
        bytes.extend_from_slice(&chunk[..n]);
        if n < CHUNK {
            return Ok(());
        }
    }
}

/// Makes room for `more` items, doubling (though not beyond `total`), where memory allows.
pub(crate) fn grow<T>(items: &mut Vec<T>, more: usize, total: usize, file: &str) -> Result<(), Error> {
    if items.capacity() - items.len() >= more {
        return Ok(());
    }
    let extra = items.len().max(more).min(total.saturating_sub(items.len())).max(more);
    let refuse = || Error::TooLarge { file: file.into(), entries: (items.len() + extra) as u64 };
    if extra.saturating_mul(size_of::<T>()) as u64 > available_memory() {
        return Err(refuse());
    }
    let refused = refuse();
    items.try_reserve_exact(extra).map_err(|_| refused)
}

/// Bytes that can be had without swapping, where the system says so (Linux), else no limit of ours.
pub(crate) fn available_memory() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else { return u64::MAX };
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kibibytes.map_or(u64::MAX, |k| k.saturating_mul(1024))
}

fn decode(bytes: &[u8], dtype: Dtype, big_endian: bool, numbers: &mut Vec<f64>) {
    macro_rules! each {
        ($t:ty) => {{
            numbers.extend(bytes.chunks_exact(size_of::<$t>()).map(|item| {
                let mut word = [0; size_of::<$t>()];
                word.copy_from_slice(item);
                (if big_endian { <$t>::from_be_bytes(word) } else { <$t>::from_le_bytes(word) }) as f64
            }));
        }};
    }
    match dtype {
        // numpy writes 0 and 1; any other byte is true there too.
        Dtype::Bool => numbers.extend(bytes.iter().map(|&b| f64::from(u8::from(b != 0)))),
        Dtype::Int(1) => each!(i8),
        Dtype::Int(2) => each!(i16),
        Dtype::Int(4) => each!(i32),
        Dtype::Int(_) => each!(i64),
        Dtype::Uint(1) => each!(u8),
        Dtype::Uint(2) => each!(u16),
        Dtype::Uint(4) => each!(u32),
        Dtype::Uint(_) => each!(u64),
        Dtype::F32 => each!(f32),
        Dtype::F64 | Dtype::Text => each!(f64),
    }
}
