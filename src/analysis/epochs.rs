//! How long to train so that runs of different temperature are comparable (Appendix E of the
//! paper).

use crate::error::{Error, Result};

/// The reference run: 300 epochs at a temperature of 2e-4.
const REFERENCE_EPOCHS: f64 = 300.0;
const REFERENCE_TEMPERATURE: f64 = 2e-4;

/// N = 300 · max(1, min(4, 1 + ¼ (2e-4/T − 1))), rounded to whole epochs: colder runs train longer.
pub fn paper_epochs(temperature: f64) -> Result<u32> {
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(Error::invalid(format!(
            "paper_epochs(T): the temperature is {temperature}, expected a finite number above 0"
        )));
    }
    let factor = 1.0 + 0.25 * (REFERENCE_TEMPERATURE / temperature - 1.0);
    Ok((REFERENCE_EPOCHS * factor.clamp(1.0, 4.0)).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colder_runs_train_longer_within_bounds() {
        assert_eq!(paper_epochs(2e-4).unwrap(), 300);
        assert_eq!(paper_epochs(1e-3).unwrap(), 300);
        assert_eq!(paper_epochs(1e-4).unwrap(), 375);
        assert_eq!(paper_epochs(4e-5).unwrap(), 600);
        assert_eq!(paper_epochs(1e-6).unwrap(), 1200);
        assert!(paper_epochs(0.0).is_err());
    }
}
