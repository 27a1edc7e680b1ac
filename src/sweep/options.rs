//! The options of running a sweep, as scripts give them; those of Slurm are in [`super::slurm`].

use crate::options::{Bounds, DefaultValue, Kind, Opt};

/// The options of `run`.
pub const EXECUTION_OPTIONS: &[Opt] = &[
    Opt::new(
        "jobs",
        Kind::AT_LEAST_ONE,
        DefaultValue::Absent("one per core, or sixteen per GPU"),
        "stacks that train at the same time",
    ),
    Opt::new(
        "device",
        Kind::Either(&[
            Kind::Choice(&[
                ("auto", "the first GPU, else the CPU"),
                ("cpu", ""),
                ("cuda", ""),
                ("cuda:1", ""),
            ]),
            Kind::Text,
        ]),
        DefaultValue::Text("auto"),
        "where runs train; several are \"cuda:0,1\"",
    ),
    Opt::new(
        "executor",
        Kind::Either(&[Kind::Choice(&[("local", "")]), Kind::Handle("Slurm", "slurm(#{…})")]),
        DefaultValue::Text("local"),
        "this machine, or a cluster with slurm(#{…})",
    ),
    Opt::new(
        "checkpoint_every",
        Kind::Number(Bounds::FROM_ZERO),
        DefaultValue::Number(60.0),
        "the time from one checkpoint to the next, 0: every epoch",
    )
    .unit("s"),
    Opt::new(
        "retry",
        Kind::Choice(&[("failed", "runs that failed are tried again")]),
        DefaultValue::Absent(""),
        "",
    ),
    Opt::new(
        "extend",
        Kind::Flag,
        DefaultValue::Flag(false),
        "true: this plan may have more runs than the frozen one, which are added, or fewer",
    ),
    Opt::new(
        "on_epoch",
        Kind::Function("of a row, |row| print(`${row.run_id} ${row.epoch}: ${row.test_loss}`)"),
        DefaultValue::Absent(""),
        "a function that is called with each row of the epochs table as it comes (run_id, lr, batch, …, \
         epoch, train_loss, gap, …): |row| print(row.gap); its error stops the sweep; only for \
         run(dir, #{…}) on this machine",
    ),
];

/// The options of `start`: those of `run` without its last. The function belongs to the script,
/// which goes on meanwhile.
pub const START_OPTIONS: &[Opt] = match EXECUTION_OPTIONS.split_last() {
    Some((_, others)) => others,
    None => &[],
};
