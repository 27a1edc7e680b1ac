//! An attempt's journal: one line per record, by one writer, appended and never changed.
//!
//! A line is eight hex digits, a space, a record as JSON, a newline. The digits are a CRC-32 of the
//! line's JSON that starts from the line before, so a line that was changed, cut, lost or moved
//! ends the part that counts: every line before it stands, nothing after it does.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::process::Process;
use super::provenance::Ended;
use crate::error::{Error, Result};
use crate::train::{EpochRecord, Position};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// The first line: whose journal this is.
    Attempt {
        /// The run's id.
        run: String,
        /// Who writes.
        process: Process,
        /// When, by the file system's clock.
        #[serde(deserialize_with = "super::provenance::time")]
        started: SystemTime,
        /// What kind of device trains, and by which libtorch: others round differently.
        made_by: String,
        /// Where it starts.
        position: Position,
    },
    /// An epoch with metrics.
    Epoch(EpochRecord),
    /// A checkpoint, which was durable before this line was written.
    Checkpoint(Checkpoint),
    /// The attempt ended.
    Ended(Ended),
}

/// A checkpoint file beside the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Where the run stands.
    pub position: Position,
    /// The file's name.
    pub file: String,
    /// SHA-256 of its content, in hex.
    pub sha256: String,
}

/// A journal's lines in the making.
#[derive(Default)]
pub struct Lines {
    crc: u32,
    pending: Vec<u8>,
}

impl Lines {
    /// Adds a record.
    pub fn add(&mut self, record: &Record) -> Result<()> {
        let json = serde_json::to_string(record).map_err(|error| Error::invalid(error.to_string()))?;
        self.crc = chained(self.crc, json.as_bytes());
        self.pending.extend_from_slice(format!("{:08x} {json}\n", self.crc).as_bytes());
        Ok(())
    }

    /// Takes the lines that were added since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }
}

fn chained(before: u32, json: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&before.to_le_bytes());
    crc.update(json);
    crc.finalize()
}

/// The records of a journal, up to the first line that is not as it was written.
pub fn parse(bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut crc = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        // Only the newline says that a line is complete.
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let Some((digits, json)) = line.split_at_checked(9) else { break };
        crc = chained(crc, json);
        if digits != format!("{crc:08x} ").as_bytes() {
            break;
        }
        match serde_json::from_slice(json) {
            Ok(record) => records.push(record),
            Err(_) => break,
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scores;
    use crate::train::example_record;

    fn records() -> Vec<Record> {
        let scores = |loss| Scores { loss, accuracy: 1.0 / 3.0, loss_std: f64::INFINITY };
        let epoch = |epoch| {
            Record::Epoch(EpochRecord {
                epoch,
                lr_now: 0.1 + 0.2,
                train: scores(5e-324),
                test: scores(1.7976931348623157e308),
                ..example_record()
            })
        };
        let position = Position { epoch: 2, step: 5 };
        vec![
            Record::Attempt {
                run: "r1".to_owned(),
                process: Process::this(),
                started: SystemTime::now(),
                made_by: "cpu 2.11.0".to_owned(),
                position: Position::default(),
            },
            epoch(1),
            epoch(2),
            Record::Checkpoint(Checkpoint {
                position,
                file: "ckpt-2-5.safetensors".to_owned(),
                sha256: "ab".to_owned(),
            }),
        ]
    }

    fn written(records: &[Record]) -> Vec<u8> {
        let mut lines = Lines::default();
        records.iter().for_each(|record| lines.add(record).unwrap());
        lines.take()
    }

    #[test]
    fn records_come_back_bit_for_bit() {
        let records = records();
        assert_eq!(parse(&written(&records)), records);
    }

    /// Fault 5: cut at every byte, every bit flipped, lines lost or moved.
    #[test]
    fn no_damage_is_accepted() {
        let records = records();
        let bytes = written(&records);
        let ends: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').map(|at| at + 1).collect();
        for end in 0..=bytes.len() {
            let whole = ends.iter().filter(|&&line| line <= end).count();
            assert_eq!(parse(&bytes[..end]), records[..whole], "cut at {end}");
        }
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let untouched = ends.iter().filter(|&&line| line <= bit / 8).count();
            assert_eq!(parse(&changed), records[..untouched], "bit {bit}");
        }
        let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        assert_eq!(parse(&[lines[0], lines[2], lines[3]].concat()), records[..1], "a lost line");
        assert_eq!(parse(&[lines[0], lines[2], lines[1]].concat()), records[..1], "lines moved");
        assert_eq!(parse(&[lines[0], lines[1], lines[1]].concat()), records[..2], "a line twice");
    }
}
