//! Fault 3: a run goes on from any place between two updates, for every way to train.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kelvin::error::Result;
use kelvin::optim::{Adam, Form, OptimizerSpec, Schedule, Sgd};
use kelvin::torch::Precision;
use kelvin::train::engine::{Event, ResumeSource, Settings, Start, Task, resume};
use kelvin::train::{
    Backend, EpochRecord, ExecutionStrategy, Order, Position, RunSpec, Seeds, Snapshot, Status, TrainMetrics,
};
use tch::Device;

use super::{Dice, many};

/// Starts runs from checkpoints as bytes.
struct From(Vec<Option<(String, Vec<u8>)>>);

impl ResumeSource for From {
    fn start(&self, run: usize, _device: Device) -> Result<Start> {
        match &self.0[run] {
            Some((id, bytes)) => Ok(Start::From(Box::new(Snapshot::decode(bytes, id)?))),
            None => Ok(Start::Fresh),
        }
    }
}

/// What became of a run.
#[derive(Default)]
struct Trained {
    /// Bits of every epoch's metrics, without the time.
    records: Vec<(u32, [u64; 8])>,
    digest: String,
    checkpoints: BTreeMap<Position, Vec<u8>>,
}

impl Trained {
    /// What is left after a position.
    fn after(&self, position: Position) -> (&[(u32, [u64; 8])], &str) {
        (&self.records[position.epoch as usize..], &self.digest)
    }
}

fn bits(record: &EpochRecord) -> (u32, [u64; 8]) {
    let EpochRecord { train, test, .. } = record;
    let scores = [train.loss, train.accuracy, train.loss_std, test.loss, test.accuracy, test.loss_std];
    let bits = scores.map(f64::to_bits);
    let [a, b, c, d, e, f] = bits;
    (record.epoch, [record.steps, record.lr_now.to_bits(), a, b, c, d, e, f])
}

