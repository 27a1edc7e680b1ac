//! How much of the spread comes from the split, the initial weights and the order of the examples.
//!
//! Half the mean squared difference of pairs of runs that differ in all seeds is the whole
//! variance; of pairs that differ in one seed alone, the variance that this seed brings where the
//! others are held, with its share in all interactions (the total effect of Homma and Saltelli
//! 1996, by Jansen's 1999 estimator). What pairs that share one seed alone lack of the whole
//! variance is what this seed brings by itself, on the average over the others (the first-order
//! effect of Sobol' 1993). Where seeds do not interact the two agree and add up to 1; what the
//! first-order shares lack of 1 are interactions. In training that is chaotic they are most of it.
//!
//! Each estimate is unbiased whatever pairs there are, so designs may be unbalanced. Few seeds make
//! it rough: of m seeds, a variance has a relative error of about √(2/(m − 1)).

use std::collections::BTreeMap;

use super::function::{Analysis, FOR_THE_METRIC, METRIC, TableFunction, table_of};
use super::groups::{keys, one_row_per_run, seed_names, setting_names};
use super::statistics::mean;
use crate::error::{Error, Result};
use crate::table::{Cell, Table};

pub(super) const ENTRY: TableFunction = TableFunction {
    name: "variance",
    table: "steady",
    returns: "Table",
    doc: "How much of the gap's spread comes from the split, the initial weights and the order of the examples \
          (the averages of the paper's section 2.1): `share` with what a seed does together with others, `alone` \
          without; and from their interactions. The sweep varies them apart: seed: #{split: 1..=3, init: 1..=3, \
          order: 1..=3}, or two of the three.",
    example: r#"let runs = sweep(#{
    data: digits().take(200), model: linear(), lr: 0.1, batch: 20,
    seed: #{ split: 1..=3, init: 1..=3, order: 1..=2 }, epochs: 10,
}).run("results/demo");
variance(runs.steady())"#,
    doc_with_options: FOR_THE_METRIC,
    options: &[METRIC],
    call: |steady, given| {
        let row = |found: VarianceShare| {
            [
                Cell::Text(found.source.to_owned()),
                Cell::number(found.variance),
                Cell::number(found.share),
                Cell::number(found.alone),
                Cell::Int(found.pairs as i64),
            ]
        };
        let found = variance(steady, &given.text("y")?)?;
        table_of(["source", "variance", "share", "alone", "pairs"], found.into_iter().map(row).collect())
            .map(Analysis::Table)
    },
};

/// What one seed brings.
#[derive(Clone, Debug, PartialEq)]
pub struct VarianceShare {
    /// The seed's stream: split, init, order, augment, noise; `interactions` of them, or `all` of
    /// them.
    pub source: &'static str,
    /// The variance that it brings, with its interactions; NaN where no pair of runs differs in it
    /// alone.
    pub variance: f64,
    /// That in units of the whole variance. These add up to more than 1 where seeds interact.
    pub share: f64,
    /// The share that it brings by itself. An estimate: where it is 0, chance may put it below.
    pub alone: f64,
    /// Pairs that differ in it alone.
    pub pairs: usize,
}

/// Streams that are listed, whether their seeds vary or not: split, init and order.
const LISTED: usize = 3;

