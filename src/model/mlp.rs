//! A multilayer perceptron with ReLU on flattened images.

use serde::{Deserialize, Serialize};

use super::architecture::Builder;
use super::{Design, LAYER_SIZE, ModelEntry, ModelSpec};
use crate::error::Result;
use crate::options::{DefaultValue, Kind, Opt};

/// A multilayer perceptron's options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mlp {
    /// Units of each hidden layer.
    hidden: Vec<i64>,
}

pub(super) const ENTRY: ModelEntry = ModelEntry {
    name: "mlp",
    doc: "A multilayer perceptron with ReLU on flattened images: `hidden` holds the units of each hidden \
          layer.",
    example: "let model = mlp(#{ hidden: [64, 32] });\n\
              train(#{ data: digits().take(200), model: model, lr: 0.4, batch: 20, epochs: 3 })",
    origin: "",
    options: &[Opt::new(
        "hidden",
        Kind::List(&LAYER_SIZE),
        DefaultValue::Required,
        "units of each hidden layer, for instance [128, 64]",
    )],
    usual_images: None,
    read: |given| {
        let hidden = given.numbers("hidden")?;
        Ok(ModelSpec::mlp(hidden.into_iter().map(|units| units as i64).collect()))
    },
};

impl ModelSpec {
    /// A multilayer perceptron with ReLU and hidden layers of so many units.
    pub fn mlp(hidden: Vec<i64>) -> Self {
        Self::Mlp(Mlp { hidden })
    }
}

impl Design for Mlp {
    fn sizes(&self) -> &[i64] {
        &self.hidden
    }

    fn hidden(&self) -> Option<&[i64]> {
        Some(&self.hidden)
    }

    fn describe(&self) -> String {
        format!("mlp with hidden layers {:?}", self.hidden)
    }

    fn add_layers(&self, net: &mut Builder, classes: usize) -> Result<()> {
        net.flatten();
        for (index, &units) in self.hidden.iter().enumerate() {
            net.dense(&format!("layers.{index}"), units as usize)?;
            net.relu();
        }
        net.dense(&format!("layers.{}", self.hidden.len()), classes)
    }
}
