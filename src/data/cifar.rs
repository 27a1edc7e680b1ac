//! CIFAR-10 and CIFAR-100: the official binary files, or Parquet files with encoded images.
//!
//! Binary layout (Krizhevsky 2009): a record is the label (CIFAR-100: the coarse label, then the fine one) and
//! 3,072 pixel bytes, channel by channel, row by row. CIFAR-10 has six files of 10,000 records, CIFAR-100
//! one of 50,000 and one of 10,000.

use std::io::ErrorKind;
use std::path::Path;

use super::{Images, image_files};
use crate::error::{Error, Result};

const SHAPE: [usize; 3] = [3, 32, 32];
const PIXELS: usize = 3 * 32 * 32;

/// What tells the two sets apart.
pub(super) struct Cifar {
    classes: usize,
    /// Label bytes of a record; the last one counts.
    labels: usize,
    /// The files in their official order, with their numbers of records.
    files: &'static [(&'static str, usize)],
    /// The folder that the official archive unpacks into.
    folder: &'static str,
}

pub(super) const CIFAR10: Cifar = Cifar {
    classes: 10,
    labels: 1,
    files: &[
        ("data_batch_1.bin", 10_000),
        ("data_batch_2.bin", 10_000),
        ("data_batch_3.bin", 10_000),
        ("data_batch_4.bin", 10_000),
        ("data_batch_5.bin", 10_000),
        ("test_batch.bin", 10_000),
    ],
    folder: "cifar-10-batches-bin",
};

pub(super) const CIFAR100: Cifar = Cifar {
    classes: 100,
    labels: 2,
    files: &[("train.bin", 50_000), ("test.bin", 10_000)],
    folder: "cifar-100-binary",
};

impl Cifar {
    /// Reads a folder with the official files, or with Parquet files.
    pub(super) fn load(&self, folder: &Path) -> Result<Images> {
        let expected = |what: &str, found: &str| {
            let names: Vec<&str> = self.files.iter().map(|(name, _)| *name).collect();
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
            return self.load(&nested);
        }
        if names.iter().any(|name| self.files.iter().any(|(file, _)| file == name)) {
            return self.load_binary(folder);
        }
        if names.iter().any(|name| name.ends_with(".parquet")) {
            let images = image_files::load(&folder.to_string_lossy(), None, None)?;
            return self.check(images, folder);
        }
        Err(expected("", "neither"))
    }

    fn load_binary(&self, folder: &Path) -> Result<Images> {
        let record = self.labels + PIXELS;
        // Every size is checked before anything is read.
        for (name, records) in self.files {
            let path = folder.join(name);
            let expected = (record * records) as u64;
            let found = match std::fs::metadata(&path) {
                Ok(about) if about.len() == expected => continue,
                Ok(about) => about.len().to_string(),
                Err(error) if error.kind() == ErrorKind::NotFound => "no file".to_owned(),
                Err(error) => return Err(Error::io(&path, error)),
            };
            return Err(Error::invalid(format!(
                "{}: expected {expected} bytes ({records} records of {record}), found {found}; fetch the file again",
                path.display()
            )));
        }
        let total: usize = self.files.iter().map(|(_, records)| records).sum();
        let mut bytes = Vec::with_capacity(total * PIXELS);
        let mut labels = Vec::with_capacity(total);
        for (name, _) in self.files {
            let path = folder.join(name);
            let file = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
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
