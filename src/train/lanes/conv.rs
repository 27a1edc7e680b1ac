//! Convolutions whose vector lanes are replicas and images.
//!
//! A vector holds a number of one image or of several, each replica's in a lane of its own; what it
//! holds of its images is a *pack*. Numbers of a few packs (a [slab](super::slab)) are ordered by
//! pack, channel, pixel; weights by output, input, tap, which is PyTorch's order, and replica. A
//! convolution goes tap by tap ([`direct`](super::direct)) or, where that is less work, by tiles of
//! pixels ([`winograd`]).

use std::ops::Range;
use std::sync::Arc;

use super::direct::Direct;
use super::links::TapGeometry;
use super::operands::{Accumulate, ConvWeights, Kernels, Points};
use super::slab::SLAB;
use super::vector::{Kept, Vector};
use super::winograd::{self, Direction, Tiles};
use crate::model::{Channels, Size};

/// Numbers in each lane of a slab on one side of a convolution by tiles, or of one pack where these
/// are more: 2 MB in the longest vectors, half of it where numbers are kept in half. What is
/// written is soon read again, and weights are loaded as often whatever the packs. Shorter vectors
/// have the same slabs, so that bits do not depend on how many replicas there are. Few in unit
/// tests, where nets are small.
const SLAB_NUMBERS: usize = if cfg!(test) { 1 << 10 } else { 1 << 15 };

/// A convolution without bias on images of one size; a linear layer is one on images of one pixel.
pub(super) struct Convolution {
    pub(super) channels: Channels,
    /// Where its weights are among all parameters.
    weights: Range<usize>,
    algorithm: Algorithm,
}

enum Algorithm {
    Taps(Direct),
    Tiles(Arc<Tiles>),
}

/// Kernels of one size, at one stride, on images of one size.
#[derive(Clone)]
pub(super) struct ConvGeometry {
    size: Size,
    taps: Arc<TapGeometry>,
    /// Where there can be tiles.
    tiles: Option<Arc<Tiles>>,
}

impl ConvGeometry {
    /// Kernels of `kernel` x `kernel` taps and a padding of half of that, on images of this size.
    pub(super) fn new(kernel: usize, stride: usize, size: Size) -> Self {
        Self {
            size,
            taps: Arc::new(TapGeometry::new(kernel, stride, size)),
            tiles: (kernel == 3 && stride == 1).then(|| Arc::new(Tiles::new(size))),
        }
    }
}

impl Convolution {
    /// Its weights begin at `start`.
    pub(super) fn new(channels: Channels, start: usize, geometry: &ConvGeometry) -> Self {
        let ConvGeometry { size, taps, tiles } = geometry;
        let algorithm = match tiles {
            Some(tiles) if Tiles::is_cheaper(*size, taps.links(), channels) => {
                Algorithm::Tiles(Arc::clone(tiles))
            }
            _ => Algorithm::Taps(Direct::new(channels, Arc::clone(taps))),
        };
        let end = start + channels.output * channels.input * taps.taps;
        Self { channels, weights: start..end, algorithm }
    }

    /// Pixels of the output.
    pub(super) fn pixels(&self) -> usize {
        match &self.algorithm {
            Algorithm::Taps(direct) => direct.pixels(),
            Algorithm::Tiles(tiles) => tiles.pixels(),
        }
    }

    /// Numbers of an image's output.
    pub(super) fn output_numbers(&self) -> usize {
        self.channels.output * self.pixels()
    }

    /// Packs of a slab at most.
    pub(super) fn slab(&self) -> usize {
        match &self.algorithm {
            Algorithm::Taps(_) => SLAB,
            Algorithm::Tiles(tiles) => {
                let channels = self.channels.input.max(self.channels.output);
                (SLAB_NUMBERS / (channels * tiles.pixels())).clamp(1, SLAB)
            }
        }
    }

    /// Vectors that gather its gradient.
    pub(super) fn gradient_vectors<V: Vector>(&self, replicas: usize) -> usize {
        match &self.algorithm {
            Algorithm::Taps(direct) => direct.gradient_vectors::<V>(replicas),
            Algorithm::Tiles(_) => Tiles::gradient_vectors::<V>(self.kernels(), replicas),
        }
    }

