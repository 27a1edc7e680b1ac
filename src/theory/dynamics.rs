//! T, α and β of Eq. 15.

use crate::error::{Error, Result};
use crate::options::{Bounds, DefaultValue, Given, Kind, Opt};

/// T, α and β of Eq. 15: what shapes the stationary distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dynamics {
    /// T = λ / B.
    pub temperature: f64,
    /// α, the weight decay.
    pub alpha: f64,
    /// β, the isotropic noise.
    pub beta: f64,
}

/// The option `temperature`.
pub(super) const TEMPERATURE: Opt = Opt::new(
    "temperature",
    Kind::Number(Bounds::POSITIVE),
    DefaultValue::Required,
    "T = lr / batch, such as 0.1",
);

/// The option `alpha`.
pub(super) const ALPHA: Opt =
    Opt::new("alpha", Kind::Number(Bounds::FROM_ZERO), DefaultValue::Number(0.0), "α, the weight decay");

/// The option `beta`.
pub(super) const BETA: Opt =
    Opt::new("beta", Kind::Number(Bounds::FROM_ZERO), DefaultValue::Number(0.0), "β, the isotropic noise");

impl Dynamics {
    /// Reads [`TEMPERATURE`], [`ALPHA`] and [`BETA`].
    pub(super) fn read(given: &Given) -> Result<Self> {
        Self::at(given.number("temperature")?, given)
    }

    /// The same at a temperature.
    pub(super) fn at(temperature: f64, given: &Given) -> Result<Self> {
        Ok(Self { temperature, alpha: given.number("alpha")?, beta: given.number("beta")? })
    }

    /// Checks the numbers.
    ///
    /// # Errors
    ///
    /// Where T is not positive, or α or β is negative.
    pub fn check(&self) -> Result<()> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let why =
                if self.temperature == 0.0 { ": at T = 0 Eq. 18 is a point and not a density" } else { "" };
            return Err(Error::invalid(format!(
                "temperature: expected a number > 0, found {}{why}",
                self.temperature
            )));
        }
        for (name, value) in [("alpha", self.alpha), ("beta", self.beta)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::invalid(format!("{name}: expected a number ≥ 0, found {value}")));
            }
        }
        Ok(())
    }
}
