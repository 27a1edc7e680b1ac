//! Parquet files with encoded images.
//!
//! The layout that public hubs use: a column of `struct<bytes: binary, path: string>` or plain
//! `binary` with PNG or JPEG files, and a label column: integers, or texts, which are the classes'
//! names and count in their order. Training files (`train…`) come before the others, each group in
//! the order of the names.
//!
//! A pixel is a byte per channel, grey or red, green and blue. What that cannot hold (16 bits,
//! transparency, animation, inks) is refused and never dropped; an image is turned as its EXIF
//! orientation says.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema};
use image::codecs::png::PngDecoder;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use serde::{Deserialize, Serialize};

use super::source::typed;
use super::{Augmentation, Images, Place, Source, SourceEntry};
use crate::door;
use crate::error::{Error, Result, guarded};
use crate::options::{DefaultValue, Kind, Opt};
use crate::untrusted;

/// Larger images than this are refused: a header may claim any size.
const LARGEST_SIDE: u32 = 1024;

/// Bytes that the decoder of one image may allocate: those of the largest with 16 bits of four
/// channels, some times over.
const DECODER: u64 = 64 << 20;

/// Passes of a JPEG file over the image, at most; each takes the time of a whole one. Encoders make
/// about ten.
const MOST_SCANS: usize = 100;

/// Images that are read at once.
const BATCH: usize = 128;

pub(super) const ENTRY: SourceEntry = SourceEntry {
    name: "images",
    doc: "encoded images (PNG, JPEG; 8 bits, opaque) with labels in Parquet files: a file, a folder or a glob",
    more: "Labels are integers from 0, or texts: these are the classes' names, numbered in alphabetical order.",
    origin: "the user's own",
    place: Place::Anywhere,
    augmentation: Augmentation::CropFlip,
    options: &[
        Opt::new("image", Kind::Text, DefaultValue::Absent("found"), "the column of encoded images"),
        Opt::new("label", Kind::Text, DefaultValue::Absent("found"), "the column of labels"),
    ],
    example: "images(\"data/cifar100/train-*.parquet\", #{ image: \"img\", label: \"fine_label\" })",
    typed: typed::<Columns>,
    files: |source| {
        let files = files(source.path())?;
        check(&files).map(|()| files)
    },
    load: |source| {
        let Columns { image, label } = source.options()?;
        read(&files(source.path())?, image.as_deref(), label.as_deref())
    },
    ..SourceEntry::PLAIN
};

/// The columns; none: found by type, or by name.
#[derive(Serialize, Deserialize)]
struct Columns {
    image: Option<String>,
    label: Option<String>,
}

impl Source {
    /// Parquet files with encoded images: a file, a folder or a glob, and the columns where they
    /// are not to be found.
    pub fn images(path: &str, image: Option<&str>, label: Option<&str>) -> Self {
        let columns = Columns { image: image.map(str::to_owned), label: label.map(str::to_owned) };
        Self::with(&ENTRY, Some(path.to_owned()), &columns)
    }
}

/// Reads files in this order; the columns are named or found.
pub(super) fn read(files: &[PathBuf], image: Option<&str>, label: Option<&str>) -> Result<Images> {
    let mut decoded = Decoded::default();
    for file in files {
        guarded(file, || read_file(file, image, label, &mut decoded))?;
    }
    let names = decoded.sort_names();
    let largest = decoded.labels.iter().max().map_or(0, |&label| usize::from(label) + 1);
    let images = Images::new(decoded.bytes, decoded.labels, largest, decoded.shape, 255.0)?;
    Ok(Images { names, ..images })
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
    /// The classes' names where labels are texts, with their numbers in order of appearance.
    names: HashMap<String, u16>,
    shape: [usize; 3],
}

