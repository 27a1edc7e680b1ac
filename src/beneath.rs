//! Files below a folder that somebody else may have made: no link below it is followed.
//!
//! The folder itself is opened as its name says, through links where there are any. From then on
//! every path is resolved by the kernel from there, in one call (`openat2`) or, where the kernel or
//! a container's filter has none, name by name; what lies between two calls cannot be exchanged for
//! a link.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whether `openat2` was found missing.
static MISSING: AtomicBool = AtomicBool::new(false);

/// A folder from which everything below is reached.
#[derive(Debug)]
pub(crate) struct Root {
    path: PathBuf,
    folder: OwnedFd,
}

/// A name in an open folder.
pub(crate) struct Place {
    folder: OwnedFd,
    name: CString,
}

/// What a name stands for; of a link, the link itself.
pub(crate) struct About {
    /// Whether it is a regular file.
    pub is_file: bool,
    /// Whether it is a link.
    pub is_link: bool,
    /// How many names the file has.
    pub names: u64,
    /// When it was last written.
    pub modified: SystemTime,
}

impl Root {
    /// Opens a folder, which may be a link.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let name = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let folder = open_at(libc::AT_FDCWD, &text(name.as_os_str())?, libc::O_PATH | libc::O_DIRECTORY, 0)?;
        Ok(Self { path: path.to_owned(), folder })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A regular file, for reading. A pipe or a device is an error, and is not waited for.
    pub(crate) fn file(&self, path: &Path) -> io::Result<File> {
        let file = File::from(self.reach(path, libc::O_RDONLY | libc::O_NONBLOCK)?);
        if file.metadata()?.is_file() {
            return Ok(file);
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a file, found something else of this name"))
    }

    /// A folder, for its names and for making them durable.
    pub(crate) fn folder(&self, path: &Path) -> io::Result<File> {
        self.reach(path, libc::O_RDONLY | libc::O_DIRECTORY).map(File::from)
    }

    /// Where a path leads: its folder, open, and its last name.
    pub(crate) fn place(&self, path: &Path) -> io::Result<Place> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(self.not_below(path));
        };
        let folder = self.reach(folder, libc::O_PATH | libc::O_DIRECTORY)?;
        Ok(Place { folder, name: text(name)? })
    }

    /// Makes a folder and those above it, down from this one.
    pub(crate) fn create_folders(&self, path: &Path) -> io::Result<()> {
        let below = path.strip_prefix(&self.path).map_err(|_| self.not_below(path))?;
        let mut folder = self.path.clone();
        for name in below.components() {
            folder.push(name);
            match self.place(&folder)?.create_folder() {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        // What was there already may be a link, or no folder.
        self.folder(path).map(|_| ())
    }

    fn not_below(&self, path: &Path) -> io::Error {
        let text = format!("{}: expected a path below {}", path.display(), self.path.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    }

    /// Opens what a path below leads to.
    fn reach(&self, path: &Path, flags: i32) -> io::Result<OwnedFd> {
        let below = path.strip_prefix(&self.path).map_err(|_| self.not_below(path))?;
        if !below.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(self.not_below(path));
        }
        let opened = match MISSING.load(Ordering::Relaxed) {
            true => self.walk(below, flags),
            false => {
                let name = if below.as_os_str().is_empty() { OsStr::new(".") } else { below.as_os_str() };
                match self.resolve(&text(name)?, flags) {
                    // A container's filter says EPERM of calls that it does not know.
                    Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                        if error.raw_os_error() == Some(libc::ENOSYS) {
                            MISSING.store(true, Ordering::Relaxed);
                        }
                        self.walk(below, flags)
                    }
                    opened => opened,
                }
            }
        };
        opened.map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP | libc::ENOTDIR | libc::EXDEV) => self.link_in(below).unwrap_or(error),
            _ => error,
        })
    }

    fn resolve(&self, below: &CStr, flags: i32) -> io::Result<OwnedFd> {
        // SAFETY: all zeros is a valid value: no flags.
        let mut how: libc::open_how = unsafe { std::mem::zeroed() };
        how.flags = (flags | libc::O_CLOEXEC) as u64;
        how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;
        let size = std::mem::size_of::<libc::open_how>();
        // SAFETY: the descriptor is open, and name and structure outlive the call.
        let opened = unsafe {
            libc::syscall(libc::SYS_openat2, self.folder.as_raw_fd(), below.as_ptr(), &raw const how, size)
        };
        owned(opened as i32)
    }

    /// The same in one call per name.
    fn walk(&self, below: &Path, flags: i32) -> io::Result<OwnedFd> {
        let mut folder = self.folder.try_clone()?;
        let mut names = below.components().peekable();
        if names.peek().is_none() {
            return open_at(folder.as_raw_fd(), c".", flags, 0);
        }
        while let Some(name) = names.next() {
            let own = if names.peek().is_some() { libc::O_PATH | libc::O_DIRECTORY } else { flags };
            folder = open_at(folder.as_raw_fd(), &text(name.as_os_str())?, own | libc::O_NOFOLLOW, 0)?;
        }
        Ok(folder)
    }

    /// What is said of the first link in a path, if there is one.
    fn link_in(&self, below: &Path) -> Option<io::Error> {
        let mut folder = self.folder.try_clone().ok()?;
        let mut path = self.path.clone();
        for name in below.components() {
            path.push(name);
            let place = Place { folder, name: text(name.as_os_str()).ok()? };
            if place.about().ok()?.is_link {
                let text = format!(
                    "{} is a link, and below {} none is followed; put what it leads to in its place",
                    path.display(),
                    self.path.display()
                );
                return Some(io::Error::other(text));
            }
            let next = open_at(place.folder.as_raw_fd(), &place.name, libc::O_PATH | libc::O_NOFOLLOW, 0);
            folder = next.ok()?;
        }
        None
    }
}

