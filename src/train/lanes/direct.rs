//! Convolutions tap by tap.
//!
//! One loop contracts weights with inputs over the [links](super::links) of an output pixel; the
//! gradient with respect to the inputs is the same loop over the links of an input pixel.

use std::sync::Arc;

use super::factors::{Over, join_scalars, joined};
use super::links::{Links, Pairs, TapGeometry};
use super::operands::{Accumulate, ConvWeights, EMITTED, Kernels, Points};
use super::slab::SLAB;
use super::vector::{Kept, Vector, lanes, lanes_mut, with_replicas};
use crate::model::Channels;

/// Input bytes per block of output pixels. Keeps a block's inputs in the second-level cache while
/// all its channels are computed.
const BLOCK_BYTES: usize = 128 * 1024;

/// A convolution tap by tap.
pub(super) struct Direct {
    channels: Channels,
    geometry: Arc<TapGeometry>,
}

impl Direct {
    pub(super) fn new(channels: Channels, geometry: Arc<TapGeometry>) -> Self {
        Self { channels, geometry }
    }

    /// Pixels of the output.
    pub(super) fn pixels(&self) -> usize {
        self.geometry.pixels
    }

    /// Weights that can have a gradient.
    fn live(&self) -> usize {
        self.channels.output * self.channels.input * self.geometry.live.len()
    }

    /// Vectors that gather its gradient: one for each live weight, or a lane.
    pub(super) fn gradient_vectors<V: Vector>(&self, replicas: usize) -> usize {
        if adds_up::<V>(replicas) { self.live().div_ceil(V::LANES) } else { self.live() }
    }

    /// Scalars of its kernels for contracting over the input's channels or, `transposed`, over the
    /// output's, where those are joined to factors; none otherwise.
    pub(super) fn kernel_scalars<V: Vector>(&self, transposed: bool, replicas: usize) -> usize {
        let Channels { input, output } = self.channels;
        let factors = match transposed {
            true => output.div_ceil(V::DEPTH) * input,
            false => output * input.div_ceil(V::DEPTH),
        };
        if V::DEPTH == 1 { 0 } else { factors * self.geometry.taps * replicas }
    }

    /// Vectors on a side of [`Points`], for slabs of [`SLAB`] packs.
    pub(super) fn point_vectors<V: Vector>(&self) -> usize {
        let Channels { input, output } = self.channels;
        let sides = [(input, self.geometry.inputs.others), (output, self.geometry.pixels)];
        let most = sides.map(|(channels, pixels)| channels.div_ceil(V::DEPTH) * pixels * SLAB);
        most[0].max(most[1])
    }

    /// Joins kernels to factors, for [`Direct::forward`] or, `transposed`, for
    /// [`Direct::backward`].
    pub(super) fn prepare<V: Vector>(
        &self,
        weights: &[V::Scalar],
        transposed: bool,
        replicas: usize,
        to: &mut Kernels<V>,
    ) {
        if V::DEPTH == 1 {
            return;
        }
        let Channels { input, output } = self.channels;
        // Kernels of a channel that is contracted over, and how often they come.
        let kernel = self.geometry.taps * replicas;
        let [own, times] = if transposed { [input * kernel, 1] } else { [kernel, output] };
        let factors = to.first(self.kernel_scalars::<V>(transposed, replicas)).chunks_exact_mut(own);
        let channels = weights.chunks_exact(weights.len() / times);
        let both = channels.flat_map(|weights| weights.chunks(V::DEPTH * own));
        V::run(
            #[inline(always)]
            || {
                for (factors, weights) in factors.zip(both) {
                    let (lower, upper) = weights.split_at(own);
                    join_scalars::<V>(lower, upper, factors);
                }
            },
        );
    }

    /// Output channels of `packs` packs, with the convolution's own weights.
    pub(super) fn forward<V: Vector, X: Kept<V>, Y: Kept<V>>(
        &self,
        weights: ConvWeights<V>,
        x: &[X],
        y: &mut [Y],
        packs: usize,
        onto: Accumulate<Y>,
        points: &mut Points<V>,
    ) {
        let Channels { input, output } = self.channels;
        let (input, taps) = (input.div_ceil(V::DEPTH), self.geometry.taps);
        let side = ConvSide::<V> {
            weights: if V::DEPTH == 1 { weights.theta } else { weights.kernels.scalars() },
            channels: Channels { input, output },
            strides: Channels { input: taps, output: input * taps },
            taps,
            links: &self.geometry.inputs,
        };
        side.contract(weights.replicas, x, y, packs, onto, points);
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
        let taps = self.geometry.taps;
        let Channels { input, output } = self.channels;
        let side = ConvSide::<V> {
            weights: if V::DEPTH == 1 { weights.theta } else { weights.kernels.scalars() },
            channels: Channels { input: output.div_ceil(V::DEPTH), output: input },
            strides: Channels { input: input * taps, output: taps },
            taps,
            links: &self.geometry.outputs,
        };
        side.contract(weights.replicas, dy, dx, packs, onto, points);
    }

