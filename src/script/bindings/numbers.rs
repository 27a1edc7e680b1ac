//! Elementary functions of integers: Rhai has them for floats alone.

use rhai::plugin::*;

#[export_module]
pub mod functions {
    /// The square root.
    ///
    /// ```
    /// let seeds = 9;
    /// print(`standard error of the mean gap: ${0.03 / seeds.sqrt()}`);
    /// ```
    #[rhai_fn(name = "sqrt")]
    pub fn sqrt_int(x: i64) -> f64 {
        (x as f64).sqrt()
    }

    /// e to the power x.
    ///
    /// ```
    /// exp(-2)
    /// ```
    #[rhai_fn(name = "exp")]
    pub fn exp_int(x: i64) -> f64 {
        (x as f64).exp()
    }

    /// The natural logarithm.
    ///
    /// ```
    /// let classes = 10;
    /// print(`loss of guessing: ${classes.ln()}`);
    /// ```
    #[rhai_fn(name = "ln")]
    pub fn ln_int(x: i64) -> f64 {
        (x as f64).ln()
    }

    /// The logarithm to base 10.
    ///
    /// ```
    /// log(1000)
    /// ```
    #[rhai_fn(name = "log")]
    pub fn log_int(x: i64) -> f64 {
        (x as f64).log10()
    }

    /// The sine of an angle in radians.
    ///
    /// ```
    /// sin(1)
    /// ```
    #[rhai_fn(name = "sin")]
    pub fn sin_int(x: i64) -> f64 {
        (x as f64).sin()
    }

    /// The cosine of an angle in radians.
    ///
    /// ```
    /// cos(1)
    /// ```
    #[rhai_fn(name = "cos")]
    pub fn cos_int(x: i64) -> f64 {
        (x as f64).cos()
    }

    /// The tangent of an angle in radians.
    ///
    /// ```
    /// tan(1)
    /// ```
    #[rhai_fn(name = "tan")]
    pub fn tan_int(x: i64) -> f64 {
        (x as f64).tan()
    }
}
