//! Parquet files with encoded images.
//!
//! The layout that public hubs use: a column of `struct<bytes: binary, path: string>` or plain `binary`
//! with PNG or JPEG files, and an integer label column. Training files (`train…`) come before
//! the others, each group in the order of the names.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use image::{DynamicImage, ImageReader, Limits};

use super::Images;
use crate::error::{Error, Result, guarded};
use crate::untrusted;

/// Larger images than this are refused: a header may claim any size.
const LARGEST_SIDE: u32 = 1024;

/// Bytes that the decoder of one image may allocate: those of the largest with 16 bits of four channels, some times over.
const DECODER: u64 = 64 << 20;

/// Passes of a JPEG file over the image, at most; each takes the time of a whole one. Encoders make about ten.
const MOST_SCANS: usize = 100;

/// Images that are read at once.
const BATCH: usize = 128;

/// Reads files in this order; the columns are named or found.
pub(super) fn read(files: &[PathBuf], image: Option<&str>, label: Option<&str>) -> Result<Images> {
    let mut decoded = Decoded::default();
    for file in files {
        guarded(file, || read_file(file, image, label, &mut decoded))?;
    }
    let classes = decoded.labels.iter().max().map_or(0, |&label| usize::from(label) + 1);
    Images::new(decoded.bytes, decoded.labels, classes, decoded.shape, 255.0)
}

#[derive(Default)]
struct Decoded {
    bytes: Vec<u8>,
    /// Bytes of the files read so far.
    length: u64,
    /// Bytes that the images in them may become in all.
    allowed: u64,
    /// How many images these files claim to hold.
    claimed: u64,
    labels: Vec<u16>,
    shape: [usize; 3],
}

/// The Parquet files that a file name, a folder or a glob means; training files first.
pub(super) fn files(path: &str) -> Result<Vec<PathBuf>> {
    let root = Path::new(path);
    // Brackets in the name of something that exists are not a pattern.
    let literal = glob::Pattern::escape(path);
    let pattern = if root.is_dir() {
        format!("{literal}/*.parquet")
    } else if root.exists() {
        literal
    } else {
        path.to_owned()
    };
    let mut found: Vec<PathBuf> = glob::glob(&pattern)
        .map_err(|error| Error::invalid(format!("{path}: not a path or glob: {error}")))?
        .flatten()
        .collect();
    if found.is_empty() {
        return Err(Error::invalid(format!("{path}: expected Parquet files, found none")));
    }
    let is_train =
        |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("train"));
    found.sort_by_key(|file| (!is_train(file), file.clone()));
    Ok(found)
}

/// Says which of the files is not a whole one, as far as its ends tell.
pub(super) fn check(files: &[PathBuf]) -> Result<()> {
    let is_whole = |path: &PathBuf| -> std::io::Result<bool> {
        let mut file = File::open(path)?;
        let mut ends = [[0; 4]; 2];
        file.read_exact(&mut ends[0])?;
        file.seek(SeekFrom::End(-4))?;
        file.read_exact(&mut ends[1])?;
        Ok(ends == [*b"PAR1"; 2])
    };
    let broken = files.iter().find(|path| !is_whole(path).unwrap_or(false));
    broken.map_or(Ok(()), |path| {
        let path = path.display();
        Err(Error::invalid(format!(
            "{path}: expected PAR1 at both ends, as a whole Parquet file has; fetch it again"
        )))
    })
}

fn read_file(path: &Path, image: Option<&str>, label: Option<&str>, into: &mut Decoded) -> Result<()> {
    let fail = |message: String| Error::invalid(format!("{}: {message}", path.display()));
    let file = untrusted::open(path)?;
    // An image takes more than a byte: so many rows are one image again and again.
    if file.rows() > file.length() {
        return Err(fail(format!("{} rows of images in {} bytes", file.rows(), file.length())));
    }
    into.length = into.length.saturating_add(file.length());
    into.allowed = untrusted::allowance(into.length);
    into.claimed = into.claimed.saturating_add(file.rows());
    let schema = file.schema().clone();
    let image = find(&schema, image, "image", is_image).map_err(fail)?;
    let label = find(&schema, label, "label", |name, kind| {
        kind.is_integer() && ["label", "labels", "class", "target", "fine_label"].contains(&name)
    })
    .map_err(fail)?;
    let columns = [image, label];
    let (image, label) = (schema.field(image).name(), schema.field(label).name());
    for batch in file.batches(&columns, BATCH)? {
        let batch = batch?;
        let encoded = binary_column(&batch[image.as_str()]).map_err(fail)?;
        let labels =
            cast(&batch[label.as_str()], &DataType::Int64).map_err(|error| fail(error.to_string()))?;
        let first = into.labels.len();
        read_labels(&labels, label, into).map_err(fail)?;
        decode_all(&encoded, first, into).map_err(fail)?;
    }
    Ok(())
}

