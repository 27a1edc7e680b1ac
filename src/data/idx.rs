//! MNIST and Fashion-MNIST: IDX files, gzipped or not.
//!
//! The format (LeCun, Cortes, Burges 1998): big-endian 32-bit numbers, a magic one (2051 for images, 2049 for
//! labels) and the sizes, then a byte per pixel or label.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::Images;
use crate::error::{Error, Result};

const CLASSES: usize = 10;
const SHAPE: [usize; 3] = [1, 28, 28];
const IMAGES: u32 = 2051;
const LABELS: u32 = 2049;

/// The official parts, in order, with their numbers of examples.
const PARTS: [(&str, usize); 2] = [("train", 60_000), ("t10k", 10_000)];

/// Reads a folder with the four official files.
pub(super) fn load(folder: &Path) -> Result<Images> {
    let (mut bytes, mut labels) = (Vec::new(), Vec::new());
    for (part, n) in PARTS {
        let [_, height, width] = SHAPE.map(|size| size as u32);
        let images = find(folder, &format!("{part}-images"), "idx3-ubyte")?;
        bytes.extend(read(&images, IMAGES, &[n as u32, height, width])?);
        let names = find(folder, &format!("{part}-labels"), "idx1-ubyte")?;
        let own = read(&names, LABELS, &[n as u32])?;
        if let Some(row) = own.iter().position(|&label| usize::from(label) >= CLASSES) {
            return Err(Error::invalid(format!(
                "{}: label {row} is {}, expected 0 to {}",
                names.display(),
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
    let wrong = |what: String| Error::invalid(format!("{}: {what}; fetch the file again", path.display()));
    let file = File::open(path).map_err(|error| Error::io(path, error))?;
    let header = 4 * (1 + sizes.len());
    let length = sizes.iter().map(|&size| size as usize).product::<usize>();
    // One byte more than there may be: a file that goes on is not read to its end.
    let limit = (header + length + 1) as u64;
    let mut bytes = Vec::new();
    let read = match path.extension().is_some_and(|ending| ending == "gz") {
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
        return Err(wrong(format!("expected an IDX file that begins with {magic}, found {:?}", number(0))));
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
        refused(&idx(LABELS, &[10_000], 9_999), "found 9999");
        refused(&idx(LABELS, &[10_000], 10_001), "found more");
        refused(&idx(LABELS, &[u32::MAX], 10), "expected the sizes [10000], found [4294967295]");
        refused(&idx(IMAGES, &[10_000], 10_000), "begins with 2049");
        refused(b"", "found None");
        let mut wrong = idx(LABELS, &[10_000], 10_000);
        wrong[8] = 10;
        refused(&wrong, "label 0 is 10");
        std::fs::remove_file(&labels).unwrap();
        let zipped = path.join("t10k-labels-idx1-ubyte.gz");
        // A bomb: far more than its header says.
        std::fs::write(&zipped, gzip(&idx(LABELS, &[10_000], 50_000_000))).unwrap();
        assert!(load(path).map(|_| ()).unwrap_err().to_string().contains("found more"));
        let whole = gzip(&idx(LABELS, &[10_000], 10_000));
        std::fs::write(&zipped, &whole[..whole.len() / 2]).unwrap();
        assert!(load(path).map(|_| ()).unwrap_err().to_string().contains("gzipped"));
    }
}
