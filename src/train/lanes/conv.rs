//! Convolutions whose vector lanes are replicas and images.
//!
//! A vector holds a number of one image or of several, each replica's in a lane of its own; what it holds of its images
//! is a *pack*. Numbers of a few packs (a [slab](super::slab)) lie as pack, channel, pixel; weights as output, input, tap,
//! which is PyTorch's order, and replica. There are two ways to convolve, tap by tap ([`direct`](super::direct)) and,
//! where it is less work, by tiles of pixels ([`winograd`](super::winograd)).

use std::ops::Range;
use std::sync::Arc;

use super::direct::{Direct, Geometry};
use super::slab::SLAB;
use super::vector::{Kept, Vector};
use super::winograd::{self, Kernels, Points, Tiles};

/// Parameters whose gradients are handed on together: few enough to stay in the first-level cache.
pub(super) const PART: usize = 512;

/// Numbers in each lane of a slab on one side of a convolution by tiles, or of one pack where these are more: 2 MB in the longest
/// vectors, half of it where numbers are kept in half. What is written is soon read again, and weights are loaded as often whatever the packs. Shorter vectors have the
/// same slabs, so that bits do not depend on how many replicas there are. Few in unit tests, where nets are small.
const NUMBERS: usize = if cfg!(test) { 1 << 10 } else { 1 << 15 };

/// A convolution without bias on images of one size; a linear layer is one on images of one pixel.
pub(super) struct Conv {
    /// Channels of the input.
    pub(super) from: usize,
    /// Channels of the output.
    pub(super) to: usize,
    /// Where its weights are among all parameters.
    weights: Range<usize>,
    way: Way,
}

enum Way {
    Direct(Direct),
    Tiles(Arc<Tiles>),
}

/// What a convolution adds its output to.
#[derive(Clone, Copy)]
pub(super) enum Accumulate<'a, Y> {
    Nothing,
    /// What is there.
    ConvWeights,
    /// Numbers that lie as it does.
    Other(&'a [Y]),
}

impl<Y: Copy> Accumulate<'_, Y> {
    /// Puts a value of the output to its place.
    #[inline(always)]
    pub(super) fn put<V: Vector>(self, value: V, y: &mut [Y], index: usize)
    where
        Y: Kept<V>,
    {
        let own = &mut y[index];
        *own = Y::keep(match self {
            Self::Nothing => value,
            Self::ConvWeights => own.value().add(value),
            Self::Other(base) => base[index].value().add(value),
        });
    }
}

/// What convolutions compute with.
pub(super) struct ConvWeights<'a, V: Vector> {
    /// All parameters, `replicas` numbers of each.
    pub(super) theta: &'a [V::Scalar],
    pub(super) replicas: usize,
    /// As [`Conv::prepare`] left them.
    pub(super) kernels: &'a Kernels<V>,
}

impl<V: Vector> Clone for ConvWeights<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: Vector> Copy for ConvWeights<'_, V> {}

/// What kernels of one size, at one stride, see of images of one size.
#[derive(Clone)]
pub(super) struct ConvGeometry {
    taps: usize,
    geometry: Arc<Geometry>,
    /// Where there can be tiles, with the height and width of the images.
    tiles: Option<(Arc<Tiles>, [usize; 2])>,
}

impl ConvGeometry {
    /// Kernels of `kernel` x `kernel` taps and a padding of half of that, on images of this height and width.
    pub(super) fn new(kernel: usize, stride: usize, sides: [usize; 2]) -> Self {
        Self {
            taps: kernel * kernel,
            geometry: Arc::new(Geometry::new(kernel, stride, sides)),
            tiles: ([kernel, stride] == [3, 1]).then(|| (Arc::new(Tiles::new(sides)), sides)),
        }
    }
}

impl Conv {
    /// Its weights begin at `start`.
    pub(super) fn new(channels: [usize; 2], start: usize, sight: &ConvGeometry) -> Self {
        let [from, to] = channels;
        let geometry = &sight.geometry;
        let way = match &sight.tiles {
            Some((tiles, sides)) if Tiles::is_cheaper(*sides, geometry.links(), channels) => {
                Way::Tiles(Arc::clone(tiles))
            }
            _ => Way::Direct(Direct::new(channels, Arc::clone(geometry))),
        };
        Self { from, to, weights: start..start + to * from * sight.taps, way }
    }

    /// Pixels of the output.
    pub(super) fn pixels(&self) -> usize {
        match &self.way {
            Way::Direct(direct) => direct.pixels(),
            Way::Tiles(tiles) => tiles.pixels(),
        }
    }

