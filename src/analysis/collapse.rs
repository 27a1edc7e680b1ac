//! Do runs of different learning rate and batch size lie together where their temperatures are equal?
//!
//! At each temperature that several settings (lr, batch) share, the settings' means are compared with the spread of
//! their seeds: a nested analysis of variance with the statistic
//! F = [SS between settings / Σ(k − 1)] / [SS within settings / Σ(n − k)], k settings and n runs at a temperature
//! (Scheffé 1959, The Analysis of Variance, chapter 5). The effect is the standard deviation of a setting's true
//! mean about its temperature's, in units of the seeds' standard deviation, with a 95 % interval from F.

use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::groups::{Verdict, by_setting, by_temperature, mean, points, squares};
use crate::error::{Error, Result};
use crate::table::Table;

/// Shifts of less than this many standard deviations of the seeds count as lying together.
const SMALL: f64 = 1.0;

/// What the test found for one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Collapse {
    /// The metric.
    pub metric: String,
    /// Temperatures with several settings.
    pub temperatures: usize,
    /// Settings there.
    pub settings: usize,
    /// Runs there.
    pub runs: usize,
    /// The statistic F.
    pub f: f64,
    /// The probability of so large an F if settings do not matter.
    pub p: f64,
    /// The spread of settings in units of the seeds' standard deviation.
    pub effect: f64,
    /// The lower end of its 95 % interval.
    pub effect_low: f64,
    /// The upper end of its 95 % interval.
    pub effect_high: f64,
    /// Holds: the upper end is below 1. Fails: p < 0.05 and the effect is not. Undecided: neither.
    pub verdict: Verdict,
}

/// Compares settings of equal temperature in a column of a steady-state table.
pub fn collapse(steady: &Table, metric: &str) -> Result<Collapse> {
    let (mut between, mut within) = (0.0, 0.0);
    let (mut temperatures, mut settings, mut runs) = (0, 0, 0);
    // Σ n_i² / n at a temperature: what the expected mean square needs of unequal groups.
    let mut unequal = 0.0;
    for (_, group) in by_temperature(&points(steady, metric)?) {
        let groups = by_setting(&group);
        if groups.len() < 2 {
            continue;
        }
        let all: Vec<f64> = group.iter().map(|point| point.value).collect();
        within += groups.iter().map(|values| squares(values)).sum::<f64>();
        between += groups.iter().map(|v| v.len() as f64 * (mean(v) - mean(&all)).powi(2)).sum::<f64>();
        unequal += groups.iter().map(|v| (v.len() as f64).powi(2)).sum::<f64>() / all.len() as f64;
        temperatures += 1;
        settings += groups.len();
        runs += all.len();
    }
    if temperatures == 0 || runs <= settings {
        return Err(Error::invalid(
            "collapse: expected temperatures that several (lr, batch) share, with several seeds each; \
             for instance lr: [0.05, 0.1], batch: [16, 32], seed: 1..=4",
        ));
    }
    let (free, rest) = ((settings - temperatures) as f64, (runs - settings) as f64);
    let f = (between / free) / (within / rest);
    let distribution =
        FisherSnedecor::new(free, rest).map_err(|error| Error::invalid(format!("collapse: {error}")))?;
    let p = distribution.sf(f);
    // E[MS between] = σ² (1 + n₀ effect²).
    let n0 = (runs as f64 - unequal) / free;
    let effect = |f: f64| ((f - 1.0) / n0).max(0.0).sqrt();
    let effect_low = effect(f / distribution.inverse_cdf(0.975));
    let effect_high = effect(f / distribution.inverse_cdf(0.025));
    let verdict = if effect_high < SMALL {
        Verdict::Holds
    } else if p < 0.05 && effect(f) >= SMALL {
        Verdict::Fails
    } else {
        Verdict::Undecided
    };
    let metric = metric.to_owned();
    Ok(Collapse {
        metric,
        temperatures,
        settings,
        runs,
        f,
        p,
        effect: effect(f),
        effect_low,
        effect_high,
        verdict,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};
    use crate::table::Cell;

    /// Three temperatures of two settings each with four seeds, and one of one setting; `shift` moves each setting.
    fn table(draw: i64, shift: f64) -> Table {
        let mut rng = Rng::new(draw, Stream::Synthetic, 0);
        let names = ["temperature", "lr", "batch", "seed_split", "seed_init", "seed_order", "gap"];
        let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); names.len()];
        let settings = [(0.1, 32), (0.05, 16), (0.2, 32), (0.1, 16), (0.4, 32), (0.2, 16), (0.4, 16)];
        for (lr, batch) in settings {
            let own = shift * rng.normal_pair().0;
            for seed in 1..=4 {
                let t = lr / f64::from(batch);
                let value = 1e-3 / t + own + 0.01 * rng.normal_pair().0;
                let cells = [Cell::Float(t), Cell::Float(lr), Cell::Int(batch.into())].into_iter();
                let cells =
                    cells.chain([Cell::Int(seed), Cell::Int(seed), Cell::Int(seed), Cell::Float(value)]);
                columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
            }
        }
        Table::from_cells(&names.map(str::to_owned), &columns).unwrap()
    }

    fn share(shift: f64, is: impl Fn(&Collapse) -> bool) -> f64 {
        (0..500).filter(|&draw| is(&collapse(&table(draw, shift), "gap").unwrap())).count() as f64 / 500.0
    }

    #[test]
    fn settings_that_lie_together_are_told_from_others_at_the_stated_rates() {
        let one = collapse(&table(1, 0.0), "gap").unwrap();
        assert_eq!((one.temperatures, one.settings, one.runs), (3, 6, 24));
        // p is uniform where settings do not matter: 5 % ± four standard errors.
        let by_chance = share(0.0, |found| found.p < 0.05);
        assert!((by_chance - 0.05).abs() < 4.0 * (0.05f64 * 0.95 / 500.0).sqrt(), "{by_chance}");
        assert!(share(0.0, |found| found.verdict == Verdict::Fails) < 0.05);
        assert!(share(0.1, |found| found.verdict == Verdict::Fails) > 0.9);
        assert!(share(0.1, |found| found.verdict == Verdict::Holds) < 0.03);
        // The interval covers the true effect, 2, in 95 % of draws.
        let covered = share(0.02, |found| found.effect_low <= 2.0 && 2.0 <= found.effect_high);
        assert!((covered - 0.95).abs() < 4.0 * (0.05f64 * 0.95 / 500.0).sqrt(), "{covered}");
    }

    #[test]
    fn settings_without_seeds_or_shared_temperatures_are_refused() {
        let lonely = table(1, 0.0).filter("batch = 32").unwrap();
        assert!(collapse(&lonely, "gap").unwrap_err().to_string().contains("several seeds"));
    }
}
