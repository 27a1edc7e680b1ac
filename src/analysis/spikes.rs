//! Spikes at the end of a run (Appendix E of the paper; its Figure 8 shows some).
//!
//! The paper: "We detect spikes simply by checking if the last 7 epochs in the run have a larger
//! average than the last 25, and detect the epoch where this starts to happen to make that the new
//! end of the run", for batches of 1,000 or more. That is what is done here, on the train loss: the
//! test loss may rise slowly in a healthy run that overfits. Epochs are those with metrics.
//!
//! In a flat noisy run the one mean exceeds the other half of the time, so the rule moves the end
//! of every other healthy run. By little: it stops at the first epoch, going back, where the last 7
//! do not exceed the last 25, and by chance they do so for a few epochs only. The mean cut is 3
//! epochs for white noise and 6 for noise with a correlation of 0.9 from one epoch to the next, and
//! one cut in a hundred is longer than 35 of 300; the median over 50 epochs hardly notices. So
//! `spiked` says that the rule applied, not that the run was unstable.
//!
//! A loss that rises slowly for long would be cut back to its minimum. That is no spike "towards
//! the end of a run": where the rule leads back further than the last third, nothing is cut, and
//! the drift of the run says what happens.

/// Spikes are looked for at this batch size and above.
pub(super) const SPIKY_BATCH: f64 = 1000.0;
/// A run ends in a spike where the mean of so many last epochs …
const SPIKE: usize = 7;
/// … exceeds the mean of so many.
const BEFORE: usize = 25;
/// A spike is within the last part of a run, one over this.
const LAST: usize = 3;

/// The number of epochs to keep: up to where the last [`SPIKE`] epochs' mean began to exceed the
/// last [`BEFORE`] epochs' mean, if it does so at the end.
pub(super) fn end_before_spike(losses: &[f64]) -> usize {
    let exceeds = |end: usize| {
        let mean = |n: usize| losses[end - n..end].iter().sum::<f64>() / n as f64;
        end >= BEFORE && mean(SPIKE) > mean(BEFORE)
    };
    let mut end = losses.len();
    while exceeds(end) {
        end -= 1;
    }
    if losses.len() - end > losses.len() / LAST { losses.len() } else { end }
}

#[cfg(test)]
mod tests {
    use super::super::drift::tests::noise;
    use super::*;

    /// A falling loss of 200 epochs.
    fn falling() -> Vec<f64> {
        (0..200).map(|index| 1.0 - f64::from(index) * 1e-3).collect()
    }

    #[test]
    fn a_run_ends_where_its_spike_starts() {
        let mut losses = falling();
        assert_eq!(end_before_spike(&losses), 200);
        losses[195..].fill(50.0);
        assert_eq!(end_before_spike(&losses), 195);
        // A spike that lasts 25 epochs is still one, and one that is over is not at the end.
        losses[176..].fill(50.0);
        assert_eq!(end_before_spike(&losses), 176);
        losses[150..180].fill(0.8);
        losses[180..].fill(0.7);
        assert_eq!(end_before_spike(&losses), 200);
        // Too short to have a last 25.
        assert_eq!(end_before_spike(&[1.0, 1.0, 9.0]), 3);
        assert_eq!(end_before_spike(&[f64::NAN; 40]), 40);
    }

    #[test]
    fn a_slow_rise_is_no_spike() {
        let rising: Vec<f64> = falling().into_iter().rev().collect();
        assert_eq!(end_before_spike(&rising), 200);
    }

    /// What the head of this file says of flat runs, at three correlations of the noise.
    #[test]
    fn flat_runs_lose_little_by_chance() {
        const RUNS: usize = 1000;
        for (correlation, mean, hundredth) in [(0.0, 3.3, 22), (0.8, 5.0, 32), (0.9, 6.2, 40)] {
            let mut cuts: Vec<usize> =
                (0..RUNS).map(|run| 300 - end_before_spike(&noise(run as i64, 300, correlation))).collect();
            cuts.sort_unstable();
            let half = cuts.iter().filter(|&&cut| cut > 0).count();
            assert!((450..550).contains(&half), "{half}");
            let found = cuts.iter().sum::<usize>() as f64 / RUNS as f64;
            assert!(
                found < mean && cuts[RUNS - RUNS / 100] <= hundredth,
                "{found} {}",
                cuts[RUNS - RUNS / 100]
            );
        }
    }
}