/// The variance of a column of a steady-state table by seeds; only runs that are equal in
/// everything else are compared.
pub fn variance(steady: &Table, metric: &str) -> Result<Vec<VarianceShare>> {
    one_row_per_run("variance", steady)?;
    let values = steady.floats(metric)?;
    let names = seed_names(steady);
    let seeds = names.iter().map(|name| keys(steady, &[name])).collect::<Result<Vec<_>>>()?;
    let setting = keys(steady, &setting_names(steady))?;
    let mut settings: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for row in (0..steady.len()).filter(|&row| values[row].is_finite()) {
        settings.entry(&setting[row]).or_default().push(row);
    }
    // Half the squared differences, by which seeds differ: bit k of the index says that seed k
    // does.
    let mut differences: Vec<Vec<f64>> = vec![Vec::new(); 1 << seeds.len()];
    for rows in settings.values() {
        for (index, &a) in rows.iter().enumerate() {
            for &b in &rows[index + 1..] {
                let which =
                    (0..seeds.len()).filter(|&k| seeds[k][a] != seeds[k][b]).map(|k| 1 << k).sum::<usize>();
                differences[which].push((values[a] - values[b]).powi(2) / 2.0);
            }
        }
    }
    let half = |which: usize| match &differences[which][..] {
        [] => f64::NAN,
        differences => mean(differences),
    };
    // The seeds that vary: the others are held throughout and have no share.
    let all = (1..differences.len())
        .filter(|&which| !differences[which].is_empty())
        .fold(0, |all, which| all | which);
    let apart = (0..seeds.len()).any(|k| !differences[1 << k].is_empty());
    if all == 0 || differences[all].is_empty() || !apart {
        return Err(Error::invalid(
            "variance: expected runs that are equal but for one seed, and others that differ in all seeds that vary; \
             write seed: #{split: 1..=4, init: 1..=4, order: 1..=4}, or two of the three",
        ));
    }
    let whole = half(all);
    if whole == 0.0 {
        return Err(Error::invalid(format!(
            "variance: runs that differ in their seeds have the same `{metric}`: there is no variance to share out"
        )));
    }
    let varies = |k: usize| all >> k & 1 == 1;
    let alone = |k: usize| match (varies(k), 1 << k) {
        (false, _) => f64::NAN,
        (true, own) if all == own => 1.0,
        (true, own) => 1.0 - half(all & !own) / whole,
    };
    let mut shares: Vec<VarianceShare> = names
        .into_iter()
        .enumerate()
        .filter(|(k, _)| *k < LISTED || varies(*k))
        .map(|(k, name)| {
            let source = name.trim_start_matches("seed_");
            let variance = half(1 << k);
            let pairs = differences[1 << k].len();
            VarianceShare { source, variance, share: variance / whole, alone: alone(k), pairs }
        })
        .collect();
    let known: f64 = (0..seeds.len()).filter(|&k| varies(k)).map(alone).sum();
    let rest = 1.0 - known;
    let nan = f64::NAN;
    shares.push(VarianceShare {
        source: "interactions",
        variance: rest * whole,
        share: nan,
        alone: rest,
        pairs: 0,
    });
    shares.push(VarianceShare {
        source: "all",
        variance: whole,
        share: 1.0,
        alone: 1.0,
        pairs: differences[all].len(),
    });
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};

    const LEVELS: usize = 7;

    /// A row for each combination of seeds, kept with probability `kept`; the value is what `value`
    /// makes of them.
    fn table(kept: f64, mut value: impl FnMut([usize; 3]) -> f64) -> Table {
        let mut rng = Rng::new(2, Stream::Synthetic, 0);
        let names = ["lr", "batch", "seed_split", "seed_init", "seed_order", "gap"];
        let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); names.len()];
        for seeds in (0..LEVELS.pow(3)).map(|i| [i % LEVELS, i / LEVELS % LEVELS, i / LEVELS / LEVELS]) {
            let cells = [Cell::Float(0.1), Cell::Int(32)].into_iter();
            let cells =
                cells.chain(seeds.map(|seed| Cell::Int(seed as i64))).chain([Cell::Float(value(seeds))]);
            if rng.uniform() < kept {
                columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
            }
        }
        Table::from_cells(&names.map(str::to_owned), &columns).unwrap()
    }

    /// What each seed adds: standard deviations 2, 1 and 0.5.
    fn effects() -> [Vec<f64>; 3] {
        let mut rng = Rng::new(1, Stream::Synthetic, 0);
        [2.0, 1.0, 0.5].map(|sd| (0..LEVELS).map(|_| sd * rng.normal_pair().0).collect())
    }

    #[test]
    fn shares_of_seeds_that_add_up_are_found() {
        let effects = effects();
        // What these draws bring, not what they are drawn from.
        let truth =
            effects.clone().map(|values| super::super::statistics::squares(&values) / (LEVELS - 1) as f64);
        let sum = |seeds: [usize; 3]| seeds.iter().zip(&effects).map(|(&seed, effect)| effect[seed]).sum();
        let table = table(1.0, sum);
        let shares = variance(&table, "gap").unwrap();
        let whole: f64 = truth.iter().sum();
        for (share, truth) in shares.iter().zip(truth) {
            assert!((share.variance / truth - 1.0).abs() < 1e-9, "{share:?}, truth {truth}");
            assert!((share.alone - truth / whole).abs() < 1e-9, "{share:?}, truth {truth}");
        }
        assert!(shares[3].source == "interactions" && shares[3].alone.abs() < 1e-9);
        assert!((shares[4].variance / whole - 1.0).abs() < 1e-9 && shares[4].share == 1.0);

        // Two seeds that vary, the third held.
        let two = variance(&table.filter("seed_order = 3").unwrap(), "gap").unwrap();
        assert!((two[0].variance / truth[0] - 1.0).abs() < 1e-9 && two[2].share.is_nan(), "{two:?}");
        assert!((two[0].alone + two[1].alone - 1.0).abs() < 1e-9, "{two:?}");
        // One alone is all there is.
        let one = variance(&table.filter("seed_init = 0 and seed_order = 0").unwrap(), "gap").unwrap();
        assert!((one[0].share, one[0].alone, one[4].pairs) == (1.0, 1.0, 21), "{one:?}");
        // Seeds that vary only together cannot be told apart.
        let together = table.filter("seed_init = seed_split and seed_order = seed_split").unwrap();
        assert!(variance(&together, "gap").unwrap_err().to_string().contains("but for one seed"));
    }

    /// A value of its own for each combination: each seed brings everything with the others, and
    /// nothing by itself.
    #[test]
    fn interactions_are_told_from_what_seeds_do_alone() {
        let mut rng = Rng::new(5, Stream::Synthetic, 0);
        let shares = variance(&table(1.0, |_| rng.normal_pair().0), "gap").unwrap();
        for share in &shares[..3] {
            assert!((share.share - 1.0).abs() < 0.1 && share.alone.abs() < 0.1, "{share:?}");
        }
        assert!((shares[3].alone - 1.0).abs() < 0.2, "{shares:?}");
    }

    /// Over many designs that lack half their runs, the estimates are right in the mean.
    #[test]
    fn unbalanced_designs_are_estimated_without_bias() {
        let mut sums = [0.0; 3];
        const SETS: usize = 200;
        for set in 0..SETS {
            let mut rng = Rng::new(set as i64, Stream::Synthetic, 1);
            let mut effect = |sd: f64| (0..LEVELS).map(|_| sd * rng.normal_pair().0).collect::<Vec<f64>>();
            let effects = [effect(2.0), effect(1.0), effect(0.5)];
            let sum = |seeds: [usize; 3]| seeds.iter().zip(&effects).map(|(&s, effect)| effect[s]).sum();
            let shares = variance(&table(0.5, sum), "gap").unwrap();
            sums.iter_mut().zip(&shares).for_each(|(sum, share)| *sum += share.variance / SETS as f64);
        }
        for (found, truth) in sums.into_iter().zip([4.0, 1.0, 0.25]) {
            // A variance of 7 draws has a relative standard deviation of √(2/6).
            assert!(
                (found / truth - 1.0).abs() < 4.0 * (2.0f64 / 6.0 / SETS as f64).sqrt(),
                "{found} {truth}"
            );
        }
    }

    /// Shares of a variance of 0 were not a number.
    #[test]
    fn what_does_not_vary_has_no_shares() {
        for value in [0.0, 0.3] {
            let error = variance(&table(1.0, |_| value), "gap").unwrap_err().to_string();
            assert!(error.contains("no variance to share out"), "{error}");
        }
        assert!(variance(&table(1.0, |_| f64::NAN), "gap").is_err());
    }

    /// As floats, the seeds 2⁵³ and 2⁵³ + 1 are one.
    #[test]
    fn large_seeds_are_told_apart() {
        let table =
            table(1.0, |seeds| seeds[0] as f64 + 10.0 * seeds[1] as f64).filter("seed_order = 0").unwrap();
        let large = ["seed_split", "seed_init"].iter().fold(table.clone(), |table, name| {
            table.derive(name, &format!("{name} + 9007199254740992")).unwrap()
        });
        assert_eq!(variance(&large, "gap").unwrap()[4], variance(&table, "gap").unwrap()[4]);
    }

    /// Runs of different width are not pairs.
    #[test]
    fn other_parameters_are_held() {
        let effects = effects();
        let sum = |seeds: [usize; 3]| seeds.iter().zip(&effects).map(|(&s, effect)| effect[s]).sum();
        let one = table(1.0, sum).derive("width", "4").unwrap();
        let other = table(1.0, sum).derive("gap", "gap + 100").unwrap().derive("width", "8").unwrap();
        let other =
            other.select(&one.columns().iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let both =
            Table::concat(&one.batch().schema(), vec![one.batch().clone(), other.batch().clone()]).unwrap();
        let (found, alone) = (variance(&both, "gap").unwrap(), variance(&one, "gap").unwrap());
        assert!((found[4].variance / alone[4].variance - 1.0).abs() < 1e-9);
    }
}
