//! Rows of the tables of epochs, runs and plans: tidy, every parameter in every row.

use std::iter;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;

use super::columns::{self, Column, OVERLAP, Preview, Role, RunRow};
use super::plan::PlannedRun;
use super::provenance::{Ended, Provenance};
use super::status::RunStatus;
use crate::error::{Error, Result};
use crate::table::Table;
use crate::train::{EpochRecord, Expected};

/// Examples of which a draw is repeated where a file does not say its overlap.
const DRAWN_AGAIN: usize = 1 << 24;

fn arrow(error: ArrowError) -> Error {
    Error::invalid(error.to_string())
}

fn schema(columns: impl Iterator<Item = &'static Column>) -> SchemaRef {
    Arc::new(Schema::new(columns.map(Column::field).collect::<Vec<_>>()))
}

/// The columns of these rows.
fn build(columns: impl Iterator<Item = &'static Column>, rows: &[RunRow]) -> Result<RecordBatch> {
    let (fields, arrays): (Vec<Field>, Vec<_>) =
        columns.map(|column| (column.field(), column.array(rows))).unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(arrow)
}

/// The schema of the epochs table, where nothing is measured besides.
pub fn epochs_schema() -> SchemaRef {
    schema(columns::of_epochs(false))
}

/// The epochs table of one run.
pub fn epochs(sweep: &str, run: &PlannedRun, records: &[EpochRecord]) -> Result<Table> {
    let measuring = run.spec.measure.is_some();
    let rows: Vec<RunRow> =
        records.iter().map(|record| RunRow { record: Some(record), ..RunRow::new(sweep, run) }).collect();
    let measured = build(columns::of_epochs(measuring).filter(|column| is_of_epoch(column)), &rows)?;
    with_parameters(sweep, &[run], &[records.len()], measuring, &measured)
}

/// Whether its values are those of an epoch, and not of a whole run.
fn is_of_epoch(column: &Column) -> bool {
    matches!(column.role, Role::Progress | Role::Metric | Role::Measure)
}

/// The columns of a run's file that are read, because its plan does not know them.
fn measured_columns(measuring: bool) -> impl Iterator<Item = &'static Column> {
    columns::of_epochs(measuring).filter(|column| is_of_epoch(column) || column.name == OVERLAP)
}

/// The schema of what [`measured_of`] gives.
pub(super) fn measured_schema(measuring: bool) -> SchemaRef {
    schema(measured_columns(measuring))
}

/// Whether any of these runs measures more than losses: then the table of all has the columns.
pub(super) fn measuring(runs: &[&PlannedRun]) -> bool {
    runs.iter().any(|run| run.spec.measure.is_some())
}

/// What is read of a run's file: what was measured, and whose it is.
pub(super) fn file_schema(run: &PlannedRun) -> SchemaRef {
    let name = columns::of_epochs(false).take(1);
    schema(name.chain(measured_columns(run.spec.measure.is_some())))
}

/// A table as it stands in files: the folder's name gives the sweep.
pub(super) fn in_files(table: &Table) -> Result<Table> {
    let columns = table.columns();
    let keep: Vec<usize> = (0..columns.len()).filter(|&index| columns[index] != "sweep").collect();
    table.batch().project(&keep).map(Table::new).map_err(arrow)
}

/// What was measured in a run, of its file, with the columns of measured quantities if `measuring`.
/// What the file lacks is null: what an earlier version did not write, but for the overlap, which
/// can be found again, and quantities of a run that measures none.
///
/// # Errors
///
/// The rows are of another run, or its epochs are not those of the whole run.
pub(super) fn measured_of(run: &PlannedRun, mut file: Table, measuring: bool) -> Result<RecordBatch> {
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
    let may_lack =
        |column: &Column| column.is_later() || (column.role == Role::Measure && run.spec.measure.is_none());
    let (fields, values): (Vec<Field>, Vec<_>) = measured_columns(measuring)
        .map(|column| {
            let field = column.field();
            let values = match file.batch().column_by_name(column.name) {
                None if may_lack(column) => Ok(new_null_array(field.data_type(), file.len())),
                _ => file.column(column.name).cloned(),
            };
            (field, values)
        })
        .unzip();
    let values = values.into_iter().collect::<Result<_>>()?;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), values).map_err(arrow)
}

/// The epochs table of several runs: what was measured in them, each in so many rows, and what the
/// plan says of them.
pub(super) fn joined(
    sweep: &str,
    runs: &[&PlannedRun],
    lengths: &[usize],
    measured: Vec<RecordBatch>,
) -> Result<Table> {
    let measuring = measuring(runs);
    let measured = Table::concat(&measured_schema(measuring), measured)?;
    with_parameters(sweep, runs, lengths, measuring, measured.batch())
}

