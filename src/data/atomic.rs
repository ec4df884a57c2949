//! Files written whole or not at all.

use super::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Cursor, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Links that are followed one after the other: as many as Linux follows.
const LINKS: usize = 40;

/// Temporary files that are being written.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// One of them, for as long as it lives.
struct Unfinished(PathBuf);

impl Unfinished {
    fn new(path: &Path) -> Self {
        UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
        Self(path.to_owned())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.0);
    }
}

/// Removes the temporary files that are being written: for a process that ends at once. The lock is kept, so that no other one
/// is begun.
pub(crate) fn abandon() {
    let unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    unfinished.iter().for_each(|path| drop(fs::remove_file(path)));
    std::mem::forget(unfinished);
}

/// What a file writer may do.
pub trait WriteSeek: Write + Seek {}
impl<W: Write + Seek> WriteSeek for W {}

/// Writes a file whole or not at all: into a temporary file of the same folder, which is flushed to
/// the disk and then takes the name in one step. On any failure the temporary file is removed and
/// what was there before is untouched. A symbolic link is written through, also one whose target is not there yet; a device or
/// pipe, which cannot be replaced, gets the bytes once they are all there.
///
/// ```
/// use eigenflow::data::atomic::write_whole;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("a.txt");
/// write_whole(&path, |out| out.write_all(b"whole"))?;
/// assert_eq!(std::fs::read(&path)?, b"whole");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Output`] where the folder is missing or closed to us, the disk is full, or `write` fails.
pub fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut dyn WriteSeek) -> io::Result<()>,
) -> Result<(), Error> {
    let output = |error| Error::Output { file: path.display().to_string(), error };
    let target = fs::canonicalize(path).unwrap_or_else(|_| through_links(path));
    match fs::metadata(&target) {
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(there) if !there.is_file() => write_through(&target, write),
        Ok(there) => replace(&target, Some(there.permissions()), write),
        Err(error) if error.kind() == io::ErrorKind::NotFound => replace(&target, None, write),
        Err(error) => Err(error),
    }
    .map_err(output)
}

/// Where a link to what is not there leads. One that goes round in circles stays a link, which is an error at its use.
fn through_links(path: &Path) -> PathBuf {
    let mut target = path.to_path_buf();
    for _ in 0..LINKS {
        let Ok(next) = fs::read_link(&target) else { break };
        target = target.parent().unwrap_or(Path::new("")).join(next);
    }
    target
}

fn replace(
    target: &Path,
    permissions: Option<fs::Permissions>,
    write: impl FnOnce(&mut dyn WriteSeek) -> io::Result<()>,
) -> io::Result<()> {
    if permissions.as_ref().is_some_and(fs::Permissions::readonly) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file is read-only"));
    }
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".eigenflow-").suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // Dropped, and so removed, on every early return.
    let mut temporary = builder.tempfile_in(folder)?;
    let unfinished = Unfinished::new(temporary.path());
    let mut buffered = BufWriter::with_capacity(1 << 18, temporary.as_file_mut());
    write(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    if let Some(permissions) = permissions {
        temporary.as_file().set_permissions(permissions)?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(target).map_err(|e| e.error)?;
    drop(unfinished);
    // The name itself reaches the disk with the folder. Some file systems cannot do that; the file is
    // whole either way.
    #[cfg(unix)]
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn write_through(target: &Path, write: impl FnOnce(&mut dyn WriteSeek) -> io::Result<()>) -> io::Result<()> {
    let mut bytes = Cursor::new(Vec::new());
    write(&mut bytes)?;
    let mut file = File::options().write(true).open(target)?;
    file.write_all(bytes.get_ref())?;
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let fail = |out: &mut dyn WriteSeek| {
            out.write_all(&vec![1; 1 << 20])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        };
        assert!(write_whole(&path, fail).unwrap_err().is_output());
        assert!(listing(folder.path()).is_empty());
        write_whole(&path, |out| out.write_all(b"before")).unwrap();
        assert!(write_whole(&path, fail).unwrap_err().is_output());
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(listing(folder.path()), ["a"]);
    }

    #[test]
    fn places_that_cannot_be_written_are_output_errors() {
        let folder = tempfile::tempdir().unwrap();
        for place in [folder.path().to_path_buf(), folder.path().join("missing/a.npy")] {
            assert!(write_whole(&place, |out| out.write_all(b"x")).unwrap_err().is_output());
        }
        assert!(listing(folder.path()).is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_written_through_and_modes_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "before").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        write_whole(&link, |out| out.write_all(b"after")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"after");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).unwrap();
        assert!(write_whole(&file, |out| out.write_all(b"x")).unwrap_err().is_output());
    }

    #[cfg(unix)]
    #[test]
    fn links_to_what_is_not_there_yet_are_written_through() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("in")).unwrap();
        symlink("in/file", at("link")).unwrap();
        symlink(at("link"), at("in/other")).unwrap();
        for link in ["link", "in/other"] {
            write_whole(&at(link), |out| out.write_all(link.as_bytes())).unwrap();
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink());
            assert_eq!(fs::read(at("in/file")).unwrap(), link.as_bytes());
            fs::remove_file(at("in/file")).unwrap();
        }
        symlink("round", at("round")).unwrap();
        assert!(write_whole(&at("round"), |out| out.write_all(b"x")).unwrap_err().is_output());
        assert!(fs::symlink_metadata(at("round")).unwrap().is_symlink());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_device_is_an_output_error() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("full.npy");
        std::os::unix::fs::symlink("/dev/full", &link).unwrap();
        assert!(write_whole(&link, |out| out.write_all(b"x")).unwrap_err().is_output());
    }
}
