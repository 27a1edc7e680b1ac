//! The epochs table and the runs table: tidy, every parameter in every row.

use std::iter;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::plan::PlannedRun;
use super::provenance::{Ended, Provenance};
use super::store::RunStatus;
use crate::data::DataOp;
use crate::error::{Error, Result};
use crate::table::Table;
use crate::train::{EpochRecord, Expected, QUANTITIES, RunSpec};

/// How many examples a random draw has both in training and in test.
const OVERLAP: &str = "overlap";

/// Examples of which a draw is repeated where a file does not say its overlap.
const DRAWN_AGAIN: usize = 1 << 24;

/// What a column says of a row.
type Of<T> = Box<dyn Fn(&Row) -> T>;

/// A column of one value per row.
enum Column {
    Text(Of<Option<String>>),
    Int(Of<Option<i64>>),
    Float(Of<f64>),
    Bool(Of<bool>),
    /// Null where there is none.
    Maybe(Of<Option<f64>>),
}

/// A run, and the epoch that a row is about.
struct Row<'a> {
    run: &'a PlannedRun,
    sweep: &'a str,
    record: Option<&'a EpochRecord>,
    /// What is computed once per run.
    overlap: Option<i64>,
}

impl Row<'_> {
    fn spec(&self) -> &RunSpec {
        &self.run.spec
    }

    fn metric(&self, metric: impl Fn(&EpochRecord) -> f64) -> f64 {
        self.record.map_or(f64::NAN, metric)
    }
}

fn text(value: impl Fn(&Row) -> String + 'static) -> Column {
    Column::Text(Box::new(move |row| Some(value(row))))
}

fn int(value: impl Fn(&Row) -> i64 + 'static) -> Column {
    Column::Int(Box::new(move |row| Some(value(row))))
}

fn float(value: impl Fn(&Row) -> f64 + 'static) -> Column {
    Column::Float(Box::new(value))
}

fn metric(value: impl Fn(&EpochRecord) -> f64 + Copy + 'static) -> Column {
    Column::Float(Box::new(move |row| row.metric(value)))
}

/// The parameters of a run.
fn parameters() -> Vec<(&'static str, Column)> {
    vec![
        ("run_id", text(|row| row.run.id.clone())),
        ("sweep", text(|row| row.sweep.to_owned())),
        ("data", text(|row| data_name(row.spec()))),
        ("sampling", text(|row| row.spec().sampling.name().to_owned())),
        ("train_size", int(|row| row.spec().train as i64)),
        ("test_size", int(|row| row.spec().test as i64)),
        ("augment", Column::Bool(Box::new(|row| row.spec().augment))),
        ("model", text(|row| row.spec().model.info().name.to_owned())),
        ("width", int(|row| row.spec().model.width())),
        ("parameters", int(|row| row.run.parameters)),
        ("optimizer", text(|row| row.spec().optimizer.label())),
        ("momentum", float(|row| row.spec().optimizer.momentum())),
        ("weight_decay", float(|row| row.spec().optimizer.weight_decay())),
        ("noise", float(|row| row.spec().optimizer.noise())),
        ("schedule", text(|row| row.spec().schedule.name().to_owned())),
        ("order", text(|row| row.spec().order.name().to_owned())),
        ("precision", text(|row| row.spec().precision.name().to_owned())),
        ("lr", float(|row| row.spec().lr)),
        ("batch", int(|row| row.spec().batch as i64)),
        ("temperature", float(|row| row.spec().temperature())),
        ("seed", Column::Int(Box::new(|row| row.spec().seeds.common()))),
        ("seed_split", int(|row| row.spec().seeds.split)),
        ("seed_init", int(|row| row.spec().seeds.init)),
        ("seed_order", int(|row| row.spec().seeds.order)),
        ("epochs", int(|row| i64::from(row.spec().epochs))),
    ]
}

/// The names of a run's parameters, in the order of the tables' columns.
pub fn parameter_names() -> Vec<&'static str> {
    parameters().into_iter().chain(more_parameters()).map(|(name, _)| name).collect()
}

