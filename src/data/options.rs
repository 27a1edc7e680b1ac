//! The options of dividing a data set and of drawing from it, as scripts give them.

use crate::options::{DefaultValue, Kind, Opt};

const OFFICIAL: DefaultValue = DefaultValue::Absent("the data set's official size");

/// The options of `split`, `sample` and `fixed`.
pub const DIVISION_OPTIONS: &[Opt] = &[
    Opt::new("train", Kind::AT_LEAST_ONE, OFFICIAL, "examples of the first part"),
    Opt::new("test", Kind::AT_LEAST_ONE, OFFICIAL, "examples of the second part"),
    Opt::new("seed", Kind::INTEGER, DefaultValue::Integer(1), "what decides the draws"),
];

/// The options of `subset`.
pub const SUBSET_OPTIONS: &[Opt] = &[
    Opt::new("n", Kind::AT_LEAST_ONE, DefaultValue::Required, "how many examples"),
    Opt::new("seed", Kind::INTEGER, DefaultValue::Integer(1), "which ones"),
];
