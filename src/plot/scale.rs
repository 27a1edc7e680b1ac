//! Axis ranges and the positions and texts of their ticks.

/// The part of the data's span that stays free at either end of an axis.
const MARGIN: f64 = 0.05;

/// The range of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// The value at the left or lower end, in the axis's unit.
    pub low: f64,
    /// The value at the right or upper end, in the axis's unit.
    pub high: f64,
    /// Whether equal ratios take equal lengths.
    pub log: bool,
}

/// The ticks of an axis, all inside its range.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Ticks {
    /// The labelled ticks, in ascending order, with their texts.
    pub labelled: Vec<(f64, String)>,
    /// The ticks without a label.
    pub minor: Vec<f64>,
}

impl Scale {
    /// A range with a margin around the values; from 0 to 1 (or 0.1 to 10) around none.
    ///
    /// The values must be finite, and positive when `log`.
    pub fn around(values: impl Iterator<Item = f64>, log: bool) -> Self {
        let span = values.fold(None, |span: Option<(f64, f64)>, value| {
            let (low, high) = span.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        });
        let (low, high) = match span {
            None if log => (0.1, 10.0),
            None => (0.0, 1.0),
            Some((low, high)) if log => {
                let (low, high) = (low.log10(), high.log10());
                let (low, high) = match high - low {
                    d if d < 1e-3 => (low - 0.5, high + 0.5),
                    d => (low - d * MARGIN, high + d * MARGIN),
                };
                // Beyond these powers a margin would leave the range of numbers.
                (10f64.powf(low.max(-305.0)), 10f64.powf(high.min(305.0)))
            }
            Some((low, high)) => match high - low {
                // Ticks inside a span this small could not be told apart.
                d if d <= 1e-9 * low.abs().max(high.abs()) || d < 1e-300 => {
                    let room = match low.abs().max(high.abs()) {
                        size if size < 1e-290 => 1.0,
                        size => size * 0.1,
                    };
                    (low - room, high + room)
                }
                d => (low - d * MARGIN, high + d * MARGIN),
            },
        };
        Scale { low, high, log }
    }

