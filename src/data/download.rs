//! Fetching the official files of a data set, once.
//!
//! A data set appears in the data folder whole or not at all. Until then everything lies in
//! `NAME.download/` beside it: what has come of a file (`FILE.part`, which a later call goes on
//! with), and the files that are complete and of the right SHA-256 (`ready/`), which becomes
//! `NAME/` by a rename.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::http::{self, Failure};
use super::{Archive, Patience, SOURCES};
use crate::door;
use crate::error::{Error, Result, suggestion};
use crate::files;

/// Time between two words on how far it is.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Who is told how far it is.
pub type Tell<'a> = dyn FnMut(&str) + 'a;

/// Fetches a data set of [`SOURCES`] by name into `NAME/` of the data folder, which it returns; one
/// that is there already is left alone. A broken connection is taken up again where it broke, also
/// by a later call.
///
/// # Errors
///
/// A name that is not of a data set with official files; a server that does not answer or sends
/// something else (which is never unpacked); a folder of that name that holds something else;
/// [`Error::Interrupted`].
pub fn download(name: &str, data_dir: &Path, tell: &mut Tell) -> Result<PathBuf> {
    let known = SOURCES.iter().filter(|source| !source.archives.is_empty());
    let source = known.clone().find(|source| source.name == name).ok_or_else(|| {
        let names = known.map(|source| source.name);
        Error::invalid(format!("download: no data set \"{name}\" to fetch; {}", suggestion(name, names)))
    })?;
    // Archives and the files that a loader looks for are one list in the source; what loads is
    // complete.
    let target = data_dir.join(name);
    let complete = |folder: &Path| source.in_folder(folder).and_then(|found| found.files()).is_ok();
    fetch(source.archives, &target, &complete, &Patience::default(), tell)?;
    Ok(target)
}

/// Fetches archives into a folder, unless that holds what it should; see [`download`].
pub fn fetch(
    archives: &[Archive],
    target: &Path,
    complete: &dyn Fn(&Path) -> bool,
    patience: &Patience,
    tell: &mut Tell,
) -> Result<()> {
    if complete(target) {
        return Ok(());
    }
    let mut work = target.as_os_str().to_owned();
    work.push(".download");
    let work = PathBuf::from(work);
    let ready = work.join("ready");
    let made_home = target.parent().filter(|home| !home.exists());
    for folder in [&work, &ready] {
        if fs::symlink_metadata(folder).is_ok_and(|about| about.is_symlink()) {
            let folder = folder.display();
            return Err(Error::invalid(format!(
                "{folder}: expected a folder, found a link; remove it, then download again"
            )));
        }
        create(folder)?;
    }
    let _lock = lock(&work)?;
    // Another process may have fetched it before the lock was ours.
    if complete(target) {
        return Ok(());
    }
    if fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some()) {
        // Whatever it is, it is not ours to remove.
        clear(&work, &ready, archives);
        return Err(Error::invalid(format!(
            "{}: the folder is there, but holds no complete data set; rename or remove it, then download again",
            target.display()
        )));
    }
    for archive in archives {
        let fetched = Fetch { archive, work: &work, ready: &ready, patience }.run(tell);
        if fetched.is_err() {
            // They go where nothing is in them to go on with.
            let _ = fs::remove_dir(&ready).and_then(|()| fs::remove_dir(&work));
            made_home.map(fs::remove_dir);
        }
        fetched?;
    }
    let disk = files::Files::default();
    disk.sync_folder(&ready)?;
    disk.rename(&ready, target)?;
    target.parent().map_or(Ok(()), |home| disk.sync_folder(home))?;
    clear(&work, &ready, archives);
    tell(&format!("{}: complete", target.display()));
    Ok(())
}

/// One archive on its way.
struct Fetch<'a> {
    archive: &'a Archive<'a>,
    work: &'a Path,
    ready: &'a Path,
    patience: &'a Patience,
}

