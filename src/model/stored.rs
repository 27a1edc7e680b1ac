//! Tensors as a safetensors file: a header that says what lies where, then the numbers, tensor by
//! tensor.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. What is written is what the crate
//! `safetensors` writes (wider types first, then by name), but it is written as it goes: nothing is
//! held in memory besides one tensor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crc32fast::Hasher;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::ser::{SerializeMap, Serializer};
use tch::{Device, Kind, Tensor};

use crate::door;
use crate::error::{Error, Result};

/// The types that numbers have in a file.
const KINDS: [(Kind, Dtype); 10] = [
    (Kind::Bool, Dtype::BOOL),
    (Kind::Uint8, Dtype::U8),
    (Kind::Int8, Dtype::I8),
    (Kind::Int16, Dtype::I16),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Int, Dtype::I32),
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
    (Kind::Int64, Dtype::I64),
];

/// What a tensor's numbers are in a file, if a file can hold them.
pub(crate) fn dtype(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(other, _)| *other == kind).map(|(_, dtype)| *dtype)
}

/// What a file's numbers are in a tensor, if a tensor can hold them.
pub(crate) fn kind(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(_, other)| *other == dtype).map(|(kind, _)| *kind)
}

/// The name of a file's checksum among the texts of its header: the CRC-32 of all its bytes, with
/// zeros for the digits.
const SUM: &str = "kelvin.crc32";

/// The digits before they are known.
const ZEROS: &str = "00000000";

/// Bytes of a header, at most, as the format has it.
const LONGEST_HEADER: u64 = 100_000_000;

/// Writes tensors, with a text about them under a name of its own.
///
/// # Errors
///
/// Numbers that a file cannot hold; those of `to`, which have no path.
pub(crate) fn write<S: AsRef<str>>(
    tensors: &[(S, Tensor)],
    about: Option<(&str, &str)>,
    to: &mut impl Write,
) -> Result<()> {
    let (header, tensors) = header(tensors, about)?;
    to.write_all(&header).map_err(nameless)?;
    tensors.into_iter().try_for_each(|tensor| to.write_all(&numbers(tensor)?).map_err(nameless))
}

/// Writes tensors with a checksum, by which [`Stored::read`] sees bits that a disk or a copy changed.
///
/// # Errors
///
/// Those of [`write()`].
pub(crate) fn write_summed<S: AsRef<str>>(tensors: &[(S, Tensor)], to: &mut impl Write) -> Result<()> {
    let (mut header, tensors) = header(tensors, Some((SUM, ZEROS)))?;
    let mut sum = Hasher::new();
    sum.update(&header);
    for tensor in &tensors {
        sum.update(&numbers(tensor)?);
    }
    let digits =
        digits_of(&header).ok_or_else(|| Error::invalid("a safetensors header without its checksum"))?;
    header[digits].copy_from_slice(format!("{:08x}", sum.finalize()).as_bytes());
    to.write_all(&header).map_err(nameless)?;
    tensors.into_iter().try_for_each(|tensor| to.write_all(&numbers(tensor)?).map_err(nameless))
}

/// Whoever knows the file's name adds it.
fn nameless(error: std::io::Error) -> Error {
    Error::io("the safetensors file", error)
}

/// Where the digits of the checksum lie in a file that begins so.
fn digits_of(header: &[u8]) -> Option<std::ops::Range<usize>> {
    let before = format!("\"{SUM}\":\"");
    let start = header.windows(before.len()).position(|part| part == before.as_bytes())? + before.len();
    (start + ZEROS.len() <= header.len()).then_some(start..start + ZEROS.len())
}

/// A tensor's bytes.
fn numbers(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.to_device(Device::Cpu).contiguous();
    let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
    tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
    Ok(bytes)
}

