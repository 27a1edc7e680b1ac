//! A plan: the runs of a sweep, as data.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::fields::flat;
use crate::data::{Dataset, MOST_EXAMPLES, Sampling};
use crate::error::{Error, Result};
use crate::interrupt;
use crate::model::MOST_PARAMETERS;
use crate::train::cohort::cohorts;
use crate::train::engine::cores;
use crate::train::{ExecutionStrategy, RunSpec};

/// One run of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedRun {
    /// The run's id: a hash of its specification.
    pub id: String,
    /// How it is executed; frozen because it decides rounding.
    #[serde(rename = "choice")]
    pub strategy: ExecutionStrategy,
    /// Trainable parameters.
    pub parameters: i64,
    /// Examples of the data set that training and test set are drawn from; plans of earlier
    /// versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<usize>,
    /// What is trained.
    pub spec: RunSpec,
}

/// The runs of a sweep, each once, in the order of the script.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The runs.
    pub runs: Vec<PlannedRun>,
}

impl PlannedRun {
    /// Checks what a file says of a run, as far as that can be done without its data: every value
    /// as if a script had given it, and the id, which names files.
    pub(super) fn check(&self) -> Result<()> {
        self.spec.check_values()?;
        self.strategy.check(&self.spec)?;
        if !(1..=MOST_PARAMETERS).contains(&self.parameters) {
            let found = self.parameters;
            return Err(Error::invalid(format!("parameters is {found}, expected 1 to {MOST_PARAMETERS}")));
        }
        if let Some(examples) = self.examples {
            let RunSpec { sampling, train, test, .. } = self.spec;
            sampling.check(examples, train, test)?;
            if examples > MOST_EXAMPLES {
                return Err(Error::invalid(format!(
                    "examples is {examples}, expected at most {MOST_EXAMPLES}"
                )));
            }
        }
        match self.spec.id() {
            id if id == self.id => Ok(()),
            id => Err(Error::invalid(format!("its id is not {id}, which its specification gives"))),
        }
    }

    /// How many test examples are also in the training set; none where the plan does not say what
    /// they are drawn from.
    pub fn overlap(&self) -> Option<i64> {
        let RunSpec { sampling, train, test, seeds, .. } = &self.spec;
        // Without a draw, it does not matter from how many.
        let examples =
            self.examples.or_else(|| (*sampling != Sampling::Random).then(|| train.saturating_add(*test)))?;
        sampling.overlap(examples, *train, *test, seeds.split).ok().map(|overlap| overlap as i64)
    }
}

impl Plan {
    /// Checks every run and decides how it is executed. Loads the data sets.
    pub fn new(specs: Vec<RunSpec>) -> Result<Self> {
        let mut seen = HashSet::new();
        let mut own = Vec::with_capacity(specs.len());
        for (index, spec) in specs.into_iter().enumerate() {
            interrupt::check_at(index)?;
            let id = spec.id();
            if seen.insert(id.clone()) {
                own.push((id, spec));
            }
        }
        let (ids, specs): (Vec<String>, Vec<RunSpec>) = own.into_iter().unzip();
        if specs.is_empty() {
            return Err(Error::invalid("a sweep of no runs: every axis needs at least one value"));
        }
        let mut datasets: HashMap<String, Dataset> = HashMap::new();
        let mut runs: Vec<Option<PlannedRun>> = vec![None; specs.len()];
        for cohort in cohorts(&specs)? {
            interrupt::check()?;
            let first = &specs[cohort[0]];
            let key = format!("{:?}", first.data);
            if !datasets.contains_key(&key) {
                datasets.insert(key.clone(), Dataset::open(&first.data)?);
            }
            let data = &datasets[&key];
            let strategy =
                ExecutionStrategy::measured(first, data.shape(), cohort.len(), specs.len(), cores())?;
            let model = first.model.build(data.shape(), data.classes())?;
            for index in cohort {
                interrupt::check_at(index)?;
                let (mut id, mut spec) = (ids[index].clone(), specs[index].clone());
                if spec.data.digest.is_none() && spec.data.source.path_mut().is_some() {
                    // A frozen plan says where files lie from the root on, and the id must not
                    // depend on it.
                    spec.data.digest.clone_from(&data.spec().digest);
                    id = spec.id();
                }
                spec.check(data.len(), data.shape())?;
                let (parameters, examples) = (model.layout.parameters(), Some(data.len()));
                runs[index] = Some(PlannedRun { id, strategy, parameters, examples, spec });
            }
        }
        Ok(Self { runs: runs.into_iter().flatten().collect() })
    }

