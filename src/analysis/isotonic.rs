//! The nearest curve that only rises, or only falls: the best that any monotone curve can do.

use super::variable_projection::Mean;

/// The rising sequence nearest to means, with how many levels it has: neighbours that fall are
/// pooled (Ayer et al. 1955).
pub(super) fn rising(means: &[Mean]) -> (Vec<f64>, usize) {
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for &Mean { value, weight, .. } in means {
        pools.push((value, weight, 1));
        while let [.., (a, wa, na), (b, wb, nb)] = pools[..]
            && a >= b
        {
            pools.truncate(pools.len() - 2);
            pools.push(((a * wa + b * wb) / (wa + wb), wa + wb, na + nb));
        }
    }
    let levels = pools.len();
    (pools.into_iter().flat_map(|(value, _, n)| std::iter::repeat_n(value, n)).collect(), levels)
}

/// The falling sequence nearest to means, with how many levels it has.
pub(super) fn falling(means: &[Mean]) -> (Vec<f64>, usize) {
    let negated: Vec<Mean> = means.iter().map(|mean| Mean { value: -mean.value, ..*mean }).collect();
    let (fit, levels) = rising(&negated);
    (fit.into_iter().map(|value| -value).collect(), levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_monotone_sequence_pools_what_is_out_of_order() {
        let means: Vec<Mean> = [(1.0, 1.0), (3.0, 1.0), (2.0, 1.0), (2.0, 2.0), (5.0, 1.0)]
            .into_iter()
            .map(|(value, weight)| Mean { t: 0.0, value, weight })
            .collect();
        assert_eq!(rising(&means), (vec![1.0, 2.25, 2.25, 2.25, 5.0], 3));
        assert_eq!(falling(&means), (vec![2.5; 5], 1));
        assert_eq!(falling(&means[1..4]), (vec![3.0, 2.0, 2.0], 2));
    }
}