impl Decoded {
    /// Numbers the classes in the order of their names, which it returns.
    fn sort_names(&mut self) -> Vec<String> {
        let sorted: BTreeMap<String, u16> = std::mem::take(&mut self.names).into_iter().collect();
        let mut places = vec![0; sorted.len()];
        for (place, &number) in (0..).zip(sorted.values()) {
            places[usize::from(number)] = place;
        }
        if !places.is_empty() {
            self.labels.iter_mut().for_each(|label| *label = places[usize::from(*label)]);
        }
        sorted.into_keys().collect()
    }
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
    // A folder that cannot be looked into is an error: without its files it would be another data
    // set.
    let mut found = glob::glob(&pattern)
        .map_err(|error| Error::invalid(format!("{path}: not a path or glob: {error}")))?
        .map(|found| found.map_err(|error| Error::invalid(error.to_string())))
        .collect::<Result<Vec<PathBuf>>>()?;
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
    let is_whole = |mut file: File| -> std::io::Result<bool> {
        let mut ends = [[0; 4]; 2];
        file.read_exact(&mut ends[0])?;
        file.seek(SeekFrom::End(-4))?;
        file.read_exact(&mut ends[1])?;
        Ok(ends == [*b"PAR1"; 2])
    };
    for path in files {
        let (file, _) = door::open(path, u64::MAX)?;
        if !is_whole(file).unwrap_or(false) {
            let path = path.display();
            return Err(Error::invalid(format!(
                "{path}: expected PAR1 at both ends, as a whole Parquet file has; fetch it again"
            )));
        }
    }
    Ok(())
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
    let known = |name: &str| ["label", "labels", "class", "target", "fine_label"].contains(&name);
    // Texts beside integers are most likely the names of these.
    let numbered = schema.fields().iter().any(|field| known(field.name()) && field.data_type().is_integer());
    let fits = |kind: &DataType| if numbered { kind.is_integer() } else { is_text(kind) };
    let label = find(&schema, label, "label", |name, kind| known(name) && fits(kind)).map_err(fail)?;
    let columns = [image, label];
    let (image, label) = (schema.field(image).name(), schema.field(label).name());
    for batch in file.batches(&columns, BATCH)? {
        let batch = batch?;
        let encoded = binary_column(&batch[image.as_str()]).map_err(fail)?;
        let first = into.labels.len();
        read_labels(&batch[label.as_str()], label, into).map_err(fail)?;
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

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn read_labels(labels: &ArrayRef, name: &str, into: &mut Decoded) -> std::result::Result<(), String> {
    let null = |row: usize| format!("row {row}: the label `{name}` is null");
    let as_type = |kind: &DataType| cast(labels, kind).map_err(|error| error.to_string());
    if is_text(labels.data_type()) {
        if into.names.is_empty() && !into.labels.is_empty() {
            return Err(format!("the labels `{name}` are texts, and in the files before numbers"));
        }
        for (row, label) in as_type(&DataType::LargeUtf8)?.as_string::<i64>().iter().enumerate() {
            let label = label.ok_or_else(|| null(row))?;
            let next = u16::try_from(into.names.len());
            let number = match (into.names.get(label), next) {
                (Some(&number), _) => number,
                (None, Ok(number)) => *into.names.entry(label.to_owned()).or_insert(number),
                (None, Err(_)) => return Err(format!("more than 65,536 different labels `{name}`")),
            };
            into.labels.push(number);
        }
        return Ok(());
    }
    if !labels.data_type().is_integer() {
        let kind = labels.data_type();
        return Err(format!("the labels `{name}` are {kind}, expected integers from 0, or texts"));
    }
    if !into.names.is_empty() {
        return Err(format!("the labels `{name}` are numbers, and in the files before texts"));
    }
    for (row, label) in as_type(&DataType::Int64)?.as_primitive::<Int64Type>().iter().enumerate() {
        let label = label.ok_or_else(|| null(row))?;
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
        let threads: Vec<crate::error::Result<_>> = into.bytes[start..]
            .chunks_mut(share * size)
            .enumerate()
            .map(|(part, pixels)| {
                crate::threads::start(scope, move || {
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
            .map(|thread| {
                let joined = thread.map_err(|error| error.to_string())?.join();
                joined.unwrap_or_else(|_| Err("an image could not be decoded".to_owned()))
            })
            .collect()
    });
    results.into_iter().collect()
}

/// Decodes an image, upright and without anything that is not in its bytes. One that its decoder
/// panics on is an error, too.
fn decode(bytes: &[u8]) -> std::result::Result<DynamicImage, String> {
    let is_png = match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => true,
        Ok(ImageFormat::Jpeg) => check_jpeg(bytes).map(|()| false)?,
        Ok(other) => return Err(format!("a {other:?} file, expected PNG or JPEG")),
        Err(_) => return Err("neither PNG nor JPEG".to_owned()),
    };
    let decode = || {
        let failed = |error: image::ImageError| Error::invalid(error.to_string());
        let mut limits = Limits::default();
        limits.max_image_width = Some(LARGEST_SIDE);
        limits.max_image_height = Some(LARGEST_SIDE);
        limits.max_alloc = Some(DECODER);
        if is_png {
            let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits.clone()).map_err(failed)?;
            if decoder.is_apng().map_err(failed)? {
                return Err(Error::invalid(
                    "animated, expected one image; write its frames as images of their own",
                ));
            }
        }
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
        let mut reader = reader.map_err(|error| Error::invalid(error.to_string()))?;
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(failed)?;
        let orientation = decoder.orientation().map_err(failed)?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
        image.apply_orientation(orientation);
        Ok(image)
    };
    let image = guarded(Path::new("the image"), decode).map_err(|error| error.to_string())?;
    let color = image.color();
    let bits = color.bits_per_pixel() / u16::from(color.channel_count());
    if bits != 8 {
        return Err(format!("{bits} bits per channel, expected 8; write the images with 8 bits"));
    }
    if color.has_alpha()
        && image.as_bytes().chunks(color.channel_count().into()).any(|p| p.last() != Some(&255))
    {
        return Err(
            "has transparent pixels, expected opaque ones; write the images on a background".to_owned()
        );
    }
    Ok(image)
}

/// What a JPEG's markers say that its decoder would pass over: too many scans, colours that are not
/// light, an end that is missing, whose pixels would be grey.
fn check_jpeg(bytes: &[u8]) -> std::result::Result<(), String> {
    // In the data of a scan, 0xff is followed by 0 or a restart: the two bytes of a marker are one.
    let places = |marker: u8| bytes.windows(2).enumerate().filter(move |(_, pair)| *pair == [0xff, marker]);
    let scans = places(0xda).count();
    if scans > MOST_SCANS {
        return Err(format!("a JPEG of {scans} scans, expected at most {MOST_SCANS}"));
    }
    if places(0xd9).next_back().map(|(at, _)| at) < places(0xda).next_back().map(|(at, _)| at) {
        return Err("a JPEG without its end: the file is cut off".to_owned());
    }
    // The segments before the first scan, each with its length; that of the frame says how many
    // components there are.
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4).and_then(|head| head.first_chunk()) {
        match marker {
            0xda => break,
            0xc0..=0xcf if ![0xc4, 0xc8, 0xcc].contains(&marker) => match bytes.get(at + 9) {
                Some(1 | 3) | None => break,
                Some(n) => {
                    return Err(format!("a JPEG of {n} components, such as inks, expected grey or colour"));
                }
            },
            _ => at += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{ImageBuffer, Luma, Rgb, Rgba};

    use super::*;

    fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, ImageFormat::Png).unwrap();
        bytes.into_inner()
    }

    /// Two rows of three pixels, each with its own grey.
    fn grey() -> ImageBuffer<Luma<u8>, Vec<u8>> {
        ImageBuffer::from_fn(3, 2, |x, y| Luma([(10 * (3 * y + x)) as u8]))
    }

    fn jpeg() -> Vec<u8> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 100).encode_image(&DynamicImage::from(grey())).unwrap();
        bytes
    }

