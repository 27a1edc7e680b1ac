//! An equation with its two sides, and what is said of them.

use super::estimate::Estimate;

/// What an equation claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Both sides are equal.
    Equal,
    /// The left side is at most the right one, proven.
    Bound,
    /// The left side is at most the right one, approximately.
    ApproximateBound,
    /// Both sides are about equal.
    Approximation,
}

/// An equation with its two sides.
#[derive(Clone, Debug)]
pub struct EquationCheck {
    /// Its number in the paper.
    pub equation: &'static str,
    /// What is compared.
    pub says: &'static str,
    /// What it claims.
    pub claim: Claim,
    /// The left side.
    pub left: Estimate,
    /// The right side.
    pub right: Estimate,
    /// Left minus right.
    pub difference: Estimate,
    /// Where its assumptions fail.
    pub assumptions: String,
}

/// Standard errors that a difference may be away from nothing: 1 in 12,000 by chance, for the
/// errors are those of 20 blocks and the difference over its error has Student's distribution with
/// 19 degrees of freedom.
const WIDTH: f64 = 5.0;

impl EquationCheck {
    /// Whether equal sides are equal within the errors, or a bound holds; sides that are not
    /// defined contradict nothing.
    pub fn holds(&self) -> bool {
        let Estimate { value, error } = self.difference;
        if self.left.value.is_nan() || self.right.value.is_nan() {
            return true;
        }
        // What quadrature and rounding leave of an identity.
        let rest = 1e-7 * (self.left.value.abs() + self.right.value.abs());
        // Errors that overflow or are not defined decide nothing.
        if !error.is_finite() {
            return true;
        }
        match self.claim {
            Claim::Equal => value.abs() <= WIDTH * error + rest,
            Claim::Bound | Claim::ApproximateBound => value <= WIDTH * error + rest,
            Claim::Approximation => true,
        }
    }

    /// The verdict in words.
    pub fn verdict(&self) -> String {
        if matches!(self.claim, Claim::Bound | Claim::ApproximateBound) && self.right.value == f64::INFINITY {
            return "bound holds: it is infinite".to_owned();
        }
        if !(self.left.value.is_finite() && self.right.value.is_finite()) {
            return "not defined".to_owned();
        }
        let error = self.difference.error;
        if !error.is_finite() && self.claim != Claim::Approximation {
            return "not decided: its error is not finite".to_owned();
        }
        // So large an error would agree with anything.
        if self.claim == Claim::Approximation && error > 10.0 * self.left.value.abs() {
            return "not decided: its error is more than ten times the quantity".to_owned();
        }
        if self.claim == Claim::Approximation && self.difference.value.abs() <= 2.0 * error {
            return "agrees within its error".to_owned();
        }
        match (self.claim, self.holds()) {
            (Claim::Equal, true) => "equal".to_owned(),
            (Claim::Equal, false) => "differs".to_owned(),
            (Claim::Bound | Claim::ApproximateBound, true) => "bound holds".to_owned(),
            (Claim::Bound | Claim::ApproximateBound, false) => "bound fails".to_owned(),
            (Claim::Approximation, _) => {
                let off = 100.0 * (self.right.value / self.left.value - 1.0).abs();
                if off < 1e4 {
                    format!("approximation off by {off:.2} %")
                } else {
                    "approximation fails".to_owned()
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sides of 100 on the left, what they claim and by how many standard errors of 1 they differ,
    /// and the words.
    #[test]
    fn verdicts_are_by_standard_errors() {
        let verdict = |claim: Claim, right: f64, error: f64| {
            let estimate = |value: f64, error: f64| Estimate { value, error };
            let side = EquationCheck {
                equation: "",
                says: "",
                claim,
                left: estimate(100.0, error),
                right: estimate(right, 0.0),
                difference: estimate(100.0 - right, error),
                assumptions: String::new(),
            };
            side.verdict()
        };
        for (claim, right, error, expected) in [
            (Claim::Equal, 104.9, 1.0, "equal"),
            (Claim::Equal, 95.1, 1.0, "equal"),
            (Claim::Equal, 105.1, 1.0, "differs"),
            (Claim::Equal, 94.9, 1.0, "differs"),
            (Claim::Equal, 109.9, 2.0, "equal"),
            // Rounding: 1e-7 of both sides.
            (Claim::Equal, 100.000_018, 0.0, "equal"),
            (Claim::Equal, 100.000_022, 0.0, "differs"),
            (Claim::Bound, 99.999_982, 0.0, "bound holds"),
            (Claim::Bound, 99.999_978, 0.0, "bound fails"),
            (Claim::Bound, 95.1, 1.0, "bound holds"),
            (Claim::ApproximateBound, 94.9, 1.0, "bound fails"),
            (Claim::Bound, 1000.0, 1.0, "bound holds"),
            (Claim::Bound, f64::INFINITY, 1.0, "bound holds: it is infinite"),
            (Claim::Bound, f64::NAN, 1.0, "not defined"),
            (Claim::Equal, 1000.0, f64::NAN, "not decided: its error is not finite"),
            (Claim::Approximation, 101.9, 1.0, "agrees within its error"),
            (Claim::Approximation, 103.8, 2.0, "agrees within its error"),
            (Claim::Approximation, 102.1, 1.0, "approximation off by 2.10 %"),
            (Claim::Approximation, 1e9, 999.0, "approximation fails"),
            (
                Claim::Approximation,
                3e110,
                3e113,
                "not decided: its error is more than ten times the quantity",
            ),
            (Claim::Approximation, 50.0, 1.0, "approximation off by 50.00 %"),
            (Claim::Approximation, 10_099.0, 1.0, "approximation off by 9999.00 %"),
            (Claim::Approximation, 10_101.0, 1.0, "approximation fails"),
        ] {
            assert_eq!(verdict(claim, right, error), expected, "{claim:?} {right} ± {error}");
        }
    }
}
