//! MNIST and Fashion-MNIST: IDX files, gzipped or not.
//!
//! The format (LeCun, Cortes, Burges 1998): big-endian 32-bit numbers, a magic one (2051 for
//! images, 2049 for labels) and the sizes, then a byte per pixel or label.

use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::{Archive, Images};
use crate::door;
use crate::error::{Error, Result};

pub(super) const CLASSES: usize = 10;
const SHAPE: [usize; 3] = [1, 28, 28];
const IMAGES: u32 = 2051;
const LABELS: u32 = 2049;

/// The official sizes of the training and the test part.
pub(super) const SIZES: (usize, usize) = (60_000, 10_000);

/// The official parts, in order, with their numbers of examples.
const PARTS: [(&str, usize); 2] = [("train", SIZES.0), ("t10k", SIZES.1)];

/// A file that is kept as it is fetched.
pub(super) const fn archive(address: &'static str, bytes: u64, sha256: &'static str) -> Archive<'static> {
    Archive { address, sha256, bytes, unpack: None }
}

/// The four official files in a folder, images and labels of each part.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for (part, n) in PARTS {
        for (kind, ending, length) in [
            ("images", "idx3-ubyte", 16 + n * SHAPE.iter().product::<usize>()),
            ("labels", "idx1-ubyte", 8 + n),
        ] {
            let path = find(folder, &format!("{part}-{kind}"), ending)?;
            check(&path, length as u64)?;
            files.push(path);
        }
    }
    Ok(files)
}

/// Checks a file's length: its own, or the one that gzip notes at its end.
fn check(path: &Path, length: u64) -> Result<()> {
    let fail = |error| Error::io(path, error);
    let (mut file, mut found) = door::open(path, u64::MAX)?;
    if is_zipped(path) {
        // 18 bytes around nothing.
        let mut ends = ([0; 2], [0; 4]);
        if found >= 18 {
            file.read_exact(&mut ends.0).map_err(fail)?;
            file.seek(SeekFrom::End(-4)).map_err(fail)?;
            file.read_exact(&mut ends.1).map_err(fail)?;
        }
        if ends.0 != [0x1f, 0x8b] {
            return Err(wrong(path, "expected gzipped data, found something else or a part of it"));
        }
        found = u64::from(u32::from_le_bytes(ends.1));
    }
    if found != length {
        let unpacked = if is_zipped(path) { " unpacked" } else { "" };
        return Err(wrong(path, &format!("expected {length} bytes{unpacked}, found {found}")));
    }
    Ok(())
}

fn is_zipped(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "gz")
}

/// Says what is wrong with a file, and what to do.
fn wrong(path: &Path, what: &str) -> Error {
    let path = path.display();
    Error::invalid(format!("{path}: {what}; remove its folder and fetch the data set again"))
}

/// Reads a folder with the four official files.
pub(super) fn load(folder: &Path) -> Result<Images> {
    let (mut bytes, mut labels) = (Vec::new(), Vec::new());
    for ((_, n), files) in PARTS.into_iter().zip(files(folder)?.chunks_exact(2)) {
        let [_, height, width] = SHAPE.map(|size| size as u32);
        bytes.extend(read(&files[0], IMAGES, &[n as u32, height, width])?);
        let own = read(&files[1], LABELS, &[n as u32])?;
        if let Some(row) = own.iter().position(|&label| usize::from(label) >= CLASSES) {
            return Err(Error::invalid(format!(
                "{}: label {row} is {}, expected 0 to {}",
                files[1].display(),
                own[row],
                CLASSES - 1
            )));
        }
        labels.extend(own.into_iter().map(u16::from));
    }
    Images::new(bytes, labels, CLASSES, SHAPE, 255.0)
}

/// The file, under one of the names that it is spread under.
fn find(folder: &Path, stem: &str, kind: &str) -> Result<PathBuf> {
    let names = [format!("{stem}-{kind}"), format!("{stem}.{kind}")];
    let names = names.into_iter().flat_map(|name| [name.clone(), format!("{name}.gz")]);
    names.map(|name| folder.join(name)).find(|path| path.exists()).ok_or_else(|| {
        Error::invalid(format!(
            "{}: expected a folder with {stem}-{kind} or {stem}-{kind}.gz, as it is published; found neither",
            folder.display()
        ))
    })
}

