//! Number formats that runs compute in.

use tch::Kind;

/// Number formats of a training run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    Float32,
    /// 32-bit floats whose products are rounded to TF32 on a GPU (without kelvin's CUDA library only if
    /// NVIDIA_TF32_OVERRIDE=1 lets them); the same as `float32` on a CPU.
    Tf32,
    /// bfloat16 convolutions and products on float32 master weights, their outputs and gradients in
    /// bfloat16; batch norm and loss in float32.
    Bf16,
    /// 64-bit floats.
    Float64,
}

impl Precision {
    /// Every precision with its name in scripts and tables.
    pub const ALL: [(&'static str, Self); 4] =
        [("float32", Self::Float32), ("tf32", Self::Tf32), ("bf16", Self::Bf16), ("float64", Self::Float64)];

    /// The name in scripts and tables.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, value)| *value == self).map_or("", |(name, _)| name)
    }

    /// The kind of the master weights and of the optimizer's state.
    pub fn master(self) -> Kind {
        match self {
            Self::Float64 => Kind::Double,
            _ => Kind::Float,
        }
    }

    /// The kind of activations and products.
    pub fn compute(self) -> Kind {
        match self {
            Self::Float64 => Kind::Double,
            Self::Bf16 => Kind::BFloat16,
            _ => Kind::Float,
        }
    }
}