    /// A PNG file with one more chunk after its head.
    fn with_chunk(png: &[u8], kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let named = [kind, data].concat();
        let crc = named.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
        });
        let chunk = [&(data.len() as u32).to_be_bytes()[..], &named, &(!crc).to_be_bytes()].concat();
        // The signature and the head are 33 bytes.
        [&png[..33], &chunk, &png[33..]].concat()
    }

    /// EXIF data that say how an image is to be turned.
    fn exif(orientation: u8) -> Vec<u8> {
        let entry = [0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
        [&b"II*\0\x08\0\0\0\x01\0"[..], &entry, &[0; 4]].concat()
    }

    fn refused(bytes: &[u8]) -> String {
        decode(bytes).unwrap_err()
    }

    #[test]
    fn what_bytes_cannot_hold_is_refused() {
        assert_eq!(decode(&png(grey())).unwrap().into_luma8(), grey());
        let deep: ImageBuffer<Luma<u16>, Vec<u16>> = ImageBuffer::from_pixel(2, 2, Luma([0x1234]));
        assert!(refused(&png(deep)).contains("16 bits per channel, expected 8"));
        let deep: ImageBuffer<Rgb<u16>, Vec<u16>> = ImageBuffer::from_pixel(2, 2, Rgb([1, 2, 3]));
        assert!(refused(&png(deep)).contains("16 bits per channel, expected 8"));
        // Opaque pixels need no background, others do.
        let pixel =
            |alpha| ImageBuffer::from_fn(2, 2, move |x, _| Rgba([9, 8, 7, if x == 0 { 255 } else { alpha }]));
        assert_eq!(shape_of(&decode(&png(pixel(255u8))).unwrap()), [3, 2, 2]);
        assert!(refused(&png(pixel(254u8))).contains("transparent pixels"));
        let animated = with_chunk(&png(grey()), b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]);
        assert!(refused(&animated).contains("animated, expected one image"));
        assert!(refused(b"GIF89a\x01\0\x01\0\0\0\0;").contains("a Gif file, expected PNG or JPEG"));
        assert!(refused(b"RIFF\x1a\0\0\0WEBPVP8L").contains("a WebP file, expected PNG or JPEG"));
        assert!(refused(b"no image at all").contains("neither PNG nor JPEG"));
    }

    #[test]
    fn a_jpeg_that_is_cut_off_or_of_inks_is_refused() {
        let whole = jpeg();
        let difference = |image: DynamicImage| {
            let pixels = image.into_luma8().into_raw();
            pixels.iter().zip(grey().into_raw()).map(|(a, b)| a.abs_diff(b)).max().unwrap()
        };
        assert!(difference(decode(&whole).unwrap()) <= 2);
        // Bytes after the end are nobody's.
        assert!(decode(&[&whole[..], &[0; 16]].concat()).is_ok());
        assert!(refused(&whole[..whole.len() - 2]).contains("cut off"));
        let mut inks = whole.clone();
        let frame = whole.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        inks[frame + 9] = 4;
        assert!(refused(&inks).contains("4 components"));
    }

    #[test]
    fn images_are_turned_as_they_say() {
        let turned = image::imageops::rotate90(&grey());
        let found = decode(&with_chunk(&png(grey()), b"eXIf", &exif(6))).unwrap();
        assert_eq!(found.into_luma8(), turned);
        let found = decode(&with_chunk(&png(grey()), b"eXIf", &exif(1))).unwrap();
        assert_eq!(found.into_luma8(), grey());
        let whole = jpeg();
        let data = [b"Exif\0\0", &exif(6)[..]].concat();
        let segment = [&[0xff, 0xe1][..], &(data.len() as u16 + 2).to_be_bytes(), &data].concat();
        let found = decode(&[&whole[..2], &segment, &whole[2..]].concat()).unwrap();
        assert_eq!(found.into_luma8(), image::imageops::rotate90(&decode(&whole).unwrap().into_luma8()));
    }
}
