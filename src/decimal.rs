//! Doubles as the decimals that they are written as, and arithmetic on those.
//!
//! Whoever writes 0.3 means three tenths and not the double next to them. The quotient of that
//! double and 96 is 0.0031249999999999997, while 0.1 / 32 is 0.003125: one number with two faces.
//! Here numbers are their shortest decimals, and a result is rounded to a double once, so that
//! equal numbers are equal doubles.

/// A finite double as the shortest decimal that reads back as it: `digits` · 10^`exponent`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Decimal {
    /// At most 17 of them, with the sign.
    digits: i64,
    exponent: i32,
}

impl Decimal {
    /// None of NaN and infinity.
    fn of(value: f64) -> Option<Self> {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e')?;
        let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len() as i32);
        let digits = mantissa.replace('.', "").parse().ok()?;
        Some(Self { digits, exponent: exponent.parse::<i32>().ok()? - decimals })
    }

    /// Its digits in units of 10^`exponent`, which is not above its own; none where they are too
    /// many.
    fn in_units(self, exponent: i32) -> Option<i128> {
        let zeros = u32::try_from(self.exponent - exponent).ok()?;
        i128::from(self.digits).checked_mul(10i128.checked_pow(zeros)?)
    }
}

/// The double nearest to `digits` · 10^`exponent`; Rust reads numbers correctly rounded.
fn nearest_double(digits: impl std::fmt::Display, exponent: i32) -> f64 {
    format!("{digits}e{exponent}").parse().unwrap_or(f64::NAN)
}

/// The product of a number, as it is written, and a whole one, rounded once.
pub fn product(factor: f64, times: u64) -> f64 {
    let exact = Decimal::of(factor).and_then(|decimal| {
        let digits = i128::from(decimal.digits).checked_mul(times.into())?;
        Some(nearest_double(digits, decimal.exponent))
    });
    exact.unwrap_or(factor * times as f64)
}

/// The quotient of a number, as it is written, and a whole one, rounded once: equal ratios are the
/// same double.
pub fn ratio(numerator: f64, denominator: u64) -> f64 {
    match Decimal::of(numerator) {
        Some(decimal) if denominator > 0 => {
            let size =
                of_whole_numbers(decimal, denominator).unwrap_or_else(|| divided(decimal, denominator));
            size.copysign(numerator)
        }
        _ => numerator / denominator as f64,
    }
}

/// The size of a quotient where it is that of two whole numbers that doubles hold: their division
/// is correctly rounded.
fn of_whole_numbers(decimal: Decimal, divisor: u64) -> Option<f64> {
    const LARGEST: u64 = 1 << 53;
    let scale = 10u64.checked_pow(u32::try_from(-decimal.exponent).ok()?)?;
    let (above, below) = (decimal.digits.unsigned_abs(), divisor.checked_mul(scale)?);
    (above.max(below) <= LARGEST).then(|| above as f64 / below as f64)
}

/// The size of any quotient, by long division.
fn divided(decimal: Decimal, divisor: u64) -> f64 {
    /// No two doubles have a middle with more significant digits than this.
    const MOST: usize = 800;
    /// The digits of one step of the division: a remainder with so many zeros fits 128 bits.
    const STEP: u32 = 18;
    let (divisor, digits) = (u128::from(divisor), u128::from(decimal.digits.unsigned_abs()));
    let (mut quotient, mut rest) = ((digits / divisor).to_string(), digits % divisor);
    let mut exponent = decimal.exponent;
    while rest > 0 && quotient.len() < MOST {
        let scaled = rest * 10u128.pow(STEP);
        quotient += &format!("{:0width$}", scaled / divisor, width = STEP as usize);
        rest = scaled % divisor;
        exponent -= STEP as i32;
    }
    if rest > 0 {
        // All that matters of what follows: it is not nothing.
        quotient.push('1');
        exponent -= 1;
    }
    nearest_double(quotient, exponent)
}