    /// Scalars of the kernels that [`Convolution::prepare`] makes ready.
    pub(super) fn kernel_scalars<V: Vector>(&self, replicas: usize) -> usize {
        match &self.algorithm {
            Algorithm::Taps(direct) => {
                let scalars = |transposed| direct.kernel_scalars::<V>(transposed, replicas);
                scalars(false).max(scalars(true))
            }
            Algorithm::Tiles(_) => Tiles::kernel_scalars::<V>(self.kernels(), replicas),
        }
    }

    /// Vectors that it needs on each side of [`Points`].
    pub(super) fn point_vectors<V: Vector>(&self) -> usize {
        match &self.algorithm {
            Algorithm::Taps(direct) => direct.point_vectors::<V>(),
            Algorithm::Tiles(_) => winograd::points::<V>(self.channels.input.max(self.channels.output)),
        }
    }

    /// Makes kernels ready for [`Convolution::forward`] or, `transposed`, for
    /// [`Convolution::backward`], until its weights change or another convolution's kernels are
    /// made ready.
    pub(super) fn prepare<V: Vector>(
        &self,
        theta: &[V::Scalar],
        transposed: bool,
        replicas: usize,
        kernels: &mut Kernels<V>,
    ) {
        let own = self.own(theta, replicas);
        match &self.algorithm {
            Algorithm::Taps(direct) => direct.prepare(own, transposed, replicas, kernels),
            Algorithm::Tiles(_) => Tiles::prepare(own, self.channels.input, transposed, replicas, kernels),
        }
    }

    /// Output channels of `packs` packs.
    pub(super) fn forward<V: Vector, X: Kept<V>, Y: Kept<V>>(
        &self,
        weights: ConvWeights<V>,
        x: &[X],
        y: &mut [Y],
        packs: usize,
        onto: Accumulate<Y>,
        points: &mut Points<V>,
    ) {
        match &self.algorithm {
            Algorithm::Taps(direct) => {
                direct.forward(self.own_weights(weights), x, y, packs, onto, points);
            }
            Algorithm::Tiles(tiles) => {
                let direction = Direction { channels: self.channels, transposed: false };
                tiles.contract(weights, direction, x, y, onto, points);
            }
        }
    }

    /// The gradient with respect to the input.
    pub(super) fn backward<V: Vector, K: Kept<V>>(
        &self,
        weights: ConvWeights<V>,
        dy: &[K],
        dx: &mut [K],
        packs: usize,
        onto: Accumulate<K>,
        points: &mut Points<V>,
    ) {
        let Channels { input, output } = self.channels;
        match &self.algorithm {
            Algorithm::Taps(direct) => {
                direct.backward(self.own_weights(weights), dy, dx, packs, onto, points);
            }
            Algorithm::Tiles(tiles) => {
                let back = Channels { input: output, output: input };
                let direction = Direction { channels: back, transposed: true };
                tiles.contract(weights, direction, dy, dx, onto, points);
            }
        }
    }

    /// Adds the gradient with respect to the weights to `gradient`, which
    /// [`Convolution::emit_gradients`] reads.
    pub(super) fn gradient<V: Vector, X: Kept<V>, Y: Kept<V>>(
        &self,
        replicas: usize,
        x: &[X],
        dy: &[Y],
        gradient: &mut [V],
        packs: usize,
        points: &mut Points<V>,
    ) {
        match &self.algorithm {
            Algorithm::Taps(direct) => direct.gradient(replicas, x, dy, gradient, packs, points),
            Algorithm::Tiles(tiles) => tiles.gradient(self.channels, replicas, x, dy, gradient, points),
        }
    }

