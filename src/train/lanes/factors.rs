//! Factors: numbers that one instruction multiplies and adds up, two neighbours of what is
//! contracted over where products are of bfloat16 numbers, else one.

use super::vector::{Kept, Vector, lanes, lanes_mut};

/// What numbers are contracted over.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Over {
    Channels,
    Packs,
}

/// Factors of the numbers of so many packs, with channels of so many pixels, or the numbers
/// themselves where these are factors. They are put into `room` with packs innermost: packs of wide
/// layers are so far apart that they would drive each other from the cache.
pub(super) fn joined<'a, V: Vector, X: Kept<V>>(
    x: &'a [X],
    pixels: usize,
    packs: usize,
    over: Over,
    room: &'a mut [V],
) -> &'a [V] {
    if V::DEPTH == 1
        && packs == 1
        && let Some(x) = X::vectors(x)
    {
        return x;
    }
    let (own, channels) = (x.len() / packs, over == Over::Channels);
    // Numbers that are contracted over lie so far apart.
    let next = if channels { pixels } else { own };
    let [wide, deep] = if channels {
        [packs, (own / pixels).div_ceil(V::DEPTH)]
    } else {
        [packs.div_ceil(V::DEPTH), own / pixels]
    };
    let room = &mut room[..deep * pixels * wide];
    V::run(
        #[inline(always)]
        || {
            for (index, factors) in room.chunks_exact_mut(pixels * wide).enumerate() {
                for pack in 0..wide {
                    let (first, end) = if channels {
                        (pack * own + index * V::DEPTH * pixels, (pack + 1) * own)
                    } else {
                        (pack * V::DEPTH * own + index * pixels, x.len())
                    };
                    let to = factors[pack..].iter_mut().step_by(wide).zip(&x[first..][..pixels]);
                    if V::DEPTH > 1 && first + next < end {
                        for ((factor, lower), upper) in to.zip(&x[first + next..]) {
                            *factor = V::join([lower.value(), upper.value()]);
                        }
                    } else {
                        for (factor, lower) in to {
                            *factor = V::join([lower.value(), V::zero()]);
                        }
                    }
                }
            }
        },
    );
    room
}

/// Factors of two numbers each; zero where there is no second one.
#[inline(always)]
pub(super) fn join_scalars<V: Vector>(lower: &[V::Scalar], upper: &[V::Scalar], factors: &mut [V::Scalar]) {
    for (index, factors) in factors.chunks_mut(V::LANES).enumerate() {
        let numbers = [lower, upper].map(
            #[inline(always)]
            |from| {
                let mut vector = [V::zero()];
                let from = from.get(index * V::LANES..).unwrap_or(&[]);
                let length = from.len().min(V::LANES);
                lanes_mut(&mut vector)[..length].copy_from_slice(&from[..length]);
                vector[0]
            },
        );
        factors.copy_from_slice(&lanes(&[V::join(numbers)])[..factors.len()]);
    }
}
