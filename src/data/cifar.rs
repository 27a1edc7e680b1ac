//! CIFAR-10 and CIFAR-100: the official binary files, or Parquet files with encoded images.
//!
//! Binary layout (Krizhevsky 2009): a record is the label (CIFAR-100: the coarse label, then the
//! fine one) and 3,072 pixel bytes, channel by channel, row by row. CIFAR-10 has six files of
//! 10,000 records, CIFAR-100 one of 50,000 and one of 10,000.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Images, Member, image_files};
use crate::door;
use crate::error::{Error, Result};

const SHAPE: [usize; 3] = [3, 32, 32];
/// Bytes of an image.
pub(super) const PIXELS: usize = 3 * 32 * 32;

/// What tells the two sets apart.
pub(super) struct Cifar {
    pub(super) classes: usize,
    /// Label bytes of a record; the last one counts.
    pub(super) labels: usize,
    /// The files in their official order, with their lengths.
    pub(super) files: &'static [Member<'static>],
    /// The folder that the official archive unpacks into.
    pub(super) folder: &'static str,
}

/// Who made both.
pub(super) const ORIGIN: &str = "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009";

/// The files of a data set, in one of the two forms.
enum Found {
    Binary(Vec<PathBuf>),
    Parquet(Vec<PathBuf>),
}

impl Cifar {
    /// The files that [`Cifar::load`] reads. The lengths of the official ones are right.
    pub(super) fn files(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        match self.find(folder)? {
            Found::Binary(files) => Ok(files),
            Found::Parquet(files) => image_files::check(&files).map(|()| files),
        }
    }

    /// Reads a folder with the official files, or with Parquet files.
    pub(super) fn load(&self, folder: &Path) -> Result<Images> {
        match self.find(folder)? {
            Found::Binary(files) => self.load_binary(&files),
            Found::Parquet(files) => self.check(image_files::read(&files, None, None)?, folder),
        }
    }

    fn find(&self, folder: &Path) -> Result<Found> {
        let expected = |what: &str, found: &str| {
            let names: Vec<&str> = self.files.iter().map(|file| file.name).collect();
            Error::invalid(format!(
                "{}: expected {what}{} (the official binary files) or *.parquet with encoded images, found {found}",
                folder.display(),
                names.join(", ")
            ))
        };
        let list = std::fs::read_dir(folder).map_err(|error| match error.kind() {
            ErrorKind::NotFound => expected("a folder with ", "none"),
            _ => Error::io(folder, error),
        })?;
        let names: Vec<String> =
            list.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let nested = folder.join(self.folder);
        if nested.is_dir() {
            return self.find(&nested);
        }
        if names.iter().any(|name| self.files.iter().any(|file| file.name == name)) {
            return self.find_binary(folder);
        }
        if names.iter().any(|name| name.ends_with(".parquet")) {
            return image_files::files(&folder.to_string_lossy()).map(Found::Parquet);
        }
        Err(expected("", "neither"))
    }

    /// The official files; every length is checked before anything is read.
    fn find_binary(&self, folder: &Path) -> Result<Found> {
        let record = (self.labels + PIXELS) as u64;
        for Member { name, bytes } in self.files {
            let path = folder.join(name);
            let found = match std::fs::metadata(&path) {
                Ok(about) if about.len() == *bytes => continue,
                Ok(about) => about.len().to_string(),
                Err(error) if error.kind() == ErrorKind::NotFound => "no file".to_owned(),
                Err(error) => return Err(Error::io(&path, error)),
            };
            return Err(Error::invalid(format!(
                "{}: expected {bytes} bytes ({} records of {record}), found {found}; remove its folder and fetch the data set again",
                path.display(),
                bytes / record
            )));
        }
        Ok(Found::Binary(self.files.iter().map(|file| folder.join(file.name)).collect()))
    }

    fn load_binary(&self, files: &[PathBuf]) -> Result<Images> {
        let record = self.labels + PIXELS;
        let total = self.files.iter().map(|file| file.bytes as usize / record).sum::<usize>();
        let mut bytes = Vec::with_capacity(total * PIXELS);
        let mut labels = Vec::with_capacity(total);
        for (path, own) in files.iter().zip(self.files) {
            let file = door::read(path, own.bytes)?;
            for (row, record) in file.chunks_exact(record).enumerate() {
                let label = record[self.labels - 1];
                if usize::from(label) >= self.classes {
                    return Err(Error::invalid(format!(
                        "{}: record {row} has the label {label}, expected 0 to {}",
                        path.display(),
                        self.classes - 1
                    )));
                }
                labels.push(u16::from(label));
                bytes.extend_from_slice(&record[self.labels..]);
            }
        }
        Images::new(bytes, labels, self.classes, SHAPE, 255.0)
    }

    fn check(&self, mut images: Images, folder: &Path) -> Result<Images> {
        if images.shape != SHAPE || images.classes > self.classes {
            return Err(Error::invalid(format!(
                "{}: expected {SHAPE:?} images of {} classes, found {:?} of {}; read other images with images(path)",
                folder.display(),
                self.classes,
                images.shape,
                images.classes
            )));
        }
        images.classes = self.classes;
        Ok(images)
    }
}
