//! Every column, in the order of the tables. New ones come at the end of [`LATER`], so that the
//! others keep their places.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use super::column::ColumnValue::{Analysed, Bool, Float, Int, Quantity, Text, Time};
use super::column::Role::{Identity, Measure, Metric, Parameter, Progress, Seed, Setting, Status};
use super::column::{Column, OVERLAP};
use super::options::untold;
use crate::data::{DataOp, DataSpec};
use crate::sweep::provenance::Provenance;
use crate::train::{QUANTITIES, RunSpec};

/// What the plan says of a run.
pub(super) static PARAMETERS: &[Column] = &[
    Column::new(
        "run_id",
        Identity,
        Text(|row| Some(row.run.id.clone())),
        "the run, by its specification's hash",
    ),
    Column::new("sweep", Identity, Text(|row| Some(row.sweep.to_owned())), "the sweep, by its runs' hash"),
    Column::new(
        "data",
        Parameter,
        Text(|row| Some(data_name(&row.spec().data))),
        "the data set and what was done to it: digits.label_noise(0.2, 1)",
    )
    .tells(&[
        "data.source.name",
        "data.operations.*.take.n",
        "data.operations.*.subset.n",
        "data.operations.*.subset.seed",
        "data.operations.*.label_noise.p",
        "data.operations.*.label_noise.seed",
        "data.operations.*.part.sampling",
        "data.operations.*.part.train",
        "data.operations.*.part.test",
        "data.operations.*.part.seed",
        "data.operations.*.part.is_test",
    ]),
    Column::new(
        "sampling",
        Parameter,
        Text(|row| Some(row.spec().sampling.name().to_owned())),
        "how training and test set are drawn: split, random or fixed",
    )
    .tells(&["sampling"]),
    Column::new("train_size", Parameter, Int(|row| Some(row.spec().train as i64)), "training examples")
        .tells(&["train"]),
    Column::new("test_size", Parameter, Int(|row| Some(row.spec().test as i64)), "test examples")
        .tells(&["test"]),
    Column::new(
        "augment",
        Parameter,
        Bool(|row| Some(row.spec().augment)),
        "whether images are cropped and flipped",
    )
    .tells(&["augment"]),
    Column::new("model", Parameter, Text(|row| Some(row.spec().model.info().name.to_owned())), "the network")
        .tells(&["model.name"]),
    Column::new(
        "width",
        Parameter,
        Int(|row| Some(row.spec().model.width())),
        "a resnet's filters in the first stage, the units of an mlp's widest layer; 0 for others",
    )
    .tells(&["model.width"]),
    Column::new("parameters", Parameter, Int(|row| Some(row.run.parameters)), "trainable parameters"),
    Column::new(
        "optimizer",
        Parameter,
        Text(|row| Some(row.spec().optimizer.label())),
        "the optimizer and its form: sgd_momentum, sgd_sutskever_nesterov, adamw",
    )
    .tells(&["optimizer.name", "optimizer.nesterov", "optimizer.decoupled"]),
    Column::new(
        "momentum",
        Parameter,
        Float(|row| Some(row.spec().optimizer.momentum())),
        "μ of SGD, β₁ of Adam",
    )
    .tells(&["optimizer.momentum", "optimizer.beta1"]),
    Column::new(
        "weight_decay",
        Parameter,
        Float(|row| Some(row.spec().optimizer.weight_decay())),
        "α of Eq. 15",
    )
    .tells(&["optimizer.weight_decay"]),
    Column::new("noise", Parameter, Float(|row| Some(row.spec().optimizer.noise())), "β of Eq. 15")
        .tells(&["optimizer.noise"]),
    Column::new(
        "schedule",
        Parameter,
        Text(|row| Some(row.spec().schedule.name().to_owned())),
        "how the learning rate changes: constant or cosine",
    )
    .tells(&["schedule"]),
    Column::new(
        "order",
        Parameter,
        Text(|row| Some(row.spec().order.name().to_owned())),
        "the order of the examples: shuffled, sequential or replacement",
    )
    .tells(&["order"]),
    Column::new(
        "precision",
        Parameter,
        Text(|row| Some(row.spec().precision.name().to_owned())),
        "the number format: float32, tf32, bf16 or float64",
    )
    .tells(&["precision"]),
    Column::new("lr", Setting, Float(|row| Some(row.spec().lr)), "λ, the initial learning rate")
        .label("learning rate λ")
        .tells(&["lr"]),
    Column::new("batch", Setting, Int(|row| Some(row.spec().batch as i64)), "B, the examples of an update")
        .label("batch size B")
        .tells(&["batch"]),
    Column::new(
        "temperature",
        Setting,
        Float(|row| Some(row.spec().temperature())),
        "T = λ/B with the initial λ; decimals are divided, so that equal temperatures are one number \
         (files of earlier versions hold the quotient of the doubles; results reads them as this)",
    )
    .label("temperature T = λ/B"),
    Column::new(
        "seed",
        Identity,
        Int(|row| row.spec().seeds.common()),
        "the one seed of all streams; null where they differ",
    ),
    Column::new(
        "seed_split",
        Seed,
        Int(|row| Some(row.spec().seeds.split)),
        "the seed that decides which examples train and which test",
    )
    .tells(&["seeds.split"]),
    Column::new("seed_init", Seed, Int(|row| Some(row.spec().seeds.init)), "the seed of the initial weights")
        .tells(&["seeds.init"]),
    Column::new(
        "seed_order",
        Seed,
        Int(|row| Some(row.spec().seeds.order)),
        "the seed of the examples' order",
    )
    .tells(&["seeds.order"]),
    Column::new("epochs", Setting, Int(|row| Some(i64::from(row.spec().epochs))), "epochs of the whole run")
        .tells(&["epochs"]),
];

