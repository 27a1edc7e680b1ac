//! Do runs of different learning rate and batch size lie together where their temperatures are
//! equal?
//!
//! At each temperature that several settings (lr, batch) share, the settings' means are compared
//! with the spread of their runs: a nested analysis of variance with F = [SS between settings / Σ(k
//! − 1)] / [SS within / its degrees of freedom], summed over temperatures, k settings at each
//! (Scheffé 1959, The Analysis of Variance, chapters 4 and 5). Where settings share their seeds,
//! runs of one seed share their split and vary together; then seeds are blocks: each run counts by
//! its distance from its seed's mean at its temperature. Sums of squares are those of the linear
//! model, so groups may have any sizes.
//!
//! The effect is the root mean square, over the runs, of the distance of a setting's true mean from
//! its temperature's, in units of the standard deviation that the test knows: of runs that differ
//! in seeds alone or, where seeds are blocks, of runs about what their seed does to all settings.
//! Its 95 % interval comes from the noncentral F distribution (Steiger 2004). An effect of 1 is as
//! much as chance does to a run. Other parameters (width, optimizer, …) must be equal for two
//! settings to be compared.

use std::collections::BTreeMap;

use nalgebra::{DMatrix, DVector};
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::function::{Analysis, FOR_THE_METRIC, METRIC, TableFunction, table_of};
use super::groups::{Point, by_temperature, numbered, one_row_per_run, points};
use super::noncentral::noncentrality;
use super::prediction::Verdict;
use crate::error::{Error, Result};
use crate::table::{Cell, Table};

/// Settings that differ by as much as a run by chance.
const AS_SEEDS: f64 = 1.0;
/// The interval of the effect holds this share.
const CONFIDENCE: f64 = 0.95;

pub(super) const ENTRY: TableFunction = TableFunction {
    name: "collapse",
    table: "steady",
    returns: "Table",
    doc: "Whether runs of different lr and batch lie together where their temperatures are equal (section 3.2 of \
          the paper), for the gap: a test (F, p) and the spread of settings in units of that of runs (`effect`, \
          with a 95 % interval). It holds where the interval is below 1 and fails where it is above. `paired`: \
          settings share their seeds, and the unit is the spread of runs about what their seed does to all \
          settings.",
    example: r#"let runs = sweep(#{
    data: digits().take(200), model: linear(), optimizer: sgd(#{ weight_decay: 0.1 }),
    lr: [0.1, 0.2, 0.4], batch: [10, 20], seed: 1..=3, epochs: 30,
}).run("results/demo");
collapse(runs.steady())"#,
    doc_with_options: FOR_THE_METRIC,
    options: &[METRIC],
    call: |steady, given| {
        let found = collapse(steady, &given.text("y")?)?;
        let row = [
            ("metric", Cell::Text(found.metric)),
            ("verdict", Cell::Text(found.verdict.name().to_owned())),
            ("effect", Cell::number(found.effect)),
            ("low", Cell::number(found.effect_low)),
            ("high", Cell::number(found.effect_high)),
            ("f", Cell::number(found.f)),
            ("p", Cell::number(found.p)),
            ("temperatures", Cell::Int(found.temperatures as i64)),
            ("settings", Cell::Int(found.settings as i64)),
            ("runs", Cell::Int(found.runs as i64)),
            ("paired", Cell::Bool(found.paired)),
        ];
        table_of(row.each_ref().map(|(name, _)| *name), vec![row.map(|(_, cell)| cell)]).map(Analysis::Table)
    },
};

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
    /// Whether seeds are shared and count as blocks.
    pub paired: bool,
    /// The statistic F.
    pub f: f64,
    /// The probability of so large an F if settings do not matter.
    pub p: f64,
    /// The spread of settings in units of a run's standard deviation (about its seed's mean, where
    /// seeds are shared).
    pub effect: f64,
    /// The lower end of its 95 % interval.
    pub effect_low: f64,
    /// The upper end of its 95 % interval.
    pub effect_high: f64,
    /// Holds: the interval is below 1, settings differ by less than runs do by chance. Fails: it is
    /// above 1. Undecided: neither.
    pub verdict: Verdict,
}

/// Settings of one temperature: the eigenvalues of their matrix cannot be interrupted.
const MAX_SETTINGS: usize = 1000;

/// Settings of one temperature times their runs: each has a column.
const MAX_VALUES: usize = 100_000_000;

/// Sums of squares with their degrees of freedom.
#[derive(Clone, Copy, Default)]
struct Squares {
    between: f64,
    between_free: usize,
    within: f64,
    within_free: usize,
    /// Whether every setting can be compared with every other.
    connected: bool,
}