impl Place {
    /// A place anywhere: links above it are followed.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "expected a path that ends in a name")
        })?;
        let Root { folder, .. } = Root::open(path.parent().unwrap_or(Path::new("")))?;
        Ok(Self { folder, name: text(name)? })
    }

    /// Makes a new file, for appending; one of this name is an error.
    pub(crate) fn create(&self) -> io::Result<File> {
        let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_EXCL;
        open_at(self.folder.as_raw_fd(), &self.name, flags, 0o666).map(File::from)
    }

    /// Makes a folder.
    pub(crate) fn create_folder(&self) -> io::Result<()> {
        // SAFETY: the descriptor is open, and the name outlives the call.
        done(unsafe { libc::mkdirat(self.folder.as_raw_fd(), self.name.as_ptr(), 0o777) })
    }

    /// Removes a file.
    pub(crate) fn remove(&self) -> io::Result<()> {
        // SAFETY: the descriptor is open, and the name outlives the call.
        done(unsafe { libc::unlinkat(self.folder.as_raw_fd(), self.name.as_ptr(), 0) })
    }

    /// Gives the file one more name; a name that is taken is an error.
    pub(crate) fn link(&self, to: &Self) -> io::Result<()> {
        // SAFETY: both descriptors are open, and both names outlive the call.
        done(unsafe {
            libc::linkat(
                self.folder.as_raw_fd(),
                self.name.as_ptr(),
                to.folder.as_raw_fd(),
                to.name.as_ptr(),
                0,
            )
        })
    }

    /// Gives the file another name, over any that has it; with `RENAME_NOREPLACE`, a name that is
    /// taken is an error.
    pub(crate) fn rename(&self, to: &Self, flags: u32) -> io::Result<()> {
        let (from_folder, to_folder) = (self.folder.as_raw_fd(), to.folder.as_raw_fd());
        // SAFETY: both descriptors are open, and both names outlive the call.
        done(unsafe {
            match flags {
                0 => libc::renameat(from_folder, self.name.as_ptr(), to_folder, to.name.as_ptr()),
                flags => libc::renameat2(from_folder, self.name.as_ptr(), to_folder, to.name.as_ptr(), flags),
            }
        })
    }

    /// What the name stands for.
    pub(crate) fn about(&self) -> io::Result<About> {
        // SAFETY: all zeros is a valid value.
        let mut found: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open; name and structure outlive the call.
        done(unsafe {
            libc::fstatat(
                self.folder.as_raw_fd(),
                self.name.as_ptr(),
                &raw mut found,
                libc::AT_SYMLINK_NOFOLLOW,
            )
        })?;
        let kind = found.st_mode & libc::S_IFMT;
        let modified = u64::try_from(found.st_mtime)
            .ok()
            .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::new(seconds, found.st_mtime_nsec as u32)));
        Ok(About {
            is_file: kind == libc::S_IFREG,
            is_link: kind == libc::S_IFLNK,
            names: found.st_nlink,
            modified: modified.unwrap_or(UNIX_EPOCH),
        })
    }
}

/// The names in an open folder.
pub(crate) fn names(folder: File) -> io::Result<Vec<String>> {
    // SAFETY: the descriptor is open.
    let stream = unsafe { libc::fdopendir(folder.as_raw_fd()) };
    if stream.is_null() {
        return Err(io::Error::last_os_error());
    }
    // From here on it is the stream's.
    let _ = folder.into_raw_fd();
    let mut names = Vec::new();
    let read = loop {
        // SAFETY: errno is this thread's own; readdir sets it where it fails, and leaves it at the
        // end.
        let entry = unsafe {
            *libc::__errno_location() = 0;
            libc::readdir(stream)
        };
        if entry.is_null() {
            let error = io::Error::last_os_error();
            break if error.raw_os_error() == Some(0) { Ok(names) } else { Err(error) };
        }
        // SAFETY: an entry's name ends in a zero byte, and is there until the next call.
        let name = unsafe { CStr::from_ptr((*entry).d_name.as_ptr()) };
        if name != c"." && name != c".." {
            names.push(name.to_string_lossy().into_owned());
        }
    };
    // SAFETY: the stream is open, and nobody uses it any more.
    unsafe { libc::closedir(stream) };
    read
}

