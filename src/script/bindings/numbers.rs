//! Elementary functions of integers: Rhai has them for floats alone.

use rhai::plugin::*;

#[export_module]
pub mod functions {
    /// The square root.
    #[rhai_fn(name = "sqrt")]
    pub fn sqrt_int(x: i64) -> f64 {
        (x as f64).sqrt()
    }

    /// e to the power x.
    #[rhai_fn(name = "exp")]
    pub fn exp_int(x: i64) -> f64 {
        (x as f64).exp()
    }

    /// The natural logarithm.
    #[rhai_fn(name = "ln")]
    pub fn ln_int(x: i64) -> f64 {
        (x as f64).ln()
    }

    /// The logarithm to base 10.
    #[rhai_fn(name = "log")]
    pub fn log_int(x: i64) -> f64 {
        (x as f64).log10()
    }

    /// The sine of an angle in radians.
    #[rhai_fn(name = "sin")]
    pub fn sin_int(x: i64) -> f64 {
        (x as f64).sin()
    }

    /// The cosine of an angle in radians.
    #[rhai_fn(name = "cos")]
    pub fn cos_int(x: i64) -> f64 {
        (x as f64).cos()
    }

    /// The tangent of an angle in radians.
    #[rhai_fn(name = "tan")]
    pub fn tan_int(x: i64) -> f64 {
        (x as f64).tan()
    }
}
