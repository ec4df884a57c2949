//! `.npz`: a zip archive of `.npy` files.

use super::{RawArray, npy};
use crate::data::Error;
use crate::data::output::{Array, WriteSeek};
use std::io::{self, Read, Seek};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

const EXPECTED: &str = "a zip archive of .npy arrays, as numpy.savez writes it";

/// Reads the array `key`, or the only one.
///
/// # Errors
/// No zip archive, no such array, several arrays and no key, or a damaged array.
pub fn read<R: Read + Seek>(input: R, file: &str, key: Option<&str>) -> Result<RawArray, Error> {
    let mut archive = ZipArchive::new(input).map_err(|e| zip_error(file, e))?;
    let names: Result<Vec<_>, ZipError> = archive.file_names().collect();
    let names = names.map_err(|e| zip_error(file, e))?;
    let keys: Vec<String> =
        names.iter().filter_map(|name| name.strip_suffix(".npy")).map(String::from).collect();
    let key = match (key, keys.as_slice()) {
        (Some(key), _) if keys.iter().any(|k| k == key) => key,
        (Some(key), _) => return Err(Error::NoArray { file: file.into(), key: key.into(), keys }),
        (None, [only]) => only,
        (None, []) => return Err(Error::Empty { file: file.into(), what: "arrays" }),
        (None, _) => return Err(Error::WhichArray { file: file.into(), keys }),
    };
    let mut entry = archive.by_name(&format!("{key}.npy")).map_err(|e| zip_error(file, e))?;
    npy::read(&mut entry, &format!("{file}:{key}"))
}

/// Writes arrays under their names, stored without compression and without a date, so that the same
/// arrays give the same bytes.
pub fn write(out: &mut dyn WriteSeek, arrays: &[Array<'_>]) -> io::Result<()> {
    let mut archive = ZipWriter::new(out);
    for array in arrays {
        // Above 2 GiB the sizes are written in 64 bits, as numpy does.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .large_file(array.len() > 1 << 28);
        archive.start_file(format!("{}.npy", array.name), options).map_err(io::Error::from)?;
        npy::write(&mut archive, array)?;
    }
    archive.finish().map_err(io::Error::from)?;
    Ok(())
}

fn zip_error(file: &str, error: ZipError) -> Error {
    match error {
        ZipError::Io(error) => Error::read(file, error, EXPECTED),
        other => Error::damaged(file, format!("damaged archive ({other})"), EXPECTED),
    }
}
