//! Multinomial logistic regression on flattened images: convex, so its stationary distribution
//! under SGD has one mode.

use serde::{Deserialize, Serialize};

use super::architecture::Builder;
use super::{Design, ModelEntry, ModelSpec};
use crate::error::Result;

/// Logistic regression's options: none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linear {}

pub(super) const ENTRY: ModelEntry = ModelEntry {
    name: "linear",
    doc: "Multinomial logistic regression on the pixels.",
    example: "train(#{ data: digits().take(200), model: linear(), lr: 0.1, batch: 20, epochs: 3 })",
    origin: "",
    options: &[],
    usual_images: None,
    read: |_| Ok(ModelSpec::linear()),
};

impl ModelSpec {
    /// Multinomial logistic regression.
    pub fn linear() -> Self {
        Self::Linear(Linear {})
    }
}

impl Design for Linear {
    fn sizes(&self) -> &[i64] {
        &[]
    }

    fn describe(&self) -> String {
        "linear".to_owned()
    }

    fn add_layers(&self, net: &mut Builder, classes: usize) -> Result<()> {
        net.flatten();
        net.dense("linear", classes)
    }
}