/// The metrics of an epoch.
fn metrics() -> Vec<(&'static str, Column)> {
    vec![
        ("epoch", Column::Int(Box::new(|row| row.record.map(|record| i64::from(record.epoch))))),
        ("steps", Column::Int(Box::new(|row| row.record.map(|record| record.steps as i64)))),
        ("lr_now", metric(|record| record.lr_now)),
        ("train_loss", metric(|record| record.train.loss)),
        ("train_accuracy", metric(|record| record.train.accuracy)),
        ("test_loss", metric(|record| record.test.loss)),
        ("test_accuracy", metric(|record| record.test.accuracy)),
        ("gap", metric(|record| record.test.loss - record.train.loss)),
        ("accuracy_gap", metric(|record| record.train.accuracy - record.test.accuracy)),
        ("train_loss_std", metric(|record| record.train.loss_std)),
        ("test_loss_std", metric(|record| record.test.loss_std)),
        ("seconds", metric(|record| record.seconds)),
    ]
}

/// Parameters that a later version of kelvin added; at the end, so that the other columns keep their places.
fn more_parameters() -> Vec<(&'static str, Column)> {
    let optimizer =
        |option: &'static str| Column::Maybe(Box::new(move |row: &Row| row.spec().optimizer.number(option)));
    let hidden = |row: &Row| {
        let hidden = row.spec().model.hidden()?;
        Some(hidden.iter().map(i64::to_string).collect::<Vec<_>>().join(", "))
    };
    vec![
        ("label_noise", float(|row| row.spec().data.label_noise())),
        ("hidden", Column::Text(Box::new(hidden))),
        ("beta2", optimizer("beta2")),
        ("eps", optimizer("eps")),
        ("train_metrics", text(|row| row.spec().train_metrics.name().to_owned())),
    ]
}

/// These, and what a later version measures.
fn additions() -> Vec<(&'static str, Column)> {
    let mut columns = more_parameters();
    // Where it stood before the parameters after it.
    columns.insert(1, (OVERLAP, Column::Int(Box::new(|row| row.overlap))));
    columns
}

/// What a run measures besides, where it does.
fn quantities(measuring: bool) -> impl Iterator<Item = (&'static str, Column)> {
    let column = |name: &'static str| {
        let value =
            move |row: &Row| Some(row.record?.measured.as_ref()?.get(name)).filter(|value| !value.is_nan());
        (name, Column::Maybe(Box::new(value)))
    };
    QUANTITIES.into_iter().filter(move |_| measuring).map(move |(name, ..)| column(name))
}

/// The columns of the epochs table.
fn all(measuring: bool) -> impl Iterator<Item = (&'static str, Column)> {
    parameters().into_iter().chain(metrics()).chain(additions()).chain(quantities(measuring))
}

/// The columns of an epochs table, and those that its steady state has besides.
pub fn column_names() -> Vec<&'static str> {
    let steady = ["epochs_used", "spiked", "converged", "drift", "epochs_cut"];
    all(true).map(|(name, _)| name).chain(steady).collect()
}

/// The data set's name with what was done to it: `digits.label_noise(0.2, 1)`.
fn data_name(spec: &RunSpec) -> String {
    let mut name = spec.data.name().to_owned();
    for operation in &spec.data.operations {
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

fn build(columns: Vec<(&'static str, Column)>, rows: &[Row]) -> Result<(Vec<Field>, Vec<ArrayRef>)> {
    Ok(columns
        .into_iter()
        .map(|(name, column)| {
            let array: ArrayRef = match column {
                Column::Text(value) => Arc::new(StringArray::from_iter(rows.iter().map(value))),
                Column::Int(value) => Arc::new(Int64Array::from_iter(rows.iter().map(value))),
                Column::Float(value) => Arc::new(Float64Array::from_iter_values(rows.iter().map(value))),
                Column::Maybe(value) => Arc::new(Float64Array::from_iter(rows.iter().map(value))),
                Column::Bool(value) => {
                    Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(value(row)))))
                }
            };
            (Field::new(name, array.data_type().clone(), true), array)
        })
        .unzip())
}

fn table((fields, columns): (Vec<Field>, Vec<ArrayRef>)) -> Result<Table> {
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| Error::invalid(error.to_string()))?;
    Ok(Table::new(batch))
}

/// The epochs table of one run.
pub fn epochs(sweep: &str, run: &PlannedRun, records: &[EpochRecord]) -> Result<Table> {
    let overlap = run.overlap();
    let rows: Vec<Row> =
        records.iter().map(|record| Row { run, sweep, record: Some(record), overlap }).collect();
    table(build(all(run.spec.measure.is_some()).collect(), &rows)?)
}

