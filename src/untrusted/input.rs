//! The bytes of a file: in memory as a whole where it is small, read where they are wanted
//! otherwise.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::file::reader::{ChunkReader, Length};

use super::Checked;
use crate::error::{Error, Result};

/// Files of fewer bytes are read as a whole: many small reads take longer.
const WHOLE: u64 = 1 << 24;

/// Bytes that are read at once where a header is looked for.
const PAGE: usize = 1 << 13;

/// A file.
#[derive(Clone)]
pub(super) enum Input {
    Whole(Bytes),
    File(Arc<File>, u64),
}

impl Input {
    pub(super) fn of(path: &Path, file: File) -> Result<Self> {
        let io = |error| Error::io(path, error);
        let length = file.metadata().map_err(io)?.len();
        if length >= WHOLE {
            return Ok(Self::File(Arc::new(file), length));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        // One that grows meanwhile is not read for ever.
        file.take(WHOLE).read_to_end(&mut bytes).map_err(io)?;
        Ok(Self::Whole(bytes.into()))
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }

    /// These bytes; an error where the file ends before.
    pub(super) fn bytes(&self, start: u64, length: usize) -> Checked<Bytes> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.length());
        if end.is_none() {
            return Err(format!("bytes {start} to {start} + {length} of {} were asked for", self.length()));
        }
        match self {
            Self::Whole(bytes) => Ok(bytes.slice(start as usize..start as usize + length)),
            Self::File(file, _) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, start).map_err(|error| error.to_string())?;
                Ok(bytes.into())
            }
        }
    }
}

impl Length for Input {
    fn len(&self) -> u64 {
        self.length()
    }
}

/// Reads a file from a position on.
pub(super) struct At {
    file: Arc<File>,
    position: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl ChunkReader for Input {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(match self {
            Self::Whole(bytes) => Box::new(bytes.slice((start as usize).min(bytes.len())..).reader()),
            Self::File(file, _) => {
                let from = At { file: Arc::clone(file), position: start };
                Box::new(BufReader::with_capacity(PAGE, from))
            }
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.bytes(start, length).map_err(parquet::errors::ParquetError::EOF)
    }
}
