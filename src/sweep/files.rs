//! Every call of the store to the file system, in one place.
//!
//! Tests put a hook before each call: it may end the process there, let the call fail, or let a write stop
//! half-way, to see that a sweep survives it. Without a hook, calls go straight through.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Make a folder.
    CreateFolder,
    /// Make a new file.
    Create,
    /// Write to a file.
    Write,
    /// Make a file's content durable.
    Sync,
    /// Make a folder's names durable.
    SyncFolder,
    /// Give a file another name, over any that has it.
    Rename,
    /// Give a file one more name, if nobody has it.
    Link,
    /// Remove a file.
    Remove,
    /// Read a file or a folder.
    Read,
}

/// What becomes of a call.
pub enum Fault {
    /// It is made.
    None,
    /// It fails.
    Fail(io::Error),
    /// A write stops after so many bytes and fails.
    Torn(usize, io::Error),
}

/// What is asked before each call.
pub type Hook = Arc<dyn Fn(Call, &Path) -> Fault + Send + Sync>;

/// The file system.
#[derive(Clone, Default)]
pub struct Files {
    hook: Option<Hook>,
}

impl Files {
    /// The file system with a hook before each call.
    pub fn with_hook(hook: Hook) -> Self {
        Self { hook: Some(hook) }
    }

    fn before(&self, call: Call, path: &Path) -> io::Result<()> {
        match self.hook.as_ref().map(|hook| hook(call, path)) {
            None | Some(Fault::None) => Ok(()),
            Some(Fault::Fail(error) | Fault::Torn(_, error)) => Err(error),
        }
    }

    fn call<T>(&self, call: Call, path: &Path, make: impl FnOnce() -> io::Result<T>) -> Result<T> {
        self.before(call, path).and_then(|()| make()).map_err(|error| Error::io(path, error))
    }

    /// Makes a folder and those above it.
    pub fn create_folders(&self, path: &Path) -> Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        self.call(Call::CreateFolder, path, || fs::create_dir_all(path))
    }

    /// Makes a new file; one of this name is an error.
    pub fn create(&self, path: &Path) -> Result<File> {
        self.call(Call::Create, path, || OpenOptions::new().append(true).create_new(true).open(path))
    }

    /// Appends bytes.
    pub fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> Result<()> {
        let written = match self.hook.as_ref().map(|hook| hook(Call::Write, path)) {
            None | Some(Fault::None) => file.write_all(bytes),
            Some(Fault::Fail(error)) => Err(error),
            Some(Fault::Torn(length, error)) => {
                // What is written is no more than the beginning, whatever comes of it.
                let _ = file.write_all(&bytes[..length.min(bytes.len())]);
                Err(error)
            }
        };
        written.map_err(|error| Error::io(path, error))
    }

    /// Makes a file's content durable.
    pub fn sync(&self, file: &File, path: &Path) -> Result<()> {
        self.call(Call::Sync, path, || file.sync_data())
    }

    /// Makes the names in a folder durable.
    pub fn sync_folder(&self, path: &Path) -> Result<()> {
        self.call(Call::SyncFolder, path, || File::open(path)?.sync_all())
    }

    /// Gives a file another name, over any that has it.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.call(Call::Rename, to, || fs::rename(from, to))
    }

    /// Gives a file one more name unless somebody has it; says whether it was free.
    pub fn link(&self, from: &Path, to: &Path) -> Result<bool> {
        self.call(Call::Link, to, || match fs::hard_link(from, to) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            // Some network file systems know no hard links.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS)) =>
            {
                rename_if_free(from, to)
            }
            Err(error) => Err(error),
        })
    }

    /// Removes a file.
    pub fn remove(&self, path: &Path) -> Result<()> {
        self.call(Call::Remove, path, || fs::remove_file(path))
    }

    /// A file's content.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>> {
        self.call(Call::Read, path, || fs::read(path))
    }

    /// A file's content, if there is such a file.
    pub fn read_if_there(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        self.call(Call::Read, path, || match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// The names in a folder; none where there is no such folder.
    pub fn names(&self, path: &Path) -> Result<Vec<String>> {
        self.call(Call::Read, path, || match fs::read_dir(path) {
            Ok(entries) => {
                entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        })
    }

    /// Writes a new file and makes it durable: in `aside` under a name that nobody has, then as `path` if that is
    /// free. Says whether it was.
    pub fn publish(&self, aside: &Path, path: &Path, bytes: &[u8]) -> Result<bool> {
        let written = self.write_aside(aside, bytes)?;
        let linked = self.link(&written, path);
        // A second name is of no use to anyone.
        let _ = fs::remove_file(&written);
        let linked = linked?;
        path.parent().map_or(Ok(()), |folder| self.sync_folder(folder))?;
        Ok(linked)
    }

    /// Writes a file and makes it durable, over any of this name; it appears whole.
    pub fn replace(&self, aside: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
        let written = self.write_aside(aside, bytes)?;
        if let Err(error) = self.rename(&written, path) {
            let _ = fs::remove_file(&written);
            return Err(error);
        }
        path.parent().map_or(Ok(()), |folder| self.sync_folder(folder))
    }

    fn write_aside(&self, folder: &Path, bytes: &[u8]) -> Result<PathBuf> {
        let path = folder.join(format!("{}.part", uuid::Uuid::new_v4().simple()));
        let mut file = self.create(&path)?;
        let written = self.write(&mut file, &path, bytes).and_then(|()| self.sync(&file, &path));
        if let Err(error) = written {
            // What is left of the attempt only takes up space.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(path)
    }
}

/// `renameat2` with RENAME_NOREPLACE.
fn rename_if_free(from: &Path, to: &Path) -> io::Result<bool> {
    use std::os::unix::ffi::OsStrExt;
    let text = |path: &Path| std::ffi::CString::new(path.as_os_str().as_bytes());
    let (from, to) = (text(from)?, text(to)?);
    // SAFETY: both are C strings that outlive the call.
    let done = unsafe {
        libc::renameat2(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), libc::RENAME_NOREPLACE)
    };
    match (done, io::Error::last_os_error()) {
        (0, _) => Ok(true),
        (_, error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        (_, error) => Err(error),
    }
}
