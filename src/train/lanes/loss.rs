//! Cross-entropy and accuracy of replicas and images in the vector lanes.

use super::lane_map::LaneMap;
use super::vector::{Scalar, Vector, lanes, lanes_mut};

/// The losses of logits (pack, class) with labels (image, replica), where a vector has `places`
/// replicas: calls `each` with replica, loss and whether the largest logit is the label's. Where
/// `d_logits` is given, it becomes the gradient of the loss times `weight`. Replicas beyond
/// `labels` pad the vectors and take the first one's label; images beyond them are nobody's.
pub(super) fn cross_entropy<V: Vector>(
    logits: &[V],
    labels: &[i64],
    LaneMap { replicas, places }: LaneMap,
    classes: usize,
    mut d_logits: Option<(&mut [V], f64)>,
    each: &mut dyn FnMut(usize, f64, bool),
) {
    let images = labels.len() / replicas;
    let values = lanes(logits);
    let mut exponentials = vec![0.0; classes];
    for image in 0..images {
        let (pack, first) = (image * places / V::LANES, image * places % V::LANES);
        for place in 0..places {
            let replica = if place < replicas { place } else { 0 };
            let label = labels[image * replicas + replica] as usize;
            let at = |class: usize| (pack * classes + class) * V::LANES + first + place;
            let logit = |class: usize| values[at(class)].wide();
            let (mut largest, mut best) = (logit(0), 0);
            for class in 1..classes {
                if logit(class) > largest {
                    (largest, best) = (logit(class), class);
                }
            }
            let mut sum = 0.0;
            for (class, exponential) in exponentials.iter_mut().enumerate() {
                *exponential = (logit(class) - largest).exp();
                sum += *exponential;
            }
            if place < replicas {
                each(place, largest + sum.ln() - logit(label), best == label);
            }
            if let Some((d_logits, weight)) = &mut d_logits {
                let d_logits = lanes_mut(d_logits);
                for (class, exponential) in exponentials.iter().enumerate() {
                    let hit = if class == label { 1.0 } else { 0.0 };
                    d_logits[at(class)] = V::Scalar::of((exponential / sum - hit) * *weight);
                }
            }
        }
    }
}