/// The analysis at one temperature: the settings' sum of squares after blocks, and what is left.
fn analyse(values: &[f64], settings: &[usize], blocks: &[usize]) -> Squares {
    let count = |numbers: &[usize]| numbers.iter().max().map_or(0, |most| most + 1);
    let (n, k, b) = (values.len(), count(settings), count(blocks));
    // Each column less its blocks' means.
    let centred = |column: &dyn Fn(usize) -> f64| -> DVector<f64> {
        let (mut sums, mut sizes) = (vec![0.0; b], vec![0.0; b]);
        for row in 0..n {
            sums[blocks[row]] += column(row);
            sizes[blocks[row]] += 1.0;
        }
        DVector::from_fn(n, |row, _| column(row) - sums[blocks[row]] / sizes[blocks[row]])
    };
    let y = centred(&|row| values[row]);
    let columns: Vec<DVector<f64>> =
        (0..k).map(|setting| centred(&|row| f64::from(u8::from(settings[row] == setting)))).collect();
    let design = DMatrix::from_columns(&columns);
    // The part of y that the settings explain, along the directions in which the design has any
    // length.
    let eigen = (design.transpose() * &design).symmetric_eigen();
    let projected = eigen.eigenvectors.transpose() * design.transpose() * &y;
    let directions = eigen.eigenvalues.iter().zip(projected.iter()).filter(|(value, _)| **value > 1e-9);
    let (between_free, between) =
        directions.fold((0, 0.0), |(free, sum), (value, along)| (free + 1, sum + along * along / value));
    Squares {
        between,
        between_free,
        within: (y.norm_squared() - between).max(0.0),
        within_free: n - b - between_free,
        connected: between_free + 1 == k,
    }
}

/// The runs at each temperature that several settings share.
fn comparable(steady: &Table, metric: &str) -> Result<Vec<Vec<Point>>> {
    one_row_per_run("collapse", steady)?;
    let mut kinds: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    for point in points(steady, metric)? {
        kinds.entry(point.kind.clone()).or_default().push(point);
    }
    let shared: Vec<Vec<Point>> = kinds
        .values()
        .flat_map(|points| by_temperature(points))
        .map(|(_, group)| group)
        .filter(|group| group.iter().any(|point| point.setting != group[0].setting))
        .collect();
    for group in &shared {
        let settings = numbered(group.iter().map(|point| &point.setting)).1;
        if settings > MAX_SETTINGS || settings.saturating_mul(group.len()) > MAX_VALUES {
            return Err(Error::invalid(format!(
                "collapse: {} runs of {settings} settings at one temperature, more than memory is asked for; expected at most \
                 {MAX_SETTINGS} settings, and {MAX_VALUES} of settings times runs; filter first",
                group.len()
            )));
        }
    }
    Ok(shared)
}