/// Evenly spaced numbers from a first one up or down to an end that is not among them, each the
/// shortest decimal.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    from: f64,
    to: f64,
    step: f64,
    /// The first and the step in units of a power of ten, and its exponent; none where no integers
    /// hold them.
    exact: Option<(i128, i128, i32)>,
    next: u64,
    len: u64,
}

impl Steps {
    /// None where a number is not finite or the step is 0. Where the step leads away from the end
    /// there are no values.
    pub fn new(from: f64, to: f64, step: f64) -> Option<Self> {
        let decimals = [Decimal::of(from)?, Decimal::of(to)?, Decimal::of(step)?];
        if step == 0.0 {
            return None;
        }
        let exponent = decimals.iter().filter(|decimal| decimal.digits != 0).map(|decimal| decimal.exponent);
        let exponent = exponent.min().unwrap_or(0);
        // A zero has no size: its exponent is not compared.
        let [start, end, by] = decimals.map(|decimal| match decimal.digits {
            0 => Some(0),
            _ => decimal.in_units(exponent),
        });
        let whole = |start: i128, end: i128, by: i128| {
            let way = end.checked_sub(start)?.checked_mul(by.signum())?;
            let len = if way > 0 { (way - 1) / by.abs() + 1 } else { 0 };
            Some(((start, by, exponent), u64::try_from(len).unwrap_or(u64::MAX)))
        };
        let (exact, len) = match start.zip(end).zip(by).and_then(|((start, end), by)| whole(start, end, by)) {
            Some((exact, len)) => (Some(exact), len),
            None => (None, ((to - from) / step).ceil().max(0.0) as u64),
        };
        Some(Self { from, to, step, exact, next: 0, len })
    }

    /// How many values are left.
    pub fn left(&self) -> u64 {
        self.len - self.next
    }
}

impl Iterator for Steps {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        if self.next >= self.len {
            return None;
        }
        let at = self.next;
        self.next += 1;
        let exact = self.exact.and_then(|(start, by, exponent)| {
            Some(nearest_double(start.checked_add(by.checked_mul(i128::from(at))?)?, exponent))
        });
        Some(exact.unwrap_or(self.from + at as f64 * self.step))
    }
}