/// What every epoch has.
pub(super) static METRICS: &[Column] = &[
    Column::new("epoch", Progress, Int(|row| Some(i64::from(row.record?.epoch))), "this row's epoch, from 1"),
    Column::new("steps", Progress, Int(|row| Some(row.record?.steps as i64)), "updates so far"),
    Column::new(
        "lr_now",
        Progress,
        Float(|row| Some(row.record?.lr_now)),
        "the learning rate of the epoch's last update",
    ),
    Column::new(
        "train_loss",
        Metric,
        Float(|row| Some(row.record?.train.loss)),
        "mean cross entropy of the training examples",
    )
    .unit("nats"),
    Column::new(
        "train_accuracy",
        Metric,
        Float(|row| Some(row.record?.train.accuracy)),
        "the fraction of training examples that are classified correctly",
    ),
    Column::new(
        "test_loss",
        Metric,
        Float(|row| Some(row.record?.test.loss)),
        "mean cross entropy of the test examples",
    )
    .unit("nats"),
    Column::new(
        "test_accuracy",
        Metric,
        Float(|row| Some(row.record?.test.accuracy)),
        "the fraction of test examples that are classified correctly",
    ),
    Column::new(
        "gap",
        Metric,
        Float(|row| row.record.map(|record| record.test.loss - record.train.loss)),
        "test_loss − train_loss",
    )
    .unit("nats")
    .label("generalisation gap (test − train loss)"),
    Column::new(
        "accuracy_gap",
        Metric,
        Float(|row| row.record.map(|record| record.train.accuracy - record.test.accuracy)),
        "train_accuracy − test_accuracy",
    )
    .label("accuracy gap (train − test)"),
    Column::new(
        "train_loss_std",
        Metric,
        Float(|row| Some(row.record?.train.loss_std)),
        "population standard deviation of the loss over the training examples",
    )
    .unit("nats")
    .label("standard deviation of the train loss"),
    Column::new(
        "test_loss_std",
        Metric,
        Float(|row| Some(row.record?.test.loss_std)),
        "population standard deviation of the loss over the test examples",
    )
    .unit("nats")
    .label("standard deviation of the test loss"),
    Column::new(
        "seconds",
        Progress,
        Float(|row| Some(row.record?.seconds)),
        "time of this epoch's training and evaluation, shared out over the runs of its stack",
    )
    .unit("s"),
];

