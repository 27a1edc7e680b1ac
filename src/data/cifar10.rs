//! CIFAR-10: the official binary files, or Parquet files with encoded images.
//!
//! Binary layout (Krizhevsky 2009): a record is one label byte and 3,072 pixel bytes, channel by
//! channel, row by row; six files of 10,000 records.

use std::io::ErrorKind;
use std::path::Path;

use super::{Images, image_files};
use crate::error::{Error, Result};

const CLASSES: usize = 10;
const SHAPE: [usize; 3] = [3, 32, 32];
const RECORD: usize = 1 + 3 * 32 * 32;
const RECORDS: usize = 10_000;
const FILES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

pub(super) fn load(folder: &Path) -> Result<Images> {
    let list = std::fs::read_dir(folder).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::invalid(format!(
            "{}: expected a folder with {} to {} (the official binary files) or *.parquet with encoded images, found none",
            folder.display(),
            FILES[0],
            FILES[5]
        )),
        _ => Error::io(folder, error),
    })?;
    let names: Vec<String> =
        list.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    // The official archive unpacks into a folder of this name.
    let nested = folder.join("cifar-10-batches-bin");
    if nested.is_dir() {
        return load(&nested);
    }
    if names.iter().any(|name| FILES.contains(&name.as_str())) {
        return load_binary(folder);
    }
    if names.iter().any(|name| name.ends_with(".parquet")) {
        let images = image_files::load(&folder.to_string_lossy(), None, None)?;
        return check(images, folder);
    }
    Err(Error::invalid(format!(
        "{}: expected {} to {} (the official binary files) or *.parquet with encoded images, found neither",
        folder.display(),
        FILES[0],
        FILES[5]
    )))
}

fn load_binary(folder: &Path) -> Result<Images> {
    // Every size is checked before anything is read.
    for name in FILES {
        let path = folder.join(name);
        let expected = (RECORD * RECORDS) as u64;
        let found = match std::fs::metadata(&path) {
            Ok(about) if about.len() == expected => continue,
            Ok(about) => about.len().to_string(),
            Err(error) if error.kind() == ErrorKind::NotFound => "no file".to_owned(),
            Err(error) => return Err(Error::io(&path, error)),
        };
        return Err(Error::invalid(format!(
            "{}: expected {expected} bytes ({RECORDS} records of {RECORD}), found {found}; fetch the file again",
            path.display()
        )));
    }
    let mut bytes = Vec::with_capacity(FILES.len() * RECORDS * (RECORD - 1));
    let mut labels = Vec::with_capacity(FILES.len() * RECORDS);
    for name in FILES {
        let path = folder.join(name);
        let file = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
        for record in file.chunks_exact(RECORD) {
            if usize::from(record[0]) >= CLASSES {
                return Err(Error::invalid(format!(
                    "{}: record {} has the label {}, expected 0 to {}",
                    path.display(),
                    labels.len() % RECORDS,
                    record[0],
                    CLASSES - 1
                )));
            }
            labels.push(u16::from(record[0]));
            bytes.extend_from_slice(&record[1..]);
        }
    }
    Images::new(bytes, labels, CLASSES, SHAPE, 255.0)
}

fn check(mut images: Images, folder: &Path) -> Result<Images> {
    if images.shape != SHAPE || images.classes > CLASSES {
        return Err(Error::invalid(format!(
            "{}: expected {SHAPE:?} images of {CLASSES} classes, found {:?} of {}; read other images with images(path)",
            folder.display(),
            images.shape,
            images.classes
        )));
    }
    images.classes = CLASSES;
    Ok(images)
}