/// What stands before the numbers, and the tensors in the order of the file.
fn header<'a, S: AsRef<str>>(
    tensors: &'a [(S, Tensor)],
    about: Option<(&str, &str)>,
) -> Result<(Vec<u8>, Vec<&'a Tensor>)> {
    let mut infos = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let kind = tensor.kind();
        let dtype = dtype(kind)
            .ok_or_else(|| Error::invalid(format!("`{}`: a file cannot hold {kind:?}", name.as_ref())))?;
        let shape = tensor.size().iter().map(|&size| size as usize).collect();
        infos.push((name.as_ref(), tensor, TensorInfo { dtype, shape, data_offsets: (0, 0) }));
    }
    infos.sort_by(|(a, _, left), (b, _, right)| right.dtype.cmp(&left.dtype).then(a.cmp(b)));
    let mut end = 0;
    for (_, tensor, info) in &mut infos {
        let start = end;
        end += tensor.numel() * tensor.kind().elt_size_in_bytes();
        info.data_offsets = (start, end);
    }
    let fail = |error: serde_json::Error| Error::invalid(format!("a safetensors header: {error}"));
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    let mut map = serializer.serialize_map(None).map_err(fail)?;
    if let Some((key, text)) = about {
        map.serialize_entry(ABOUT, &BTreeMap::from([(key, text)])).map_err(fail)?;
    }
    for (name, _, info) in &infos {
        map.serialize_entry(name, info).map_err(fail)?;
    }
    map.end().map_err(fail)?;
    // The numbers begin at a multiple of 8.
    json.resize(json.len().next_multiple_of(8), b' ');
    let header = [&(json.len() as u64).to_le_bytes()[..], &json].concat();
    Ok((header, infos.into_iter().map(|(_, tensor, _)| tensor).collect()))
}

/// The texts of a header.
const ABOUT: &str = "__metadata__";

/// A file whose header fits its length.
pub(crate) struct Stored {
    path: PathBuf,
    file: File,
    /// The header with its length.
    header: Vec<u8>,
    /// In the order of the file.
    infos: Vec<(String, TensorInfo)>,
    /// Whether the file says what its bytes sum up to.
    is_summed: bool,
}

impl Stored {
    /// Opens a file of at most so many bytes and looks at its header.
    ///
    /// # Errors
    ///
    /// What is no file, or one whose header says that it is another length.
    pub(crate) fn open(path: &Path, most: u64) -> Result<Self> {
        let (mut file, length) = door::open(path, most)?;
        let wrong = |what: String| not_readable(path, &what);
        let io = |error| Error::io(path, error);
        let mut size = [0; 8];
        if length < 8 {
            return Err(wrong(format!("expected a header, found {length} bytes")));
        }
        file.read_exact(&mut size).map_err(io)?;
        let size = u64::from_le_bytes(size);
        if size == 0 || size > LONGEST_HEADER || size > length - 8 {
            return Err(wrong(format!("a header of {size} bytes in a file of {length}")));
        }
        let mut header = size.to_le_bytes().to_vec();
        header.resize(8 + size as usize, 0);
        file.read_exact(&mut header[8..]).map_err(io)?;
        let texts: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&header[8..]).map_err(|error| wrong(format!("its header: {error}")))?;
        let is_summed = texts.get(ABOUT).is_some_and(|about| about.get(SUM).is_some());
        let mut infos = Vec::with_capacity(texts.len());
        for (name, value) in texts.into_iter().filter(|(name, _)| name != ABOUT) {
            let info: TensorInfo =
                serde_json::from_value(value).map_err(|error| wrong(format!("`{name}`: {error}")))?;
            infos.push((name, info));
        }
        infos.sort_by_key(|(_, info)| info.data_offsets);
        let mut end = 0;
        for (name, info) in &infos {
            let (start, next) = info.data_offsets;
            let numel = info.shape.iter().try_fold(1usize, |numel, &size| numel.checked_mul(size));
            let bytes = numel.and_then(|numel| numel.checked_mul(info.dtype.size()));
            if start != end || next.checked_sub(start) != bytes || bytes.is_none() {
                return Err(wrong(format!(
                    "`{name}`: bytes {start} to {next} for the shape {:?}",
                    info.shape
                )));
            }
            end = next;
        }
        // The header fits, so nothing is below zero here, and nothing overflows.
        let left = length - 8 - size;
        if end as u64 != left {
            return Err(wrong(format!("its header says {end} bytes of numbers, it has {left}")));
        }
        Ok(Self { path: path.to_owned(), file, header, infos, is_summed })
    }

    /// Reads the tensors, one by one.
    pub(crate) fn read(mut self) -> Result<Vec<(String, Tensor)>> {
        let path = &self.path;
        let damaged = || {
            not_readable(
                path,
                "it was damaged after it was written: its checksum (CRC-32) does not fit; restore it from a copy",
            )
        };
        let mut sum = Hasher::new();
        let mut said = None;
        if self.is_summed {
            let digits = digits_of(&self.header).ok_or_else(damaged)?;
            said = Some(self.header[digits.clone()].to_vec());
            self.header[digits].copy_from_slice(ZEROS.as_bytes());
            sum.update(&self.header);
        }
        let mut tensors = Vec::with_capacity(self.infos.len());
        for (name, info) in self.infos {
            crate::interrupt::check()?;
            let kind = kind(info.dtype)
                .ok_or_else(|| not_readable(path, &format!("`{name}` holds {:?}", info.dtype)))?;
            let mut bytes = vec![0; info.data_offsets.1 - info.data_offsets.0];
            self.file.read_exact(&mut bytes).map_err(|error| Error::io(path, error))?;
            sum.update(&bytes);
            let shape: Vec<i64> = info.shape.iter().map(|&size| size as i64).collect();
            tensors.push((name, Tensor::f_from_data_size(&bytes, &shape, kind)?));
        }
        let found = format!("{:08x}", sum.finalize());
        match said.is_none_or(|said| said == found.as_bytes()) {
            true => Ok(tensors),
            false => Err(damaged()),
        }
    }
}

