//! Convolutions of 3 x 3 taps by minimal filtering (Winograd's; Lavin and Gray 2016,
//! arXiv:1509.09308).
//!
//! A *tile* is 2 x 2 pixels of the output, which depend on 4 x 4 of the input. Input d, kernel g
//! and output y of a tile are transformed so that convolving is multiplying at 16 *points*, where
//! taps make 36 products: y = Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A. Sums over channels are taken at the points,
//! so transforms cost as much as a few more channels. The gradient with respect to the input is the
//! same with the kernel's rows and columns reversed, which is the kernel at other points; the one
//! with respect to the kernel is Gᵀ[(Bᵀ d B) ⊙ (A dy Aᵀ)]G. All of it is sums and halves of a few
//! numbers: rounding is as in other orders of summation.

mod order;
mod products;
mod tiles;
mod transforms;

use self::order::{COLUMNS, Extent, POINTS, WIDE, load, scalar_plane, store};
use self::products::{PointKernels, accumulate, multiply};
pub(super) use self::tiles::Tiles;
use self::transforms::{gradient_taps, kernel_points};
use super::operands::{Accumulate, ConvWeights, Kernels, Points};
use super::vector::{DEEPEST, Kept, Vector, lanes, lanes_mut, with_replicas};
use crate::model::{Channels, Size};

const TAPS: usize = 9;

/// The points of a row or column, in the order that a transposed kernel has them.
const TRANSPOSED: [usize; 4] = [3, 1, 2, 0];

/// Kernels whose transforms are taken together: whole vectors, whatever the replicas.
const BLOCK: usize = 16;

/// Vectors on each side of [`Points`] of so many channels at most.
pub(super) fn points<V: Vector>(channels: usize) -> usize {
    POINTS * Extent { channels, columns: COLUMNS }.plane::<V>()
}

/// Which way a convolution goes.
#[derive(Clone, Copy)]
pub(super) struct Direction {
    /// Channels that are contracted over, and channels that are computed.
    pub(super) channels: Channels,
    /// Whether it goes from the output back to the input, with every kernel's rows and columns
    /// reversed.
    pub(super) transposed: bool,
}

impl Tiles {
    /// Whether convolving with `links` links by tiles is less work than by taps.
    pub(super) fn is_cheaper(size: Size, links: usize, channels: Channels) -> bool {
        let Channels { input, output } = channels;
        let tiles = size.strided(2).pixels();
        // Multiplications that take as long as the transforms of a tile's channel; measured.
        let transforms = 64;
        let work = tiles * (POINTS * input * output + transforms * (input + output));
        input.is_multiple_of(WIDE) && output.is_multiple_of(WIDE) && work < links * input * output
    }

    /// Vectors that gather the gradient of so many kernels.
    pub(super) fn gradient_vectors<V: Vector>(kernels: usize, replicas: usize) -> usize {
        (POINTS * scalar_plane::<V>(kernels * replicas)).div_ceil(V::LANES)
    }

    /// Scalars of so many kernels' transforms.
    pub(super) fn kernel_scalars<V: Vector>(kernels: usize, replicas: usize) -> usize {
        POINTS * scalar_plane::<V>(kernels / V::DEPTH * replicas)
    }

    /// Transforms kernels from channels to channels, each of nine taps of `replicas` numbers, for
    /// contracting over the input's channels or, `transposed`, over the output's.
    pub(super) fn prepare<V: Vector>(
        weights: &[V::Scalar],
        from: usize,
        transposed: bool,
        replicas: usize,
        to: &mut Kernels<V>,
    ) {
        // From a kernel to the next one that its factor holds.
        let next = if transposed { from } else { 1 };
        let scalars = Self::kernel_scalars::<V>(weights.len() / (TAPS * replicas), replicas);
        with_replicas!(replicas, R => Self::prepare_with::<V, R>(weights, next, to.first(scalars)));
    }