/// The columns of a run's file that its plan does not know: what was measured.
pub fn measured_schema(measuring: bool) -> SchemaRef {
    let overlap = additions().into_iter().filter(|(name, _)| *name == OVERLAP);
    schema(metrics().into_iter().chain(overlap).chain(quantities(measuring)))
}

/// Whether any of these runs measures more than losses: then the table of all has the columns.
pub fn measuring(runs: &[&PlannedRun]) -> bool {
    runs.iter().any(|run| run.spec.measure.is_some())
}

/// What is read of a run's file: what was measured, and whose it is.
pub fn file_schema(run: &PlannedRun) -> Schema {
    let name = epochs_schema().field(0).clone();
    let measured = measured_schema(run.spec.measure.is_some());
    Schema::new(iter::once(Arc::new(name)).chain(measured.fields().iter().cloned()).collect::<Vec<_>>())
}

/// What was measured in a run, of its file. An earlier version did not write the overlap.
pub fn measured_of(run: &PlannedRun, mut file: Table) -> Result<RecordBatch> {
    let epochs = file.column("epoch")?.as_primitive_opt::<Int64Type>().map(|epochs| epochs.values().to_vec());
    let last = i64::from(run.spec.epochs);
    if !epochs.is_some_and(|epochs| epochs.is_sorted_by(|a, b| a < b) && epochs.last() == Some(&last)) {
        return Err(Error::invalid(format!(
            "expected rising epochs up to {last}, found others; not a file of this run"
        )));
    }
    let ids = file.column("run_id")?.as_string_opt::<i32>();
    if let Some(other) = ids.and_then(|ids| ids.iter().find(|id| *id != Some(run.id.as_str()))) {
        let other = other.unwrap_or("null");
        return Err(Error::invalid(format!(
            "the rows are of the run {other}, expected {}; remove the file, and the sweep trains the run again",
            run.id
        )));
    }
    if file.batch().column_by_name(OVERLAP).is_none() {
        // To draw from more again takes seconds and gigabytes for each run.
        let few = run.examples.is_none_or(|examples| examples <= DRAWN_AGAIN);
        let overlap = vec![few.then(|| run.overlap()).flatten(); file.len()];
        file = file.with_column(OVERLAP, Arc::new(Int64Array::from(overlap)))?;
    }
    let schema = measured_schema(run.spec.measure.is_some());
    let columns = schema.fields().iter().map(|field| file.column(field.name()).cloned());
    RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_>>()?)
        .map_err(|error| Error::invalid(error.to_string()))
}