fn not_readable(path: &Path, what: &str) -> Error {
    Error::invalid(format!("{}: not a readable safetensors file: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    /// The crate reads it, and writes the same bytes.
    #[test]
    fn what_is_written_is_what_the_crate_writes() {
        let tensors = vec![
            ("b\"ä".to_owned(), Tensor::from_slice(&[1.5f32, -0.0, f32::NAN]).view([1, 3])),
            ("a".to_owned(), Tensor::from_slice(&[1.5f32])),
            ("count".to_owned(), Tensor::from_slice(&[9i64]).view(&[0i64; 0][..])),
            ("wide".to_owned(), Tensor::from_slice(&[0.1f64, 0.2])),
            ("none".to_owned(), Tensor::zeros([0, 4], (Kind::Half, Device::Cpu))),
            ("half".to_owned(), Tensor::from_slice(&[1.0f32, 2.0, 3.0]).to_kind(Kind::BFloat16)),
        ];
        let mut bytes = Vec::new();
        write(&tensors, Some(("kelvin", "{\"a\": 1}")), &mut bytes).unwrap();
        let read = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(read.len(), tensors.len());
        let views: Vec<_> = read.tensors();
        let about = std::collections::HashMap::from([("kelvin".to_owned(), "{\"a\": 1}".to_owned())]);
        assert_eq!(safetensors::serialize(views, &Some(about)).unwrap(), bytes);
    }
    fn example() -> Vec<(String, Tensor)> {
        vec![
            ("weight".to_owned(), Tensor::from_slice(&[1.5f32, -0.0, 3.0, f32::MIN_POSITIVE]).view([2, 2])),
            ("bias".to_owned(), Tensor::from_slice(&[0.1f32, 0.2])),
            ("count".to_owned(), Tensor::from_slice(&[9i64]).view(&[0i64; 0][..])),
        ]
    }

    /// Names, shapes and bits.
    fn content(tensors: &[(String, Tensor)]) -> Vec<(String, Vec<i64>, Vec<u8>)> {
        tensors.iter().map(|(name, tensor)| (name.clone(), tensor.size(), numbers(tensor).unwrap())).collect()
    }

    #[test]
    fn no_bit_of_kept_weights_flips_unnoticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.safetensors");
        let read = || Stored::open(&path, u64::MAX).and_then(Stored::read);
        let mut bytes = Vec::new();
        write_summed(&example(), &mut bytes).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let before = content(&read().unwrap());
        assert_eq!(before.len(), 3);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &changed).unwrap();
            match read() {
                Err(error) => assert!(error.to_string().contains("n.safetensors"), "{bit}: {error}"),
                Ok(after) => assert!(content(&after) == before, "bit {bit}: other numbers"),
            }
        }
        // Without a checksum, as PyTorch writes them.
        bytes.clear();
        write(&example(), None, &mut bytes).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        assert!(content(&read().unwrap()) == before);
        // The crate reads those with one.
        bytes.clear();
        write_summed(&example(), &mut bytes).unwrap();
        assert_eq!(SafeTensors::deserialize(&bytes).unwrap().len(), 3);
    }

    #[test]
    fn a_header_must_fit_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n.safetensors");
        let refused = |most| Stored::open(&path, most).err().unwrap().to_string();
        let holes = File::create(&path).unwrap();
        holes.set_len(6 << 30).unwrap();
        assert!(refused(u64::MAX).contains("a header of 0 bytes in a file of 6442450944"));
        assert!(refused(1 << 20).contains("at most 1048576 bytes"));
        let mut bytes = Vec::new();
        write(&example(), None, &mut bytes).unwrap();
        for end in 0..bytes.len() {
            std::fs::write(&path, &bytes[..end]).unwrap();
            assert!(Stored::open(&path, u64::MAX).is_err(), "{end} bytes");
        }
        bytes.push(0);
        std::fs::write(&path, &bytes).unwrap();
        assert!(refused(u64::MAX).contains("its header says"), "{}", refused(u64::MAX));
    }
}