/// What was added before version 0.2.0.
pub(super) static ADDED: &[Column] = &[
    Column::new(
        "label_noise",
        Parameter,
        Float(|row| Some(row.spec().data.label_noise())),
        "the share of labels that label noise changes: its probability p",
    ),
    Column::new(OVERLAP, Status, Int(|row| row.run.overlap()), "test examples that are also trained on"),
    Column::new(
        "hidden",
        Parameter,
        Text(|row| {
            let hidden = row.spec().model.hidden()?;
            Some(hidden.iter().map(i64::to_string).collect::<Vec<_>>().join(", "))
        }),
        "an mlp's layers, \"64, 16\"; null for others",
    )
    .tells(&["model.hidden"]),
    Column::new(
        "beta2",
        Parameter,
        Float(|row| row.spec().optimizer.number("beta2")),
        "β₂ of Adam; null with SGD",
    )
    .tells(&["optimizer.beta2"]),
    Column::new(
        "eps",
        Parameter,
        Float(|row| row.spec().optimizer.number("eps")),
        "ε of Adam; null with SGD",
    )
    .tells(&["optimizer.eps"]),
    Column::new(
        "train_metrics",
        Parameter,
        Text(|row| Some(row.spec().train_metrics.name().to_owned())),
        "evaluate: the train loss is of all examples after the epoch; running: of the batches as they \
         were trained on",
    )
    .tells(&["train_metrics"]),
];

/// What a run measures besides, where it does.
pub(super) static MEASURED: [Column; QUANTITIES.len()] = {
    let (name, _, doc) = QUANTITIES[0];
    let mut columns = [Column::new(name, Measure, Quantity, doc); QUANTITIES.len()];
    let mut place = 1;
    while place < QUANTITIES.len() {
        let (name, _, doc) = QUANTITIES[place];
        columns[place] = Column::new(name, Measure, Quantity, doc);
        place += 1;
    }
    columns
};

/// What later versions added.
pub(super) static LATER: &[Column] = &[
    Column::new(
        "seed_augment",
        Seed,
        Int(|row| Some(row.spec().seeds.augment)),
        "the seed of crops and flips",
    )
    .tells(&["seeds.augment"])
    .since("0.2.0"),
    Column::new("seed_noise", Seed, Int(|row| Some(row.spec().seeds.noise)), "the seed of the noise β")
        .tells(&["seeds.noise"])
        .since("0.2.0"),
    Column::new(
        "evaluate_every",
        Parameter,
        Int(|row| Some(i64::from(row.spec().evaluate_every))),
        "epochs from one row to the next",
    )
    .tells(&["evaluate_every"])
    .since("0.2.0"),
    Column::new(
        "data_options",
        Parameter,
        Text(|row| Some(data_options(row.spec()))),
        "the options of the data set that no other column tells: the hash of its images, those of \
         synthetic",
    )
    .since("0.2.0"),
    Column::new(
        "options",
        Parameter,
        Text(|row| Some(other_options(row.spec()))),
        "the other options that no column tells: init (the file's hash) and measure; empty without any",
    )
    .since("0.2.0"),
];

/// What the steady state of a run has besides the columns of its epochs.
pub(super) static STEADY: &[Column] = &[
    Column::new("epochs_used", Status, Analysed, "how many epochs the metrics are taken over"),
    Column::new("spiked", Status, Analysed, "whether the run's end was moved back before a spike"),
    Column::new(
        "converged",
        Status,
        Analysed,
        "no loss and no accuracy drifts by more than 5 % (`tolerance`), or noise explains it: a large \
         drift of a loss that jumps is no sign that it still moves (p ≥ 0.01, `level`)",
    ),
    Column::new(
        "drift",
        Status,
        Analysed,
        "the change of the train or the test loss over these epochs, by a robust line and relative to \
         its median; the larger of the two, −0.1 is a fall by 10 %",
    ),
    Column::new("epochs_cut", Status, Analysed, "by how many epochs the run's end was moved back"),
];

/// What the table of a plan has besides parameters.
pub(super) static PLAN: &[Column] = &[
    Column::new(
        "images",
        Status,
        Int(|row| Some(row.spec().images() as i64)),
        "images trained on in the whole run",
    ),
    Column::new(
        "core_seconds",
        Status,
        Float(|row| match (row.preview?.cost, row.left()?) {
            (Some(cost), left) => Some(cost.core_seconds * left),
            (None, left) => (left == 0.0).then_some(0.0),
        }),
        "time of one core, or GPU, for what is left of it",
    )
    .unit("s"),
    Column::new("memory", Status, Int(|row| Some(row.preview?.cost?.memory as i64)), "memory of its stack")
        .unit("bytes"),
    Column::new(
        "status",
        Status,
        Text(|row| Some(row.preview?.status.name().to_owned())),
        "done, diverged, failed, interrupted, training, begun or to do",
    ),
    Column::new("epoch", Status, Int(|row| row.done().map(i64::from)), "the epoch that it goes on after"),
    Column::new(
        "why",
        Status,
        Text(|row| Some(row.preview?.status.why(row.run))),
        "whether a sweep that is run again trains it, and why",
    ),
    Column::new("dir", Status, Text(|row| Some(row.preview?.dir.to_owned())), "the sweep's folder"),
];