    /// Emits what [`Convolution::gradient`] gathered, some parameters after the other: where they
    /// are among all, and the gradient of each of `replicas` replicas.
    pub(super) fn emit_gradients<V: Vector>(
        &self,
        gradient: &[V],
        replicas: usize,
        mut change: impl FnMut(Range<usize>, &[V::Scalar]),
    ) {
        let change = |first: usize, gradient: &[V::Scalar]| {
            let start = self.weights.start + first;
            change(start..start + gradient.len() / replicas, gradient);
        };
        match &self.algorithm {
            Algorithm::Taps(direct) => direct.emit_gradients(gradient, replicas, change),
            Algorithm::Tiles(_) => Tiles::emit_gradients(self.kernels(), gradient, replicas, change),
        }
    }

    /// Pairs of an input and an output channel.
    fn kernels(&self) -> usize {
        self.channels.input * self.channels.output
    }

    /// Its weights among all.
    fn own<'a, S>(&self, theta: &'a [S], replicas: usize) -> &'a [S] {
        &theta[self.weights.start * replicas..self.weights.end * replicas]
    }

    fn own_weights<'a, V: Vector>(&self, weights: ConvWeights<'a, V>) -> ConvWeights<'a, V> {
        ConvWeights { theta: self.own(weights.theta, weights.replicas), ..weights }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bf16::Bf16;
    use super::super::vector::{Numbers, Pair, Plain, Scalar, lanes, lanes_mut};
    use super::*;

    /// Whole numbers without a pattern, so small that every way to compute is exact, in bfloat16,
    /// too.
    fn some<S: Scalar>(numbers: &mut [S], seed: u64) {
        let mut rng = crate::rng::Rng::new(seed as i64, crate::rng::Stream::Init, 0);
        numbers.iter_mut().for_each(|number| *number = S::of((rng.uniform() * 9.0).floor() - 4.0));
    }

    /// Output, and both gradients for a given gradient of the output, by the definition:
    /// [output][input] kernels of 3 x 3 taps on channels of height x width pixels.
    fn defined(
        Channels { input: from, output: to }: Channels,
        Size { height, width }: Size,
        weights: &[f64],
        x: &[f64],
        dy: &[f64],
    ) -> [Vec<f64>; 3] {
        let pixels = height * width;
        let [mut y, mut dx, mut dw] = [dy, x, weights].map(|like| vec![0.0; like.len()]);
        for (k, c) in (0..to).flat_map(|k| (0..from).map(move |c| (k, c))) {
            for (pixel, tap) in (0..pixels).flat_map(|pixel| (0..9).map(move |tap| (pixel, tap))) {
                let row = (pixel / width + tap / 3).wrapping_sub(1);
                let column = (pixel % width + tap % 3).wrapping_sub(1);
                if row < height && column < width {
                    let weight = (k * from + c) * 9 + tap;
                    let [own, seen] = [k * pixels + pixel, c * pixels + row * width + column];
                    y[own] += weights[weight] * x[seen];
                    dx[seen] += weights[weight] * dy[own];
                    dw[weight] += x[seen] * dy[own];
                }
            }
        }
        [y, dx, dw]
    }

    /// The vector as it is after it was kept.
    fn kept<V: Vector>(value: V) -> V {
        V::Kept::keep(value).value()
    }

    /// Both algorithms are the definition, whatever sizes, packs, replicas and vector; outputs are
    /// rounded once where they are kept.
    #[test]
    fn convolutions_are_what_they_are_defined_to_be() {
        compare::<Plain<f64, 4>>();
        compare::<Pair<Plain<f64, 4>>>();
        compare::<Pair<Plain<f32, 8>>>();
        compare::<Bf16<Pair<Plain<f32, 8>>>>();
    }

    fn compare<V: Vector>() {
        let mut tiled = 0;
        for ([input, output], [height, width], packs, replicas) in [
            ([3, 8], [5, 4], 3, 4),
            ([16, 16], [9, 8], 1, V::LANES),
            ([16, 20], [7, 9], 2, 4),
            ([12, 16], [8, 10], 3, 2),
            ([16, 12], [8, 8], 4, 1),
            ([12, 12], [10, 10], 1, 1),
            ([8, 3], [5, 4], 4, 1),
        ] {
            let (channels, size) = (Channels { input, output }, Size { height, width });
            let conv = Convolution::new(channels, 2, &ConvGeometry::new(3, 1, size));
            tiled += usize::from(matches!(conv.algorithm, Algorithm::Tiles(_)));
            let (pixels, kernels) = (size.pixels(), input * output);
            let mut theta = Numbers::<V>::zeros((2 + 9 * kernels) * replicas).unwrap();
            some(&mut theta, 1);
            let vectors = |length, seed| {
                let mut vectors = vec![V::zero(); length];
                some(lanes_mut(&mut vectors), seed);
                vectors
            };
            let x = vectors(input * pixels * packs, 2);
            // Both are added to.
            let keep = |vectors: &[V]| vectors.iter().map(|&value| V::Kept::keep(value)).collect::<Vec<_>>();
            let values = |kept: &[V::Kept]| kept.iter().map(|kept| kept.value()).collect::<Vec<V>>();
            let (dy, first) = (vectors(output * pixels * packs, 3), vectors(output * pixels * packs, 4));
            let kept_dy = keep(&dy);
            let mut ready = Kernels::<V>::new(conv.kernel_scalars::<V>(replicas)).unwrap();
            let mut points = Points::new(conv.point_vectors::<V>()).unwrap();
            let base = vectors(x.len(), 5);
            let (mut y, mut dx) = (keep(&first), keep(&vec![V::zero(); x.len()]));
            conv.prepare(&theta, false, replicas, &mut ready);
            conv.forward(
                ConvWeights { theta: &theta, replicas, kernels: &ready },
                &x,
                &mut y,
                packs,
                Accumulate::Existing,
                &mut points,
            );
            conv.prepare(&theta, true, replicas, &mut ready);
            let own = ConvWeights { theta: &theta, replicas, kernels: &ready };
            conv.backward(own, &kept_dy, &mut dx, packs, Accumulate::Other(&keep(&base)), &mut points);
            let [y, dx] = [values(&y), values(&dx)];
            let mut sums = vec![V::zero(); conv.gradient_vectors::<V>(replicas)];
            for _ in 0..2 {
                conv.gradient(replicas, &x, &kept_dy, &mut sums, packs, &mut points);
            }
            let mut gradient = vec![V::Scalar::default(); 9 * kernels * replicas];
            conv.emit_gradients(&sums, replicas, |place, part| {
                gradient[(place.start - 2) * replicas..(place.end - 2) * replicas].copy_from_slice(part);
            });
            let image = |vectors: &[V], pack: usize, lane: usize| -> Vec<f64> {
                let own = vectors.chunks_exact(vectors.len() / packs).nth(pack).unwrap();
                lanes(own).iter().skip(lane).step_by(V::LANES).map(|number| number.wide()).collect()
            };
            let same = |a: &[f64], b: &[f64]| assert!(a == b, "{channels:?} {size:?} {packs}");
            // A sum of two whole numbers, kept.
            let sum = |(a, b): (&f64, &f64)| lanes(&[kept(V::of(a + b))])[0].wide();
            for replica in 0..replicas {
                let of_replica = |numbers: &[V::Scalar]| -> Vec<f64> {
                    numbers.iter().skip(replica).step_by(replicas).map(|number| number.wide()).collect()
                };
                let weights = of_replica(&theta[2 * replicas..]);
                let mut total = vec![0.0; weights.len()];
                for (pack, lane) in (0..packs).flat_map(|pack| (0..V::LANES).map(move |lane| (pack, lane))) {
                    if lane % replicas != replica {
                        continue;
                    }
                    let [expected_y, expected_dx, dw] =
                        defined(channels, size, &weights, &image(&x, pack, lane), &image(&dy, pack, lane));
                    let added: Vec<f64> =
                        image(&first, pack, lane).iter().zip(&expected_y).map(sum).collect();
                    same(&image(&y, pack, lane), &added);
                    let added: Vec<f64> =
                        image(&base, pack, lane).iter().zip(&expected_dx).map(sum).collect();
                    same(&image(&dx, pack, lane), &added);
                    total.iter_mut().zip(dw).for_each(|(sum, value)| *sum += 2.0 * value);
                }
                same(&of_replica(&gradient), &total);
            }
        }
        assert_eq!(tiled, 5);
    }
}
