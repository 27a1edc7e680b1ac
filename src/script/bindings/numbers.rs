//! Elementary functions of integers, which Rhai has for floats alone, and ranges of floats, whose
//! values it adds up.

use rhai::plugin::*;

use crate::decimal::Steps;
use crate::error::Error;
use crate::script::convert::{Scripted, at, number};

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<Steps>("range").register_iterator::<Steps>();
}

fn steps(context: &NativeCallContext, [from, to, step]: [Dynamic; 3]) -> Scripted<Steps> {
    let make = || {
        let (from, to, step) = (number("from", &from)?, number("to", &to)?, number("step", &step)?);
        let refused = "range(from, to, step): expected finite numbers and a step that is not 0, found";
        Steps::new(from, to, step).ok_or_else(|| Error::invalid(format!("{refused} {from}, {to} and {step}")))
    };
    make().map_err(|error| at(context, error))
}

#[export_module]
pub mod functions {
    /// Numbers from `from` up or down to `to`, which is not among them, `step` apart: the decimals
    /// as one writes them. An axis, or values of a loop.
    ///
    /// ```
    /// for lr in range(0.1, 0.5, 0.1) { print(lr) }
    /// ```
    #[rhai_fn(name = "range", return_raw)]
    pub fn range(context: NativeCallContext, from: f64, to: f64, step: f64) -> Scripted<Steps> {
        steps(&context, [from.into(), to.into(), step.into()])
    }

    /// The same where some of the numbers are integers.
    #[rhai_fn(name = "range", return_raw)]
    pub fn range_mixed(
        context: NativeCallContext,
        from: Dynamic,
        to: Dynamic,
        step: Dynamic,
    ) -> Scripted<Steps> {
        steps(&context, [from, to, step])
    }

    /// The range as it is written.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn range_to_string(range: &mut Steps) -> String {
        range.to_string()
    }

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

#[cfg(test)]
mod tests {
    use rhai::Array;

    #[test]
    fn ranges_of_numbers_are_the_decimals_that_are_written() {
        let engine = crate::script::engine(&crate::script::Session::silent());
        let values = |range: &str| -> Vec<f64> {
            let walk = format!("let all = []; for x in {range} {{ all.push(x) }} all");
            let all = engine.eval::<Array>(&walk).unwrap();
            all.iter().map(|value| value.as_float().or(value.as_int().map(|x| x as f64)).unwrap()).collect()
        };
        assert_eq!(values("range(0.1, 0.5, 0.1)"), [0.1, 0.2, 0.3, 0.4]);
        // Its siblings: integers among the numbers, a step down, integers alone.
        assert_eq!(values("range(0, 1, 0.25)"), [0.0, 0.25, 0.5, 0.75]);
        assert_eq!(values("range(0, 1, 0.1)").len(), 10);
        assert_eq!(values("range(0.3, 0.0, -0.1)"), [0.3, 0.2, 0.1]);
        assert_eq!(values("range(1, 6, 2)"), [1.0, 3.0, 5.0]);
        assert_eq!(
            engine.eval::<String>("range(0.1, 0.5, 0.1).to_string()").unwrap(),
            "range(0.1, 0.5, 0.1)"
        );
        for wrong in ["range(0.0, 1.0, 0.0)", "range(0.0, 1.0 / 0.0, 0.1)", "range(0.0, \"1\", 0.1)"] {
            assert!(engine.eval::<rhai::Dynamic>(wrong).is_err(), "{wrong}");
        }
    }
}