/// What the runs table has besides parameters.
pub(super) static RUNS: &[Column] = &[
    Column::new(
        "data_sha256",
        Status,
        Text(|row| row.spec().data.digest.clone()),
        "SHA-256 of the images and labels that were read from files",
    ),
    Column::new(
        "status",
        Status,
        Text(|row| Some(row.ended()?.status.name().to_owned())),
        "done, diverged, failed or interrupted",
    ),
    Column::new("error", Status, Text(|row| row.ended()?.error.clone()), "why it is not done"),
    Column::new("started", Status, Time(|row| micros(row.ended()?.started)), "when its training began, UTC"),
    Column::new("ended", Status, Time(|row| micros(row.ended()?.ended)), "when it ended, UTC"),
    Column::new("host", Status, Text(|row| Some(row.ended()?.host.clone())), "the machine that trained it"),
    Column::new(
        "device",
        Status,
        Text(|row| Some(row.ended()?.device.clone())),
        "the device that trained it",
    ),
    Column::new("kelvin", Status, Text(|row| Some(row.ended()?.kelvin.clone())), "kelvin's version"),
    Column::new("commit", Status, Text(|row| Some(row.ended()?.commit.clone())), "kelvin's git commit"),
    Column::new("libtorch", Status, Text(|row| Some(row.ended()?.libtorch.clone())), "libtorch's version"),
    Column::new(
        "script_sha256",
        Status,
        Text(|row| Some(row.provenance()?.script.as_ref()?.sha256.clone())),
        "SHA-256 of the script that made the plan",
    ),
    Column::new(
        "arguments",
        Status,
        Text(|row| row.provenance().map(arguments)),
        "the script's arguments, name=value",
    ),
    Column::new(
        "weights_sha256",
        Status,
        Text(|row| row.ended()?.weights_sha256.clone()),
        "SHA-256 of the final weights of a run that is done",
    ),
];

/// The fields of a specification that columns tell.
static TOLD: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let columns = PARAMETERS.iter().chain(ADDED).chain(LATER);
    columns.flat_map(|column| column.tells).copied().collect()
});

fn options(spec: &RunSpec) -> impl Iterator<Item = (String, String)> {
    untold(&spec.canonical_json(), |field| TOLD.contains(field)).into_iter()
}

thread_local! {
    /// The data that were told of last, since runs of a sweep mostly share theirs.
    static DATA_TOLD: RefCell<Option<(DataSpec, String)>> = const { RefCell::new(None) };
}

fn data_options(spec: &RunSpec) -> String {
    let told = DATA_TOLD.with_borrow(|last| {
        last.as_ref().filter(|(data, _)| *data == spec.data).map(|(_, told)| told.clone())
    });
    told.unwrap_or_else(|| {
        let of_data = options(spec).filter_map(|(field, value)| {
            let field = field.strip_prefix("data.")?;
            Some(format!("{}={value}", field.strip_prefix("source.").unwrap_or(field)))
        });
        let told = of_data.collect::<Vec<_>>().join(", ");
        DATA_TOLD.set(Some((spec.data.clone(), told.clone())));
        told
    })
}

fn other_options(spec: &RunSpec) -> String {
    let others = options(spec).filter(|(field, _)| !field.starts_with("data."));
    others.map(|(field, value)| format!("{field}={value}")).collect::<Vec<_>>().join(", ")
}

/// The data set's name with what was done to it: `digits.label_noise(0.2, 1)`.
fn data_name(data: &DataSpec) -> String {
    let mut name = data.name().to_owned();
    for operation in &data.operations {
        name += &match operation {
            DataOp::Take { n } => format!(".take({n})"),
            DataOp::Subset { n, seed, .. } => format!(".subset({n}, {seed})"),
            DataOp::LabelNoise { p, seed, .. } => format!(".label_noise({p}, {seed})"),
            DataOp::Part { sampling, train, test, seed, is_test, .. } => {
                format!(".{}({train}, {test}, {seed})[{}]", sampling.name(), usize::from(*is_test))
            }
        };
    }
    name
}

fn micros(time: SystemTime) -> Option<i64> {
    Some(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64))
}

fn arguments(from: &Provenance) -> String {
    let pairs = from.arguments.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(" ")
}
