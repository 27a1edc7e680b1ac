//! The sum of integers, which is an error where it leaves their range; the engine's goes on at its
//! other end.

use std::mem::size_of_val;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
};

/// The type of a sum on its way: holds that of more rows than there can be.
const WIDE: DataType = DataType::Decimal128(38, 0);

/// `sum`: of integers ours, of everything else the engine's.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum {
    engine: Arc<AggregateUDF>,
}

/// What is registered as `sum`.
pub(crate) fn sum() -> AggregateUDF {
    AggregateUDF::new_from_impl(Sum { engine: sum_udaf() })
}

fn is_ours(kind: &DataType, is_distinct: bool) -> bool {
    kind.is_integer() && !is_distinct
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        self.engine.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.engine.return_type(arguments)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let kind = args.return_field.data_type();
        match is_ours(kind, args.is_distinct) {
            true => Ok(Box::new(Exact { kind: kind.clone(), sum: 0, values: 0 })),
            false => self.engine.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !is_ours(args.return_type(), args.is_distinct) {
            return self.engine.state_fields(args);
        }
        let field = |part: &str, kind| Arc::new(Field::new(format!("{}[{part}]", args.name), kind, true));
        Ok(vec![field("sum", WIDE), field("values", DataType::Int64)])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        let is_ours = is_ours(args.return_field.data_type(), args.is_distinct);
        !is_ours && self.engine.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.engine.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match is_ours(args.return_field.data_type(), args.is_distinct) {
            true => self.accumulator(args),
            false => self.engine.create_sliding_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// A sum of integers of one type.
#[derive(Debug)]
struct Exact {
    kind: DataType,
    sum: i128,
    /// How many values it is of; of none it is null.
    values: i64,
}

impl Exact {
    fn add(&mut self, values: &ArrayRef, sign: i128) -> Result<()> {
        let wide = cast(values, &WIDE)?;
        let wide = wide.as_primitive::<Decimal128Type>();
        self.sum += sign * wide.iter().flatten().sum::<i128>();
        self.values += sign as i64 * wide.iter().flatten().count() as i64;
        Ok(())
    }
}

impl Accumulator for Exact {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.values == 0 {
            return ScalarValue::try_from(&self.kind);
        }
        let sum = match self.kind {
            DataType::UInt64 => u64::try_from(self.sum).map(ScalarValue::from),
            _ => i64::try_from(self.sum).map(ScalarValue::from),
        };
        sum.map_err(|_| {
            let sum = self.sum;
            DataFusionError::Execution(format!(
                "the sum {sum} leaves the range of integers; make it one of floats: sum(cast(x as double))"
            ))
        })
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Decimal128(Some(self.sum), 38, 0), ScalarValue::from(self.values)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.sum += states[0].as_primitive::<Decimal128Type>().iter().flatten().sum::<i128>();
        self.values += states[1].as_primitive::<Int64Type>().iter().flatten().sum::<i64>();
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
