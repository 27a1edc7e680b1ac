//! Optimizers and learning-rate schedules: one file each, one entry each in [`OPTIMIZERS`] and
//! [`SCHEDULES`].
//!
//! An optimizer's file has its formulas, its options (a struct, whose fields plans store), its
//! update of tensors, and the formula for one weight in plain numbers, which the updates of all
//! backends are tested against.

mod adam;
mod schedule;
mod sgd;
#[cfg(test)]
pub(crate) mod trial;

pub use adam::Adam;
pub use schedule::{Progress, SCHEDULE_CHOICES, SCHEDULES, Schedule, ScheduleEntry};
pub use sgd::{Form, Sgd};

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tch::Tensor;

use crate::entries::{self, Stored};
use crate::error::{Error, Result};
use crate::options::{Given, Opt};

/// What is known of an optimizer before it has options.
pub struct OptimizerEntry {
    /// The name in scripts and plans.
    pub name: &'static str,
    /// What it is, in a few words.
    pub doc: &'static str,
    /// Where it comes from.
    pub origin: &'static str,
    /// Its options: the fields of its struct, in their order.
    pub options: &'static [Opt],
    /// A script that uses it.
    pub example: &'static str,
    /// The optimizer that a plan stores: `stored` of its struct.
    pub stored: fn(Stored) -> Result<OptimizerSpec>,
}

/// Every optimizer.
pub const OPTIMIZERS: &[&OptimizerEntry] = &[&sgd::ENTRY, &adam::ENTRY];

/// An optimizer with its options.
pub trait Optimizer: Any + fmt::Debug + Send + Sync {
    /// Its entry in [`OPTIMIZERS`].
    fn entry(&self) -> &'static OptimizerEntry;

    /// What its schema cannot check: options that do not go together.
    fn check_together(&self) -> Result<()> {
        Ok(())
    }

    /// The name in tables, where it says more than the entry's.
    fn label(&self) -> String {
        self.entry().name.to_owned()
    }

    /// μ, or what stands in its place.
    fn momentum(&self) -> f64 {
        0.0
    }

    /// α.
    fn weight_decay(&self) -> f64 {
        0.0
    }

    /// β of Eq. 15. Where it is above 0, an update gets noise.
    fn noise(&self) -> f64 {
        0.0
    }

    /// The names of what it remembers of each weight between updates, as checkpoints have them; it
    /// starts at 0.
    fn buffer_names(&self) -> &'static [&'static str];

    /// Buffers of the size of the weights that it keeps.
    fn buffers(&self) -> u64 {
        self.buffer_names().len() as u64
    }

    /// Whether an update needs nothing of the host but what [`Update`] has as tensors: then it can
    /// be recorded and replayed.
    fn is_recordable(&self) -> bool {
        false
    }

    /// The optimizer at rest. `lr` is the initial learning rate, one number or one per element of
    /// the weights `theta`.
    fn state(&self, lr: &Tensor, theta: &Tensor) -> Box<dyn OptimizerState>;

    /// One weight after an update; changes what is remembered of it, in the order of
    /// [`Optimizer::buffer_names`].
    fn formula(&self, theta: f64, gradient: f64, buffers: &mut [f64], update: &PlainUpdate) -> f64;
}

/// One update, as an optimizer of tensors sees it.
pub struct Update {
    /// Updates that were done before.
    pub done: u64,
    /// The schedule's factor of the learning rate.
    pub factor: f64,
    /// The same on the weights' device, where a recorded update reads it; then SGD takes this one.
    pub factor_there: Option<Tensor>,
    /// β √(λT) w per parameter, if there is noise.
    pub noise: Option<Tensor>,
}

/// One update of one weight.
#[derive(Clone, Copy, Debug)]
pub struct PlainUpdate {
    /// λ: the initial learning rate times the schedule's factor.
    pub lr: f64,
    /// Updates that were done before.
    pub done: u64,
    /// β √(λT) w; 0 without noise.
    pub noise: f64,
}

/// What an optimizer remembers between updates, for stacked replicas.
pub trait OptimizerState: Send {
    /// One update of the weights; `gradient` is consumed.
    fn step(&mut self, theta: &mut Tensor, gradient: Tensor, update: Update);

    /// What is remembered, by name, each ordered as the weights: what a checkpoint keeps.
    fn buffers(&self) -> Vec<(&'static str, &Tensor)>;
}

/// An optimizer as plain data: part of a run's identity.
#[derive(Clone)]
pub struct OptimizerSpec {
    optimizer: Arc<dyn Optimizer>,
    stored: Arc<Stored>,
}

/// The optimizer that a plan stores, of a struct of options.
fn stored<T: Optimizer + Serialize + DeserializeOwned>(options: Stored) -> Result<OptimizerSpec> {
    serde_json::from_value::<T>(options.into())
        .map(OptimizerSpec::new)
        .map_err(|error| Error::invalid(error.to_string()))
}

impl OptimizerEntry {
    /// The optimizer of the options that a script gave.
    pub fn of_given(&self, given: &Given) -> Result<OptimizerSpec> {
        let spec = (self.stored)(entries::of_given(given, self.options)?)?;
        spec.check().map(|()| spec)
    }
}

impl OptimizerSpec {
    /// An optimizer with these options.
    pub fn new<T: Optimizer + Serialize>(optimizer: T) -> Self {
        Self { stored: Arc::new(entries::stored(&optimizer)), optimizer: Arc::new(optimizer) }
    }

