//! Tables: Arrow record batches with the operations of data frames.

mod append;
mod cells;
mod describe;
mod display;
mod folders;
mod html;
mod join;
mod operations;
mod parquet;
mod plain;
pub mod schema;

pub use cells::{Cell, number};
pub(crate) use html::escaped;
pub use join::{How, JOIN_OPTIONS, JoinOptions};
use plain::arrow;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, Float64Type, SchemaRef};

use crate::error::{Error, Result, suggestion};

/// Rows and named, typed columns. Cloning shares the memory.
#[derive(Clone, Debug)]
pub struct Table {
    batch: RecordBatch,
}

impl Table {
    /// A table of one record batch.
    pub fn new(batch: RecordBatch) -> Self {
        Self { batch }
    }

    /// A table of record batches of one schema. Each column of theirs goes as soon as it is copied,
    /// so that memory holds the rows once.
    pub fn concat(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<Self> {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let mut parts: Vec<_> = batches.into_iter().map(|batch| batch.into_parts().1.into_iter()).collect();
        let column = |field: &Arc<Field>| {
            let parts: Vec<ArrayRef> = parts.iter_mut().filter_map(Iterator::next).collect();
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            if parts.is_empty() { Ok(new_empty_array(field.data_type())) } else { concat(&parts) }
        };
        let columns = schema.fields().iter().map(column).collect::<std::result::Result<_, _>>();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns.map_err(arrow)?, &options);
        Ok(Self { batch: batch.map_err(arrow)? })
    }

    /// A table of named columns of cells. A column's type is its cells': integers and floats
    /// together are floats; nulls fit every type, and a column of nulls alone has the type `null`.
    pub fn from_cells(names: &[String], columns: &[Vec<Cell>]) -> Result<Self> {
        let rows = columns.first().map_or(0, Vec::len);
        let columns = names
            .iter()
            .zip(columns)
            .map(|(name, cells)| cells::array(name, cells))
            .collect::<Result<Vec<_>>>()?;
        let fields = names.iter().zip(&columns);
        let fields =
            fields.map(|(name, column)| Field::new(name, column.data_type().clone(), true)).collect();
        Ok(Self { batch: plain::with_rows(fields, columns, rows)? })
    }

    /// The rows as one record batch.
    pub fn batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the columns.
    pub fn columns(&self) -> Vec<&str> {
        self.batch.schema_ref().fields().iter().map(|field| field.name().as_str()).collect()
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Result<&ArrayRef> {
        self.batch.column_by_name(name).ok_or_else(|| {
            Error::invalid(format!("no column `{name}`; {}", suggestion(name, self.columns())))
        })
    }

    /// A column of numbers as floats; nulls become NaN.
    pub fn floats(&self, name: &str) -> Result<Vec<f64>> {
        let column = self.column(name)?;
        let kind = column.data_type();
        if !kind.is_numeric() && !matches!(kind, DataType::Boolean | DataType::Null) {
            return Err(Error::invalid(format!(
                "column `{name}` holds {}, expected numbers",
                schema::type_name(kind)
            )));
        }
        let floats = cast(column, &DataType::Float64).map_err(arrow)?;
        let floats = floats.as_primitive::<Float64Type>();
        Ok(floats.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    }

    /// A column as text, one string per row; nulls become empty.
    pub fn strings(&self, name: &str) -> Result<Vec<String>> {
        let column = self.column(name)?;
        if matches!(column.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            let text = cast(column, &DataType::Utf8).map_err(arrow)?;
            let text = text.as_string::<i32>();
            return Ok(text.iter().map(|value| value.unwrap_or_default().to_owned()).collect());
        }
        Ok((0..self.len()).map(|row| Cell::of(column, row).to_string()).collect())
    }

    /// The same table with one more column at the end.
    pub fn with_column(&self, name: &str, values: ArrayRef) -> Result<Self> {
        let mut fields: Vec<Field> =
            self.batch.schema_ref().fields().iter().map(|field| field.as_ref().clone()).collect();
        fields.push(Field::new(name, values.data_type().clone(), true));
        let mut columns = self.batch.columns().to_vec();
        columns.push(values);
        Ok(Self { batch: plain::with_rows(fields, columns, self.len())? })
    }
}