    fn prepare_with<V: Vector, const R: usize>(weights: &[V::Scalar], next: usize, to: &mut [V::Scalar]) {
        let factors = weights.len() / (TAPS * R * V::DEPTH);
        let plane = scalar_plane::<V>(factors * R);
        // The last factors may take a part of a vector, and the gap has room for the rest.
        assert!((factors * V::DEPTH).is_multiple_of(BLOCK) && to.len() >= POINTS * plane);
        V::run(
            #[inline(always)]
            || {
                for first in (0..factors).step_by(V::LANES / R) {
                    let mut points = [[[V::zero(); 4]; 4]; DEEPEST];
                    for (number, points) in points.iter_mut().enumerate().take(V::DEPTH) {
                        let mut taps = [[V::zero(); 3]; 3];
                        let lanes_of = lanes_mut(taps.as_flattened_mut());
                        for (place, factor) in (first..factors).take(V::LANES / R).enumerate() {
                            let own = match V::DEPTH {
                                1 => factor,
                                depth => (factor / next * depth + number) * next + factor % next,
                            };
                            let weights = weights[own * TAPS * R..][..TAPS * R].chunks_exact(R);
                            for (tap, weights) in weights.enumerate() {
                                lanes_of[tap * V::LANES + place * R..][..R].copy_from_slice(weights);
                            }
                        }
                        *points = kernel_points(taps);
                    }
                    for (i, j) in (0..4).flat_map(|i| (0..4).map(move |j| (i, j))) {
                        let value = V::join(points.map(|points| points[i][j]));
                        store(&mut to[(4 * i + j) * plane + first * R..], value);
                    }
                }
            },
        );
    }

    /// What kernels as [`Tiles::prepare`] left them make of `x`.
    pub(super) fn contract<V: Vector, X: Kept<V>, Y: Kept<V>>(
        &self,
        weights: ConvWeights<V>,
        direction: Direction,
        x: &[X],
        y: &mut [Y],
        onto: Accumulate<Y>,
        points: &mut Points<V>,
    ) {
        let kernels = weights.kernels.scalars();
        with_replicas!(weights.replicas, R => {
            self.contract_with::<V, X, Y, R>(kernels, direction, x, y, onto, points);
        });
    }

    fn contract_with<V: Vector, X: Kept<V>, Y: Kept<V>, const R: usize>(
        &self,
        kernels: &[V::Scalar],
        direction: Direction,
        x: &[X],
        y: &mut [Y],
        onto: Accumulate<Y>,
        points: &mut Points<V>,
    ) {
        let Direction { channels: Channels { input, output }, transposed } = direction;
        let Points { inputs, outputs } = points;
        let packs = x.len() / (input * self.pixels);
        assert_eq!(y.len(), output * self.pixels * packs);
        let deep = input / V::DEPTH;
        let length = deep * output * R;
        let strides = match transposed {
            true => Channels { input: output * R, output: R },
            false => Channels { input: R, output: deep * R },
        };
        V::run(
            #[inline(always)]
            || {
                let all = self.tiles.len() * packs;
                for start in (0..all).step_by(COLUMNS) {
                    let own = start..(start + COLUMNS).min(all);
                    let columns = own.len();
                    let before = Extent { channels: deep, columns };
                    let after = Extent { channels: output, columns };
                    self.transform_input::<V, X, false>(own.clone(), input, x, inputs);
                    for point in 0..POINTS {
                        let of = if transposed {
                            4 * TRANSPOSED[point / 4] + TRANSPOSED[point % 4]
                        } else {
                            point
                        };
                        let start = of * scalar_plane::<V>(length);
                        multiply::<V, R>(
                            PointKernels { scalars: &kernels[start..start + length], strides },
                            &inputs[point * before.plane::<V>()..][..before.vectors()],
                            &mut outputs[point * after.plane::<V>()..][..after.vectors()],
                            columns,
                        );
                    }
                    self.transform_output(own, output, outputs, y, onto);
                }
            },
        );
    }

