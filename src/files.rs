//! Files that are written whole or not at all: filled beside their place, then given their name. What stands there before stays until the
//! new file is complete, and a reader never sees half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::path::Path;

/// A file being filled.
pub type Filling<'a> = BufWriter<&'a mut File>;

/// Gives the file at `path` what `fill` writes.
///
/// A link is followed: its target is replaced and the link stays. A file that is there keeps its permissions. What is no regular file, such
/// as `/dev/null` or a named pipe, is not replaced but written to, once all has been filled.
///
/// # Errors
/// What `fill` or the file system gives; `path` is then as it was, unless a pipe or device refused in the middle.
pub fn write_with<E: From<io::Error>>(path: &Path, fill: impl FnOnce(&mut Filling) -> Result<(), E>) -> Result<(), E> {
    match fs::metadata(path) {
        Ok(there) if there.is_file() => {
            let target = path.canonicalize()?;
            replace(&target, Some(there.permissions()), fill)
        }
        Ok(there) if there.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory).into()),
        Ok(_) => through(path, fill),
        Err(_) => replace(path, None, fill),
    }
}

/// Gives the file at `path` these bytes, as [`write_with`] does.
///
/// # Errors
/// What the file system gives.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    write_with(path, |file| file.write_all(bytes.as_ref()))
}

/// Says before the work whether [`write()`] could write there: what took minutes to find must not be lost for want of a folder.
///
/// # Errors
/// What the file system gives.
pub fn check(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(there) if there.is_file() => beside(&path.canonicalize()?).map(drop),
        Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(()),
        Err(_) => beside(path).map(drop),
    }
}

/// A new file in the folder of `path`.
fn beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // the umask takes its part
    // The error names the nameless file; who reads it knows the folder.
    builder.tempfile_in(folder).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            io::Error::new(io::ErrorKind::NotFound, format!("there is no folder {}", folder.display()))
        }
        kind => kind.into(),
    })
}

fn replace<E: From<io::Error>>(
    path: &Path,
    permissions: Option<fs::Permissions>,
    fill: impl FnOnce(&mut Filling) -> Result<(), E>,
) -> Result<(), E> {
    let mut file = beside(path)?;
    filled(file.as_file_mut(), fill)?;
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Writes to what cannot be replaced: through a file without a name, for `fill` may go back and forth in it.
fn through<E: From<io::Error>>(path: &Path, fill: impl FnOnce(&mut Filling) -> Result<(), E>) -> Result<(), E> {
    let mut file = tempfile::tempfile()?;
    filled(&mut file, fill)?;
    file.rewind()?;
    io::copy(&mut file, &mut OpenOptions::new().write(true).open(path)?)?;
    Ok(())
}

fn filled<E: From<io::Error>>(file: &mut File, fill: impl FnOnce(&mut Filling) -> Result<(), E>) -> Result<(), E> {
    let mut buffered = BufWriter::new(file);
    fill(&mut buffered)?;
    Ok(buffered.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_written_is_said_before_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        check(&file).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        write(&file, "old").unwrap();
        check(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"old");
        assert!(check(folder.path()).is_err() && check(&folder.path().join("none/b")).is_err());
    }

    #[test]
    fn what_fails_midway_leaves_the_old_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, "old").unwrap();
        let outcome = write_with(&path, |file| {
            file.write_all(b"ne")?;
            Err(io::Error::other("disk on fire"))
        });
        assert_eq!(outcome.unwrap_err().to_string(), "disk on fire");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        write(folder.path(), "x").unwrap_err();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_permissions_stay() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        write(&target, "old").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write(&link, "new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o640);
    }

    /// Renaming onto `/dev/null` would take it from the whole machine.
    #[cfg(unix)]
    #[test]
    fn a_device_or_a_pipe_is_written_to_and_not_replaced() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &device).unwrap();
        write(&device, "x").unwrap();
        assert!(fs::symlink_metadata(&device).unwrap().is_symlink());
        assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());

        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write(&pipe, "through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }
}
