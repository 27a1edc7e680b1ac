//! Runs of one shape.

use std::collections::HashMap;

use super::spec::{RunSpec, Seeds};
use crate::error::Result;
use crate::interrupt::check_at;

/// Groups runs that differ only in seeds or learning rate, in order of first appearance. Each group
/// holds positions in `specs`.
///
/// # Errors
///
/// An interrupt: of a million runs this takes seconds.
pub fn cohorts(specs: &[RunSpec]) -> Result<Vec<Vec<usize>>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (index, spec) in specs.iter().enumerate() {
        check_at(index)?;
        let group = *known.entry(shape(spec)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(index);
    }
    Ok(groups)
}

/// What runs of one cohort have in common.
fn shape(spec: &RunSpec) -> String {
    RunSpec { seeds: Seeds::all(0), lr: 1.0, ..spec.clone() }.canonical()
}

/// Cuts a cohort of `n` into stacks of at most `largest`, at least two each where there are two,
/// and evenly enough for `workers` to share them.
pub fn stacks(n: usize, largest: usize, workers: usize) -> Vec<usize> {
    let smallest = if largest >= 2 { 2 } else { 1 };
    let fewest = n.div_ceil(largest.max(1));
    let even = fewest.next_multiple_of(workers.max(1)).min(n / smallest).max(fewest);
    let (size, rest) = (n / even, n % even);
    (0..even).map(|stack| size + usize::from(stack < rest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_even_and_within_bounds() {
        assert_eq!(stacks(12, 16, 2), [6, 6]);
        assert_eq!(stacks(12, 8, 2), [6, 6]);
        assert_eq!(stacks(33, 16, 2), [9, 8, 8, 8]);
        assert_eq!(stacks(3, 16, 2), [3]);
        assert_eq!(stacks(1, 16, 2), [1]);
        assert_eq!(stacks(3, 1, 2), [1, 1, 1]);
        for n in 1..60 {
            for largest in [1, 2, 3, 8, 16] {
                let sizes = stacks(n, largest, 2);
                assert_eq!(sizes.iter().sum::<usize>(), n);
                assert!(sizes.iter().all(|&size| size >= 1 && size <= largest), "{n} {largest} {sizes:?}");
            }
        }
    }
}
