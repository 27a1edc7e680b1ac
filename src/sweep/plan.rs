//! A plan: the runs of a sweep, as data.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::train::cohort::cohorts;
use crate::train::engine::cores;
use crate::train::{Choice, Cost, RunSpec};

/// One run of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedRun {
    /// The run's id: a hash of its specification.
    pub id: String,
    /// How it is executed; frozen because it decides rounding.
    pub choice: Choice,
    /// Trainable parameters.
    pub parameters: i64,
    /// Images that the run trains on, all epochs together.
    pub images: u64,
    /// Expected time of one core, in seconds, on a machine as fast as the one that `stacks.csv` was measured on.
    pub core_seconds: f64,
    /// What is trained.
    pub spec: RunSpec,
}

/// The runs of a sweep, each once, in the order of the script.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The runs.
    pub runs: Vec<PlannedRun>,
}

impl Plan {
    /// Checks every run and decides how it is executed. Loads the data sets.
    pub fn new(specs: Vec<RunSpec>) -> Result<Self> {
        let mut seen = HashSet::new();
        let specs: Vec<RunSpec> = specs.into_iter().filter(|spec| seen.insert(spec.id())).collect();
        if specs.is_empty() {
            return Err(Error::invalid("a sweep of no runs: every axis needs at least one value"));
        }
        let mut datasets: HashMap<String, Dataset> = HashMap::new();
        let mut runs: Vec<Option<PlannedRun>> = vec![None; specs.len()];
        for cohort in cohorts(&specs) {
            let first = &specs[cohort[0]];
            let key = format!("{:?}", first.data);
            if !datasets.contains_key(&key) {
                datasets.insert(key.clone(), Dataset::open(&first.data)?);
            }
            let data = &datasets[&key];
            let choice = Choice::measured(first, data.shape(), specs.len(), cores())?;
            let model = first.model.build(data.shape(), data.classes())?;
            for index in cohort {
                let spec = specs[index].clone();
                spec.check(data.len(), data.shape())?;
                let cost = Cost::expected(&spec, data.shape(), choice)?;
                runs[index] = Some(PlannedRun {
                    id: spec.id(),
                    choice,
                    parameters: model.layout.parameters(),
                    images: cost.images,
                    core_seconds: cost.core_seconds,
                    spec,
                });
            }
        }
        Ok(Self { runs: runs.into_iter().flatten().collect() })
    }

    /// The sweep's id: a letter and 16 hex digits of the SHA-256 of its runs' ids.
    pub fn id(&self) -> String {
        let ids: String = self.runs.iter().map(|run| run.id.as_str()).collect();
        format!("s{}", &crate::hash::sha256(ids)[..16])
    }

    /// What distinguishes this plan from another, in a line; none where they hold the same runs.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let ids = |plan: &Self| plan.runs.iter().map(|run| run.id.clone()).collect::<HashSet<_>>();
        let (own, others) = (ids(self), ids(other));
        if own == others {
            return None;
        }
        let keys = differing_keys(&self.runs, &other.runs);
        Some(format!(
            "it has {} runs and this plan {}, {} of them the same{}",
            others.len(),
            own.len(),
            own.intersection(&others).count(),
            if keys.is_empty() { String::new() } else { format!("; they differ in {}", keys.join(", ")) }
        ))
    }
}

/// The top-level options whose sets of values differ.
fn differing_keys(own: &[PlannedRun], others: &[PlannedRun]) -> Vec<String> {
    let values = |runs: &[PlannedRun]| {
        let mut values: HashMap<String, HashSet<String>> = HashMap::new();
        for run in runs {
            if let Ok(serde_json::Value::Object(options)) = serde_json::to_value(&run.spec) {
                for (key, value) in options {
                    values.entry(key).or_default().insert(value.to_string());
                }
            }
        }
        values
    };
    let (own, others) = (values(own), values(others));
    let mut keys: Vec<String> =
        own.iter().filter(|(key, set)| others.get(*key) != Some(set)).map(|(key, _)| key.clone()).collect();
    keys.sort();
    keys
}
