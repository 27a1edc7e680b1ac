//! The one door for what is read: the kind and the length of a file are looked at before anything
//! of it is.
//!
//! A pipe would be waited for, a device be read for ever, and a file with holes may be longer than
//! all memory. So whoever reads a file says how long it may be.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Bytes of a script, a module, a notebook's connection file, at most.
pub(crate) const TEXT: u64 = 16 << 20;

/// Bytes that are read between two looks at the interrupt flag.
const PART: usize = 1 << 20;

/// Opens a file of at most so many bytes, and tells how long it is.
///
/// # Errors
///
/// A folder, pipe, device or socket, which is not waited for; a file that is longer.
pub(crate) fn open(path: &Path, most: u64) -> Result<(File, u64)> {
    // What waits for a writer would wait here.
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = match opened {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Err(no_file(path, "a socket")),
        opened => opened.map_err(|error| Error::io(path, error))?,
    };
    let length = checked(path, &file, most)?;
    Ok((file, length))
}

/// The length of what was opened: a file of at most so many bytes.
fn checked(path: &Path, file: &File, most: u64) -> Result<u64> {
    let about = file.metadata().map_err(|error| Error::io(path, error))?;
    let kind = about.file_type();
    let found = match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a folder"),
        () if kind.is_fifo() => Some("a pipe; `-` is standard input where a script is expected"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    };
    match found {
        Some(found) => Err(no_file(path, found)),
        None if about.len() > most => Err(too_long(path, most, about.len())),
        None => Ok(about.len()),
    }
}

fn no_file(path: &Path, found: &str) -> Error {
    Error::invalid(format!("{}: expected a file, found {found}", path.display()))
}

fn too_long(path: &Path, most: u64, found: u64) -> Error {
    Error::invalid(format!("{}: expected a file of at most {most} bytes, found {found}", path.display()))
}

/// A file's content, of at most so many bytes.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let (file, _) = open(path, most)?;
    content(path, file, most)
}

/// The content of an open file, of at most so many bytes; the path is for messages.
pub(crate) fn content(path: &Path, file: File, most: u64) -> Result<Vec<u8>> {
    let length = checked(path, &file, most)?;
    let fail = |error| Error::io(path, error);
    let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(|_| too_long(path, most, length))?);
    // One that grows meanwhile is not read for ever; those under /proc have no length.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(fail)?;
    match bytes.len() as u64 > most {
        true => Err(too_long(path, most, bytes.len() as u64)),
        false => Ok(bytes),
    }
}

/// What was read of a file, if there is such a file.
pub(crate) fn if_there(read: Result<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Error::Io { source, .. })
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A text file's content.
#[cfg(feature = "shell")]
pub(crate) fn text(path: &Path) -> Result<String> {
    decoded(path, read(path, TEXT)?)
}

#[cfg(feature = "shell")]
fn decoded(path: &Path, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::io(path, std::io::Error::new(ErrorKind::InvalidData, format!("byte {at} is no UTF-8 text")))
    })
}

/// SHA-256 of a file, in hex, however long it is.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let (mut file, mut left) = open(path, u64::MAX)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; PART];
    while left > 0 {
        crate::interrupt::check()?;
        let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = file.read(&mut buffer[..part]).map_err(|error| Error::io(path, error))?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        left -= read as u64;
    }
    Ok(crate::hash::hex(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_too_long_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
        // SAFETY: the name is a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, says) in [
            (pipe.as_path(), "found a pipe"),
            (&socket, "found a socket"),
            (folder.path(), "found a folder"),
            (Path::new("/dev/zero"), "found a device"),
        ] {
            for error in [read(path, 10).unwrap_err(), text(path).unwrap_err(), sha256(path).unwrap_err()] {
                let error = error.to_string();
                assert!(error.contains(says) && error.contains(path.to_str().unwrap()), "{error}");
            }
        }
        let holes = folder.path().join("holes");
        File::create(&holes).unwrap().set_len(6 << 30).unwrap();
        let error = read(&holes, TEXT).unwrap_err().to_string();
        assert!(error.contains("at most 16777216 bytes, found 6442450944"), "{error}");
        let short = folder.path().join("short");
        std::fs::write(&short, "0123456789").unwrap();
        assert_eq!(read(&short, 10).unwrap(), b"0123456789");
        assert!(read(&short, 9).is_err());
        assert_eq!(sha256(&short).unwrap(), crate::hash::sha256("0123456789"));
        assert!(if_there(read(&folder.path().join("none"), 9)).unwrap().is_none());
        // A process' own files say 0 of their length.
        assert!(!text(Path::new("/proc/self/status")).unwrap().is_empty());
    }
}