impl std::fmt::Display for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "range({:?}, {:?}, {:?})", self.from, self.to, self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};

    #[test]
    fn a_double_is_its_shortest_decimal() {
        for (value, digits, exponent) in
            [(0.3, 3, -1), (-0.03125, -3125, -5), (96.0, 96, 0), (1e300, 1, 300), (5e-324, 5, -324)]
        {
            assert_eq!(Decimal::of(value), Some(Decimal { digits, exponent }));
            assert_eq!(nearest_double(digits, exponent), value);
        }
        assert_eq!((Decimal::of(f64::NAN), Decimal::of(f64::INFINITY)), (None, None));
    }

    #[test]
    fn equal_ratios_are_the_same_double() {
        for (lr, batch) in [(0.1, 32), (0.2, 64), (0.3, 96)] {
            assert_eq!(ratio(lr, batch), 0.003125, "{lr} / {batch}");
        }
        assert_ne!(0.3 / 96.0, 0.003125);
        // Multiples of both: tenths and thousandths, batches that divide and that do not.
        for lr in 1..200u64 {
            for batch in [1, 7, 10, 24, 48, 96, 1000] {
                let one = ratio(lr as f64 / 1000.0, batch);
                for times in 2..8u64 {
                    let other = ratio((lr * times) as f64 / 1000.0, batch * times);
                    assert_eq!(one, other, "{lr} {batch} {times}");
                }
                assert_eq!(one, divided(Decimal::of(lr as f64 / 1000.0).unwrap(), batch));
            }
        }
        assert_eq!(ratio(0.06324555320336758, 64), ratio(0.03162277660168379, 32));
    }

    /// Where numerator and denominator are whole numbers, the processor's division is correctly
    /// rounded.
    #[test]
    fn ratios_are_correctly_rounded() {
        let mut rng = Rng::new(1, Stream::Synthetic, 0);
        for _ in 0..20_000 {
            let (a, b) = (rng.below(u32::MAX), rng.below(u32::MAX - 1) + 1);
            assert_eq!(ratio(f64::from(a), u64::from(b)), f64::from(a) / f64::from(b), "{a} / {b}");
            // Three decimals: an exact division of whole numbers again.
            let lr = f64::from(a % 100_000) / 1000.0;
            let exact = f64::from(a % 100_000) / (1000.0 * f64::from(b % 4096 + 1));
            assert_eq!(ratio(lr, u64::from(b % 4096 + 1)), exact, "{lr} / {}", b % 4096 + 1);
        }
        // Halfway between two doubles, and just above: only the last of many digits tells.
        assert_eq!(ratio(9_007_199_254_740_993.0, 1), 9_007_199_254_740_992.0);
        assert_eq!(ratio(5e-324, 3), 0.0);
        // The decimal is above the double, which is halved to 0.
        assert_eq!((ratio(5e-324, 2), 5e-324 / 2.0), (5e-324, 0.0));
        assert_eq!(ratio(1.7976931348623157e308, 3), 1.7976931348623157e308 / 3.0);
        assert_eq!(ratio(-0.3, 96), -0.003125);
        assert!(ratio(0.0, 5) == 0.0 && ratio(1.0, 0).is_infinite() && ratio(f64::NAN, 2).is_nan());
        assert_eq!(ratio(0.1, u64::MAX), 0.1 / u64::MAX as f64);
    }

    #[test]
    fn products_are_the_decimals_that_one_expects() {
        assert_eq!(product(0.1, 3), 0.3);
        assert_ne!(0.1 * 3.0, 0.3);
        assert_eq!(product(0.05, 6), product(0.1, 3));
        assert_eq!((product(-0.7, 10), product(1e300, 3), product(0.0, 9)), (-7.0, 3e300, 0.0));
        assert!(product(f64::NAN, 2).is_nan() && product(1e308, 1 << 40).is_infinite());
    }

    fn steps(from: f64, to: f64, step: f64) -> Vec<f64> {
        Steps::new(from, to, step).unwrap().collect()
    }

    #[test]
    fn steps_are_the_decimals_that_are_written() {
        assert_eq!(steps(0.1, 0.5, 0.1), [0.1, 0.2, 0.3, 0.4]);
        // Added up, there would be an eleventh value, 0.9999999999999999.
        let tenths = steps(0.0, 1.0, 0.1);
        assert_eq!(tenths, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]);
        assert_eq!(steps(0.5, 0.1, -0.1), [0.5, 0.4, 0.3, 0.2]);
        assert_eq!(steps(-0.3, 0.3, 0.3), [-0.3, 0.0]);
        assert_eq!(steps(0.0, 3e-7, 1e-7), [0.0, 1e-7, 2e-7]);
        assert_eq!(steps(1e-3, 4.5e-3, 1e-3), [1e-3, 2e-3, 3e-3, 4e-3]);
        assert_eq!(steps(0.5, 0.1, 0.1), [0.0; 0]);
        assert_eq!(steps(1.0, 1.0, 0.1), [0.0; 0]);
        let million: Vec<f64> = steps(0.0, 1.0, 1e-6);
        assert_eq!((million.len(), million[300_000], million[999_999]), (1_000_000, 0.3, 0.999999));
        // Too far apart for integers of 128 bits.
        assert_eq!(steps(0.0, 2.5e300, 1e300), [0.0, 1e300, 2e300]);
        assert_eq!(Steps::new(1e-300, 1e300, 1e299).unwrap().left(), 10);
        for (from, to, step) in [(0.0, 1.0, 0.0), (f64::NAN, 1.0, 0.1), (0.0, f64::INFINITY, 0.1)] {
            assert_eq!(Steps::new(from, to, step), None);
        }
        assert_eq!(Steps::new(0.1, 0.5, 0.1).unwrap().to_string(), "range(0.1, 0.5, 0.1)");
    }
}
