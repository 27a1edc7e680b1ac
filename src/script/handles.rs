//! What scripts hold besides data sets and tables: models, networks, optimizers.

use std::cell::RefCell;
use std::rc::Rc;

use rhai::Map;

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::model::{ModelSpec, Network, USUAL_CLASSES};
use crate::optim::OptimizerSpec;
use crate::sweep::{Job, Progress, Summary};
use crate::table::Table;
use crate::train::{RunSpec, Status};

/// A model with the sizes that a script gave it; the data set gives the others.
#[derive(Clone)]
pub struct ModelHandle {
    pub(crate) spec: ModelSpec,
    pub(crate) channels: Option<usize>,
    pub(crate) classes: Option<usize>,
}

impl ModelHandle {
    /// Whether the sizes agree with a data set.
    pub(crate) fn check(&self, data: &Dataset) -> Result<()> {
        let name = self.spec.info().name;
        let agree = |what: &str, own: Option<usize>, found: usize| match own {
            Some(own) if own != found => Err(Error::invalid(format!(
                "{name}(#{{{what}: {own}}}): the data set has {found}; leave `{what}` out and it is taken from the data set"
            ))),
            _ => Ok(()),
        };
        agree("channels", self.channels, data.shape()[0])?;
        agree("classes", self.classes, data.classes())
    }

    /// Trainable parameters; defaults of 3 channels and 10 classes, as for CIFAR-10.
    pub(crate) fn parameters(&self) -> Result<i64> {
        match self.usual_sizes() {
            Some((shape, classes)) => Ok(self.spec.build(shape, classes)?.layout.parameters()),
            None => Err(Error::invalid(format!(
                "{}: its parameters depend on the data set; ask model.init(#{{data}}).parameters",
                self.spec.info().name
            ))),
        }
    }

    /// The images (channels, height, width) and classes that it is for where there is no data set;
    /// none where those of a data set are needed.
    pub(crate) fn usual_sizes(&self) -> Option<([usize; 3], usize)> {
        let [channels, height, width] = self.spec.info().usual_images?;
        let shape = [self.channels.unwrap_or(channels), height, width];
        Some((shape, self.classes.unwrap_or(USUAL_CLASSES)))
    }
}

/// An optimizer.
#[derive(Clone)]
pub struct OptimizerHandle(pub(crate) OptimizerSpec);

/// A sweep that runs in the background.
#[derive(Clone)]
pub struct JobHandle {
    /// Its number in this session, from 1.
    pub(crate) number: i64,
    pub(crate) job: Rc<Job>,
    /// Holds the data sets in memory until the sweep has run.
    pub(crate) _options: Rc<Vec<Map>>,
}

/// A network; copies share the weights.
pub type NetworkHandle = Rc<RefCell<Network>>;

/// A run that was trained in memory.
#[derive(Clone)]
pub struct TrainedRun {
    pub(in crate::script) epochs: Table,
    /// None where the run was left without numbers.
    pub(in crate::script) network: Option<NetworkHandle>,
    pub(in crate::script) spec: RunSpec,
    pub(in crate::script) status: Status,
}

impl JobHandle {
    /// What went wrong with the job, once it is over.
    pub(super) fn problem(&self, progress: &Progress) -> Option<String> {
        let dir = self.job.dir().display().to_string();
        match (&progress.error, &progress.summary) {
            (Some(error), _) => Some(format!("job {} ({dir}): {error}", self.number)),
            (None, Some(summary)) => problems(summary, &dir),
            (None, None) => None,
        }
    }
}

/// What is said of runs that did not end as done.
pub(super) fn problems(summary: &Summary, dir: &str) -> Option<String> {
    let bad = summary.diverged + summary.failed;
    (bad > 0).then(|| {
        let mut text = format!(
            "{dir}: {} of {} runs done, {} diverged, {} failed; the reasons are in {dir}/runs.parquet (columns status and error)",
            summary.done, summary.runs, summary.diverged, summary.failed
        );
        if summary.failed > 0 {
            text += "; run(dir, #{retry: \"failed\"}) tries the failed ones again";
        }
        text
    })
}