    /// Packs of a slab at most.
    pub(super) fn slab(&self) -> usize {
        match &self.way {
            Way::Direct(_) => SLAB,
            Way::Tiles(tiles) => (NUMBERS / (self.from.max(self.to) * tiles.pixels())).clamp(1, SLAB),
        }
    }

    /// Vectors that gather its gradient.
    pub(super) fn sums<V: Vector>(&self, replicas: usize) -> usize {
        match &self.way {
            Way::Direct(direct) => direct.sums::<V>(replicas),
            Way::Tiles(_) => Tiles::sums::<V>(self.from * self.to, replicas),
        }
    }

    /// Scalars of the kernels that [`Conv::prepare`] makes ready.
    pub(super) fn factors<V: Vector>(&self, replicas: usize) -> usize {
        match &self.way {
            Way::Direct(direct) => {
                direct.factors::<V>(false, replicas).max(direct.factors::<V>(true, replicas))
            }
            Way::Tiles(_) => Tiles::factors::<V>(self.from * self.to, replicas),
        }
    }

    /// Vectors that it needs on each side of [`Points`].
    pub(super) fn room<V: Vector>(&self) -> usize {
        match &self.way {
            Way::Direct(direct) => direct.room::<V>(),
            Way::Tiles(_) => winograd::points::<V>(self.from.max(self.to)),
        }
    }

    /// Makes kernels ready for [`Conv::forward`] or, `transposed`, for [`Conv::backward`], until its weights change or
    /// another one's are made ready.
    pub(super) fn prepare<V: Vector>(
        &self,
        theta: &[V::Scalar],
        transposed: bool,
        replicas: usize,
        kernels: &mut Kernels<V>,
    ) {
        let own = self.own(theta, replicas);
        match &self.way {
            Way::Direct(direct) => direct.prepare(own, transposed, replicas, kernels),
            Way::Tiles(_) => Tiles::prepare(own, self.from, transposed, replicas, kernels),
        }
    }

    /// Output channels of `packs` packs.
    pub(super) fn forward<V: Vector, X: Kept<V>, Y: Kept<V>>(
        &self,
        own: ConvWeights<V>,
        x: &[X],
        y: &mut [Y],
        packs: usize,
        onto: Accumulate<Y>,
        points: &mut Points<V>,
    ) {
        let channels = [self.from, self.to];
        match &self.way {
            Way::Direct(direct) => {
                let weights = self.own(own.theta, own.replicas);
                direct.forward((weights, own.kernels, own.replicas), (x, y), packs, onto, points);
            }
            Way::Tiles(tiles) => {
                tiles.contract((own.kernels, own.replicas), false, channels, (x, y), onto, points);
            }
        }
    }

    /// The gradient with respect to the input.
    pub(super) fn backward<V: Vector, K: Kept<V>>(
        &self,
        own: ConvWeights<V>,
        dy: &[K],
        dx: &mut [K],
        packs: usize,
        onto: Accumulate<K>,
        points: &mut Points<V>,
    ) {
        let channels = [self.to, self.from];
        match &self.way {
            Way::Direct(direct) => {
                let weights = self.own(own.theta, own.replicas);
                direct.backward((weights, own.kernels, own.replicas), (dy, dx), packs, onto, points);
            }
            Way::Tiles(tiles) => {
                tiles.contract((own.kernels, own.replicas), true, channels, (dy, dx), onto, points);
            }
        }
    }

    /// Adds the gradient with respect to the weights to `gradient`, which [`Conv::emit_gradients`] reads.
    pub(super) fn gradient<V: Vector, X: Kept<V>, Y: Kept<V>>(
        &self,
        replicas: usize,
        x: &[X],
        dy: &[Y],
        gradient: &mut [V],
        packs: usize,
        points: &mut Points<V>,
    ) {
        match &self.way {
            Way::Direct(direct) => direct.gradient(replicas, (x, dy), gradient, packs, points),
            Way::Tiles(tiles) => tiles.gradient([self.from, self.to], replicas, (x, dy), gradient, points),
        }
    }

    /// Hands on what [`Conv::gradient`] gathered, some parameters after the other: where they are among all, and the
    /// gradient of each of `replicas` replicas.
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
        match &self.way {
            Way::Direct(direct) => direct.emit_gradients(gradient, replicas, change),
            Way::Tiles(_) => Tiles::emit_gradients(self.from * self.to, gradient, replicas, change),
        }
    }

    /// Its weights.
    fn own<'a, S>(&self, theta: &'a [S], replicas: usize) -> &'a [S] {
        &theta[self.weights.start * replicas..self.weights.end * replicas]
    }
}

#[cfg(test)]
mod tests {
    use super::super::bf16::Bf16;
    use super::super::vector::{Numbers, Pair, Plain, Scalar, lanes, lanes_mut};
    use super::*;

