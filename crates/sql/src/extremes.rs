//! The least and the greatest of floats, where NaN is greater than every number. The engine's, of
//! groups, give the last value where there is a NaN, and the greatest finite number where all are
//! -inf.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array};
use datafusion::arrow::array::{Int32Array, Int64Array};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Float32Type, Float64Type, Int32Type, Int64Type,
};
use datafusion::common::Result;
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

/// `min` or `max`: of groups of floats ours, of everything else the engine's.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    engine: Arc<AggregateUDF>,
}

/// What is registered as `min` and `max`.
pub(crate) fn extremes() -> [AggregateUDF; 2] {
    [min_udaf(), max_udaf()].map(|engine| AggregateUDF::new_from_impl(Extreme { engine }))
}

/// The integers of a float's width.
fn key_type(kind: &DataType) -> Option<DataType> {
    match kind {
        DataType::Float64 => Some(DataType::Int64),
        DataType::Float32 => Some(DataType::Int32),
        _ => None,
    }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.engine.name()
    }

    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.engine.return_type(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.engine.coerce_types(arguments)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.engine.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.engine.state_fields(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.engine.create_sliding_accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        // What the engine has no accumulator of groups for, it computes with one per group.
        *args.return_field.data_type() != DataType::Float16 && self.engine.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let Some(keys) = key_type(args.return_field.data_type()) else {
            return self.engine.create_groups_accumulator(args);
        };
        let return_field = Arc::new(Field::new(args.name, keys, true));
        let keys = self.engine.create_groups_accumulator(AccumulatorArgs { return_field, ..args })?;
        Ok(Box::new(OfKeys { keys }))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// The extremes of floats through integers that are in the same order.
struct OfKeys {
    keys: Box<dyn GroupsAccumulator>,
}

/// The integer of a float's bits in whose order the floats are, -0 before 0 and NaN after all
/// numbers; and back.
fn key(bits: i64) -> i64 {
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

fn narrow_key(bits: i32) -> i32 {
    bits ^ ((bits >> 31) as u32 >> 1) as i32
}

fn keys(floats: &ArrayRef) -> ArrayRef {
    match floats.data_type() {
        DataType::Float32 => {
            let keys: Int32Array =
                floats.as_primitive::<Float32Type>().unary(|x| narrow_key(x.to_bits() as i32));
            Arc::new(keys)
        }
        _ => {
            let keys: Int64Array = floats.as_primitive::<Float64Type>().unary(|x| key(x.to_bits() as i64));
            Arc::new(keys)
        }
    }
}

fn floats(keys: &ArrayRef) -> ArrayRef {
    match keys.data_type() {
        DataType::Int32 => {
            let floats: Float32Array =
                keys.as_primitive::<Int32Type>().unary(|bits| f32::from_bits(narrow_key(bits) as u32));
            Arc::new(floats)
        }
        _ => {
            let floats: Float64Array =
                keys.as_primitive::<Int64Type>().unary(|bits| f64::from_bits(key(bits) as u64));
            Arc::new(floats)
        }
    }
}

impl GroupsAccumulator for OfKeys {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.keys.update_batch(&[keys(&values[0])], groups, filter, total)
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        Ok(floats(&self.keys.evaluate(emit)?))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(self.keys.state(emit)?.iter().map(floats).collect())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.keys.merge_batch(&[keys(&values[0])], groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let states = self.keys.convert_to_state(&[keys(&values[0])], filter)?;
        Ok(states.iter().map(floats).collect())
    }

    fn size(&self) -> usize {
        self.keys.size()
    }
}
