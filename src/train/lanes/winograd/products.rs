//! Products at the points of tiles: outputs, and gradients of kernels.

use super::order::{GROUP, WIDE, load, store};
use crate::model::Channels;
use crate::train::lanes::vector::{Vector, lanes, parts, parts_mut};

/// The kernels at a point.
#[derive(Clone, Copy)]
pub(super) struct PointKernels<'a, S> {
    pub(super) scalars: &'a [S],
    /// Scalars from an input's factor to the next one's, and from an output's.
    pub(super) strides: Channels,
}

/// What is at a point of every output channel: kernels times what is there of the inputs.
#[inline(always)]
pub(super) fn multiply<V: Vector, const R: usize>(
    kernels: PointKernels<V::Scalar>,
    x: &[V],
    y: &mut [V],
    columns: usize,
) {
    let [from, to] = [x.len(), y.len()].map(|length| length / columns);
    let wide = V::channels(R);
    // As many sums as the registers hold.
    let most = V::TILE * V::PACKS / wide;
    for start in (0..columns).step_by(GROUP) {
        let size = (columns - start).min(GROUP);
        let (x, y) = (&x[start * from..][..size * from], &mut y[start * to..][..size * to]);
        for channel in (0..to).step_by(wide) {
            let mut column = 0;
            while column < size {
                column += match (wide, (size - column).min(most)) {
                    (4, 4) => multiply_tile::<V, R, 4, 4>(kernels, x, y, size, channel, column),
                    (4, 2..) => multiply_tile::<V, R, 4, 2>(kernels, x, y, size, channel, column),
                    (4, _) => multiply_tile::<V, R, 4, 1>(kernels, x, y, size, channel, column),
                    (_, 4) => multiply_tile::<V, R, 2, 4>(kernels, x, y, size, channel, column),
                    (_, 2..) => multiply_tile::<V, R, 2, 2>(kernels, x, y, size, channel, column),
                    (_, _) => multiply_tile::<V, R, 2, 1>(kernels, x, y, size, channel, column),
                };
            }
        }
    }
}

/// For `O` output channels and `M` columns of a group of `size`; what it returns is `M`.
#[inline(always)]
fn multiply_tile<V: Vector, const R: usize, const O: usize, const M: usize>(
    kernels: PointKernels<V::Scalar>,
    x: &[V],
    y: &mut [V],
    size: usize,
    channel: usize,
    column: usize,
) -> usize {
    let mut sums = [[V::zero(); O]; M];
    let Channels { input: inner, output: outer } = kernels.strides;
    let mut kernel = channel * outer;
    for inputs in x.chunks_exact(size) {
        // SAFETY: kernels of channels of both sides, R numbers of each.
        let weights: [V; O] = std::array::from_fn(
            #[inline(always)]
            |o| unsafe { V::repeat::<R>(kernels.scalars.as_ptr().add(kernel + o * outer)) },
        );
        kernel += inner;
        for (m, sums) in sums.iter_mut().enumerate() {
            // SAFETY: M columns of a channel, from `column` on.
            let input = unsafe { *inputs.get_unchecked(column + m) };
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = input.dot(weight, *sum);
            }
        }
    }
    for o in 0..O {
        for (m, sums) in sums.iter().enumerate() {
            y[(channel + o) * size + column + m] = sums[o];
        }
    }
    M
}

/// Adds the products of changes of outputs and inputs at a point, summed over columns and images,
/// to a gradient.
#[inline(always)]
pub(super) fn accumulate<V: Vector, const R: usize>(
    x: &[V],
    dy: &[V],
    gradient: &mut [V::Scalar],
    columns: usize,
) {
    let [from, to] = [x, dy].map(|side| side.len() / columns);
    for output in (0..to).step_by(WIDE) {
        for input in (0..from).step_by(WIDE) {
            let first = Channels { input, output };
            // As many sums as the registers hold.
            match V::TILE {
                4 => accumulate_tile::<V, R, 4>(x, dy, gradient, columns, first),
                _ => accumulate_tile::<V, R, 2>(x, dy, gradient, columns, first),
            }
        }
    }
}