/// A run, and the checkpoint that it starts from.
type Begun<'a> = (&'a RunSpec, Option<(Position, &'a [u8])>);

/// Trains runs in stacks of this size, from these checkpoints of theirs; `every` update writes one,
/// or none does.
fn train(runs: &[Begun], strategy: ExecutionStrategy, every: bool) -> Vec<Trained> {
    let task = |(spec, start): &Begun| Task {
        position: start.map(|(position, _)| position).unwrap_or_default(),
        ..Task::new((*spec).clone(), strategy)
    };
    let from = |(spec, start): &Begun| start.map(|(_, bytes)| (spec.id(), bytes.to_vec()));
    let settings = Settings {
        workers: 1,
        checkpoint_every: every.then_some(Duration::from_nanos(1)),
        ..Settings::on(Device::Cpu)
    };
    let mut trained: Vec<Trained> = runs.iter().map(|_| Trained::default()).collect();
    let starts = Arc::new(From(runs.iter().map(from).collect()));
    resume(runs.iter().map(task).collect(), starts, settings, &mut |event| {
        match event {
            Event::Epoch { run, record } => trained[run].records.push(bits(&record)),
            Event::Checkpoint { runs: snapshots } => {
                for (run, snapshot) in snapshots {
                    let bytes = snapshot.encode(&runs[run].0.id())?;
                    trained[run].checkpoints.insert(snapshot.position, bytes);
                }
            }
            Event::Ended { run, outcome } => {
                assert_eq!((outcome.status, outcome.error), (Status::Done, None));
                trained[run].digest = outcome.digest.unwrap();
            }
            _ => {}
        }
        Ok(())
    })
    .unwrap();
    trained
}

/// Every form of SGD, with and without weight decay and noise; both schedules, the three orders,
/// both kinds of training metrics; float32 everywhere, the other precisions once each.
fn ways() -> Vec<RunSpec> {
    let forms = [
        (0.0, Form::Pytorch, false),
        (0.9, Form::Pytorch, false),
        (0.9, Form::Pytorch, true),
        (0.9, Form::Sutskever, false),
        (0.9, Form::Sutskever, true),
    ];
    let mut ways = Vec::new();
    for (momentum, form, nesterov) in forms {
        for (weight_decay, noise) in [(0.0, 0.0), (5e-4, 0.0), (5e-4, 0.3)] {
            for schedule in [Schedule::CONSTANT, Schedule::COSINE] {
                for (_, order) in Order::ALL {
                    for (_, train_metrics) in TrainMetrics::ALL {
                        let sgd = Sgd { momentum, form, nesterov, weight_decay, noise };
                        let optimizer = OptimizerSpec::new(sgd);
                        let way = RunSpec { optimizer, schedule, order, train_metrics, ..super::spec(20, 1) };
                        ways.push(way);
                    }
                }
            }
        }
    }
    for (decoupled, schedule) in [(false, Schedule::CONSTANT), (true, Schedule::COSINE)] {
        let optimizer = OptimizerSpec::new(Adam { decoupled, ..Adam::default() });
        ways.push(RunSpec { optimizer, schedule, ..super::spec(20, 1) });
    }
    for precision in [Precision::Bf16, Precision::Float64] {
        ways.push(RunSpec { precision, ..super::spec(20, 1) });
    }
    ways
}

#[test]
fn a_run_goes_on_from_every_update_of_every_way_to_train() {
    let ways = ways();
    let few = many(10, ways.len());
    let mut dice = Dice::new();
    let (mut tried, mut resumed) = (0, 0);
    for (index, way) in ways.iter().enumerate() {
        // A sample with each value of each option; Adam and the precisions always.
        if index % ways.len().div_ceil(few) != 0 && index < ways.len() - 4 {
            continue;
        }
        tried += 1;
        let runs: Vec<RunSpec> = (1..=3)
            .map(|seed| RunSpec { lr: 0.01 * seed as f64, seeds: Seeds::all(seed), ..way.clone() })
            .collect();
        let steps = way.steps_per_epoch();
        let lanes = [1, 2].map(|images| ExecutionStrategy::lanes(way.precision, images));
        for strategy in
            [ExecutionStrategy::torch(1, 1), ExecutionStrategy::torch(3, 1)].into_iter().chain(lanes)
        {
            // Stacks of float64 depend on their size; no plan has any.
            let large = strategy.backend == Backend::Torch && strategy.stack > 1;
            if large && way.precision == Precision::Float64 {
                continue;
            }
            let fresh: Vec<_> = runs.iter().map(|spec| (spec, None)).collect();
            let undisturbed = train(&fresh, strategy, false);
            let saved = train(&fresh, strategy, true);
            for (a, b) in undisturbed.iter().zip(&saved) {
                assert!(
                    a.after(Position::default()) == b.after(Position::default()),
                    "{way:?}, {strategy:?}"
                );
                // One between each two updates.
                assert_eq!(b.checkpoints.len() as u64, u64::from(way.epochs) * steps - 1);
            }
            for &position in saved[0].checkpoints.keys() {
                let start = |run: usize, at: Position| {
                    let bytes = saved[run].checkpoints[&at].as_slice();
                    (&runs[run], Some((at, bytes)))
                };
                let other = *saved[0].checkpoints.keys().nth(dice.below(saved[0].checkpoints.len())).unwrap();
                // The same together; one alone; from different places, with one from its beginning.
                let together = [(0, position), (1, position), (2, position)];
                let alone = [(1, position)];
                let mixed = [(2, position), (0, other), (1, position)];
                for (place, group) in [&together[..], &alone[..], &mixed[..]].into_iter().enumerate() {
                    if many(0, 1) == 0 && position.step > 0 && dice.below(3) != place {
                        continue;
                    }
                    let starts: Vec<_> = group.iter().map(|&(run, at)| start(run, at)).collect();
                    for (found, &(run, at)) in train(&starts, strategy, false).iter().zip(group) {
                        assert!(
                            (&found.records[..], found.digest.as_str()) == undisturbed[run].after(at),
                            "run {run} from {at} of {group:?} {strategy:?}: {way:?}"
                        );
                        resumed += 1;
                    }
                }
            }
        }
    }
    println!("{tried} ways to train of {}; {resumed} runs went on", ways.len());
}
