//! The one writer, and every other call of the store to the file system.
//!
//! A file appears whole or not at all. It is written aside, in the folder that it is for, under a
//! name that nobody can guess and that nobody has: a link that somebody planted is never followed.
//! It is made durable before it gets its name, and so is the name ([`write()`]).
//!
//! Tests put a hook before each call: it may end the process there, let the call fail, or let a
//! write stop half-way, to see that a sweep survives it. Without a hook, calls go straight through.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::beneath::{self, Place, Root};
use crate::door;
use crate::error::{Error, Result};

/// What names of files end with while they are written.
const ENDING: &str = ".part";

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
    /// Give a file another name, if nobody has it.
    RenameIfFree,
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
    /// Below which no link is followed; none: links are followed everywhere.
    root: Option<Arc<Root>>,
}

impl Files {
    /// The file system with a hook before each call.
    pub fn with_hook(hook: Hook) -> Self {
        Self { hook: Some(hook), root: None }
    }

    /// The same for what is below a folder that is there: every path is to be one below it, and no
    /// link below it is followed. The folder itself may be one.
    pub(crate) fn below(&self, folder: &Path) -> Result<Self> {
        if self.root.as_ref().is_some_and(|root| root.path() == folder) {
            return Ok(self.clone());
        }
        let root = Root::open(folder).map_err(|error| Error::io(folder, error))?;
        Ok(Self { hook: self.hook.clone(), root: Some(Arc::new(root)) })
    }

    /// Where a path leads.
    fn place(&self, path: &Path) -> io::Result<Place> {
        match &self.root {
            Some(root) => root.place(path),
            None => Place::of(path),
        }
    }

    fn folder(&self, path: &Path) -> io::Result<File> {
        match &self.root {
            Some(root) => root.folder(path),
            // What is no folder is not waited for.
            None => {
                OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NONBLOCK).open(path)
            }
        }
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

    /// Makes a folder and those above it, unless it is there; says whether it was not.
    pub fn create_folders(&self, path: &Path) -> Result<bool> {
        if self.folder(path).and_then(|found| found.metadata()).is_ok_and(|about| about.is_dir()) {
            return Ok(false);
        }
        self.call(Call::CreateFolder, path, || match &self.root {
            Some(root) => root.create_folders(path),
            None => fs::create_dir_all(path),
        })?;
        Ok(true)
    }

    /// Makes a new file; one of this name is an error.
    pub fn create(&self, path: &Path) -> Result<File> {
        self.call(Call::Create, path, || self.place(path)?.create())
    }

    /// Appends bytes.
    pub fn write(&self, file: &mut File, path: &Path, bytes: &[u8]) -> Result<()> {
        self.append(file, path, bytes).map_err(|error| Error::io(path, error))
    }

    fn append(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        match self.hook.as_ref().map(|hook| hook(Call::Write, path)) {
            None | Some(Fault::None) => file.write_all(bytes),
            Some(Fault::Fail(error)) => Err(error),
            Some(Fault::Torn(length, error)) => {
                // What is written is no more than the beginning, whatever comes of it.
                let _ = file.write_all(&bytes[..length.min(bytes.len())]);
                Err(error)
            }
        }
    }

    /// Makes a file's content durable.
    pub fn sync(&self, file: &File, path: &Path) -> Result<()> {
        self.call(Call::Sync, path, || file.sync_data())
    }

    /// Makes the names in a folder durable.
    pub fn sync_folder(&self, path: &Path) -> Result<()> {
        self.call(Call::SyncFolder, path, || match self.folder(path).and_then(|folder| folder.sync_all()) {
            // Some file systems know no such thing, and a folder may be writable that cannot be
            // read.
            Err(error) if is_unknown(&error) || error.kind() == ErrorKind::PermissionDenied => Ok(()),
            done => done,
        })
    }

