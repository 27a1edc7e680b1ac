//! Measures along a trajectory: gradients ([`gradients`]), their noise, curvature ([`curvature`],
//! [`spectrum`]).
//!
//! Everything is of the function that SGD descends, and in float64. With batch norm that is not the
//! loss of the trained network in evaluation mode: an update normalises by its own batch, so U_ℓ
//! here is the mean over batches of B examples of the batch's loss *in training mode*, ∂U_ℓ the
//! mean of their gradients, and D = B · Cov(g_B). Without batch norm these are the paper's U_ℓ and
//! D (Eq. 17). The stationarity relations (Eqs. 33 to 37) hold for the process that runs, so they
//! need these.
//!
//! - Batches are disjoint parts of a permutation. Of two of them ½|g − g′|² has the mean Tr D / B ·
//!   n / (n − 1), and g·g′ has |∂U_ℓ|² − Tr D / (n − 1). Where a training set has no two batches,
//!   they are independent: ½|g − g′|² has the mean Tr D / B · (n − B) / (n − 1), and a batch that
//!   is the whole set says nothing of D.
//! - H v is a central difference of gradients along v in float64, so small that rounding (1e-6) is
//!   its error.
//! - Tr(HD) = B ⟨½(g − g′)′ H (g − g′)⟩ with H of a third batch; Tr H is Hutchinson's mean of z′Hz
//!   (1990); the largest eigenvalues are Lanczos', of the Hessian of a few fixed batches.

mod curvature;
mod gradients;
mod hessian;
mod pairs;
mod replicas;
mod spectrum;

use tch::Kind;

use self::replicas::Instrument;
pub(super) use self::replicas::Subject;
use super::batches::Examples;
use super::lanes;
use super::quantities::{Group, Measured};
use super::spec::{Order, RunSpec, Seeds, TrainMetrics};
use super::strategy::{Backend, Execution, ExecutionStrategy};
use crate::data::{Augmentation, Dataset, ImageStore, Sampling};
use crate::error::{Error, Result};
use crate::model::{Model, Network};
use crate::optim::{OptimizerSpec, Schedule, Sgd};
use crate::torch::Precision;

impl Execution {
    /// That of the float64 twins of a stack's replicas.
    fn twins(self) -> Self {
        let strategy = match self.strategy.backend_on(self.device) {
            Backend::Lanes => {
                let most = ExecutionStrategy::lanes(Precision::Float64, 1).stack;
                ExecutionStrategy::lanes(Precision::Float64, self.strategy.images.min(most))
            }
            Backend::Torch => ExecutionStrategy::torch(1, 1),
        };
        Self { strategy, ..self }
    }
}

/// Measures networks of one shape; `epoch` keys the random batches. `poll` is called between
/// gradients, and its error ends the measurement.
pub(super) fn measure(
    subjects: Vec<Subject>,
    groups: &[Group],
    model: &Model,
    store: &ImageStore,
    execution: Execution,
    epoch: u64,
    poll: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Measured>> {
    let twins = execution.twins();
    let together = twins.strategy.largest(Precision::Float64, twins.device);
    let mut all = Vec::with_capacity(subjects.len());
    let mut subjects = subjects.into_iter().peekable();
    while subjects.peek().is_some() {
        let part: Vec<Subject> = subjects.by_ref().take(together).collect();
        let mut instrument = Instrument::new(part, model, store, twins, epoch, poll)?;
        let mut found = vec![Measured::default(); instrument.replicas()];
        for group in groups {
            match group {
                Group::Gradient => instrument.gradients(&mut found)?,
                Group::Hessian => instrument.curvature(&mut found)?,
                Group::Spectrum => instrument.spectrum(&mut found)?,
            }
        }
        all.extend(found);
    }
    Ok(all)
}

/// Measures a network on a training and a test set, with batches of `batch` examples; `alpha` is
/// the weight decay.
pub fn measure_network(
    network: &Network,
    [train, test]: [&Dataset; 2],
    batch: usize,
    alpha: f64,
    groups: &[Group],
    seed: i64,
) -> Result<Measured> {
    let model = network.model();
    for data in [train, test] {
        if data.shape() != model.shape
            || data.classes() > model.classes
            || data.spec().source != train.spec().source
        {
            return Err(Error::invalid(format!(
                "measure: the network is for {:?} images (channels, height, width) of {} classes; expected training and test set of one \
                 data set like that, found {:?} of {}",
                model.shape,
                model.classes,
                data.shape(),
                data.classes()
            )));
        }
    }
    let spec = RunSpec {
        data: train.spec().clone(),
        sampling: Sampling::Fixed,
        train: train.len(),
        test: test.len(),
        augment: false,
        model: model.spec.clone(),
        init: None,
        optimizer: OptimizerSpec::new(Sgd { weight_decay: alpha, ..Sgd::default() }),
        schedule: Schedule::CONSTANT,
        lr: 1.0,
        batch,
        order: Order::Replacement,
        epochs: 1,
        seeds: Seeds::all(seed),
        precision: Precision::Float64,
        evaluate_every: 1,
        train_metrics: TrainMetrics::Evaluate,
        measure: None,
    };
    let smallest = model.net.smallest_batch();
    if batch < smallest.max(1) || batch > train.len() {
        return Err(Error::invalid(format!(
            "batch is {batch}, expected {} to {}, the training examples",
            smallest.max(1),
            train.len()
        )));
    }
    let device = network.weights().flat().device();
    let store = ImageStore::new(train.images(), Augmentation::None, device, Kind::Double);
    let [own, other] = [train, test].map(Examples::of);
    let subject = Subject { spec: &spec, train: &own, test: &other, state: network.weights().state(0) };
    let execution = Execution { strategy: ExecutionStrategy::torch(1, 1), device };
    let found = measure(vec![subject], groups, model, &store, execution, 0, &mut crate::interrupt::check)?;
    found.into_iter().next().ok_or_else(|| Error::invalid("nothing was measured"))
}

/// Bytes that measuring needs besides training: float64 replicas, and vectors of all parameters.
pub(super) fn bytes(spec: &RunSpec, model: &Model, execution: Execution, replicas: usize) -> Result<u64> {
    let Some(measure) = &spec.measure else { return Ok(0) };
    let vectors = if measure.groups.contains(&Group::Spectrum) { 16 } else { 12 };
    let twin = RunSpec { precision: Precision::Float64, ..spec.clone() };
    let parameters = model.layout.parameters() as u64;
    let twins = execution.twins().strategy;
    if twins.backend == Backend::Lanes {
        let together = replicas.min(twins.stack);
        let training = lanes::bytes(&twin, model, together, twins)?;
        return Ok(training + 8 * vectors * parameters * together as u64);
    }
    Ok(8 * (vectors + 4) * parameters + 8 * spec.batch as u64 * model.net.activations())
}