    /// Whole numbers without a pattern, so small that every way to compute is exact, in bfloat16, too.
    fn some<S: Scalar>(numbers: &mut [S], seed: u64) {
        let mut rng = crate::rng::Rng::new(seed as i64, crate::rng::Stream::Init, 0);
        numbers.iter_mut().for_each(|number| *number = S::of((rng.uniform() * 9.0).floor() - 4.0));
    }

    /// Output, and both gradients for a given gradient of the output, by the definition: [output][input] kernels of 3 x 3
    /// taps on channels of height x width pixels.
    fn defined(
        [from, to]: [usize; 2],
        [height, width]: [usize; 2],
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

    /// Both ways are the definition, whatever sides, packs, replicas and vector; outputs are rounded once where they are kept.
    #[test]
    fn convolutions_are_what_they_are_defined_to_be() {
        compare::<Plain<f64, 4>>();
        compare::<Pair<Plain<f64, 4>>>();
        compare::<Pair<Plain<f32, 8>>>();
        compare::<Bf16<Pair<Plain<f32, 8>>>>();
    }

    fn compare<V: Vector>() {
        let mut tiled = 0;
        for (channels, sides, packs, replicas) in [
            ([3, 8], [5, 4], 3, 4),
            ([16, 16], [9, 8], 1, V::LANES),
            ([16, 20], [7, 9], 2, 4),
            ([12, 16], [8, 10], 3, 2),
            ([16, 12], [8, 8], 4, 1),
            ([12, 12], [10, 10], 1, 1),
            ([8, 3], [5, 4], 4, 1),
        ] {
            let [from, to] = channels;
            let conv = Conv::new(channels, 2, &ConvGeometry::new(3, 1, sides));
            tiled += usize::from(matches!(conv.way, Way::Tiles(_)));
            let (pixels, kernels) = (sides[0] * sides[1], from * to);
            let mut theta = Numbers::<V>::zeros((2 + 9 * kernels) * replicas).unwrap();
            some(&mut theta, 1);
            let vectors = |length, seed| {
                let mut vectors = vec![V::zero(); length];
                some(lanes_mut(&mut vectors), seed);
                vectors
            };
            let x = vectors(from * pixels * packs, 2);
            // Both are added to.
            let keep = |vectors: &[V]| vectors.iter().map(|&value| V::Kept::keep(value)).collect::<Vec<_>>();
            let values = |kept: &[V::Kept]| kept.iter().map(|kept| kept.value()).collect::<Vec<V>>();
            let (dy, first) = (vectors(to * pixels * packs, 3), vectors(to * pixels * packs, 4));
            let kept_dy = keep(&dy);
            let mut ready = Kernels::<V>::new(conv.factors::<V>(replicas)).unwrap();
            let mut room = [(); 2].map(|()| vec![V::zero(); conv.room::<V>()]);
            let base = vectors(x.len(), 5);
            let (mut y, mut dx) = (keep(&first), keep(&vec![V::zero(); x.len()]));
            conv.prepare(&theta, false, replicas, &mut ready);
            conv.forward(
                ConvWeights { theta: &theta, replicas, kernels: &ready },
                &x,
                &mut y,
                packs,
                Accumulate::ConvWeights,
                &mut room,
            );
            conv.prepare(&theta, true, replicas, &mut ready);
            let own = ConvWeights { theta: &theta, replicas, kernels: &ready };
            conv.backward(own, &kept_dy, &mut dx, packs, Accumulate::Other(&keep(&base)), &mut room);
            let [y, dx] = [values(&y), values(&dx)];
            let mut sums = vec![V::zero(); conv.sums::<V>(replicas)];
            for _ in 0..2 {
                conv.gradient(replicas, &x, &kept_dy, &mut sums, packs, &mut room);
            }
            let mut gradient = vec![V::Scalar::default(); 9 * kernels * replicas];
            conv.emit_gradients(&sums, replicas, |place, part| {
                gradient[(place.start - 2) * replicas..(place.end - 2) * replicas].copy_from_slice(part);
            });
            let image = |vectors: &[V], pack: usize, lane: usize| -> Vec<f64> {
                let own = vectors.chunks_exact(vectors.len() / packs).nth(pack).unwrap();
                lanes(own).iter().skip(lane).step_by(V::LANES).map(|number| number.wide()).collect()
            };
            let same = |a: &[f64], b: &[f64]| assert!(a == b, "{channels:?} {sides:?} {packs}");
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
                        defined(channels, sides, &weights, &image(&x, pack, lane), &image(&dy, pack, lane));
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