    /// Adds the gradient with respect to the live weights to `gradient`: each image of a pack
    /// apart, or added up ([`adds_up`]).
    pub(super) fn gradient<V: Vector, X: Kept<V>, Y: Kept<V>>(
        &self,
        replicas: usize,
        x: &[X],
        dy: &[Y],
        gradient: &mut [V],
        packs: usize,
        points: &mut Points<V>,
    ) {
        assert_eq!(x.len(), self.channels.input * self.geometry.inputs.others * packs);
        assert_eq!(dy.len(), self.channels.output * self.geometry.pixels * packs);
        assert_eq!(gradient.len(), self.gradient_vectors::<V>(replicas));
        let pairs = &self.geometry.pairs[packs.div_ceil(V::DEPTH) - 1];
        let Points { inputs, outputs } = points;
        let x = joined(x, self.geometry.inputs.others, packs, Over::Packs, inputs);
        let dy = joined(dy, self.geometry.pixels, packs, Over::Packs, outputs);
        V::run(
            #[inline(always)]
            || match (packs.div_ceil(V::DEPTH), adds_up::<V>(replicas)) {
                (1, false) => self.gradient_of::<V, 1, false>(x, dy, gradient, pairs),
                (2, false) => self.gradient_of::<V, 2, false>(x, dy, gradient, pairs),
                (3, false) => self.gradient_of::<V, 3, false>(x, dy, gradient, pairs),
                (_, false) => self.gradient_of::<V, 4, false>(x, dy, gradient, pairs),
                (1, true) => self.gradient_of::<V, 1, true>(x, dy, gradient, pairs),
                (2, true) => self.gradient_of::<V, 2, true>(x, dy, gradient, pairs),
                (3, true) => self.gradient_of::<V, 3, true>(x, dy, gradient, pairs),
                (_, true) => self.gradient_of::<V, 4, true>(x, dy, gradient, pairs),
            },
        );
    }

    /// Emits what [`Direct::gradient`] gathered, some weights after the other: the first one's
    /// number, and the gradient of each of `replicas` replicas.
    pub(super) fn emit_gradients<V: Vector>(
        &self,
        gradient: &[V],
        replicas: usize,
        mut change: impl FnMut(usize, &[V::Scalar]),
    ) {
        let (taps, live) = (self.geometry.taps, &self.geometry.live);
        let rows = (EMITTED / taps).max(1);
        // The other taps' gradients stay zero.
        let mut part = vec![V::Scalar::default(); rows * taps * replicas];
        let mut start = 0;
        for first in (0..self.live()).step_by(rows * live.len()) {
            let own = first..(first + rows * live.len()).min(self.live());
            let parameters = own.len() / live.len() * taps;
            if adds_up::<V>(replicas) {
                let rows = lanes(gradient)[own].chunks_exact(live.len()).zip(part.chunks_exact_mut(taps));
                for (gradient, row) in rows {
                    gradient.iter().zip(live).for_each(|(sum, &tap)| row[tap] = *sum);
                }
            } else {
                with_replicas!(replicas, R => fold_rows::<V, R>(&gradient[own], live, taps, &mut part));
            }
            change(start, &part[..parameters * replicas]);
            start += parameters;
        }
    }

    #[inline(always)]
    fn gradient_of<V: Vector, const N: usize, const UP: bool>(
        &self,
        x: &[V],
        dy: &[V],
        gradient: &mut [V],
        pairs: &[Pairs],
    ) {
        for run in pairs {
            let mut output = 0;
            while output < self.channels.output {
                let wide = tile(self.channels.output - output, V::TILE);
                let mut input = 0;
                while input < self.channels.input {
                    let deep = tile(self.channels.input - input, V::PACKS);
                    match (wide, deep) {
                        (4, 4) => self.gradient_tile::<V, N, UP, 4, 4>(x, dy, gradient, run, output, input),
                        (4, 2) => self.gradient_tile::<V, N, UP, 4, 2>(x, dy, gradient, run, output, input),
                        (4, _) => self.gradient_tile::<V, N, UP, 4, 1>(x, dy, gradient, run, output, input),
                        (2, 4) => self.gradient_tile::<V, N, UP, 2, 4>(x, dy, gradient, run, output, input),
                        (2, 2) => self.gradient_tile::<V, N, UP, 2, 2>(x, dy, gradient, run, output, input),
                        (2, _) => self.gradient_tile::<V, N, UP, 2, 1>(x, dy, gradient, run, output, input),
                        (_, 4) => self.gradient_tile::<V, N, UP, 1, 4>(x, dy, gradient, run, output, input),
                        (_, 2) => self.gradient_tile::<V, N, UP, 1, 2>(x, dy, gradient, run, output, input),
                        (_, _) => self.gradient_tile::<V, N, UP, 1, 1>(x, dy, gradient, run, output, input),
                    }
                    input += deep;
                }
                output += wide;
            }
        }
    }

