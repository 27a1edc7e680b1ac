//! Numbers and names in the sentences of verdicts.

use crate::table::number;

/// Probabilities below are all alike.
const SMALLEST_P: f64 = 1e-6;

/// A number with three significant digits.
pub(super) fn short(value: f64) -> String {
    number(format!("{value:.2e}").parse().unwrap_or(value))
}

/// A probability: `p 0.0143`, `p < 1e-6`.
pub(super) fn chance(p: f64) -> String {
    if p < SMALLEST_P { format!("p < {SMALLEST_P:e}") } else { format!("p {}", short(p)) }
}

/// A column in words: `test_loss` is the test loss.
pub(super) fn words(column: &str) -> String {
    column.replace('_', " ")
}

/// A share with one decimal: `95.6 %`.
pub(super) fn percent(share: f64) -> String {
    // No minus before a zero.
    format!("{} %", number((1000.0 * share).round() / 10.0 + 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(0.012_345), "0.0123");
        assert_eq!(short(1234.5), "1230");
        assert_eq!(short(f64::NAN), "NaN");
        assert_eq!([chance(0.0), chance(2.34e-5), chance(0.5)], ["p < 1e-6", "p 2.34e-5", "p 0.5"]);
        assert_eq!([percent(0.956_03), percent(-1e-9)], ["95.6 %", "0 %"]);
    }
}