/// A new file without a name in an open folder, or one that loses its name at once.
pub(crate) fn nameless(folder: File, name: &str) -> io::Result<File> {
    if let Ok(file) = open_at(folder.as_raw_fd(), c".", libc::O_RDWR | libc::O_TMPFILE, 0o600) {
        return Ok(file.into());
    }
    let place = Place { folder: folder.into(), name: text(OsStr::new(name))? };
    let file = place.create()?;
    place.remove()?;
    Ok(file)
}

fn open_at(folder: i32, name: &CStr, flags: i32, mode: u32) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open or means the current folder, and the name outlives the call.
    owned(unsafe { libc::openat(folder, name.as_ptr(), flags | libc::O_CLOEXEC, mode) })
}

fn owned(opened: i32) -> io::Result<OwnedFd> {
    if opened < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave it to us.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

fn done(code: i32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn text(name: &OsStr) -> io::Result<CString> {
    Ok(CString::new(name.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Both ways of reaching a path, with and without `openat2`.
    fn both(root: &Root, below: &str) -> [io::Result<OwnedFd>; 2] {
        [
            root.resolve(&text(OsStr::new(below)).unwrap(), libc::O_RDONLY),
            root.walk(Path::new(below), libc::O_RDONLY),
        ]
    }

    #[test]
    fn links_below_a_folder_are_not_followed_and_the_folder_may_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("real/a/b")).unwrap();
        std::fs::create_dir(at("outside")).unwrap();
        std::fs::write(at("real/a/b/file"), "within").unwrap();
        std::fs::write(at("outside/file"), "secret").unwrap();
        symlink(at("real"), at("root")).unwrap();
        symlink(at("outside"), at("real/a/folder")).unwrap();
        symlink("b", at("real/a/near")).unwrap();
        symlink(at("outside/file"), at("real/a/link")).unwrap();
        let root = Root::open(&at("root")).unwrap();
        let mut read = String::new();
        root.file(&at("root/a/b/file")).unwrap().read_to_string(&mut read).unwrap();
        assert_eq!(read, "within");
        for opened in both(&root, "a/b/file") {
            assert!(opened.is_ok());
        }
        for below in ["a/folder/file", "a/near/file", "a/link"] {
            assert!(both(&root, below).iter().all(Result::is_err), "{below}");
            let error = root.file(&at("root").join(below)).unwrap_err().to_string();
            assert!(error.contains(" is a link, and below "), "{below}: {error}");
        }
        for path in ["root/../outside/file", "outside/file", "root/a/../a/b/file"] {
            let error = root.file(&at(path)).unwrap_err().to_string();
            assert!(error.contains("expected a path below"), "{path}: {error}");
        }
        // Nothing is made, given a name or removed there either.
        assert!(root.create_folders(&at("root/a/folder/new")).is_err());
        assert!(root.create_folders(&at("root/a/folder")).is_err());
        assert!(root.place(&at("root/a/folder/new")).is_err());
        assert_eq!(names(File::open(at("outside")).unwrap()).unwrap(), ["file"]);
        // A link's own name can go; what it leads to stays.
        root.place(&at("root/a/link")).unwrap().remove().unwrap();
        assert!(at("outside/file").exists());
    }

    #[test]
    fn pipes_are_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        // SAFETY: the name outlives the call.
        done(unsafe { libc::mkfifo(text(pipe.as_os_str()).unwrap().as_ptr(), 0o600) }).unwrap();
        let error = Root::open(folder.path()).unwrap().file(&pipe).unwrap_err().to_string();
        assert!(error.contains("expected a file"), "{error}");
    }

    #[test]
    fn folders_are_made_listed_and_probed() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let deep = folder.path().join("a/b/c");
        root.create_folders(&deep).unwrap();
        root.create_folders(&deep).unwrap();
        let place = root.place(&deep.join("file")).unwrap();
        place.create().unwrap();
        assert_eq!(place.create().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let about = place.about().unwrap();
        assert!(about.is_file && !about.is_link);
        assert!(about.modified.elapsed().unwrap_or_default() < Duration::from_secs(3600));
        nameless(root.folder(&deep).unwrap(), "probe.part").unwrap();
        assert_eq!(names(root.folder(&deep).unwrap()).unwrap(), ["file"]);
        let other = root.place(&deep.join("other")).unwrap();
        place.link(&other).unwrap();
        assert_eq!(place.link(&other).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(place.rename(&other, libc::RENAME_NOREPLACE).is_err());
        assert_eq!(names(root.folder(&deep).unwrap()).unwrap().len(), 2);
    }
}