    /// The options, where it is this optimizer.
    pub fn get<T: Optimizer>(&self) -> Option<&T> {
        let optimizer: &dyn Any = &*self.optimizer;
        optimizer.downcast_ref()
    }

    /// An option that is a number.
    pub fn number(&self, option: &str) -> Option<f64> {
        self.stored.get(option)?.as_f64()
    }

    /// Checks the options.
    pub fn check(&self) -> Result<()> {
        let OptimizerEntry { name, options, .. } = self.entry();
        entries::check(name, options, &self.stored)?;
        self.check_together()
    }
}

impl Deref for OptimizerSpec {
    type Target = dyn Optimizer;

    fn deref(&self) -> &Self::Target {
        &*self.optimizer
    }
}

impl PartialEq for OptimizerSpec {
    fn eq(&self, other: &Self) -> bool {
        self.entry().name == other.entry().name && self.stored == other.stored
    }
}

impl fmt::Debug for OptimizerSpec {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        fmt::Debug::fmt(&self.optimizer, to)
    }
}

impl Serialize for OptimizerSpec {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let entry = self.entry();
        entries::write(to, entry.name, None, entry.options, &self.stored)
    }
}

impl<'de> Deserialize<'de> for OptimizerSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let (entry, stored) = entries::read(from, "optimizer", OPTIMIZERS, |entry| entry.name)?;
        (entry.stored)(stored).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_follow_the_formulas() {
        for spec in trial::optimizers() {
            let lr: Vec<f64> = (0..trial::N).map(trial::lr).collect();
            let mut theta = Tensor::from_slice(&trial::start());
            let mut state = spec.state(&Tensor::from_slice(&lr), &theta);
            for step in 0..trial::STEPS {
                let noise = trial::noise(&spec, step);
                let update = Update {
                    done: step as u64,
                    factor: trial::factor(step),
                    factor_there: None,
                    noise: (spec.noise() > 0.0).then(|| Tensor::from_slice(&noise)),
                };
                state.step(&mut theta, Tensor::from_slice(&trial::gradient(step)), update);
            }
            let (weights, buffers) = trial::expected(&spec);
            trial::assert_close(&spec, &Vec::<f64>::try_from(theta).unwrap(), &weights);
            let names: Vec<&str> = state.buffers().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, spec.buffer_names());
            for ((_, found), expected) in state.buffers().into_iter().zip(buffers) {
                trial::assert_close(&spec, &Vec::<f64>::try_from(found).unwrap(), &expected);
            }
        }
    }

    /// A schema and the struct that it is read into name the same options, with the same defaults.
    #[test]
    fn options_left_out_are_the_defaults() {
        let of = |entry: &OptimizerEntry| {
            entry.of_given(&Given::read(entry.name, entry.options, []).unwrap()).unwrap()
        };
        assert_eq!(of(&sgd::ENTRY), OptimizerSpec::new(Sgd::default()));
        assert_eq!(of(&adam::ENTRY), OptimizerSpec::new(Adam::default()));
        for entry in OPTIMIZERS {
            let fields = of(entry).stored.len();
            assert_eq!(fields, entry.options.len(), "{}", entry.name);
        }
    }

    #[test]
    fn stored_options_are_checked_as_a_scripts_are() {
        for (json, said) in [
            (
                r#"{"name":"sgd","momentum":1.0,"form":"pytorch","nesterov":false,"weight_decay":0.0,"noise":0.0}"#,
                "momentum: expected a number from 0 to below 1, found the number 1.0",
            ),
            (
                r#"{"name":"sgd","momentum":0.0,"form":"pytorch","nesterov":true,"weight_decay":0.0,"noise":0.0}"#,
                "nesterov needs a momentum above 0",
            ),
            (
                r#"{"name":"sgd","momentum":0.0,"form":"pytorch","nesterov":false,"weight_decay":-1.0,"noise":0.0}"#,
                "weight_decay: expected a number ≥ 0",
            ),
            (
                r#"{"name":"adam","beta1":0.9,"beta2":0.999,"eps":0.0,"weight_decay":0.0,"decoupled":false}"#,
                "eps: expected a number > 0",
            ),
        ] {
            let spec: OptimizerSpec = serde_json::from_str(json).unwrap();
            let error = spec.check().unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        for (json, said) in [
            (r#"{"name":"sdg"}"#, "no optimizer \"sdg\"; did you mean `sgd`?"),
            (r#"{"momentum":0.5}"#, "missing field `name`"),
            (r#"{"name":"sgd","momentum":0.5}"#, "missing field"),
            (r#"{"name":"sgd","momentum":"0.5"}"#, "invalid type"),
            (r#"["sgd"]"#, "invalid type"),
        ] {
            let error = serde_json::from_str::<OptimizerSpec>(json).unwrap_err().to_string();
            assert!(error.contains(said), "{json}: {error}");
        }
    }
}