    #[inline(always)]
    fn gradient_tile<V: Vector, const N: usize, const UP: bool, const O: usize, const I: usize>(
        &self,
        x: &[V],
        dy: &[V],
        gradient: &mut [V],
        run: &Pairs,
        output: usize,
        input: usize,
    ) {
        let (before, after) = (self.geometry.inputs.others * N, self.geometry.pixels * N);
        let mut sums = [[V::zero(); I]; O];
        for &(to, from) in &run.pairs {
            let (to, from) = (output * after + to as usize * N, input * before + from as usize * N);
            for pack in 0..N {
                // SAFETY: output + O and input + I are channels, the pairs hold pixels of their
                // sides, and the slices' lengths were checked.
                let inputs: [V; I] = std::array::from_fn(
                    #[inline(always)]
                    |i| unsafe { *x.get_unchecked(from + i * before + pack) },
                );
                for (o, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: as above.
                    let change = unsafe { *dy.get_unchecked(to + o * after + pack) };
                    for (sum, input) in sums.iter_mut().zip(inputs) {
                        *sum = input.dot(change, *sum);
                    }
                }
            }
        }
        let live = self.geometry.live.len();
        let weight = |o: usize, i: usize| ((output + o) * self.channels.input + input + i) * live + run.live;
        if UP {
            let mut all = [[V::zero(); 4]; 4];
            for (all, sums) in all.iter_mut().zip(&sums) {
                all[..I].copy_from_slice(sums);
            }
            let (added, gradient) = ([V::sums(all)], lanes_mut(gradient));
            for (o, added) in lanes(&added).chunks_exact(4).enumerate().take(O) {
                for (i, added) in added.iter().enumerate().take(I) {
                    gradient[weight(o, i)] += *added;
                }
            }
            return;
        }
        for (o, sums) in sums.iter().enumerate() {
            for (i, sum) in sums.iter().enumerate() {
                let weight = &mut gradient[weight(o, i)];
                *weight = weight.add(*sum);
            }
        }
    }
}

/// Whether a gradient's lanes are added up tile by tile. Where all are one replica's, that takes
/// few instructions for sixteen weights at once; a wide net's gradients would otherwise be sixteen
/// times as long and leave the caches.
fn adds_up<V: Vector>(replicas: usize) -> bool {
    V::LANES == 16 && replicas == 1
}

/// Adds up the images of a vector, and puts the sums of each `live` tap to its place among all
/// `taps`.
fn fold_rows<V: Vector, const R: usize>(gradient: &[V], live: &[usize], taps: usize, part: &mut [V::Scalar]) {
    V::run(
        #[inline(always)]
        || {
            let rows = part.chunks_exact_mut(taps * R);
            for (gradient, row) in gradient.chunks_exact(live.len()).zip(rows) {
                for (sum, tap) in gradient.iter().zip(live) {
                    let sum = [sum.fold(R)];
                    row[tap * R..][..R].copy_from_slice(&lanes(&sum)[..R]);
                }
            }
        },
    );
}

/// Channels of the next tile, of those that are left: a power of two, at most `size`.
#[inline(always)]
fn tile(left: usize, size: usize) -> usize {
    match left {
        8.. if size >= 8 => 8,
        4.. if size >= 4 => 4,
        2.. if size >= 2 => 2,
        _ => 1,
    }
}

/// The first channel, pixel and pack of what is computed at once.
#[derive(Clone, Copy)]
struct TileStart {
    channel: usize,
    pixel: usize,
    pack: usize,
}

/// A convolution from one of its sides to the other.
struct ConvSide<'a, V: Vector> {
    weights: &'a [V::Scalar],
    /// Factors of the channels contracted over, and channels computed.
    channels: Channels,
    /// Weights from one such channel's to the next one's.
    strides: Channels,
    taps: usize,
    /// The links of the pixels that are computed.
    links: &'a Links,
}