    /// Gives a file another name, over any that has it.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.call(Call::Rename, to, || self.place(from)?.rename(&self.place(to)?, 0))
    }

    /// Gives a file one more name unless somebody has it; says whether it was free. Where the file
    /// system knows no hard links, the file is renamed.
    ///
    /// # Errors
    ///
    /// Also a file system that can do neither: two processes would write over each other's files
    /// there.
    pub fn link(&self, from: &Path, to: &Path) -> Result<bool> {
        let places = self.place(from).and_then(|from| Ok((from, self.place(to)?)));
        let (old, new) = places.map_err(|error| Error::io(to, error))?;
        match self.before(Call::Link, to).and_then(|()| old.link(&new)) {
            Ok(()) => return Ok(true),
            // The answer of a network file system may be lost, and the call be made again.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Ok(old.about().is_ok_and(|about| about.names > 1));
            }
            Err(error) if is_unknown(&error) => {}
            Err(error) => return Err(Error::io(to, error)),
        }
        let renamed =
            self.before(Call::RenameIfFree, to).and_then(|()| old.rename(&new, libc::RENAME_NOREPLACE));
        match renamed {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) if is_unknown(&error) => Err(Error::invalid(format!(
                "{}: this file system knows neither hard links nor renaming without replacing (RENAME_NOREPLACE), and \
                 two processes would write over each other's results; expected a folder on another file system",
                to.display()
            ))),
            Err(error) => Err(Error::io(to, error)),
        }
    }

    /// Removes a regular file; a link or anything else that has its name stays, and is an error.
    pub fn remove(&self, path: &Path) -> Result<()> {
        self.call(Call::Remove, path, || {
            let place = self.place(path)?;
            match place.about()?.is_file {
                true => place.remove(),
                false => Err(io::Error::other("expected a file, found something else of this name")),
            }
        })
    }

    /// Whether anything has this name, if only a link.
    pub fn has(&self, path: &Path) -> bool {
        self.place(path).and_then(|place| place.about()).is_ok()
    }

    /// When a regular file was last written.
    pub fn modified(&self, path: &Path) -> Result<SystemTime> {
        let about = self.place(path).and_then(|place| place.about());
        let about = about.map_err(|error| Error::io(path, error))?;
        match about.is_file {
            true => Ok(about.modified),
            false => {
                Err(Error::io(path, io::Error::other("expected a file, found something else of this name")))
            }
        }
    }

    /// The file system's time: that of a new file in this folder, which is gone at once.
    pub fn time_in(&self, folder: &Path) -> Result<SystemTime> {
        let probe = self.folder(folder).and_then(|folder| beneath::nameless(folder, &aside_name()));
        let time = probe.and_then(|file| file.metadata()).and_then(|about| about.modified());
        time.map_err(|error| Error::io(folder, error))
    }

    /// A file, for reading.
    pub fn open(&self, path: &Path) -> Result<File> {
        match &self.root {
            Some(root) => root.file(path).map_err(|error| Error::io(path, error)),
            None => door::open(path, u64::MAX).map(|(file, _)| file),
        }
    }

    /// The content of a file of at most so many bytes.
    pub fn read(&self, path: &Path, most: u64) -> Result<Vec<u8>> {
        self.call(Call::Read, path, || Ok(()))?;
        door::content(path, self.open(path)?, most)
    }

    /// The content of a file of at most so many bytes, if there is such a file.
    pub fn read_if_there(&self, path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
        door::if_there(self.read(path, most))
    }

    /// The names in a folder; none where there is no such folder.
    pub fn names(&self, path: &Path) -> Result<Vec<String>> {
        self.call(Call::Read, path, || match self.folder(path).and_then(beneath::names) {
            Ok(names) => Ok(names),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        })
    }

    /// Writes a new file and makes it durable: in `aside` under a name that nobody has, then as
    /// `path` if that is free. Says whether it was.
    pub fn publish(&self, aside: &Path, path: &Path, bytes: &[u8]) -> Result<bool> {
        let written = self.aside(aside, path, |file| put(file, path, bytes))?;
        // Its first name goes with the value: a second one is of no use to anyone.
        let linked = self.link(&written.path, path)?;
        self.sync_folder(folder_of(path))?;
        Ok(linked)
    }

    /// Writes a file and makes it durable, over any of this name; it appears whole.
    pub fn replace(&self, aside: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
        self.replace_with(aside, path, |file| put(file, path, bytes))
    }

    /// Writes a file part by part and makes it durable, over any of this name; it appears whole.
    pub fn replace_with(
        &self,
        aside: &Path,
        path: &Path,
        fill: impl FnOnce(&mut Writer) -> Result<()>,
    ) -> Result<()> {
        let written = self.aside(aside, path, fill)?;
        // Where this fails, what is left of the attempt goes with the value.
        self.rename(&written.path, path)?;
        self.sync_folder(folder_of(path))
    }

    /// A durable file in this folder that is to be `path`.
    fn aside(
        &self,
        folder: &Path,
        path: &Path,
        fill: impl FnOnce(&mut Writer) -> Result<()>,
    ) -> Result<Aside<'_>> {
        let aside = folder.join(aside_name());
        let file = self.create(&aside)?;
        let mut writer =
            BufWriter::with_capacity(BUFFER, Aside { files: self, file, path: aside, failed: None });
        let filled = fill(&mut writer).and_then(|()| writer.flush().map_err(|error| Error::io(path, error)));
        // What is still in the buffer of a writer that failed is of no use.
        let (mut aside, _) = writer.into_parts();
        match (aside.failed.take(), filled) {
            // Formats wrap what the disk said, and know no name.
            (Some(error), _) => return Err(Error::io(path, error)),
            (None, filled) => filled?,
        }
        self.sync(&aside.file, path)?;
        Ok(aside)
    }
}