/// For [`WIDE`] output and input channels, `I` of the latter and a part of each vector at a time.
#[inline(always)]
fn accumulate_tile<V: Vector, const R: usize, const I: usize>(
    x: &[V],
    dy: &[V],
    gradient: &mut [V::Scalar],
    columns: usize,
    Channels { input, output }: Channels,
) {
    let [from, to] = [x, dy].map(|side| side.len() / columns);
    let (x, dy) = (parts(x), parts(dy));
    let count = size_of::<V>() / size_of::<V::Part>();
    let mut all = [[V::zero(); WIDE]; WIDE];
    for part in 0..count {
        for first in (0..WIDE).step_by(I) {
            let mut sums = [[V::Part::zero(); I]; WIDE];
            for start in (0..columns).step_by(GROUP) {
                let size = (columns - start).min(GROUP);
                // SAFETY: where a part of the group's first column is, in channels of each side.
                let (x, dy) = unsafe {
                    (
                        x.as_ptr().add((start * from + (input + first) * size) * count + part),
                        dy.as_ptr().add((start * to + output * size) * count + part),
                    )
                };
                // The compiler knows how far apart the channels of a full group are.
                match size {
                    // SAFETY: the group has so many columns.
                    GROUP => unsafe { accumulate_group::<V::Part, I>(x, dy, GROUP, count, &mut sums) },
                    // SAFETY: as above.
                    _ => unsafe { accumulate_group::<V::Part, I>(x, dy, size, count, &mut sums) },
                }
            }
            for (all, sums) in all.iter_mut().zip(&sums) {
                let all = parts_mut(all);
                for (i, sum) in sums.iter().enumerate() {
                    all[(first + i) * count + part] = *sum;
                }
            }
        }
    }
    if V::LANES == 16 * R {
        let sums = [V::sums(all)];
        for (o, sums) in lanes(&sums).chunks_exact(WIDE).enumerate() {
            let start = (output + o) * from + input;
            for (own, sum) in gradient[start..start + WIDE].iter_mut().zip(sums) {
                *own += *sum;
            }
        }
        return;
    }
    for (o, sums) in all.iter().enumerate() {
        let start = ((output + o) * from + input) * R;
        add_folded::<V, R>(*sums, &mut gradient[start..start + WIDE * R]);
    }
}

/// Adds the products of a part, of `count`, of each of a group's `size` columns.
///
/// # Safety
///
/// There is a group of columns of `I` channels at `x` and one of [`WIDE`] channels at `dy`.
#[inline(always)]
unsafe fn accumulate_group<P: Vector, const I: usize>(
    mut x: *const P,
    mut dy: *const P,
    size: usize,
    count: usize,
    sums: &mut [[P; I]; WIDE],
) {
    for _ in 0..size {
        // SAFETY: the caller's channels; after the last column nothing is read.
        unsafe {
            let inputs: [P; I] = std::array::from_fn(
                #[inline(always)]
                |i| *x.add(i * size * count),
            );
            for (o, sums) in sums.iter_mut().enumerate() {
                let change = *dy.add(o * size * count);
                for (sum, input) in sums.iter_mut().zip(inputs) {
                    *sum = input.dot(change, *sum);
                }
            }
            (x, dy) = (x.wrapping_add(count), dy.wrapping_add(count));
        }
    }
}

/// Adds up the images of each vector, and adds the sums, `R` of each, to numbers.
#[inline(always)]
fn add_folded<V: Vector, const R: usize>([a, b, c, d]: [V; WIDE], to: &mut [V::Scalar]) {
    if R == V::LANES {
        for (own, sum) in to.chunks_exact_mut(R).zip([a, b, c, d]) {
            store(own, load::<V>(own).add(sum));
        }
        return;
    }
    let [first, second] = [V::halves(a, b), V::halves(c, d)];
    if 2 * R == V::LANES {
        for (own, sum) in to.chunks_exact_mut(2 * R).zip([first, second]) {
            store(own, load::<V>(own).add(sum));
        }
        return;
    }
    let mut sums = V::quarters(first, second);
    if 4 * R == V::LANES {
        store(to, load::<V>(to).add(sums));
        return;
    }
    let mut distance = V::LANES / 8;
    while distance >= R {
        sums = sums.add_across(distance);
        distance /= 2;
    }
    let sums = [sums];
    for (own, sums) in to.chunks_exact_mut(R).zip(lanes(&sums).chunks_exact(V::LANES / 4)) {
        for (own, sum) in own.iter_mut().zip(sums) {
            *own += *sum;
        }
    }
}
