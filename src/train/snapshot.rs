//! Everything that a run needs to go on later, somewhere else, as if it had never stopped.
//!
//! A snapshot is taken between two updates. Random numbers need no state of their own: they are
//! keyed by epoch and step (`rng.rs`), so the position is their position too. As bytes it is a
//! safetensors file: the weights under their PyTorch names, and beside them what the optimizer
//! remembers of each tensor (`optimizer.momentum.NAME`; Adam: `optimizer.exp_avg.NAME`,
//! `optimizer.exp_avg_sq.NAME`) and `sums`, the [`Tally`] of the batches of an unfinished epoch.
//! Numbers are kept bit for bit.

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::tally::Tally;
use crate::error::{Error, Result};
use crate::model::{State, stored};

/// A place between two updates of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Epochs that are complete, with their metrics.
    pub epoch: u32,
    /// Updates of the next epoch that are done.
    pub step: u64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.step {
            0 => write!(f, "epoch {}", self.epoch),
            step => write!(f, "epoch {} and {step} steps", self.epoch),
        }
    }
}

/// A run between two updates.
pub struct Snapshot {
    /// Where.
    pub position: Position,
    /// Seconds that the unfinished epoch took so far: the run's share of its stack's.
    pub seconds: f64,
    /// Weights and batch-norm statistics by their PyTorch names, on the CPU.
    pub weights: State,
    /// The optimizer's buffers by name; empty where it has none.
    pub optimizer_state: Vec<(String, State)>,
    /// Tally of the unfinished epoch's batches; none where training metrics come from elsewhere.
    pub tally: Option<Tally>,
}

/// The file's own description of itself.
#[derive(Serialize, Deserialize)]
struct SnapshotHeader {
    run: String,
    position: Position,
    seconds: f64,
}

const ABOUT: &str = "kelvin";
const OPTIMIZER: &str = "optimizer.";
const SUMS: &str = "sums";

impl Snapshot {
    /// The snapshot of the run with this id, as a safetensors file.
    pub fn encode(&self, run: &str) -> Result<Vec<u8>> {
        let about = SnapshotHeader { run: run.to_owned(), position: self.position, seconds: self.seconds };
        let about = serde_json::to_string(&about).map_err(|error| Error::invalid(error.to_string()))?;
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        for (name, tensor) in &self.weights {
            tensors.push((name.clone(), tensor.shallow_clone()));
        }
        for (buffer, state) in &self.optimizer_state {
            for (name, tensor) in state {
                tensors.push((format!("{OPTIMIZER}{buffer}.{name}"), tensor.shallow_clone()));
            }
        }
        if let Some(tally) = self.tally {
            tensors.push((SUMS.to_owned(), Tensor::from_slice(&tally.to_array())));
        }
        let mut bytes = Vec::new();
        stored::write(&tensors, Some((ABOUT, &about)), &mut bytes)?;
        Ok(bytes)
    }

    /// Reads what [`Snapshot::encode`] made of the run with this id. Another run's snapshot is an
    /// error.
    pub fn decode(bytes: &[u8], run: &str) -> Result<Self> {
        let bad = |why: &dyn std::fmt::Display| Error::invalid(format!("not a checkpoint of {run}: {why}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| bad(&error))?;
        let about = header.metadata().as_ref().and_then(|texts| texts.get(ABOUT));
        let about = about.ok_or_else(|| bad(&"it does not say whose it is"))?;
        let about: SnapshotHeader = serde_json::from_str(about).map_err(|error| bad(&error))?;
        if about.run != run {
            return Err(bad(&format!("it is one of {}", about.run)));
        }
        let file = SafeTensors::deserialize(bytes).map_err(|error| bad(&error))?;
        let mut snapshot = Self {
            position: about.position,
            seconds: about.seconds,
            weights: State::new(),
            optimizer_state: Vec::new(),
            tally: None,
        };
        for (name, view) in file.tensors() {
            let kind =
                stored::kind(view.dtype()).ok_or_else(|| bad(&format!("`{name}` is of another type")))?;
            let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
            let tensor = Tensor::f_from_data_size(view.data(), &shape, kind)?;
            if name == SUMS {
                let sums = Vec::<f64>::try_from(&tensor)?;
                let sums = sums.try_into().map_err(|_| bad(&"`sums` are not three numbers"))?;
                snapshot.tally = Some(Tally::from_array(sums));
            } else if let Some((buffer, name)) =
                name.strip_prefix(OPTIMIZER).and_then(|name| name.split_once('.'))
            {
                match snapshot.optimizer_state.iter_mut().find(|(own, _)| own == buffer) {
                    Some((_, state)) => state.push((name.to_owned(), tensor)),
                    None => {
                        snapshot.optimizer_state.push((buffer.to_owned(), vec![(name.to_owned(), tensor)]))
                    }
                }
            } else {
                snapshot.weights.push((name, tensor));
            }
        }
        Ok(snapshot)
    }

    /// The same snapshot once more: what pads a stack of one.
    pub(super) fn copy(&self) -> Self {
        let copy = |state: &State| -> State {
            state.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
        };
        let optimizer_state =
            self.optimizer_state.iter().map(|(name, state)| (name.clone(), copy(state))).collect();
        Self { weights: copy(&self.weights), optimizer_state, ..*self }
    }
}

/// SHA-256 of a network's tensors, names, types and shapes included, in hex: two runs with the same
/// ended with the same bits.
pub fn weights_digest(weights: &State) -> Result<String> {
    let mut bytes = Vec::new();
    stored::write(weights, None, &mut bytes)?;
    Ok(crate::hash::sha256(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Snapshot {
        let tensor = |values: &[f32]| Tensor::from_slice(values).view([1, -1]);
        Snapshot {
            position: Position { epoch: 3, step: 7 },
            seconds: 0.1 + 0.2,
            weights: vec![
                ("a.weight".to_owned(), tensor(&[1.5, f32::MIN_POSITIVE, -0.0])),
                ("count".to_owned(), Tensor::from_slice(&[9i64]).view(&[0i64; 0][..])),
            ],
            optimizer_state: vec![(
                "exp_avg".to_owned(),
                vec![("a.weight".to_owned(), tensor(&[0.1, 0.2, 0.3]))],
            )],
            tally: Some(Tally::from_array([1.0 / 3.0, 2.0, 3.0])),
        }
    }

    #[test]
    fn a_snapshot_comes_back_bit_for_bit() {
        let bytes = example().encode("r1").unwrap();
        let back = Snapshot::decode(&bytes, "r1").unwrap();
        assert_eq!(back.position, Position { epoch: 3, step: 7 });
        assert_eq!(back.seconds, 0.1 + 0.2);
        assert_eq!(back.tally, example().tally);
        assert_eq!((back.weights.len(), back.optimizer_state.len()), (2, 1));
        assert_eq!(back.encode("r1").unwrap(), bytes);
        assert!(Snapshot::decode(&bytes, "r2").is_err());
    }

    #[test]
    fn cut_or_changed_bytes_never_panic() {
        let bytes = example().encode("r1").unwrap();
        for end in 0..bytes.len() {
            assert!(Snapshot::decode(&bytes[..end], "r1").is_err());
        }
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 0x40;
            // A changed number goes unnoticed here; the journal's hash is what notices it.
            let _ = Snapshot::decode(&changed, "r1");
        }
    }
}
