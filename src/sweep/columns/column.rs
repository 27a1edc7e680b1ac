//! What a column is, and how its values are made.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, NullArray, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, TimeUnit};

use crate::sweep::plan::PlannedRun;
use crate::sweep::provenance::{Ended, Provenance};
use crate::sweep::status::RunStatus;
use crate::train::{EpochRecord, Expected, RunSpec};

/// How many examples a random draw has both in training and in test.
pub(crate) const OVERLAP: &str = "overlap";

/// The version that wrote the first columns: every file has them.
const FIRST_VERSION: &str = "0.1.0";

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Says which run a row is of.
    Identity,
    /// Sets a run's temperature and time. Runs that differ in nothing else can be compared.
    Setting,
    /// Another parameter. Runs that differ in one are of different kinds.
    Parameter,
    /// The seed of a stream of random numbers. Runs that differ in nothing else are replicas.
    Seed,
    /// Says where in a run a row stands. It has no steady state.
    Progress,
    /// A number of every epoch.
    Metric,
    /// A number of the epochs at which a run measures; null at the others.
    Measure,
    /// What else is known of a run.
    Status,
}

impl Role {
    /// The name in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Setting => "setting",
            Self::Parameter => "parameter",
            Self::Seed => "seed",
            Self::Progress => "progress",
            Self::Metric => "metric",
            Self::Measure => "measure",
            Self::Status => "status",
        }
    }

    /// Whether its columns are known from the plan and stand in every table of runs.
    pub(crate) fn is_planned(self) -> bool {
        matches!(self, Self::Identity | Self::Setting | Self::Parameter | Self::Seed)
    }
}

/// A column of kelvin's tables.
#[derive(Clone, Copy)]
pub struct Column {
    /// The name in tables and files.
    pub name: &'static str,
    /// What it is for.
    pub role: Role,
    /// The unit; empty where it has none.
    pub unit: &'static str,
    /// What it holds, in a sentence.
    pub doc: &'static str,
    /// The version that writes it first. In files of earlier ones it is missing, and null when
    /// read.
    pub since: &'static str,
    label: &'static str,
    /// The fields of a run's specification that it tells.
    pub(super) tells: &'static [&'static str],
    value: ColumnValue,
}

/// Makes a column's values of rows.
#[derive(Clone, Copy)]
pub(super) enum ColumnValue {
    Text(fn(&RunRow) -> Option<String>),
    Int(fn(&RunRow) -> Option<i64>),
    Float(fn(&RunRow) -> Option<f64>),
    Bool(fn(&RunRow) -> Option<bool>),
    /// Microseconds since 1970, UTC.
    Time(fn(&RunRow) -> Option<i64>),
    /// The measured quantity of the column's name.
    Quantity,
    /// Computed from other columns, by `analysis/`.
    Analysed,
}

/// A run, and what a row says of it besides its plan.
#[derive(Clone, Copy)]
pub(crate) struct RunRow<'a> {
    /// The sweep's id.
    pub(crate) sweep: &'a str,
    pub(crate) run: &'a PlannedRun,
    /// The epoch, in the epochs table.
    pub(crate) record: Option<&'a EpochRecord>,
    /// Where it comes from and how it ended, in the runs table.
    pub(crate) end: Option<(&'a Provenance, &'a Ended)>,
    /// Where it stands, in the table of a plan.
    pub(crate) preview: Option<Preview<'a>>,
}

/// Where a planned run stands, and what is left of it.
#[derive(Clone, Copy)]
pub(crate) struct Preview<'a> {
    pub(crate) dir: &'a str,
    pub(crate) status: &'a RunStatus,
    pub(crate) cost: Option<Expected>,
}

impl<'a> RunRow<'a> {
    /// A run as its plan tells it.
    pub(crate) fn new(sweep: &'a str, run: &'a PlannedRun) -> Self {
        Self { sweep, run, record: None, end: None, preview: None }
    }