    /// The sweep's id: a letter and 16 hex digits of the SHA-256 of its runs' ids.
    pub fn id(&self) -> String {
        sweep_id(&self.runs)
    }

    /// The runs that only this plan has, and those that only the other has.
    pub fn difference<'a>(&'a self, other: &'a Self) -> (Vec<&'a PlannedRun>, Vec<&'a PlannedRun>) {
        let ids = |plan: &'a Self| plan.runs.iter().map(|run| run.id.as_str()).collect::<HashSet<_>>();
        let only = |plan: &'a Self, others: HashSet<&str>| {
            plan.runs.iter().filter(|run| !others.contains(run.id.as_str())).collect()
        };
        (only(self, ids(other)), only(other, ids(self)))
    }

    /// The options that vary over the runs, with their values: numbers by size, then text.
    pub fn axes(&self) -> Vec<(String, Vec<String>)> {
        let varying = values(self).into_iter().filter(|(_, values)| values.len() > 1);
        varying
            .map(|(key, values)| {
                let mut values: Vec<String> =
                    values.into_iter().map(|value| value.trim_matches('"').to_owned()).collect();
                values.sort_by(|a, b| match (a.parse::<f64>(), b.parse::<f64>()) {
                    (Ok(a), Ok(b)) => a.total_cmp(&b),
                    _ => a.cmp(b),
                });
                (key, values)
            })
            .collect()
    }

    /// The options whose values differ from another plan's, with these values.
    pub fn differing_options(&self, other: &Self) -> Vec<String> {
        let (own, others) = (values(self), values(other));
        let empty = BTreeSet::new();
        let keys: BTreeSet<&String> = own.keys().chain(others.keys()).collect();
        let list = |values: Vec<&String>| {
            let shown: Vec<&str> = values.iter().take(4).map(|value| value.as_str()).collect();
            format!("{}{}", shown.join(", "), if values.len() > 4 { ", …" } else { "" })
        };
        let differs: Vec<String> = keys
            .into_iter()
            .filter_map(|key| {
                let (own, others) = (own.get(key).unwrap_or(&empty), others.get(key).unwrap_or(&empty));
                let new: Vec<&String> = own.difference(others).collect();
                let missing: Vec<&String> = others.difference(own).collect();
                match (new.is_empty(), missing.is_empty()) {
                    (true, true) => None,
                    (false, true) => Some(format!("{key}: {} is new", list(new))),
                    (true, false) => Some(format!("{key}: {} is missing", list(missing))),
                    (false, false) => Some(format!("{key}: {} instead of {}", list(new), list(missing))),
                }
            })
            .collect();
        if differs.is_empty() { vec!["the same values in other combinations".to_owned()] } else { differs }
    }
}

/// The id of a sweep of these runs.
pub(super) fn sweep_id(runs: &[PlannedRun]) -> String {
    let ids: String = runs.iter().map(|run| run.id.as_str()).collect();
    format!("s{}", &crate::hash::sha256(ids)[..16])
}

/// The values of every option over a plan's runs.
fn values(plan: &Plan) -> BTreeMap<String, BTreeSet<String>> {
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for run in &plan.runs {
        let mut options = flat(&run.spec).unwrap_or_default();
        if let Some(seed) = run.spec.seeds.common() {
            // As it was written.
            options.retain(|key, _| !key.starts_with("seeds."));
            options.insert("seed".to_owned(), seed.to_string());
        }
        for (key, value) in options {
            // Where a file lies is not what a run is.
            if !key.ends_with(".path") {
                values.entry(key).or_default().insert(value);
            }
        }
    }
    values
}