impl<V: Vector> ConvSide<'_, V> {
    fn contract<X: Kept<V>, Y: Kept<V>>(
        &self,
        replicas: usize,
        x: &[X],
        y: &mut [Y],
        packs: usize,
        onto: Accumulate<Y>,
        points: &mut Points<V>,
    ) {
        let x = joined(x, self.links.others, packs, Over::Channels, &mut points.inputs);
        assert_eq!(x.len(), self.channels.input * self.links.others * packs);
        assert_eq!(y.len(), self.channels.output * self.links.of.len() * packs);
        assert!(self.weights.len() >= self.channels.input * self.channels.output * self.taps * replicas);
        assert!(replicas <= V::LANES);
        with_replicas!(replicas, R => self.contract_with::<Y, R>(x, y, packs, onto));
    }

    fn contract_with<Y: Kept<V>, const R: usize>(
        &self,
        x: &[V],
        y: &mut [Y],
        packs: usize,
        onto: Accumulate<Y>,
    ) {
        V::run(
            #[inline(always)]
            || match packs {
                1 => self.contract_of::<Y, R, 1>(x, y, onto),
                2 => self.contract_of::<Y, R, 2>(x, y, onto),
                3 => self.contract_of::<Y, R, 3>(x, y, onto),
                _ => self.contract_of::<Y, R, 4>(x, y, onto),
            },
        );
    }

    #[inline(always)]
    fn contract_of<Y: Kept<V>, const R: usize, const N: usize>(
        &self,
        x: &[V],
        y: &mut [Y],
        onto: Accumulate<Y>,
    ) {
        let pixels = self.links.of.len();
        let new = self.links.others.div_ceil(pixels) * self.channels.input * N * size_of::<V>();
        let block = (BLOCK_BYTES / new).max(1);
        // A slab of few packs leaves registers for more channels.
        let few = if N > V::PACKS / 2 { V::TILE } else { 2 * V::TILE };
        let most = if block < pixels { few.max(V::channels(R)) } else { few };
        for first in (0..pixels).step_by(block) {
            // A tile's weights stay in the first-level cache while a block's pixels pass.
            let mut channel = 0;
            while channel < self.channels.output {
                let wide = tile(self.channels.output - channel, most);
                for pixel in first..(first + block).min(pixels) {
                    match wide {
                        8 => self.packs::<Y, R, N, 8>(x, y, channel, pixel, onto),
                        4 => self.packs::<Y, R, N, 4>(x, y, channel, pixel, onto),
                        2 => self.packs::<Y, R, N, 2>(x, y, channel, pixel, onto),
                        _ => self.packs::<Y, R, N, 1>(x, y, channel, pixel, onto),
                    }
                }
                channel += wide;
            }
        }
    }

    /// All packs of a pixel and some channels, as many packs at a time as the registers hold.
    #[inline(always)]
    fn packs<Y: Kept<V>, const R: usize, const N: usize, const O: usize>(
        &self,
        x: &[V],
        y: &mut [Y],
        channel: usize,
        pixel: usize,
        onto: Accumulate<Y>,
    ) {
        let most = (V::TILE * V::PACKS / O).clamp(1, V::PACKS);
        if N <= most {
            return self.tile::<Y, R, N, N, O>(x, y, TileStart { channel, pixel, pack: 0 }, onto);
        }
        let step = most.min(2);
        for first in (0..N).step_by(step) {
            match (N - first).min(step) {
                1 => self.tile::<Y, R, N, 1, O>(x, y, TileStart { channel, pixel, pack: first }, onto),
                _ => self.tile::<Y, R, N, 2, O>(x, y, TileStart { channel, pixel, pack: first }, onto),
            }
        }
    }

    /// `M` packs from `first` on, of `N`.
    #[inline(always)]
    fn tile<Y: Kept<V>, const R: usize, const N: usize, const M: usize, const O: usize>(
        &self,
        x: &[V],
        y: &mut [Y],
        TileStart { channel, pixel, pack: first }: TileStart,
        onto: Accumulate<Y>,
    ) {
        let Channels { input: inner, output: outer } = self.strides;
        let pixels = self.links.of.len();
        let after = self.channels.output * pixels;
        let mut sums = [[V::zero(); O]; M];
        for c in 0..self.channels.input {
            let (weight, inputs) = (channel * outer + c * inner, c * self.links.others);
            for link in &self.links.of[pixel] {
                let input = (inputs + link.pixel as usize) * N + first;
                let weight = (weight + link.tap as usize) * R;
                // SAFETY: channel + O and c are channels and a link's tap and pixel are its sides',
                // so these are weights, R of each, and M packs' inputs, of slices whose lengths
                // were checked.
                let weights: [V; O] = std::array::from_fn(
                    #[inline(always)]
                    |o| unsafe { V::repeat::<R>(self.weights.as_ptr().add(weight + o * outer * R)) },
                );
                for (pack, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: as above.
                    let input = unsafe { *x.get_unchecked(input + pack) };
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = input.dot(weight, *sum);
                    }
                }
            }
        }
        for o in 0..O {
            for (pack, sums) in sums.iter().enumerate() {
                onto.put(sums[o], y, (first + pack) * after + (channel + o) * pixels + pixel);
            }
        }
    }
}