/// Compares settings of equal temperature in a column of a steady-state table.
pub fn collapse(steady: &Table, metric: &str) -> Result<Collapse> {
    let shared = comparable(steady, metric)?;
    let total = |blocked: bool| {
        shared.iter().fold(Squares { connected: true, ..Squares::default() }, |sum, group| {
            let values: Vec<f64> = group.iter().map(|point| point.value).collect();
            let (settings, _) = numbered(group.iter().map(|point| &point.setting));
            let blocks = match blocked {
                true => numbered(group.iter().map(|point| &point.seed)).0,
                false => vec![0; group.len()],
            };
            let found = analyse(&values, &settings, &blocks);
            Squares {
                between: sum.between + found.between,
                between_free: sum.between_free + found.between_free,
                within: sum.within + found.within,
                within_free: sum.within_free + found.within_free,
                connected: sum.connected && found.connected,
            }
        })
    };
    let (plain, blocked) = (total(false), total(true));
    if shared.is_empty() || plain.within_free == 0 {
        return Err(Error::invalid(
            "collapse: expected temperatures that several (lr, batch) share, with several seeds each; \
             for instance lr: [0.05, 0.1], batch: [16, 32], seed: 1..=4",
        ));
    }
    let paired = blocked.connected && blocked.within_free > 0;
    let used = if paired { blocked } else { plain };
    let (free, rest) = (used.between_free as f64, used.within_free as f64);
    // Of the values, and of the difference of sums of squares that is left within.
    let largest = shared.iter().flatten().fold(0.0, |largest: f64, point| largest.max(point.value.abs()));
    let rounding =
        rest * (8.0 * f64::EPSILON * largest).powi(2) + 64.0 * f64::EPSILON * (used.between + used.within);
    if used.within <= rounding {
        return Err(Error::invalid(format!(
            "collapse: in `{metric}` runs do not differ by chance, so that there is no spread to judge settings by; \
             choose another column with #{{y: …}}"
        )));
    }
    let variance = used.within / rest;
    let f = used.between / free / variance;
    let distribution =
        FisherSnedecor::new(free, rest).map_err(|error| Error::invalid(format!("collapse: {error}")))?;
    let runs: usize = shared.iter().map(Vec::len).sum();
    // λ is the settings' true sum of squares in units of the variance that F has below its line.
    let effect = |lambda: f64| (lambda / runs as f64).max(0.0).sqrt();
    let tail = (1.0 - CONFIDENCE) / 2.0;
    let (effect_low, effect_high) =
        (effect(noncentrality(f, free, rest, 1.0 - tail)?), effect(noncentrality(f, free, rest, tail)?));
    // The unbiased estimate, from E[F] = (free + λ) rest / (free (rest − 2)).
    let unbiased = f * free * ((rest - 2.0).max(1.0) / rest) - free;
    let verdict = match () {
        () if effect_high < AS_SEEDS => Verdict::Holds,
        () if effect_low > AS_SEEDS => Verdict::Fails,
        () => Verdict::Undecided,
    };
    Ok(Collapse {
        metric: metric.to_owned(),
        temperatures: shared.len(),
        settings: shared.iter().map(|group| numbered(group.iter().map(|point| &point.setting)).1).sum(),
        runs,
        paired,
        f,
        p: distribution.sf(f),
        effect: effect(unbiased),
        effect_low,
        effect_high,
        verdict,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Stream};

    const SD: f64 = 0.01;

    /// How the data are made.
    #[derive(Clone, Copy, Default)]
    struct SettingsDesign {
        /// The standard deviation of the settings' shifts, in units of the runs'.
        shift: f64,
        /// The standard deviation of what a seed does to all settings of its temperature, in units
        /// of what else varies.
        common: f64,
        /// Whether settings have their own seeds.
        own_seeds: bool,
        /// Whether some settings have fewer runs.
        ragged: bool,
    }

    /// Three temperatures of two or three settings each, with three to five seeds, and one of one
    /// setting; and the true effect.
    fn table(draw: i64, design: SettingsDesign) -> (Table, f64) {
        let mut rng = Rng::new(draw, Stream::Synthetic, 0);
        let names = ["temperature", "lr", "batch", "seed_split", "seed_init", "seed_order", "gap"];
        let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); names.len()];
        let settings =
            [(0.1, 32), (0.05, 16), (0.2, 32), (0.1, 16), (0.4, 64), (0.4, 32), (0.2, 16), (0.4, 16)];
        let mut shifts: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        let mut commons: BTreeMap<(u64, i64), f64> = BTreeMap::new();
        for (index, (lr, batch)) in settings.into_iter().enumerate() {
            let t = lr / f64::from(batch);
            let own = design.shift * SD * rng.normal_pair().0;
            let runs = if design.ragged && index % 2 == 1 { 3 } else { 5 };
            for seed in 1..=runs {
                shifts.entry(t.to_bits()).or_default().push(own);
                let noise = SD * rng.normal_pair().0;
                let seed = if design.own_seeds { seed + 100 * index as i64 } else { seed };
                let common = *commons
                    .entry((t.to_bits(), seed))
                    .or_insert_with(|| design.common * SD * rng.normal_pair().0);
                let value = 1e-3 / t + own + common + noise;
                let cells = [Cell::Float(t), Cell::Float(lr), Cell::Int(batch.into())].into_iter();
                let cells =
                    cells.chain([Cell::Int(seed), Cell::Int(seed), Cell::Int(seed), Cell::Float(value)]);
                columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
            }
        }
        let shared: Vec<&Vec<f64>> =
            shifts.values().filter(|own| own.iter().any(|shift| *shift != own[0])).collect();
        let squares: f64 = shared.iter().map(|own| super::super::statistics::squares(own)).sum();
        let runs: usize = shared.iter().map(|own| own.len()).sum();
        (Table::from_cells(&names.map(str::to_owned), &columns).unwrap(), (squares / runs as f64).sqrt() / SD)
    }

    /// What is found in 500 draws, each with the true effect.
    fn found(design: SettingsDesign) -> Vec<(Collapse, f64)> {
        let test = |draw: i64| {
            let (table, truth) = table(draw, design);
            (collapse(&table, "gap").unwrap(), truth)
        };
        (0..500).map(test).collect()
    }

    fn share(found: &[(Collapse, f64)], is: impl Fn(&Collapse, f64) -> bool) -> f64 {
        found.iter().filter(|(found, truth)| is(found, *truth)).count() as f64 / found.len() as f64
    }

    /// 5 % ± four standard errors of 500 draws.
    fn about_level(share: f64) -> bool {
        (share - 0.05).abs() < 4.0 * (0.05f64 * 0.95 / 500.0).sqrt()
    }

    #[test]
    fn settings_that_lie_together_are_told_from_others_at_the_stated_rates() {
        let (one, _) = table(1, SettingsDesign::default());
        let one = collapse(&one, "gap").unwrap();
        assert_eq!((one.temperatures, one.settings, one.runs, one.paired), (3, 7, 35, true));
        let designs = [
            SettingsDesign::default(),
            SettingsDesign { own_seeds: true, ..SettingsDesign::default() },
            SettingsDesign { ragged: true, ..SettingsDesign::default() },
            // Seeds that do much: without blocks, nothing would ever be found.
            SettingsDesign { common: 3.0, ..SettingsDesign::default() },
            SettingsDesign { common: 3.0, ragged: true, ..SettingsDesign::default() },
        ];
        for design in designs {
            let together = found(design);
            assert!(about_level(share(&together, |found, _| found.p < 0.05)));
            assert!(share(&together, |found, _| found.verdict == Verdict::Fails) < 0.05);
            assert!(share(&together, |found, _| found.verdict == Verdict::Holds) > 0.8);
            // The interval holds the true effect in 95 % of draws.
            let shifted = found(SettingsDesign { shift: 2.0, ..design });
            let held =
                share(&shifted, |found, truth| found.effect_low <= truth && truth <= found.effect_high);
            assert!((0.91..0.985).contains(&held), "{held}");
            let far = found(SettingsDesign { shift: 20.0, ..design });
            assert!(share(&far, |found, _| found.verdict == Verdict::Fails) > 0.9);
            assert!(share(&far, |found, _| found.verdict == Verdict::Holds) < 0.03);
        }
    }

    #[test]
    fn sums_of_squares_are_those_of_the_linear_model() {
        // Two settings, blocks 0, 1, 2; one cell is missing. By hand: the blocks with both give
        // differences 2 and 4, so the settings' estimate is 3, SS between = 2 · 3² / 2 and SS
        // within = (1² + 1²) / 2.
        let found = analyse(&[1.0, 3.0, 5.0, 9.0, 7.0], &[0, 1, 0, 1, 0], &[0, 0, 1, 1, 2]);
        assert!((found.between - 9.0).abs() < 1e-12 && (found.within - 1.0).abs() < 1e-12);
        assert_eq!((found.between_free, found.within_free, found.connected), (1, 1, true));
        // Each setting in blocks of its own: nothing can be compared.
        let found = analyse(&[1.0, 2.0, 3.0, 4.0], &[0, 0, 1, 1], &[0, 0, 1, 1]);
        assert_eq!((found.between_free, found.connected), (0, false));
        let f = f_oneway();
        assert!((f.0 - f.1).abs() < 1e-9, "{f:?}");
    }

    /// One temperature without blocks is a one-way analysis of variance: SciPy's `f_oneway`.
    fn f_oneway() -> (f64, f64) {
        #[derive(serde::Deserialize)]
        struct Stored {
            f_oneway: Case,
        }
        #[derive(serde::Deserialize)]
        struct Case {
            groups: Vec<Vec<f64>>,
            f: f64,
        }
        let stored: Stored = serde_json::from_str(include_str!("../../tests/reference/tests.json")).unwrap();
        let groups = &stored.f_oneway.groups;
        let values = groups.concat();
        let settings: Vec<usize> =
            groups.iter().enumerate().flat_map(|(k, group)| vec![k; group.len()]).collect();
        let found = analyse(&values, &settings, &vec![0; values.len()]);
        let f = found.between / found.between_free as f64 / (found.within / found.within_free as f64);
        (f, stored.f_oneway.f)
    }

    #[test]
    fn settings_without_seeds_or_shared_temperatures_are_refused() {
        let lonely = table(1, SettingsDesign::default()).0.filter("batch = 32").unwrap();
        assert!(collapse(&lonely, "gap").unwrap_err().to_string().contains("several seeds"));
    }

    /// An F of 0/0 once made it fail, with an effect of at least infinity.
    #[test]
    fn without_a_spread_by_chance_there_is_no_verdict() {
        let (runs, _) = table(1, SettingsDesign::default());
        // All the same; nearly the same; as the setting says, for every seed.
        for gap in ["0.1", "0.1 + seed_split * 0.1 - seed_split * 0.1", "lr"] {
            let same = runs.derive("gap", gap).unwrap();
            let error = collapse(&same, "gap").unwrap_err().to_string();
            assert!(error.contains("no spread to judge settings by"), "{gap}: {error}");
        }
    }

    /// Runs of different width are never compared with each other.
    #[test]
    fn other_parameters_are_held() {
        let narrow =
            table(1, SettingsDesign::default()).0.filter("batch = 32").unwrap().derive("width", "4").unwrap();
        let wide =
            table(1, SettingsDesign::default()).0.filter("batch = 16").unwrap().derive("width", "8").unwrap();
        let both =
            Table::concat(&narrow.batch().schema(), vec![narrow.batch().clone(), wide.batch().clone()])
                .unwrap();
        assert!(collapse(&both, "gap").unwrap_err().to_string().contains("several seeds"));
    }
}