    pub(super) fn spec(&self) -> &'a RunSpec {
        &self.run.spec
    }

    pub(super) fn provenance(&self) -> Option<&'a Provenance> {
        self.end.map(|(provenance, _)| provenance)
    }

    pub(super) fn ended(&self) -> Option<&'a Ended> {
        self.end.map(|(_, ended)| ended)
    }

    /// Epochs that are done.
    pub(super) fn done(&self) -> Option<u32> {
        Some(match self.preview?.status {
            RunStatus::Published => self.spec().epochs,
            RunStatus::Training { epoch, .. } => *epoch,
            RunStatus::Begun { position, .. } => position.epoch,
            RunStatus::Ended(_) | RunStatus::ToDo => 0,
        })
    }

    /// The share of its epochs that a sweep that is run again trains.
    pub(super) fn left(&self) -> Option<f64> {
        Some(match self.preview?.status.is_open(false) {
            true => 1.0 - f64::from(self.done()?) / f64::from(self.spec().epochs),
            false => 0.0,
        })
    }
}

impl Column {
    pub(super) const fn new(name: &'static str, role: Role, value: ColumnValue, doc: &'static str) -> Self {
        Self { name, role, unit: "", doc, since: FIRST_VERSION, label: "", tells: &[], value }
    }

    pub(super) const fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    pub(super) const fn label(mut self, label: &'static str) -> Self {
        self.label = label;
        self
    }

    pub(super) const fn since(mut self, version: &'static str) -> Self {
        self.since = version;
        self
    }

    pub(super) const fn tells(mut self, fields: &'static [&'static str]) -> Self {
        self.tells = fields;
        self
    }

    /// Whether earlier versions wrote files without it.
    pub fn is_later(&self) -> bool {
        self.since != FIRST_VERSION
    }

    /// What it is called on an axis.
    pub fn axis_label(&self) -> String {
        match self.label {
            "" => self.name.replace('_', " "),
            label => label.to_owned(),
        }
    }

    /// Its name and type in a table.
    pub(crate) fn field(&self) -> Field {
        let kind = match self.value {
            ColumnValue::Text(_) => DataType::Utf8,
            ColumnValue::Int(_) => DataType::Int64,
            ColumnValue::Float(_) | ColumnValue::Quantity => DataType::Float64,
            ColumnValue::Bool(_) => DataType::Boolean,
            // Without a time zone: some readers need more packages for one.
            ColumnValue::Time(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
            ColumnValue::Analysed => DataType::Null,
        };
        Field::new(self.name, kind, true)
    }

    /// Its values in these rows.
    pub(crate) fn array(&self, rows: &[RunRow]) -> ArrayRef {
        // What a run's plan says is computed once for all its epochs.
        let once = !matches!(self.role, Role::Progress | Role::Metric | Role::Measure);
        match self.value {
            ColumnValue::Text(value) => Arc::new(StringArray::from_iter(values(rows, once, value))),
            ColumnValue::Int(value) => Arc::new(Int64Array::from_iter(values(rows, once, value))),
            ColumnValue::Float(value) => Arc::new(Float64Array::from_iter(values(rows, once, value))),
            ColumnValue::Bool(value) => Arc::new(BooleanArray::from_iter(values(rows, once, value))),
            ColumnValue::Time(value) => {
                Arc::new(TimestampMicrosecondArray::from_iter(values(rows, once, value)))
            }
            ColumnValue::Quantity => {
                let value = |row: &RunRow| Some(row.record?.measured.as_ref()?.get(self.name));
                Arc::new(Float64Array::from_iter(
                    rows.iter().map(|row| value(row).filter(|value| !value.is_nan())),
                ))
            }
            ColumnValue::Analysed => Arc::new(NullArray::new(rows.len())),
        }
    }
}

/// The value of each row, `once` for all rows of a run that follow one another.
fn values<T: Clone>(rows: &[RunRow], once: bool, value: fn(&RunRow) -> T) -> impl Iterator<Item = T> {
    let mut last: Option<(*const PlannedRun, T)> = None;
    rows.iter().map(move |row| {
        if let Some((run, known)) = &last
            && once
            && std::ptr::eq(*run, row.run)
        {
            return known.clone();
        }
        let found = value(row);
        last = once.then(|| (std::ptr::from_ref(row.run), found.clone()));
        found
    })
}