/// The bytes after the header, whose sizes must be these.
fn read(path: &Path, magic: u32, sizes: &[u32]) -> Result<Vec<u8>> {
    let wrong = |what: String| wrong(path, &what);
    let (file, _) = door::open(path, u64::MAX)?;
    let header = 4 * (1 + sizes.len());
    let length = sizes.iter().map(|&size| size as usize).product::<usize>();
    // One byte more than there may be: a file that goes on is not read to its end.
    let limit = (header + length + 1) as u64;
    let mut bytes = Vec::new();
    let read = match is_zipped(path) {
        true => GzDecoder::new(file).take(limit).read_to_end(&mut bytes),
        false => file.take(limit).read_to_end(&mut bytes),
    };
    match read {
        Ok(_) => {}
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof
            ) =>
        {
            return Err(wrong(format!(
                "expected gzipped data, found something else or a part of it ({error})"
            )));
        }
        Err(error) => return Err(Error::io(path, error)),
    }
    let number = |at: usize| {
        bytes.get(4 * at..4 * at + 4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
    };
    if number(0) != Some(magic) {
        let found = number(0).map_or_else(|| "nothing".to_owned(), |found| found.to_string());
        return Err(wrong(format!("expected an IDX file that begins with {magic}, found {found}")));
    }
    let found: Vec<Option<u32>> = (1..=sizes.len()).map(number).collect();
    if !found.iter().zip(sizes).all(|(found, size)| *found == Some(*size)) {
        let found: Vec<String> = found
            .iter()
            .map(|size| size.map_or_else(|| "nothing".to_owned(), |size| size.to_string()))
            .collect();
        return Err(wrong(format!("expected the sizes {sizes:?}, found [{}]", found.join(", "))));
    }
    if bytes.len() != header + length {
        let found = if bytes.len() > header + length {
            "more".to_owned()
        } else {
            (bytes.len() - header).to_string()
        };
        return Err(wrong(format!("expected {length} bytes after the header, found {found}")));
    }
    bytes.drain(..header);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn idx(magic: u32, sizes: &[u32], length: usize) -> Vec<u8> {
        let mut bytes = magic.to_be_bytes().to_vec();
        sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes.extend((0..length).map(|i| (i % 10) as u8));
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn write(folder: &Path) {
        for (part, n) in PARTS {
            let images = idx(IMAGES, &[n as u32, 28, 28], n * 784);
            std::fs::write(folder.join(format!("{part}-images-idx3-ubyte.gz")), gzip(&images)).unwrap();
            let labels = idx(LABELS, &[n as u32], n);
            std::fs::write(folder.join(format!("{part}-labels.idx1-ubyte")), labels).unwrap();
        }
    }

    #[test]
    fn official_files_are_read_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, labels) = (folder.path(), folder.path().join("t10k-labels.idx1-ubyte"));
        assert!(load(path).map(|_| ()).unwrap_err().to_string().contains("train-images-idx3-ubyte.gz"));
        write(path);
        let images = load(path).unwrap();
        assert_eq!((images.len(), images.shape, images.classes), (70_000, [1, 28, 28], 10));
        assert_eq!(images.labels[60_003], 3);
        let refused = |bytes: &[u8], why: &str| {
            std::fs::write(&labels, bytes).unwrap();
            let message = load(path).map(|_| ()).unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        };
        refused(&idx(LABELS, &[10_000], 9_999), "expected 10008 bytes, found 10007");
        refused(&idx(LABELS, &[10_000], 10_001), "expected 10008 bytes, found 10009");
        refused(&idx(LABELS, &[u32::MAX], 10_000), "expected the sizes [10000], found [4294967295]");
        refused(&idx(IMAGES, &[10_000], 10_000), "begins with 2049");
        refused(b"", "expected 10008 bytes, found 0");
        refused(&[7; 10_008], "begins with 2049, found 117901063");
        let mut wrong = idx(LABELS, &[10_000], 10_000);
        wrong[8] = 10;
        refused(&wrong, "label 0 is 10");
        std::fs::remove_file(&labels).unwrap();
        let zipped = path.join("t10k-labels-idx1-ubyte.gz");
        // A bomb: far more than its header says.
        std::fs::write(&zipped, gzip(&idx(LABELS, &[10_000], 50_000_000))).unwrap();
        let told = || files(path).unwrap_err().to_string();
        assert!(told().contains("expected 10008 bytes unpacked, found 50000008"), "{}", told());
        let whole = gzip(&idx(LABELS, &[10_000], 10_000));
        std::fs::write(&zipped, &whole[..whole.len() / 2]).unwrap();
        assert!(told().contains("expected 10008 bytes unpacked"), "{}", told());
        std::fs::write(&zipped, b"<html>not found</html>").unwrap();
        assert!(
            told().contains("expected gzipped data") && told().contains("fetch the data set again"),
            "{}",
            told()
        );
        // One that lies about its length is found out when it is read.
        let mut lying = gzip(&idx(LABELS, &[10_000], 50_000));
        let end = lying.len() - 4;
        lying[end..].copy_from_slice(&10_008u32.to_le_bytes());
        std::fs::write(&zipped, &lying).unwrap();
        assert!(files(path).is_ok());
        assert!(load(path).map(|_| ()).unwrap_err().to_string().contains("found more"));
        std::fs::write(&zipped, &whole).unwrap();
        assert_eq!(files(path).unwrap().len(), 4);
    }
}
