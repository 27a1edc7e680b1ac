//! Tensors as a safetensors file: a header that says what lies where, then the numbers, tensor by tensor.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. What is written is what the crate `safetensors` writes
//! (wider types first, then by name), but it is written as it goes: nothing is held in memory besides one tensor.

use std::io::Write;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::ser::{SerializeMap, Serializer};
use tch::{Device, Kind, Tensor};

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
    let header = |error: serde_json::Error| Error::invalid(format!("a safetensors header: {error}"));
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    let mut map = serializer.serialize_map(None).map_err(header)?;
    if let Some((key, text)) = about {
        map.serialize_entry("__metadata__", &std::collections::BTreeMap::from([(key, text)]))
            .map_err(header)?;
    }
    for (name, _, info) in &infos {
        map.serialize_entry(name, info).map_err(header)?;
    }
    map.end().map_err(header)?;
    // The numbers begin at a multiple of 8.
    json.resize(json.len().next_multiple_of(8), b' ');
    let io = |error| Error::io("the safetensors file", error);
    to.write_all(&(json.len() as u64).to_le_bytes()).map_err(io)?;
    to.write_all(&json).map_err(io)?;
    for (_, tensor, _) in &infos {
        let tensor = tensor.to_device(Device::Cpu).contiguous();
        let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        to.write_all(&bytes).map_err(io)?;
    }
    Ok(())
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
}
