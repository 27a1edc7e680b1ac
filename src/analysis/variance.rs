//! How much of the spread comes from the split, the initial weights and the order of the examples.
//!
//! Pairs of runs that differ in one seed alone differ by what that seed does: half their mean squared difference is the
//! variance that the seed brings where the others are held (with its share in all interactions: the total effect
//! of Homma and Saltelli 1996, by Jansen's 1999 estimator). Pairs that differ in every seed give the whole variance.

use std::collections::BTreeMap;

use super::groups::mean;
use crate::error::{Error, Result};
use crate::table::Table;

/// The seeds that a run's steady state depends on.
const SEEDS: [&str; 3] = ["split", "init", "order"];

/// What one seed brings.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The seed's stream: split, init, order; or all of them.
    pub source: &'static str,
    /// The variance that it brings; NaN where no pair of runs differs in it alone.
    pub variance: f64,
    /// In units of the whole variance. Shares add up to more than 1 where seeds interact.
    pub share: f64,
    /// Pairs that it comes from.
    pub pairs: usize,
}

/// The variance of a column of a steady-state table by seeds; runs are compared within equal temperature, lr and
/// batch.
pub fn variance(steady: &Table, metric: &str) -> Result<Vec<Share>> {
    let values = steady.floats(metric)?;
    let seeds =
        SEEDS.iter().map(|name| steady.floats(&format!("seed_{name}"))).collect::<Result<Vec<_>>>()?;
    let (lr, batch) = (steady.floats("lr")?, steady.floats("batch")?);
    let mut settings: BTreeMap<(u64, u64), Vec<usize>> = BTreeMap::new();
    for row in (0..steady.len()).filter(|&row| values[row].is_finite()) {
        settings.entry((lr[row].to_bits(), batch[row].to_bits())).or_default().push(row);
    }
    // Half the squared differences, by which seeds differ: bit k of the index says that seed k does.
    let mut differences: Vec<Vec<f64>> = vec![Vec::new(); 1 << SEEDS.len()];
    for rows in settings.values() {
        for (index, &a) in rows.iter().enumerate() {
            for &b in &rows[index + 1..] {
                let which =
                    (0..SEEDS.len()).filter(|&k| seeds[k][a] != seeds[k][b]).map(|k| 1 << k).sum::<usize>();
                differences[which].push((values[a] - values[b]).powi(2) / 2.0);
            }
        }
    }
    let all = &differences[(1 << SEEDS.len()) - 1];
    if all.is_empty() {
        return Err(Error::invalid(
            "variance: expected runs of equal lr and batch that differ in all seeds, and others that differ in one; \
             write seed: #{split: 1..=4, init: 1..=4, order: 1..=4}",
        ));
    }
    let whole = mean(all);
    let share = |source, differences: &[f64]| {
        let variance = if differences.is_empty() { f64::NAN } else { mean(differences) };
        Share { source, variance, share: variance / whole, pairs: differences.len() }
    };
    let mut shares: Vec<Share> =
        SEEDS.iter().enumerate().map(|(k, source)| share(source, &differences[1 << k])).collect();
    shares.push(share("all", all));
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};
    use crate::table::Cell;

    /// A value that adds what each seed brings: variances 4, 1 and 0.25.
    #[test]
    fn shares_of_seeds_that_add_up_are_found() {
        let mut rng = Rng::new(1, Stream::Synthetic, 0);
        const SEEDS: usize = 7;
        let mut effect = |sd: f64| -> Vec<f64> { (0..SEEDS).map(|_| sd * rng.normal_pair().0).collect() };
        let effects = [effect(2.0), effect(1.0), effect(0.5)];
        // What these draws bring, not what they are drawn from.
        let truth = effects.clone().map(|values| super::super::groups::squares(&values) / (SEEDS - 1) as f64);
        let names = ["lr", "batch", "seed_split", "seed_init", "seed_order", "gap"];
        let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); names.len()];
        for seeds in (0..SEEDS.pow(3)).map(|i| [i % SEEDS, i / SEEDS % SEEDS, i / SEEDS / SEEDS]) {
            let value: f64 = seeds.iter().zip(&effects).map(|(&seed, effect)| effect[seed]).sum();
            let cells = [Cell::Float(0.1), Cell::Int(32)].into_iter();
            let cells = cells.chain(seeds.map(|seed| Cell::Int(seed as i64))).chain([Cell::Float(value)]);
            columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        }
        let table = Table::from_cells(&names.map(str::to_owned), &columns).unwrap();
        let shares = variance(&table, "gap").unwrap();
        for (share, truth) in shares.iter().zip(truth) {
            assert!((share.variance / truth - 1.0).abs() < 1e-9, "{share:?}, truth {truth}");
        }
        let sum: f64 = shares[..3].iter().map(|share| share.share).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        assert_eq!(shares[3].share, 1.0);
        let one = table.filter("seed_init = 0 and seed_order = 0").unwrap();
        assert!(variance(&one, "gap").unwrap_err().to_string().contains("differ in all seeds"));
    }
}