/// The epochs table of several runs: what was measured in them, each in so many rows, and what the plan says of them.
pub fn joined(
    sweep: &str,
    runs: &[&PlannedRun],
    lengths: &[usize],
    measured: Vec<RecordBatch>,
) -> Result<Table> {
    let repeated = lengths.iter().enumerate().flat_map(|(run, &rows)| iter::repeat_n(run as u32, rows));
    let repeated = UInt32Array::from_iter_values(repeated);
    let measuring = measuring(runs);
    let measured = Table::concat(&measured_schema(measuring), measured)?;
    let measured = |name: &str| measured.batch().column_by_name(name);
    let rows: Vec<Row> = runs.iter().map(|&run| Row { run, sweep, record: None, overlap: None }).collect();
    let known = all(measuring).filter(|(name, _)| measured(name).is_none());
    let known = table(build(known.collect(), &rows)?)?;
    let schema = schema(all(measuring));
    let column = |field: &Arc<Field>| match measured(field.name()) {
        Some(column) => Ok(Arc::clone(column)),
        None => take(known.column(field.name())?, &repeated, None)
            .map_err(|error| Error::invalid(error.to_string())),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(Arc::clone(&schema), columns)
        .map(Table::new)
        .map_err(|error| Error::invalid(error.to_string()))
}

/// The schema of the epochs table, where nothing is measured besides.
pub fn epochs_schema() -> SchemaRef {
    schema(all(false))
}

fn schema(columns: impl IntoIterator<Item = (&'static str, Column)>) -> SchemaRef {
    let field = |(name, column): (&'static str, Column)| {
        let kind = match column {
            Column::Text(_) => DataType::Utf8,
            Column::Int(_) => DataType::Int64,
            Column::Float(_) | Column::Maybe(_) => DataType::Float64,
            Column::Bool(_) => DataType::Boolean,
        };
        Field::new(name, kind, true)
    };
    Arc::new(Schema::new(columns.into_iter().map(field).collect::<Vec<_>>()))
}

/// The runs of a plan: their parameters, where each stands in its folder, and what it is expected to cost.
///
/// `status` (done, diverged, failed, interrupted, training, begun, to do), `epoch` (the one that it goes on after),
/// `why` (whether and why a sweep that is run again trains it), `images` (trained on in the whole run),
/// `core_seconds` (of one core, or GPU, for what is left) and `memory` (bytes, of its stack); `dir` is the folder.
pub fn plan(
    sweep: &str,
    dir: &str,
    runs: &[PlannedRun],
    statuses: &[RunStatus],
    costs: &[Option<Expected>],
) -> Result<Table> {
    let rows: Vec<Row> = runs.iter().map(|run| Row { run, sweep, record: None, overlap: None }).collect();
    let images = [("images", int(|row| row.spec().images() as i64))];
    let (mut fields, mut columns) = build(parameters().into_iter().chain(images).collect(), &rows)?;
    let mut add = |name: &str, array: ArrayRef| {
        fields.push(Field::new(name, array.data_type().clone(), true));
        columns.push(array);
    };
    let done = |run: &PlannedRun, status: &RunStatus| match status {
        RunStatus::Published => run.spec.epochs,
        RunStatus::Training { epoch, .. } => *epoch,
        RunStatus::Begun { position, .. } => position.epoch,
        RunStatus::Ended(_) | RunStatus::ToDo => 0,
    };
    let epochs = || runs.iter().zip(statuses).map(|(run, status)| done(run, status));
    let left = |run: &PlannedRun, status: &RunStatus| match status.is_open(false) {
        true => 1.0 - f64::from(done(run, status)) / f64::from(run.spec.epochs),
        false => 0.0,
    };
    let seconds = runs.iter().zip(statuses).zip(costs).map(|((run, status), cost)| match cost {
        Some(cost) => Some(cost.core_seconds * left(run, status)),
        None => (left(run, status) == 0.0).then_some(0.0),
    });
    let why = runs.iter().zip(statuses).map(|(run, status)| Some(status.why(run)));
    add("core_seconds", Arc::new(Float64Array::from_iter(seconds)));
    add(
        "memory",
        Arc::new(Int64Array::from_iter(costs.iter().map(|cost| cost.map(|cost| cost.memory as i64)))),
    );
    add("status", Arc::new(StringArray::from_iter_values(statuses.iter().map(RunStatus::name))));
    add("epoch", Arc::new(Int64Array::from_iter_values(epochs().map(i64::from))));
    add("why", Arc::new(StringArray::from_iter(why)));
    add("dir", Arc::new(StringArray::from_iter_values(runs.iter().map(|_| dir))));
    let (more_fields, more_columns) = build(more_parameters(), &rows)?;
    fields.extend(more_fields);
    columns.extend(more_columns);
    table((fields, columns))
}

/// The runs table: parameters, `status`, `error`, times (UTC), host, device, versions and hashes of every run that
/// began and is not training now.
pub fn runs(sweep: &str, runs: &[(&PlannedRun, &Provenance, Ended)]) -> Result<Table> {
    let rows: Vec<Row> =
        runs.iter().map(|(run, ..)| Row { run, sweep, record: None, overlap: None }).collect();
    let more = [
        ("seed_augment", int(|row| row.spec().seeds.augment)),
        ("seed_noise", int(|row| row.spec().seeds.noise)),
        ("data_sha256", Column::Text(Box::new(|row| row.spec().data.digest.clone()))),
    ];
    let (mut fields, mut columns) = build(parameters().into_iter().chain(more).collect(), &rows)?;
    let mut add = |name: &str, array: ArrayRef| {
        fields.push(Field::new(name, array.data_type().clone(), true));
        columns.push(array);
    };
    let strings = |value: &dyn Fn(&Ended) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(runs.iter().map(|(.., ended)| value(ended))))
    };
    let times = |value: &dyn Fn(&Ended) -> SystemTime| -> ArrayRef {
        let micros = runs.iter().map(|(.., ended)| {
            value(ended).duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
        });
        // Without a time zone: some readers need more packages for one.
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros))
    };
    add("status", strings(&|ended| Some(ended.status.name().to_owned())));
    add("error", strings(&|ended| ended.error.clone()));
    add("started", times(&|ended| ended.started));
    add("ended", times(&|ended| ended.ended));
    add("host", strings(&|ended| Some(ended.host.clone())));
    add("device", strings(&|ended| Some(ended.device.clone())));
    add("kelvin", strings(&|ended| Some(ended.kelvin.clone())));
    add("commit", strings(&|ended| Some(ended.commit.clone())));
    add("libtorch", strings(&|ended| Some(ended.libtorch.clone())));
    let origins = |value: &dyn Fn(&Provenance) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(runs.iter().map(|(_, provenance, _)| value(provenance))))
    };
    add("script_sha256", origins(&|from| from.script.as_ref().map(|script| script.sha256.clone())));
    add(
        "arguments",
        origins(&|from| {
            let pairs: Vec<String> =
                from.arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
            Some(pairs.join(" "))
        }),
    );
    add("weights_sha256", strings(&|ended| ended.weights_sha256.clone()));
    let (more_fields, more_columns) = build(more_parameters(), &rows)?;
    fields.extend(more_fields);
    columns.extend(more_columns);
    table((fields, columns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataOp, Dataset, Sampling};
    use crate::model::Scores;
    use crate::sweep::Plan;
    use crate::table::Cell;

    /// What label noises of 0.3 and 0.2 change together in ten classes, where a ninth of what is
    /// changed again comes back.
    const NOISE: f64 = 0.3 * (1.0 - 0.2 / 9.0) + 0.7 * 0.2;

    fn planned(sampling: Sampling) -> PlannedRun {
        let mut spec = RunSpec { sampling, ..crate::train::example() };
        spec.data.operations = [0.3, 0.2].map(|p| DataOp::label_noise(p, 1)).to_vec();
        Plan::new(vec![spec]).unwrap().runs.remove(0)
    }

    fn epochs_of(run: &PlannedRun) -> Table {
        let scores = Scores { loss: 1.0, accuracy: 0.5, loss_std: 0.1 };
        let record = EpochRecord {
            epoch: 1,
            steps: 10,
            lr_now: 0.1,
            train: scores,
            test: scores,
            measured: None,
            seconds: 1.0,
        };
        epochs("s1", run, &[record]).unwrap()
    }

    fn last_two(table: &Table) -> [Cell; 2] {
        ["label_noise", "overlap"].map(|name| Cell::of(table.column(name).unwrap(), 0))
    }

    #[test]
    fn rows_tell_the_label_noise_and_the_overlap() {
        let run = planned(Sampling::Random);
        let table = epochs_of(&run);
        assert_eq!(table.batch().schema_ref(), &epochs_schema());
        let data = Dataset::open(&run.spec.data).unwrap();
        let (train, test) = data.divide(Sampling::Random, 100, 50, 1).unwrap();
        let overlap = test.rows().iter().filter(|row| train.rows().contains(row)).count();
        assert_eq!(last_two(&table), [Cell::Float(NOISE), Cell::Int(overlap as i64)]);
        assert_eq!(last_two(&epochs_of(&planned(Sampling::Split))), [Cell::Float(NOISE), Cell::Int(0)]);
    }

    /// Files and plans of an earlier version say neither; the overlap of a random draw is then unknown.
    #[test]
    fn what_an_earlier_version_wrote_is_completed() {
        let old_plan = |run: &PlannedRun| -> PlannedRun {
            let mut json = serde_json::to_value(run).unwrap();
            json.as_object_mut().unwrap().remove("examples").unwrap();
            serde_json::from_value(json).unwrap()
        };
        for (sampling, overlap) in [(Sampling::Random, Cell::Null), (Sampling::Split, Cell::Int(0))] {
            let run = planned(sampling);
            let new = epochs_of(&run);
            let names: Vec<String> = new.columns()[..37].iter().map(|name| (*name).to_owned()).collect();
            let file = new.select(&names).unwrap();
            assert_eq!(file.columns().last(), Some(&"seconds"));
            let completed = |run: &PlannedRun| {
                let measured = measured_of(run, file.clone()).unwrap();
                joined("s1", &[run], &[measured.num_rows()], vec![measured]).unwrap()
            };
            assert_eq!(last_two(&completed(&run)), last_two(&new));
            assert_eq!(last_two(&completed(&old_plan(&run))), [Cell::Float(NOISE), overlap]);
            assert_eq!(completed(&run).batch().schema_ref(), &epochs_schema());
        }
    }
}