    /// Adds the gradient with respect to the kernels to `gradient`, point by point.
    pub(super) fn gradient<V: Vector, X: Kept<V>, Y: Kept<V>>(
        &self,
        channels: Channels,
        replicas: usize,
        x: &[X],
        dy: &[Y],
        gradient: &mut [V],
        points: &mut Points<V>,
    ) {
        let gradient = lanes_mut(gradient);
        with_replicas!(replicas, R => {
            self.gradient_with::<V, X, Y, R>(channels, x, dy, gradient, points);
        });
    }

    fn gradient_with<V: Vector, X: Kept<V>, Y: Kept<V>, const R: usize>(
        &self,
        channels: Channels,
        x: &[X],
        dy: &[Y],
        gradient: &mut [V::Scalar],
        points: &mut Points<V>,
    ) {
        let Channels { input, output } = channels;
        let Points { inputs, outputs: changes } = points;
        let packs = x.len() / (input * self.pixels);
        assert_eq!(dy.len(), output * self.pixels * packs);
        let kernels = input * output * R;
        V::run(
            #[inline(always)]
            || {
                let all = self.tiles.len() * packs;
                for start in (0..all).step_by(V::DEPTH * COLUMNS) {
                    let own = start..(start + V::DEPTH * COLUMNS).min(all);
                    let columns = own.len().div_ceil(V::DEPTH);
                    let before = Extent { channels: input, columns };
                    let after = Extent { channels: output, columns };
                    self.transform_input::<V, X, true>(own.clone(), input, x, inputs);
                    self.transform_changes(own, output, dy, changes);
                    for point in 0..POINTS {
                        let start = point * scalar_plane::<V>(kernels);
                        accumulate::<V, R>(
                            &inputs[point * before.plane::<V>()..][..before.vectors()],
                            &changes[point * after.plane::<V>()..][..after.vectors()],
                            &mut gradient[start..start + kernels],
                            columns,
                        );
                    }
                }
            },
        );
    }

    /// Emits what [`Tiles::gradient`] gathered, some weights after the other: the first one's
    /// number, and the gradient of each of `replicas` replicas.
    pub(super) fn emit_gradients<V: Vector>(
        kernels: usize,
        gradient: &[V],
        replicas: usize,
        mut change: impl FnMut(usize, &[V::Scalar]),
    ) {
        let (gradient, plane) = (lanes(gradient), scalar_plane::<V>(kernels * replicas));
        assert!(kernels.is_multiple_of(BLOCK) && gradient.len() >= POINTS * plane);
        let mut part = vec![V::Scalar::default(); BLOCK * TAPS * replicas];
        for block in (0..kernels).step_by(BLOCK) {
            let gradient = &gradient[block * replicas..];
            with_replicas!(replicas, R => Self::take_taps::<V, R>(gradient, plane, &mut part));
            change(block * TAPS, &part);
        }
    }

    /// From points, `plane` scalars apart, to taps, as many as there is room for.
    fn take_taps<V: Vector, const R: usize>(gradient: &[V::Scalar], plane: usize, part: &mut [V::Scalar]) {
        V::run(
            #[inline(always)]
            || {
                for (index, part) in part.chunks_exact_mut(V::LANES * TAPS).enumerate() {
                    let mut points = [[V::zero(); 4]; 4];
                    for (i, row) in points.iter_mut().enumerate() {
                        for (j, value) in row.iter_mut().enumerate() {
                            *value = load(&gradient[(4 * i + j) * plane + index * V::LANES..]);
                        }
                    }
                    let taps = gradient_taps(points);
                    let lanes_of = lanes(taps.as_flattened());
                    for (kernel, part) in part.chunks_exact_mut(TAPS * R).enumerate() {
                        for (tap, part) in part.chunks_exact_mut(R).enumerate() {
                            part.copy_from_slice(&lanes_of[tap * V::LANES + kernel * R..][..R]);
                        }
                    }
                }
            },
        );
    }
}
