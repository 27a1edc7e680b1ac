//! A problem of `lab`, of whatever kind: [`super::PROBLEMS`] lists them.

use super::function::{LabFunction, LabValue, SEED, rows_of};
use super::law::{DataSetKey, ExampleSet, Law};
use super::linear_regression::LinearRegression;
use super::quadratic::Quadratic;
use super::{Problem, each_law};
use crate::error::{Error, Result};
use crate::options::{DefaultValue, Given, Kind, Opt, Value};
use crate::rng::Stream;
use crate::table::Cell;

/// A kind of problem, as scripts make one.
pub struct ProblemEntry {
    /// What scripts are told of it.
    pub law: super::LawEntry,
    /// Makes one of its options.
    pub read: fn(&Given) -> Result<Problem>,
}

/// Makes the enumeration of all problems, the list that scripts read, and the macro that runs an
/// expression with a problem's own type.
macro_rules! problems {
    ($($law:ident: $says:literal),* $(,)?) => {
        /// A problem of `lab`.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Problem {
            $(#[doc = $says] $law($law)),*
        }

        /// Every kind of problem.
        pub const PROBLEMS: &[ProblemEntry] = &[
            $(ProblemEntry {
                law: <$law as law::Law>::ENTRY,
                read: |given| <$law as law::Law>::read(given).map(Problem::$law),
            }),*
        ];

        /// Runs the expression with the problem as its own type.
        macro_rules! each_law {
            ($problem:expr, $own:ident => $value:expr) => {
                match $problem {
                    $($crate::theory::Problem::$law($own) => $value),*
                }
            };
        }
        pub(crate) use each_law;
    };
}
pub(super) use problems;

/// Runs the expression with the problem as its own type; a problem of more than one parameter is an
/// error that says why `$what` needs one.
macro_rules! with_law {
    ($problem:expr, $what:expr, $law:ident => $value:expr) => {
        match $problem.one_parameter($what) {
            Ok(()) => $crate::theory::each_law!($problem, $law => $value),
            Err(error) => Err(error),
        }
    };
}
pub(super) use with_law;

/// Which data set of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSet {
    /// That which is trained on.
    Train,
    /// That which is tested on.
    Test,
}

impl DataSet {
    /// Every choice with its name in scripts.
    pub const ALL: [(&'static str, Self); 2] = [("train", Self::Train), ("test", Self::Test)];
}

/// The option `dataset`.
pub(super) const DATASET: Opt =
    Opt::new("dataset", Kind::COUNT, DefaultValue::Integer(0), "which data set of the seed");

pub(super) const ENTRY: LabFunction = LabFunction {
    name: "lab::data",
    returns: "Table",
    doc: "A training set or the test set that goes with it, an example per row: x, or x and y, or what alone \
          matters of them, yx. Arrays of dataset and seed are axes.",
    example: "lab::data(lab::linear_regression(#{ n: 5 }), #{ dataset: [0, 1] })",
    options: &[
        DATASET.axis(),
        Opt::new(
            "set",
            Kind::Choice(&[("train", ""), ("test", "")]),
            DefaultValue::Text("train"),
            "which one of the pair",
        ),
        SEED.axis(),
    ],
    call: |problem, given| {
        let set = given.choice("set", &DataSet::ALL)?;
        let columns = problem.data(given.integer("seed")?, given.count("dataset")? as u64, set)?;
        Ok(LabValue::Table(rows_of(columns, Cell::number)))
    },
};

impl Problem {
    /// How many examples a training set has.
    pub fn n(&self) -> usize {
        each_law!(self, law => law.n())
    }

    /// How many parameters θ has.
    pub fn dim(&self) -> usize {
        each_law!(self, law => law.dim())
    }

    /// A θ near the minimum of the population loss.
    pub fn centre(&self) -> f64 {
        each_law!(self, law => law.region().centre)
    }

    /// Whether it has one parameter, as `what` needs.
    pub(super) fn one_parameter(&self, what: &str) -> Result<()> {
        match self.dim() {
            1 => Ok(()),
            dim => Err(Error::invalid(format!(
                "{what}: needs a problem with one parameter, found dim {dim}: write dim: 1 (with more, Eq. 18 has no closed form; \
                 lab::gap, lab::check and lab::sgd take them)"
            ))),
        }
    }

    /// The regression, where it has several parameters: its density is known by its moments alone.
    pub(super) fn several_parameters(&self) -> Option<&LinearRegression> {
        match self {
            Self::LinearRegression(law) if law.dim > 1 => Some(law),
            _ => None,
        }
    }

    /// Training set 0 of a seed, where the loss is quadratic.
    pub(super) fn quadratic(&self, seed: i64) -> Option<Quadratic> {
        each_law!(self, law => law.quadratic(&DataSetKey::train(law.n(), seed, 0)))
    }

    /// Training set `index` of a seed, or the test set that goes with it (as long as a training
    /// set): a column for each number of an example.
    ///
    /// # Errors
    ///
    /// As of [`Problem::check`].
    pub fn data(&self, seed: i64, index: u64, set: DataSet) -> Result<Vec<(String, Vec<f64>)>> {
        self.check()?;
        let stream = match set {
            DataSet::Train => Stream::DataSet,
            DataSet::Test => Stream::TestSet,
        };
        let set = DataSetKey { n: self.n(), seed, stream, index };
        if let Some(law) = self.several_parameters() {
            let data = law.data_set(&set);
            let x = (0..law.dim).map(|k| (format!("x{}", k + 1), data.x.column(k).iter().copied().collect()));
            return Ok(x.chain([("y".to_owned(), data.y.iter().copied().collect())]).collect());
        }
        each_law!(self, law => Ok(columns(law, &ExampleSet::draw(law, &set))))
    }

    /// The name with its options, as a script writes it.
    pub fn label(&self) -> String {
        let plain = |value: Value| match value {
            Value::Number(number) => number.to_string(),
            Value::Integer(integer) => integer.to_string(),
            other => other.to_string(),
        };
        let (entry, values) = self.values();
        let options: Vec<String> = entry
            .options
            .iter()
            .zip(values)
            .map(|(opt, value)| format!("{}: {}", opt.name, plain(value)))
            .collect();
        format!("{}({})", entry.name.trim_start_matches("lab::"), options.join(", "))
    }

    /// Checks the options.
    ///
    /// # Errors
    ///
    /// Where one is not within the bounds of its schema.
    pub fn check(&self) -> Result<()> {
        let (entry, values) = self.values();
        entry.options.iter().zip(&values).try_for_each(|(opt, value)| opt.kind.check(opt.name, value))
    }

    fn values(&self) -> (super::LawEntry, Vec<Value>) {
        fn of<L: Law>(law: &L) -> (super::LawEntry, Vec<Value>) {
            (L::ENTRY, law.values())
        }
        each_law!(self, law => of(law))
    }
}

/// A column for each number of an example.
fn columns<L: Law>(_: &L, sample: &ExampleSet) -> Vec<(String, Vec<f64>)> {
    let column = |k: usize| sample.examples.iter().map(|example| example[k]).collect();
    L::COLUMNS.iter().enumerate().map(|(k, name)| ((*name).to_owned(), column(k))).collect()
}
