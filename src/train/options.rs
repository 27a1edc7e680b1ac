//! The options of runs and networks, as scripts give them.

use crate::options::{Bounds, DefaultValue, Kind, Opt};

/// What `data` takes.
const DATASET: Kind = Kind::Handle("Dataset", "a data set such as digits()");

/// Numbers of epochs.
pub const EPOCHS: Kind = Kind::Integer(1, u32::MAX as i64);

const PRECISION: Opt = Opt::new(
    "precision",
    Kind::Choice(&[("float32", ""), ("tf32", ""), ("bf16", ""), ("float64", "")]),
    DefaultValue::Text("float32"),
    "the number format",
);

/// Groups of measured quantities.
const GROUPS: Kind = Kind::List(&Kind::Choice(&[
    ("gradient", "its size and its noise"),
    ("hessian", "traces"),
    ("spectrum", "the largest eigenvalues"),
]));

/// The options of a run, in the order of the nesting of axes: the last varies fastest.
pub const RUN_OPTIONS: &[Opt] = &[
    Opt::new("data", DATASET, DefaultValue::Required, "the data set: digits(), cifar10(path), …").axis(),
    Opt::new(
        "sampling",
        Kind::Choice(&[
            ("split", "shuffle and cut"),
            ("random", "independent draws"),
            ("fixed", "rows as they lie"),
        ]),
        DefaultValue::Text("split"),
        "how training and test set are drawn",
    )
    .axis(),
    Opt::new("train", Kind::AT_LEAST_ONE, OFFICIAL, "training examples").axis(),
    Opt::new("test", Kind::AT_LEAST_ONE, OFFICIAL, "test examples").axis(),
    Opt::new(
        "augment",
        Kind::Flag,
        DefaultValue::Flag(false),
        "crop with padding 4 and flip colour images, on train and test alike",
    )
    .axis(),
    Opt::new(
        "model",
        Kind::Handle("Model", "a model such as resnet(#{width: 8})"),
        DefaultValue::Required,
        "the network: resnet(#{width: 8}), mlp(#{hidden: [64]}), linear()",
    )
    .axis(),
    Opt::new(
        "init",
        Kind::Text,
        DefaultValue::Absent("drawn from the seed"),
        "a safetensors file with the initial weights",
    )
    .axis(),
    Opt::new(
        "optimizer",
        Kind::Handle("Optimizer", "an optimizer such as sgd()"),
        DefaultValue::Absent("sgd()"),
        "sgd(#{momentum, form, nesterov, weight_decay, noise}) or adam(#{…})",
    )
    .axis(),
    Opt::new(
        "schedule",
        Kind::Choice(&[("constant", ""), ("cosine", "λ cos(π/2 · t/t_f)")]),
        DefaultValue::Text("constant"),
        "how the learning rate changes",
    )
    .axis(),
    Opt::new(
        "order",
        Kind::Choice(&[
            ("shuffled", "in each epoch anew"),
            ("sequential", "as they lie"),
            ("replacement", "each drawn uniformly, as in Eq. 15"),
        ]),
        DefaultValue::Text("shuffled"),
        "the order of the examples",
    )
    .axis(),
    PRECISION.axis(),
    Opt::new(
        "evaluate_every",
        EPOCHS,
        DefaultValue::Integer(1),
        "epochs from one row of metrics to the next",
    )
    .axis(),
    Opt::new(
        "train_metrics",
        Kind::Choice(&[
            ("evaluate", "of the training set after each epoch"),
            ("running", "of its batches as they train"),
        ]),
        DefaultValue::Text("evaluate"),
        "where the training metrics come from",
    )
    .axis(),
    Opt::new(
        "measure",
        Kind::Either(&[GROUPS, Kind::Map(MEASURE_KEYS)]),
        DefaultValue::Absent("nothing"),
        "quantities besides the losses, columns of the epochs table, at every tenth epoch and the last; or \
         #{what: […], every: 5}",
    ),
    Opt::new("lr", Kind::Number(Bounds::POSITIVE), DefaultValue::Required, "the initial learning rate λ")
        .axis(),
    Opt::new(
        "batch",
        Kind::AT_LEAST_ONE,
        DefaultValue::Required,
        "examples per update, B; the temperature is λ / B; an epoch is whole batches, what is left of the \
         order is dropped",
    )
    .axis(),
    Opt::new(
        "seed",
        Kind::Either(&[Kind::INTEGER, Kind::Map(STREAMS)]),
        DefaultValue::Integer(1),
        "a number, or a map of the streams split, init, order, augment, noise",
    )
    .axis(),
    Opt::new(
        "epochs",
        Kind::Either(&[EPOCHS, Kind::Function("|run| …")]),
        DefaultValue::Required,
        "passes over the training set, or a function of the run: |run| paper_epochs(run.temperature), where \
         a run has lr, batch, temperature, train, width, seed, schedule",
    )
    .axis(),
];

/// Of a data set that is smaller, its share.
const OFFICIAL: DefaultValue =
    DefaultValue::Absent("as many as the official set has, or its share of a smaller data set");

/// The keys of `measure` as a map.
pub const MEASURE_KEYS: &[Opt] = &[
    Opt::new("what", GROUPS, DefaultValue::Required, "what is measured, one of these or an array of them"),
    Opt::new("every", EPOCHS, DefaultValue::Integer(10), "epochs from one measurement to the next"),
];

/// The keys of `seed` as a map. A stream that is left out has the seed 1.
pub const STREAMS: &[Opt] = &[
    stream("split", "which examples train and which test"),
    stream("init", "initial weights"),
    stream("order", "the order of the examples"),
    stream("augment", "crops and flips"),
    stream("noise", "the noise β"),
];

const fn stream(name: &'static str, doc: &'static str) -> Opt {
    Opt::new(name, Kind::INTEGER, DefaultValue::Integer(1), doc).axis()
}

/// The options of `model.init`.
pub const INIT_OPTIONS: &[Opt] = &[
    Opt::new("data", DATASET, DefaultValue::Absent(""), "the data set whose images it takes"),
    Opt::new(
        "channels",
        Kind::AT_LEAST_ONE,
        DefaultValue::Absent("the model's, else 3"),
        "colours of an image, in place of `data`",
    ),
    Opt::new(
        "classes",
        Kind::AT_LEAST_ONE,
        DefaultValue::Absent("the model's, else 10"),
        "classes, in place of `data`",
    ),
    Opt::new("seed", Kind::INTEGER, DefaultValue::Integer(1), "what decides the weights"),
    PRECISION,
];

/// The options of `network.measure`.
pub const MEASURE_OPTIONS: &[Opt] = &[
    Opt::new(
        "batch",
        Kind::AT_LEAST_ONE,
        DefaultValue::Required,
        "examples of a batch, B; the noise is theirs",
    ),
    Opt::new("what", GROUPS, DefaultValue::Text("gradient"), "what is measured, or an array of them"),
    Opt::new("test", DATASET, DefaultValue::Absent("the same"), "a data set to test on"),
    Opt::new("weight_decay", Kind::Number(Bounds::FROM_ZERO), DefaultValue::Number(5e-4), "α"),
    Opt::new("seed", Kind::INTEGER, DefaultValue::Integer(1), "what decides the batches"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{Measure, Seeds};

    #[test]
    fn streams_and_defaults_are_those_of_runs() {
        assert_eq!(STREAMS.iter().map(|opt| opt.name).collect::<Vec<_>>(), Seeds::NAMES);
        assert_eq!(MEASURE_KEYS[1].default, DefaultValue::Integer(Measure::EVERY.into()));
    }
}