/// What was measured, with the other columns of the epochs table, which are the same in all rows of
/// a run.
fn with_parameters(
    sweep: &str,
    runs: &[&PlannedRun],
    lengths: &[usize],
    measuring: bool,
    measured: &RecordBatch,
) -> Result<Table> {
    let repeated = lengths.iter().enumerate().flat_map(|(run, &rows)| iter::repeat_n(run as u32, rows));
    let repeated = UInt32Array::from_iter_values(repeated);
    let rows: Vec<RunRow> = runs.iter().map(|run| RunRow::new(sweep, run)).collect();
    let values = columns::of_epochs(measuring).map(|column| match measured.column_by_name(column.name) {
        Some(values) => Ok(Arc::clone(values)),
        None => take(&column.array(&rows), &repeated, None).map_err(arrow),
    });
    let values = values.collect::<Result<_>>()?;
    RecordBatch::try_new(schema(columns::of_epochs(measuring)), values).map(Table::new).map_err(arrow)
}

/// The runs of a plan: their parameters, where each stands in its folder, and what is left of it.
pub(super) fn plan(
    sweep: &str,
    dir: &str,
    runs: &[PlannedRun],
    statuses: &[RunStatus],
    costs: &[Option<Expected>],
) -> Result<Table> {
    let rows: Vec<RunRow> = runs
        .iter()
        .zip(statuses)
        .zip(costs)
        .map(|((run, status), &cost)| {
            let preview = Some(Preview { dir, status, cost });
            RunRow { preview, ..RunRow::new(sweep, run) }
        })
        .collect();
    build(columns::of_plan(), &rows).map(Table::new)
}

/// The runs table: parameters, status, times, host, device, versions and hashes of every run that
/// began and is not training now.
pub(super) fn runs(sweep: &str, runs: &[(&PlannedRun, &Provenance, Ended)]) -> Result<Table> {
    let rows: Vec<RunRow> = runs
        .iter()
        .map(|(run, provenance, ended)| RunRow { end: Some((provenance, ended)), ..RunRow::new(sweep, run) })
        .collect();
    build(columns::of_runs(), &rows).map(Table::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataOp, Dataset, Sampling};
    use crate::sweep::Plan;
    use crate::table::Cell;
    use crate::train::{Group, Measure, RunSpec, example_record};

    /// What label noises of 0.3 and 0.2 change together in ten classes, where a ninth of what is
    /// changed again comes back.
    const NOISE: f64 = 0.3 * (1.0 - 0.2 / 9.0) + 0.7 * 0.2;

    fn planned(sampling: Sampling) -> PlannedRun {
        let mut spec = RunSpec { sampling, ..crate::train::example() };
        spec.data.operations = [0.3, 0.2].map(|p| DataOp::label_noise(p, 1)).to_vec();
        Plan::new(vec![spec]).unwrap().runs.remove(0)
    }

    fn epochs_of(run: &PlannedRun) -> Table {
        epochs("s1", run, &[example_record()]).unwrap()
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

    /// Files and plans of an earlier version say neither; the overlap of a random draw is then
    /// unknown.
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
                let measured = measured_of(run, file.clone(), false).unwrap();
                joined("s1", &[run], &[measured.num_rows()], vec![measured]).unwrap()
            };
            assert_eq!(last_two(&completed(&run)), last_two(&new));
            assert_eq!(last_two(&completed(&old_plan(&run))), [Cell::Float(NOISE), overlap]);
            assert_eq!(completed(&run).batch().schema_ref(), &epochs_schema());
        }
    }

    /// A sweep that was extended by runs that measure: the others have nulls there.
    #[test]
    fn runs_that_measure_and_others_stand_in_one_table() {
        let plain = planned(Sampling::Split);
        let mut other = plain.clone();
        other.spec.measure = Some(Measure { groups: vec![Group::Gradient], every: 1 });
        let runs = [&plain, &other];
        let measured = runs.map(|run| measured_of(run, epochs_of(run), measuring(&runs)).unwrap());
        let table = joined("s1", &runs, &[1, 1], measured.to_vec()).unwrap();
        let cells = Cell::all(table.column("options").unwrap());
        assert_eq!(
            cells,
            ["", "measure.every=1, measure.groups=[\"gradient\"]"].map(|text| Cell::Text(text.to_owned()))
        );
        assert_eq!(Cell::all(table.column("grad_norm2").unwrap()), [Cell::Null, Cell::Null]);
    }
}
