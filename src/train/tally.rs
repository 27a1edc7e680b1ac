//! Loss, accuracy and the loss's standard deviation, of the losses of examples.
//!
//! There are two ways to a standard deviation, and a run's numbers depend on which. A [`Tally`]
//! keeps sums, one pass over examples that come batch by batch. Where all losses are at hand their
//! mean comes first, and deviations from it are squared: [`scores_of`] in Rust and
//! [`scores_of_tensors`] in libtorch, each in the order in which its backend has always added up.

use tch::{Device, Kind, Tensor};

use crate::model::Scores;

/// Sums over examples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Of the losses.
    pub loss: f64,
    /// Of the squared losses.
    pub squared_loss: f64,
    /// Examples whose largest logit is their label's.
    pub correct: f64,
}

impl Tally {
    /// Adds an example.
    pub(super) fn add(&mut self, loss: f64, correct: bool) {
        self.loss += loss;
        self.squared_loss += loss * loss;
        self.correct += f64::from(u8::from(correct));
    }

    /// Scores from the sums over this many examples.
    pub(super) fn scores(self, examples: f64) -> Scores {
        let loss = self.loss / examples;
        let variance = self.squared_loss / examples - loss * loss;
        Scores { loss, accuracy: self.correct / examples, loss_std: variance.max(0.0).sqrt() }
    }

    /// The three sums in the order of the fields, as files and devices keep them.
    pub(super) fn to_array(self) -> [f64; 3] {
        [self.loss, self.squared_loss, self.correct]
    }

    pub(super) fn from_array([loss, squared_loss, correct]: [f64; 3]) -> Self {
        Self { loss, squared_loss, correct }
    }
}

/// Scores of examples with these losses, `correct` of them with the right label.
pub(super) fn scores_of(losses: &[f64], correct: usize) -> Scores {
    let n = losses.len() as f64;
    let loss = losses.iter().sum::<f64>() / n;
    let variance = losses.iter().map(|value| (value - loss).powi(2)).sum::<f64>() / n;
    Scores { loss, accuracy: correct as f64 / n, loss_std: variance.sqrt() }
}

/// Losses and correct answers of replicas' examples as tensors: replica by example, in float64.
pub(super) struct PerExample {
    losses: Tensor,
    /// 1 where the largest logit is the label's.
    correct: Tensor,
}

impl PerExample {
    /// Of losses and logits whose examples lie replica by replica.
    pub(super) fn new(losses: &Tensor, logits: &Tensor, labels: &Tensor, replicas: i64) -> Self {
        let rows = |values: Tensor| values.to_kind(Kind::Double).view([replicas, -1]);
        tch::no_grad(|| Self {
            losses: rows(losses.detach()),
            correct: rows(logits.argmax(-1, false).eq_tensor(labels)),
        })
    }
}

/// Scores of each replica, of several parts of its examples.
pub(super) fn scores_of_tensors(parts: &[PerExample]) -> Vec<Scores> {
    let all = |of: fn(&PerExample) -> &Tensor| Tensor::cat(&parts.iter().map(of).collect::<Vec<_>>(), 1);
    let (losses, correct) = (all(|part| &part.losses), all(|part| &part.correct));
    let loss = losses.mean_dim(&[1i64][..], false, Kind::Double);
    let std = losses.std_dim(&[1i64][..], false, false);
    let accuracy = correct.mean_dim(&[1i64][..], false, Kind::Double);
    (0..losses.size()[0])
        .map(|replica| Scores {
            loss: loss.double_value(&[replica]),
            accuracy: accuracy.double_value(&[replica]),
            loss_std: std.double_value(&[replica]),
        })
        .collect()
}

/// A [`Tally`] of each replica, on a device.
pub(super) struct DeviceTally(Tensor);

impl DeviceTally {
    pub(super) fn zeros(replicas: usize, device: Device) -> Self {
        Self(Tensor::zeros([3, replicas as i64], (Kind::Double, device)))
    }

    /// Back to zero, in the same place.
    pub(super) fn clear(&mut self) {
        let _ = self.0.zero_();
    }

    /// Sets each replica's, in the same place.
    pub(super) fn set(&mut self, tallies: &[Tally]) {
        let sums: Vec<[f64; 3]> = tallies.iter().map(|tally| tally.to_array()).collect();
        let rows: Vec<f64> = (0..3).flat_map(|row| sums.iter().map(move |sums| sums[row])).collect();
        self.0.copy_(&Tensor::from_slice(&rows).view([3, -1]));
    }

    /// Adds examples. What this launches can be recorded.
    pub(super) fn add(&mut self, examples: &PerExample) {
        tch::no_grad(|| {
            let sum = |values: &Tensor| values.sum_dim_intlist(&[1i64][..], false, Kind::Double);
            let PerExample { losses, correct } = examples;
            let step = Tensor::stack(&[sum(losses), sum(&losses.square()), sum(correct)], 0);
            let _ = self.0.g_add_(&step);
        });
    }

    /// Each replica's.
    pub(super) fn read(&self) -> Vec<Tally> {
        let sums = self.0.to_device(Device::Cpu);
        let of = |replica| Tally::from_array([0, 1, 2].map(|row| sums.double_value(&[row, replica])));
        (0..sums.size()[1]).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Losses 1, 2 and 6: mean 3, variance (4 + 1 + 9) / 3; two of three are correct.
    #[test]
    fn all_ways_give_the_same_scores() {
        let losses = [1.0, 2.0, 6.0];
        let mut tally = Tally::default();
        losses.iter().zip([true, false, true]).for_each(|(loss, correct)| tally.add(*loss, correct));
        assert_eq!(tally, Tally { loss: 9.0, squared_loss: 41.0, correct: 2.0 });

        let logits = Tensor::from_slice(&[2.0, 1.0, 2.0, 1.0, 2.0, 1.0]).view([3, 2]);
        let labels = Tensor::from_slice(&[0i64, 1, 0]);
        let examples = || PerExample::new(&Tensor::from_slice(&losses), &logits, &labels, 1);
        let mut device = DeviceTally::zeros(1, Device::Cpu);
        device.add(&examples());
        assert_eq!(device.read(), [tally]);
        device.set(&[tally]);
        device.add(&examples());
        assert_eq!(device.read()[0].loss, 18.0);
        device.clear();
        assert_eq!(device.read(), [Tally::default()]);

        let all = [tally.scores(3.0), scores_of(&losses, 2), scores_of_tensors(&[examples()])[0]];
        for scores in all {
            assert!((scores.loss - 3.0).abs() < 1e-12, "{scores:?}");
            assert!((scores.accuracy - 2.0 / 3.0).abs() < 1e-12, "{scores:?}");
            assert!((scores.loss_std - (14.0f64 / 3.0).sqrt()).abs() < 1e-12, "{scores:?}");
        }
    }

    /// Sums of equal losses may leave a variance just below zero.
    #[test]
    fn a_spread_is_never_the_root_of_a_negative_number() {
        let tally = Tally { loss: 0.3, squared_loss: 0.029_999_999, correct: 0.0 };
        assert_eq!(tally.scores(3.0).loss_std, 0.0);
    }
}
