//! What is fetched for a data set: archives as plain data, and unpacking them.

use std::io::{BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;

use crate::door;
use crate::error::{Error, Result};
use crate::files;

/// A file on a server.
#[derive(Clone, Copy, Debug)]
pub struct Archive<'a> {
    /// The address: `http://…` or `https://…`.
    pub address: &'a str,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: &'a str,
    /// How long the file is.
    pub bytes: u64,
    /// What is taken out of it, if it is a gzipped tar archive; none: the file is kept as it is.
    pub unpack: Option<Unpack<'a>>,
}

/// The files that are taken out of an archive.
#[derive(Clone, Copy, Debug)]
pub struct Unpack<'a> {
    /// The folder in the archive that they lie in.
    pub folder: &'a str,
    /// They.
    pub members: &'a [Member<'a>],
}

/// A file of known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name, without folders.
    pub name: &'a str,
    /// How long it is.
    pub bytes: u64,
}

impl<'a> Archive<'a> {
    /// The last part of the address.
    pub fn file_name(&self) -> &'a str {
        self.address.rsplit('/').next().unwrap_or(self.address)
    }
}

/// What an archive may hold besides the files that are taken out of it: headers, padding, a
/// read-me.
const SLACK: u64 = 1 << 20;

impl Unpack<'_> {
    /// Takes the files out of a gzipped tar archive and writes them into a folder, and nothing
    /// anywhere else. An archive that holds anything but files and folders below its own is
    /// refused, as is one that unpacks to much more than the files, or lacks one of them.
    pub(super) fn run(&self, archive: &Path, into: &Path) -> Result<()> {
        let wrong = |what: String| Error::invalid(format!("{}: {what}", archive.display()));
        let (file, _) = door::open(archive, u64::MAX)?;
        let limit = self.members.iter().map(|member| member.bytes).sum::<u64>().saturating_add(SLACK);
        let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(file)).take(limit));
        let mut missing: Vec<&Member> = self.members.iter().collect();
        let unreadable = |error: std::io::Error| {
            wrong(format!(
                "not a gzipped tar archive of at most {limit} bytes, or only a part of one: {error}"
            ))
        };
        for entry in tar.entries().map_err(unreadable)? {
            crate::interrupt::check()?;
            let mut entry = entry.map_err(unreadable)?;
            let path = entry.path().map_err(unreadable)?.into_owned();
            let Some(path) = below(&path) else {
                return Err(wrong(format!(
                    "an entry lies outside of the archive's folder: {}",
                    path.display()
                )));
            };
            let kind = entry.header().entry_type();
            if kind.is_dir() || kind.is_pax_global_extensions() {
                continue;
            }
            if !kind.is_file() {
                return Err(wrong(format!("{} is a link or a device; expected files alone", path.display())));
            }
            let named = |member: &&Member| path == Path::new(self.folder).join(member.name);
            let Some(index) = missing.iter().position(named) else {
                if self.members.iter().any(|member| named(&member)) {
                    return Err(wrong(format!("{} is in it twice", path.display())));
                }
                continue;
            };
            let member = missing.swap_remove(index);
            if entry.size() != member.bytes {
                return Err(wrong(format!(
                    "{}: expected {} bytes, found {}",
                    path.display(),
                    member.bytes,
                    entry.size()
                )));
            }
            write(&mut entry, member, &into.join(member.name)).map_err(|error| match error {
                Error::Io { source, .. } if source.kind() == std::io::ErrorKind::UnexpectedEof => {
                    unreadable(source)
                }
                error => error,
            })?;
        }
        match missing.first() {
            Some(member) => Err(wrong(format!("expected {}/{} in it, found none", self.folder, member.name))),
            None => Ok(()),
        }
    }
}

/// A path without `.`, if it is relative and never goes up.
fn below(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

/// Writes one file and makes it durable.
fn write(from: &mut impl Read, member: &Member, path: &Path) -> Result<()> {
    let io = |error| Error::io(path, error);
    files::write(path, |file| {
        let mut left = member.bytes;
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            crate::interrupt::check()?;
            let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = from.read(&mut buffer[..part]).map_err(io)?;
            if read == 0 {
                return Err(io(std::io::ErrorKind::UnexpectedEof.into()));
            }
            file.write_all(&buffer[..read]).map_err(io)?;
            left -= read as u64;
        }
        Ok(())
    })
}