/// Bytes that are written at once.
const BUFFER: usize = 1 << 16;

/// What a file that is being written is filled through.
pub type Writer<'a> = BufWriter<Aside<'a>>;

/// A file under a name of its own, until it has its name; what then is left of it goes with the
/// value.
pub struct Aside<'a> {
    files: &'a Files,
    file: File,
    path: PathBuf,
    /// The first error of a write.
    failed: Option<io::Error>,
}

impl Write for Aside<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.files.append(&mut self.file, &self.path, bytes).inspect_err(|error| {
            let copy = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            self.failed.get_or_insert(copy);
        });
        written.map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        // Renamed, it is not there.
        let _ = self.files.place(&self.path).and_then(|place| place.remove());
    }
}

/// Writes a file part by part, over any of this name; missing folders are made. It appears whole,
/// and is durable then.
///
/// # Errors
///
/// Those of `fill`; what the disk refuses names this file; an interrupt, after which no file
/// appears.
pub fn write(path: &Path, fill: impl FnOnce(&mut Writer) -> Result<()>) -> Result<()> {
    let (files, folder) = (Files::default(), folder_of(path));
    files.create_folders(folder)?;
    files.replace_with(folder, path, |file| {
        fill(file)?;
        // Nobody waits for what was left behind.
        crate::interrupt::check()
    })
}

/// Writes a file of these bytes, as [`write()`] does.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, |file| put(file, path, bytes))
}

/// Opens a file that a later call goes on with, to which end it has a name that can be guessed. A
/// link there is an error, and so is all that is no file.
pub fn resume(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path).and_then(|file| Ok((file.metadata()?, file)));
    match file {
        // A second name may be one of somebody else's file.
        Ok((about, file)) if about.is_file() && about.nlink() == 1 => Ok(file),
        Err(error) if !matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENXIO | libc::EISDIR)) => {
            Err(Error::io(path, error))
        }
        _ => Err(Error::invalid(format!(
            "{}: expected a file that kelvin began to write, found a link, or no file at all; remove it",
            path.display()
        ))),
    }
}

fn put(file: &mut Writer, path: &Path, bytes: &[u8]) -> Result<()> {
    file.write_all(bytes).map_err(|error| Error::io(path, error))
}

/// A name that nobody has, for a file that is being written.
fn aside_name() -> String {
    format!(".{}{ENDING}", uuid::Uuid::new_v4().simple())
}