/// The index of a named column, or of the only one that looks right.
fn find(
    schema: &Schema,
    name: Option<&str>,
    what: &str,
    fits: impl Fn(&str, &DataType) -> bool,
) -> std::result::Result<usize, String> {
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    if let Some(name) = name {
        return schema.index_of(name).map_err(|_| {
            format!("no column `{name}`; {}", crate::error::suggestion(name, names.iter().copied()))
        });
    }
    let found: Vec<usize> = schema
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| fits(field.name(), field.data_type()))
        .map(|(index, _)| index)
        .collect();
    match found[..] {
        [index] => Ok(index),
        _ => Err(format!(
            "expected one {what} column, found {} in [{}]; name it: images(path, #{{{what}: \"…\"}})",
            found.len(),
            names.join(", ")
        )),
    }
}

fn is_image(_: &str, kind: &DataType) -> bool {
    match kind {
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Struct(fields) => fields.iter().any(|field| field.name() == "bytes"),
        _ => false,
    }
}

fn binary_column(column: &ArrayRef) -> std::result::Result<ArrayRef, String> {
    let bytes = match column.as_struct_opt() {
        Some(fields) => {
            fields.column_by_name("bytes").cloned().ok_or("no field `bytes` in the image column")?
        }
        None => column.clone(),
    };
    cast(&bytes, &DataType::LargeBinary).map_err(|error| error.to_string())
}

fn read_labels(labels: &ArrayRef, name: &str, into: &mut Decoded) -> std::result::Result<(), String> {
    for (row, label) in labels.as_primitive::<Int64Type>().iter().enumerate() {
        let label = label.ok_or_else(|| format!("row {row}: the label `{name}` is null"))?;
        let small = u16::try_from(label)
            .map_err(|_| format!("row {row}: the label is {label}, expected 0 to {}", u16::MAX))?;
        into.labels.push(small);
    }
    Ok(())
}

/// Decodes a batch on all cores; `first` is the number of its first image in the data set.
fn decode_all(encoded: &ArrayRef, first: usize, into: &mut Decoded) -> std::result::Result<(), String> {
    let encoded = encoded.as_binary::<i64>();
    let count = encoded.len();
    if count == 0 {
        return Ok(());
    }
    let value = |row: usize| {
        if encoded.is_null(row) {
            Err(format!("image {}: null", first + row))
        } else {
            Ok(encoded.value(row))
        }
    };
    if into.shape == [0; 3] {
        into.shape = shape_of(&decode(value(0)?).map_err(|error| format!("image {first}: {error}"))?);
    }
    let shape = into.shape;
    let size = shape.iter().product::<usize>();
    let start = into.bytes.len();
    let end = start.saturating_add(count.saturating_mul(size));
    if (end as u64).max(into.claimed.saturating_mul(size as u64)) > into.allowed {
        return Err(format!(
            "the images unpack to more than {} MB, which is far more than files of this length hold",
            into.allowed / 1_000_000
        ));
    }
    into.bytes.resize(end, 0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let share = count.div_ceil(workers);
    let results: Vec<std::result::Result<(), String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = into.bytes[start..]
            .chunks_mut(share * size)
            .enumerate()
            .map(|(part, pixels)| {
                scope.spawn(move || {
                    for (offset, target) in pixels.chunks_mut(size).enumerate() {
                        let row = part * share + offset;
                        let number = first + row;
                        let image = decode(value(row)?).map_err(|error| format!("image {number}: {error}"))?;
                        let found = shape_of(&image);
                        if found != shape {
                            return Err(format!(
                                "image {number}: expected {shape:?} (channels, height, width) as in the first, found {found:?}"
                            ));
                        }
                        planes(&image, target);
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("an image could not be decoded".to_owned())))
            .collect()
    });
    results.into_iter().collect()
}

/// Decodes an image. One that its decoder panics on is an error, too.
fn decode(bytes: &[u8]) -> std::result::Result<DynamicImage, String> {
    if bytes.starts_with(&[0xff, 0xd8]) {
        // In the data of a scan, 0xff is followed by 0; these two bytes begin one.
        let scans = bytes.windows(2).filter(|pair| *pair == [0xff, 0xda]).count();
        if scans > MOST_SCANS {
            return Err(format!("a JPEG of {scans} scans, expected at most {MOST_SCANS}"));
        }
    }
    let decode = || {
        let mut reader = ImageReader::new(std::io::Cursor::new(bytes))
            .with_guessed_format()
            .map_err(|error| Error::invalid(error.to_string()))?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(LARGEST_SIDE);
        limits.max_image_height = Some(LARGEST_SIDE);
        limits.max_alloc = Some(DECODER);
        reader.limits(limits);
        reader.decode().map_err(|error| Error::invalid(error.to_string()))
    };
    guarded(Path::new("the image"), decode).map_err(|error| error.to_string())
}

fn shape_of(image: &DynamicImage) -> [usize; 3] {
    let channels = if image.color().has_color() { 3 } else { 1 };
    [channels, image.height() as usize, image.width() as usize]
}

/// Writes an image channel by channel.
fn planes(image: &DynamicImage, target: &mut [u8]) {
    if image.color().has_color() {
        let pixels = image.to_rgb8();
        let plane = target.len() / 3;
        for (index, pixel) in pixels.pixels().enumerate() {
            for channel in 0..3 {
                target[channel * plane + index] = pixel.0[channel];
            }
        }
    } else {
        target.copy_from_slice(image.to_luma8().as_raw());
    }
}