impl Fetch<'_> {
    fn run(&self, tell: &mut Tell) -> Result<()> {
        let kept = self.ready.join(self.archive.file_name());
        if self.archive.unpack.is_none() && kept.exists() {
            // From a call before.
            if door::sha256(&kept)? == self.archive.sha256 {
                return Ok(());
            }
            remove(&kept)?;
        }
        let part = self.work.join(part_name(self.archive));
        // Bytes of an earlier call may be wrong where those of this call are right: from the
        // beginning, once.
        let resumed = length(&part)? > 0;
        self.fetch_rest(&part, tell)?;
        let mut found = door::sha256(&part)?;
        if found != self.archive.sha256 && resumed {
            tell(&format!(
                "{}: what was fetched before is damaged; from the beginning",
                self.archive.address
            ));
            remove(&part)?;
            self.fetch_rest(&part, tell)?;
            found = door::sha256(&part)?;
        }
        if found != self.archive.sha256 {
            remove(&part)?;
            return Err(self.error(format!(
                "its SHA-256 is {found}, expected {}; it was removed and nothing of it was used",
                self.archive.sha256
            )));
        }
        match &self.archive.unpack {
            None => fs::rename(&part, &kept).map_err(|error| Error::io(&kept, error)),
            Some(unpack) => {
                tell(&format!("{}: unpacking", self.archive.file_name()));
                let unpacked = unpack.run(&part, self.ready);
                if unpacked.is_err() {
                    for member in unpack.members {
                        remove(&self.ready.join(member.name))?;
                    }
                }
                if !matches!(unpacked, Err(Error::Interrupted | Error::Io { .. })) {
                    // Used, or of no use.
                    remove(&part)?;
                }
                unpacked
            }
        }
    }

    /// Fetches what is missing of the file, in as many requests as it takes.
    fn fetch_rest(&self, part: &Path, tell: &mut Tell) -> Result<()> {
        let mut retries = 0;
        loop {
            let have = length(part)?;
            if have == self.archive.bytes {
                return Ok(());
            }
            let failure = match self.request(part, have, tell) {
                Ok(()) => continue,
                Err(Failure::Final(Error::Interrupted)) => return Err(Error::Interrupted),
                Err(Failure::Final(error @ Error::Io { .. })) => return Err(error),
                Err(Failure::Final(error)) => return Err(self.error(error.to_string())),
                Err(Failure::OutOfRange) => {
                    remove(part)?;
                    "the server's file is shorter than what was fetched before".to_owned()
                }
                Err(Failure::Passing(failure)) => failure,
            };
            retries = if length(part)? > have { 0 } else { retries + 1 };
            if retries > self.patience.retries {
                let have = length(part)?;
                let rest = if have > 0 { "; the same call goes on from there" } else { "" };
                return Err(
                    self.error(format!("{failure}; {have} of {} bytes came{rest}", self.archive.bytes))
                );
            }
            let most = self.patience.retries;
            tell(&format!(
                "{}: {failure}; asking again ({} of {most})",
                self.archive.address,
                retries.max(1)
            ));
            http::wait(self.patience.pause)?;
        }
    }

    /// One request; what comes is appended.
    fn request(&self, part: &Path, have: u64, tell: &mut Tell) -> std::result::Result<(), Failure> {
        let Archive { address, bytes, .. } = *self.archive;
        let io = |error| Failure::Final(Error::io(part, error));
        // More than the whole file is nothing to go on with.
        let start = if have < bytes { have } else { 0 };
        let mut answer = http::get(address, start, self.patience)?;
        if let Some(total) = answer.total.filter(|total| *total != bytes) {
            return Err(Failure::Final(Error::invalid(format!(
                "expected {bytes} bytes, the server has {total}"
            ))));
        }
        let mut file = files::resume(part).map_err(Failure::Final)?;
        let mut have = answer.start;
        file.set_len(have).map_err(io)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(have)).map_err(io)?;
        tell(&match have {
            0 => format!("fetching {address}, {}", megabytes(bytes)),
            _ => format!("fetching {address} from {} of {} on", megabytes(have), megabytes(bytes)),
        });
        let (begun, first) = (Instant::now(), have);
        let mut told = begun;
        while let Some(got) = answer.part()? {
            have += got.len() as u64;
            if have > bytes {
                // What is too long has the wrong hash, too.
                drop(file);
                let _ = fs::remove_file(part);
                return Err(Failure::Final(Error::invalid(format!("expected {bytes} bytes, more came"))));
            }
            file.write_all(&got).map_err(io)?;
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                let speed = (have - first) as f64 / begun.elapsed().as_secs_f64() / 1e6;
                let file = self.archive.file_name();
                tell(&format!("{file}: {} of {}, {speed:.1} MB/s", megabytes(have), megabytes(bytes)));
            }
        }
        file.sync_all().map_err(io)?;
        if have < bytes { Err(Failure::Passing("the connection ended early".to_owned())) } else { Ok(()) }
    }

    fn error(&self, what: String) -> Error {
        Error::invalid(format!("{}: {what}", self.archive.address))
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The length of a file; 0 where there is none.
fn length(path: &Path) -> Result<u64> {
    match fs::symlink_metadata(path) {
        Ok(about) => Ok(about.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::io(path, error)),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(path, error)),
        _ => Ok(()),
    }
}

/// Where what has come of an archive is kept until all has.
fn part_name(archive: &Archive) -> String {
    format!("{}.part", archive.file_name())
}

/// Removes what fetching these archives leaves in a work folder, and the folder if nobody has put
/// anything else there.
fn clear(work: &Path, ready: &Path, archives: &[Archive]) {
    for archive in archives {
        let members = archive.unpack.iter().flat_map(|unpack| unpack.members).map(|member| member.name);
        let files = members.chain([archive.file_name()]).map(|name| ready.join(name));
        for file in files.chain([work.join(part_name(archive))]) {
            // Most of them are not there.
            let _ = fs::remove_file(file);
        }
    }
    let _ = fs::remove_dir(ready);
    let _ = fs::remove_dir(work);
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))
}

/// Keeps other processes from fetching the same; the lock goes with the value.
fn lock(folder: &Path) -> Result<Option<File>> {
    let file = File::open(folder).map_err(|error| Error::io(folder, error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(Error::invalid(format!(
            "{}: another process is fetching this data set; wait for it",
            folder.display()
        ))),
        // Some network file systems lock no folders. Two at once then find that the hashes are
        // wrong.
        Err(TryLockError::Error(_)) => Ok(None),
    }
}