    /// Where a value lies: 0 at the low end, 1 at the high end.
    pub fn fraction(&self, value: f64) -> f64 {
        if self.log {
            let (low, high) = (self.low.log10(), self.high.log10());
            (value.log10() - low) / (high - low)
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// The same range with more room at its high end: `room` times the length it has now.
    pub fn with_room(&self, room: f64) -> Self {
        let high = if self.log {
            let (low, high) = (self.low.log10(), self.high.log10());
            10f64.powf((high + (high - low) * room).min(305.0))
        } else {
            self.high + (self.high - self.low) * room
        };
        Scale { high, ..*self }
    }

    /// Round values inside the range: about `wanted` of them labelled, at least 3.
    pub fn ticks(&self, wanted: usize) -> Ticks {
        let wanted = wanted.max(3);
        if self.log { self.log_ticks(wanted) } else { self.linear_ticks(wanted) }
    }

    fn linear_ticks(&self, wanted: usize) -> Ticks {
        let (step, values) = self.round_values(wanted);
        let parts = match leading_digit(step) {
            1 => 5,
            2 => 4,
            _ => 5,
        };
        let minor = multiples(step / f64::from(parts), self.low, self.high)
            .into_iter()
            .filter(|k| k % i64::from(parts) != 0)
            .map(|k| multiple(k, step / f64::from(parts)))
            .collect();
        let texts = linear_texts(&values, step);
        Ticks { labelled: values.into_iter().zip(texts).collect(), minor }
    }

    /// The most multiples of 1, 2 or 5 times a power of ten that are at most `wanted`, or at
    /// least three, and the step between them.
    fn round_values(&self, wanted: usize) -> (f64, Vec<f64>) {
        let span = self.high - self.low;
        // Start with steps that are certainly too small.
        let mut exponent = span.log10().floor() as i32 - 3;
        let mut best = (span, Vec::new());
        'search: loop {
            for digit in [1.0, 2.0, 5.0] {
                let step = digit * 10f64.powi(exponent);
                let values: Vec<f64> =
                    multiples(step, self.low, self.high).into_iter().map(|k| multiple(k, step)).collect();
                if values.len() < 3 {
                    break 'search;
                }
                let enough = values.len() <= wanted;
                best = (step, values);
                if enough {
                    break 'search;
                }
            }
            exponent += 1;
        }
        best
    }

    fn log_ticks(&self, wanted: usize) -> Ticks {
        let first = self.low.log10().ceil() as i32;
        let last = self.high.log10().floor() as i32;
        let inside = |value: &f64| (self.low..=self.high).contains(value);
        let with_digits = |digits: &[u8]| -> Vec<f64> {
            (first - 1..=last).flat_map(|e| digits.iter().map(move |&d| power(d, e))).filter(inside).collect()
        };
        let decades = with_digits(&[1]);
        let all = with_digits(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let narrow = (self.high / self.low).log10() < 1.5;

        let values = if decades.len() >= 3 && !narrow {
            let every = decades.len().div_ceil(wanted);
            decades
                .iter()
                .copied()
                .filter(|v| (v.log10().round() as i32).rem_euclid(every as i32) == 0)
                .collect()
        } else {
            let choices: [&[u8]; 4] =
                [&[1, 2, 5], &[1, 2, 3, 5], &[1, 2, 3, 4, 6, 8], &[1, 2, 3, 4, 5, 6, 7, 8, 9]];
            let mut choices = choices.into_iter().map(with_digits);
            match choices.find(|values| values.len() >= 3) {
                Some(values) => values,
                None => {
                    let (step, values) = self.round_values(wanted);
                    let texts = linear_texts(&values, step);
                    return Ticks { labelled: values.into_iter().zip(texts).collect(), minor: Vec::new() };
                }
            }
        };
        let between = if decades.len() <= 12 { &all } else { &decades };
        let minor = between.iter().copied().filter(|v| !values.contains(v)).collect();
        let texts = log_texts(&values);
        Ticks { labelled: values.into_iter().zip(texts).collect(), minor }
    }
}

/// `digit` times ten to the `exponent`, correctly rounded so that equal ticks compare equal.
fn power(digit: u8, exponent: i32) -> f64 {
    format!("{digit}e{exponent}").parse().unwrap_or(f64::NAN)
}

/// The whole numbers whose product with `step` lies between `low` and `high`.
fn multiples(step: f64, low: f64, high: f64) -> Vec<i64> {
    // The ends may miss a multiple by a rounding error only.
    let slack = 1e-9;
    let first = (low / step - slack).ceil();
    let last = (high / step + slack).floor();
    if !first.is_finite() || !last.is_finite() || last - first > 1e5 {
        return Vec::new();
    }
    (first as i64..=last as i64).collect()
}

/// `k` times `step`, where 3 × 0.1 is 0.3.
fn multiple(k: i64, step: f64) -> f64 {
    if step < 1.0 {
        let inverse = (1.0 / step).round();
        if (inverse * step - 1.0).abs() < 1e-12 {
            return k as f64 / inverse;
        }
    }
    k as f64 * step
}

fn leading_digit(step: f64) -> u8 {
    let digit = step / 10f64.powf(step.log10().floor());
    if !(1.5..=9.5).contains(&digit) {
        1
    } else if digit < 3.5 {
        2
    } else {
        5
    }
}

/// Texts for evenly spaced values: plain numbers, or all with one power of ten.
fn linear_texts(values: &[f64], step: f64) -> Vec<String> {
    let largest = values.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
    let plain = largest == 0.0 || (1e-3..1e6).contains(&largest);
    let exponent = if plain { 0 } else { exponent_of(largest) };
    let unit = 10f64.powi(exponent);
    let decimals = (-(step / unit).log10() - 1e-9).ceil().clamp(0.0, 12.0) as usize;
    values
        .iter()
        .map(|&value| {
            let number = minus(&format!("{:.decimals$}", value / unit + 0.0));
            if plain || value == 0.0 {
                trim_zero(number)
            } else {
                format!("{number}×10{}", superscript(exponent))
            }
        })
        .collect()
}

/// "0" for "0.00".
fn trim_zero(number: String) -> String {
    if number.chars().all(|c| matches!(c, '0' | '.' | '−')) { "0".to_string() } else { number }
}

/// Texts for the round values of a log axis, all plain or all as powers of ten.
fn log_texts(values: &[f64]) -> Vec<String> {
    let (low, high) = match (values.first(), values.last()) {
        (Some(&low), Some(&high)) => (low, high),
        _ => return Vec::new(),
    };
    let plain = low >= 0.999e-2 && high < 1.001e4 && high / low < 1.001e3;
    values
        .iter()
        .map(|&value| {
            if plain {
                return format!("{value}");
            }
            let exponent = exponent_of(value);
            match (value / 10f64.powi(exponent)).round() as i64 {
                1 => format!("10{}", superscript(exponent)),
                digit => format!("{digit}×10{}", superscript(exponent)),
            }
        })
        .collect()
}

/// The power of ten of a value's leading digit, safe against rounding.
fn exponent_of(value: f64) -> i32 {
    (value.log10() + 1e-9).floor() as i32
}

fn minus(number: &str) -> String {
    number.replace('-', "−")
}

/// A whole number in superscript digits.
fn superscript(number: i32) -> String {
    number
        .to_string()
        .chars()
        .map(|c| match c {
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '4' => '⁴',
            '5' => '⁵',
            '6' => '⁶',
            '7' => '⁷',
            '8' => '⁸',
            '9' => '⁹',
            '-' => '⁻',
            _ => '⁰',
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(low: f64, high: f64, log: bool) -> Scale {
        Scale { low, high, log }
    }

    fn texts(scale: Scale) -> Vec<String> {
        scale.ticks(8).labelled.into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        assert_eq!(
            texts(scale(-0.05, 1.05, false)),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"].map(|s| if s == "0.0" { "0" } else { s })
        );
        assert_eq!(texts(scale(-2.1, 2.1, false)), ["−2", "−1", "0", "1", "2"]);
        assert_eq!(texts(scale(1.9e-5, 6.1e-5, false)), ["2×10⁻⁵", "3×10⁻⁵", "4×10⁻⁵", "5×10⁻⁵", "6×10⁻⁵"]);
        assert_eq!(
            texts(scale(0.0, 3e6, false)),
            ["0", "0.5×10⁶", "1.0×10⁶", "1.5×10⁶", "2.0×10⁶", "2.5×10⁶", "3.0×10⁶"]
        );
    }

    #[test]
    fn log_ticks_over_decades() {
        let ticks = scale(0.9e-4, 1.1e-1, true).ticks(8);
        let texts: Vec<_> = ticks.labelled.iter().map(|t| t.1.as_str()).collect();
        assert_eq!(texts, ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹"]);
        assert!(ticks.minor.contains(&2e-4));
        assert!(!ticks.minor.contains(&1e-3));
    }

    #[test]
    fn short_log_axes_label_twos_and_fives() {
        assert_eq!(texts(scale(1.8e-4, 6.4e-3, true)), ["2×10⁻⁴", "5×10⁻⁴", "10⁻³", "2×10⁻³", "5×10⁻³"]);
        assert_eq!(texts(scale(0.9, 21.0, true)), ["1", "2", "5", "10", "20"]);
        assert_eq!(texts(scale(0.068, 0.47, true)), ["0.1", "0.2", "0.3"]);
    }

    #[test]
    fn every_axis_has_three_labels() {
        let ends = [
            (1.0, 1.1),
            (3.1, 3.9),
            (7.0, 9.5),
            (1.5, 80.0),
            (1e-12, 1e9),
            (0.2, 0.90001),
            (1e-290, 1e290),
            (1e5, 1.0001e5),
        ];
        for (low, high) in ends {
            for log in [false, true] {
                let ticks = scale(low, high, log).ticks(6);
                let count = ticks.labelled.len();
                assert!((3..=9).contains(&count), "{low} to {high}, {log}: {ticks:?}");
                let mut texts: Vec<_> = ticks.labelled.iter().map(|t| &t.1).collect();
                texts.dedup();
                assert_eq!(texts.len(), count, "equal texts: {texts:?}");
                for (value, _) in &ticks.labelled {
                    assert!((-1e-6..=1.000001).contains(&scale(low, high, log).fraction(*value)));
                }
            }
        }
    }

    #[test]
    fn one_value_gets_a_range() {
        for log in [false, true] {
            for value in [1e-200, 1.0, 250.0, 1e200] {
                let scale = Scale::around([value, value].into_iter(), log);
                assert!(scale.low < value && value < scale.high, "{scale:?}");
                assert!(scale.ticks(6).labelled.len() >= 3, "{:?}", scale.ticks(6));
            }
        }
        let zero = Scale::around([0.0].into_iter(), false);
        assert_eq!((zero.low, zero.high), (-1.0, 1.0));
        let none = Scale::around([].into_iter(), false);
        assert_eq!((none.low, none.high), (0.0, 1.0));
    }
}