/// Whether a name is one that files have only while they are written; what a crash left may be
/// removed by it.
pub fn is_aside(name: &str) -> bool {
    let random = name.strip_suffix(ENDING).map(|name| name.strip_prefix('.').unwrap_or(name));
    random.is_some_and(|random| random.len() == 32 && crate::hash::is_hex(random))
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether a file system said that it has no such call.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names = Files::default().names(folder).unwrap();
        names.sort();
        names
    }

    /// Names that can be guessed, of this process too, and the file's own name: a link there is not
    /// followed.
    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("outside"));
        fs::create_dir(&inside).unwrap();
        fs::write(&outside, "precious").unwrap();
        let path = inside.join("n.safetensors");
        let id = std::process::id();
        let guesses = [
            "n.safetensors".to_owned(),
            format!("n.safetensors.part-{id}"),
            format!("n.unfinished-{id}"),
            "n.safetensors.part".to_owned(),
            ".part".to_owned(),
        ];
        for guess in &guesses {
            symlink(&outside, inside.join(guess)).unwrap();
        }
        write_bytes(&path, b"new").unwrap();
        assert_eq!(fs::read(&outside).unwrap(), b"precious");
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(names(&inside).len(), guesses.len(), "nothing is left");
        // What is published never takes a name, nor follows it.
        let taken = inside.join(&guesses[1]);
        assert!(!Files::default().publish(&inside, &taken, b"other").unwrap());
        assert_eq!(fs::read(&outside).unwrap(), b"precious");
        // A link that leads nowhere is a name, too.
        symlink(folder.path().join("nowhere"), inside.join("dangling")).unwrap();
        assert!(Files::default().create(&inside.join("dangling")).is_err());
        assert!(!folder.path().join("nowhere").exists());
    }

    #[test]
    fn what_the_disk_refuses_names_the_file_and_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        write_bytes(&path, b"before").unwrap();
        let full = |call: Call, _: &Path| match call {
            Call::Write => Fault::Torn(3, io::Error::from_raw_os_error(libc::ENOSPC)),
            _ => Fault::None,
        };
        let files = Files::with_hook(Arc::new(full));
        // A format's own error says nothing of the disk.
        let error = files.replace_with(folder.path(), &path, |file| {
            file.write_all(&vec![1; 1 << 20]).map_err(|_| Error::invalid("writing Parquet: external"))
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("t.csv") && error.contains("No space left"), "{error}");
        let error = files.replace(folder.path(), &path, b"short").unwrap_err().to_string();
        assert!(error.contains("t.csv") && error.contains("No space left"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(names(folder.path()), ["t.csv"]);
    }

    /// What an interrupt left behind may come to its end later.
    #[test]
    fn after_an_interrupt_no_file_appears() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        // As a job in the background, so that no other test's work is stopped.
        let scope = crate::interrupt::Scope::default();
        scope.raise();
        crate::interrupt::work_for(Some(scope));
        let written = write_bytes(&path, b"late");
        crate::interrupt::work_for(None);
        assert!(matches!(written, Err(Error::Interrupted)), "{written:?}");
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }

    /// The file and its name are durable, in this order.
    #[test]
    fn a_file_is_durable_before_it_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let calls = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        let files = Files::with_hook(Arc::new(move |call, _| {
            seen.lock().unwrap().push(call);
            Fault::None
        }));
        files.replace(folder.path(), &folder.path().join("a"), b"a").unwrap();
        let replaced = [Call::Create, Call::Write, Call::Sync, Call::Rename, Call::SyncFolder];
        assert_eq!(std::mem::take(&mut *calls.lock().unwrap()), replaced);
        assert!(files.publish(folder.path(), &folder.path().join("b"), b"b").unwrap());
        let published = [Call::Create, Call::Write, Call::Sync, Call::Link, Call::SyncFolder];
        assert_eq!(*calls.lock().unwrap(), published);
    }

    /// Without hard links a new name is given by a rename; without that either, nothing is written.
    #[test]
    fn file_systems_without_links_work_or_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let without = |refused: &'static [Call], error: i32| {
            Files::with_hook(Arc::new(move |call, _| match refused.contains(&call) {
                true => Fault::Fail(io::Error::from_raw_os_error(error)),
                false => Fault::None,
            }))
        };
        for error in [libc::EPERM, libc::EOPNOTSUPP, libc::ENOSYS] {
            let files = without(&[Call::Link], error);
            let path = folder.path().join(format!("{error}"));
            assert!(files.publish(folder.path(), &path, b"first").unwrap());
            assert!(!files.publish(folder.path(), &path, b"second").unwrap());
            assert_eq!(fs::read(&path).unwrap(), b"first");
            fs::remove_file(&path).unwrap();
        }
        for error in [libc::EINVAL, libc::ENOSYS] {
            let files = without(&[Call::Link, Call::RenameIfFree], error);
            let path = folder.path().join("sweep.json");
            let error = files.publish(folder.path(), &path, b"first").unwrap_err().to_string();
            assert!(error.contains("sweep.json") && error.contains("another file system"), "{error}");
            // What only replaces needs neither.
            files.replace(folder.path(), &folder.path().join("n"), b"n").unwrap();
            assert_eq!(names(folder.path()), ["n"]);
        }
    }

    #[test]
    fn names_of_unfinished_files_are_known() {
        let random = uuid::Uuid::new_v4().simple().to_string();
        for name in [format!(".{random}.part"), format!("{random}.part")] {
            assert!(is_aside(&name), "{name}");
        }
        for name in ["thesis.tex", "x.part", ".part", &random, &format!("{random}x.part")] {
            assert!(!is_aside(name), "{name}");
        }
    }
}
