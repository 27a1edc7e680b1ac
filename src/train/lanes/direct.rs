//! Convolutions tap by tap.
//!
//! A pixel and a pixel are linked by a tap where the kernel, laid on
//! the output pixel, sees the input pixel; padding is the links that are missing, so nothing is multiplied by zero.
//! One loop contracts weights with inputs over the links of an output pixel; the gradient with respect to the inputs is
//! the same loop over the links seen from the other side.

use std::sync::Arc;

use super::conv::{Accumulate, PART};
use super::slab::SLAB;
use super::vector::{Kept, Vector, lanes, lanes_mut, with_replicas};
use super::winograd::{Kernels, Points};

/// Terms of a weight's gradient that are added in registers before they reach memory: few enough that
/// what they are made of stays in the first-level cache.
const RUN: usize = 64;

/// Bytes of inputs that pixels may see for the first time while all channels of theirs are computed: with those that they see again, they
/// stay in the second-level cache.
const SEEN: usize = 128 * 1024;

/// A tap with the pixel on its other side.
#[derive(Clone, Copy)]
struct Link {
    tap: u32,
    pixel: u32,
}

/// The links of each pixel of one side.
struct Links {
    of: Vec<Vec<Link>>,
    /// Pixels of the other side: every link's pixel is below.
    others: usize,
}

/// Pairs of output and input pixel that share a tap, within a run of output pixels.
struct Pairs {
    /// The tap's place among the live ones.
    live: usize,
    pairs: Vec<(u32, u32)>,
}

/// What a kernel sees of images of one size, whatever the channels.
pub(super) struct Geometry {
    /// Pixels of the output.
    pixels: usize,
    taps: usize,
    /// Taps with any link; on an image of one pixel only the middle one.
    live: Vec<usize>,
    inputs: Links,
    outputs: Links,
    /// For slabs of one factor of packs, two, … [`SLAB`].
    pairs: [Vec<Pairs>; SLAB],
}

impl Geometry {
    /// Pairs of pixels that are linked.
    pub(super) fn links(&self) -> usize {
        self.inputs.of.iter().map(Vec::len).sum()
    }

    /// Kernels of `kernel` x `kernel` taps and a padding of half of that, on images of this height and width.
    pub(super) fn new(kernel: usize, stride: usize, [height, width]: [usize; 2]) -> Self {
        let padding = kernel / 2;
        let [rows, columns] = [height.div_ceil(stride), width.div_ceil(stride)];
        let (pixels, before) = (rows * columns, height * width);
        let mut inputs = vec![Vec::new(); pixels];
        let mut outputs = vec![Vec::new(); before];
        let mut linked = Vec::new();
        for row in 0..rows {
            for column in 0..columns {
                for tap in 0..kernel * kernel {
                    let y = (row * stride + tap / kernel).wrapping_sub(padding);
                    let x = (column * stride + tap % kernel).wrapping_sub(padding);
                    if y < height && x < width {
                        let (output, input) = (row * columns + column, y * width + x);
                        inputs[output].push(Link { tap: tap as u32, pixel: input as u32 });
                        outputs[input].push(Link { tap: tap as u32, pixel: output as u32 });
                        linked.push((tap, output as u32, input as u32));
                    }
                }
            }
        }
        let taps = kernel * kernel;
        let live: Vec<usize> =
            (0..taps).filter(|tap| linked.iter().any(|(linked, ..)| linked == tap)).collect();
        let pairs = std::array::from_fn(|slab| runs(&linked, &live, pixels, RUN.div_ceil(slab + 1)));
        Self {
            pixels,
            taps,
            live,
            inputs: Links { of: inputs, others: before },
            outputs: Links { of: outputs, others: pixels },
            pairs,
        }
    }
}

/// A convolution tap by tap.
pub(super) struct Direct {
    /// Channels of the input.
    from: usize,
    /// Channels of the output.
    to: usize,
    geometry: Arc<Geometry>,
}

impl Direct {
    /// From so many channels to so many.
    pub(super) fn new([from, to]: [usize; 2], geometry: Arc<Geometry>) -> Self {
        Self { from, to, geometry }
    }

    /// Pixels of the output.
    pub(super) fn pixels(&self) -> usize {
        self.geometry.pixels
    }

    /// Weights that can have a gradient.
    fn live(&self) -> usize {
        self.to * self.from * self.geometry.live.len()
    }

    /// Vectors that gather its gradient: one for each live weight, or a lane.
    pub(super) fn sums<V: Vector>(&self, replicas: usize) -> usize {
        if adds_up::<V>(replicas) { self.live().div_ceil(V::LANES) } else { self.live() }
    }

    /// Scalars of its kernels for contracting over the input's channels or, `transposed`, over the output's, where those
    /// are joined to factors; none otherwise.
    pub(super) fn factors<V: Vector>(&self, transposed: bool, replicas: usize) -> usize {
        let [from, to] = [self.from, self.to].map(|channels| channels.div_ceil(V::DEPTH));
        let factors = if transposed { to * self.from } else { self.to * from };
        if V::DEPTH == 1 { 0 } else { factors * self.geometry.taps * replicas }
    }

    /// Vectors on a side of [`Points`], for slabs of [`SLAB`] packs.
    pub(super) fn room<V: Vector>(&self) -> usize {
        let sides = [(self.from, self.geometry.inputs.others), (self.to, self.geometry.pixels)];
        let most = sides.map(|(channels, pixels)| channels.div_ceil(V::DEPTH) * pixels * SLAB);
        most[0].max(most[1])
    }

    /// Joins kernels to factors, for [`Direct::forward`] or, `transposed`, for [`Direct::backward`].
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
        // Kernels of a channel that is contracted over, and how often they come.
        let kernel = self.geometry.taps * replicas;
        let [own, times] = if transposed { [self.from * kernel, 1] } else { [kernel, self.to] };
        let factors = to.first(self.factors::<V>(transposed, replicas)).chunks_exact_mut(own);
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

    /// Output channels of `packs` packs. There are `replicas` numbers for each weight.
    pub(super) fn forward<V: Vector, X: Kept<V>, Y: Kept<V>>(
        &self,
        (weights, kernels, replicas): (&[V::Scalar], &Kernels<V>, usize),
        (x, y): (&[X], &mut [Y]),
        packs: usize,
        onto: Accumulate<Y>,
        points: &mut Points<V>,
    ) {
        let (from, taps) = (self.from.div_ceil(V::DEPTH), self.geometry.taps);
        let side = Side::<V> {
            weights: if V::DEPTH == 1 { weights } else { kernels.scalars() },
            channels: [from, self.to],
            strides: [taps, from * taps],
            taps,
            links: &self.geometry.inputs,
        };
        side.contract(replicas, x, y, packs, onto, points);
    }

    /// The gradient with respect to the input.
    pub(super) fn backward<V: Vector, K: Kept<V>>(
        &self,
        (weights, kernels, replicas): (&[V::Scalar], &Kernels<V>, usize),
        (dy, dx): (&[K], &mut [K]),
        packs: usize,
        onto: Accumulate<K>,
        points: &mut Points<V>,
    ) {
        let taps = self.geometry.taps;
        let side = Side::<V> {
            weights: if V::DEPTH == 1 { weights } else { kernels.scalars() },
            channels: [self.to.div_ceil(V::DEPTH), self.from],
            strides: [self.from * taps, taps],
            taps,
            links: &self.geometry.outputs,
        };
        side.contract(replicas, dy, dx, packs, onto, points);
    }

    /// Adds the gradient with respect to the live weights to `gradient`, image by image of a pack apart, or added up
    /// ([`adds_up`]).
    pub(super) fn gradient<V: Vector, X: Kept<V>, Y: Kept<V>>(
        &self,
        replicas: usize,
        (x, dy): (&[X], &[Y]),
        gradient: &mut [V],
        packs: usize,
        points: &mut Points<V>,
    ) {
        assert_eq!(x.len(), self.from * self.geometry.inputs.others * packs);
        assert_eq!(dy.len(), self.to * self.geometry.pixels * packs);
        assert_eq!(gradient.len(), self.sums::<V>(replicas));
        let pairs = &self.geometry.pairs[packs.div_ceil(V::DEPTH) - 1];
        let [inputs, outputs] = points;
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

    /// Hands on what [`Direct::gradient`] gathered, some weights after the other: the first one's number, and the
    /// gradient of each of `replicas` replicas.
    pub(super) fn emit_gradients<V: Vector>(
        &self,
        gradient: &[V],
        replicas: usize,
        mut change: impl FnMut(usize, &[V::Scalar]),
    ) {
        let (taps, live) = (self.geometry.taps, &self.geometry.live);
        let rows = (PART / taps).max(1);
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
            while output < self.to {
                let wide = tile(self.to - output, V::TILE);
                let mut input = 0;
                while input < self.from {
                    let deep = tile(self.from - input, V::PACKS);
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
                // SAFETY: output + O and input + I are channels, the pairs hold pixels of their sides, and the
                // slices' lengths were checked.
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
        let weight = |o: usize, i: usize| ((output + o) * self.from + input + i) * live + run.live;
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

/// Whether a gradient's lanes are added up tile by tile: where all are one replica's that takes few instructions for sixteen weights
/// at once, and a wide net's gradients would else be sixteen times as long and leave the caches.
fn adds_up<V: Vector>(replicas: usize) -> bool {
    V::LANES == 16 && replicas == 1
}

/// What numbers are contracted over.
#[derive(Clone, Copy, PartialEq)]
enum Over {
    Channels,
    Packs,
}

/// Factors of the numbers of so many packs, with channels of so many pixels, or the numbers themselves where these are
/// factors. In `room`, with packs innermost: packs of wide layers lie so far apart that they would drive each other from
/// the cache.
fn joined<'a, V: Vector, X: Kept<V>>(
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
fn join_scalars<V: Vector>(lower: &[V::Scalar], upper: &[V::Scalar], factors: &mut [V::Scalar]) {
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

/// Adds up the images of a vector, and puts the sums of each `live` tap to its place among all `taps`.
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

/// Cuts output pixels into runs of `length`, and lists the pairs of each live tap within each. `linked` holds taps with
/// their output and input pixels.
fn runs(linked: &[(usize, u32, u32)], live: &[usize], pixels: usize, length: usize) -> Vec<Pairs> {
    let mut all: Vec<Pairs> = (0..pixels.div_ceil(length) * live.len())
        .map(|index| Pairs { live: index % live.len(), pairs: Vec::new() })
        .collect();
    for &(tap, output, input) in linked {
        let place = live.partition_point(|live| *live < tap);
        all[output as usize / length * live.len() + place].pairs.push((output, input));
    }
    all.retain(|run| !run.pairs.is_empty());
    all
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

/// A convolution seen from one of its sides.
struct Side<'a, V: Vector> {
    weights: &'a [V::Scalar],
    /// Factors of the channels contracted over, and channels computed.
    channels: [usize; 2],
    /// From one such channel's weights to the next one's.
    strides: [usize; 2],
    taps: usize,
    /// The links of the pixels that are computed.
    links: &'a Links,
}

impl<V: Vector> Side<'_, V> {
    fn contract<X: Kept<V>, Y: Kept<V>>(
        &self,
        replicas: usize,
        x: &[X],
        y: &mut [Y],
        packs: usize,
        onto: Accumulate<Y>,
        [inputs, _]: &mut Points<V>,
    ) {
        let x = joined(x, self.links.others, packs, Over::Channels, inputs);
        assert_eq!(x.len(), self.channels[0] * self.links.others * packs);
        assert_eq!(y.len(), self.channels[1] * self.links.of.len() * packs);
        assert!(self.weights.len() >= self.channels[0] * self.channels[1] * self.taps * replicas);
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
        let new = self.links.others.div_ceil(pixels) * self.channels[0] * N * size_of::<V>();
        let block = (SEEN / new).max(1);
        // A slab of few packs leaves registers for more channels.
        let few = if N > V::PACKS / 2 { V::TILE } else { 2 * V::TILE };
        let most = if block < pixels { few.max(V::channels(R)) } else { few };
        for first in (0..pixels).step_by(block) {
            // A tile's weights stay in the first-level cache while a block's pixels pass.
            let mut channel = 0;
            while channel < self.channels[1] {
                let wide = tile(self.channels[1] - channel, most);
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
            return self.tile::<Y, R, N, N, O>(x, y, [channel, pixel, 0], onto);
        }
        let step = most.min(2);
        for first in (0..N).step_by(step) {
            match (N - first).min(step) {
                1 => self.tile::<Y, R, N, 1, O>(x, y, [channel, pixel, first], onto),
                _ => self.tile::<Y, R, N, 2, O>(x, y, [channel, pixel, first], onto),
            }
        }
    }

    /// `M` packs from `first` on, of `N`.
    #[inline(always)]
    fn tile<Y: Kept<V>, const R: usize, const N: usize, const M: usize, const O: usize>(
        &self,
        x: &[V],
        y: &mut [Y],
        [channel, pixel, first]: [usize; 3],
        onto: Accumulate<Y>,
    ) {
        let [inner, outer] = self.strides;
        let pixels = self.links.of.len();
        let after = self.channels[1] * pixels;
        let mut sums = [[V::zero(); O]; M];
        for c in 0..self.channels[0] {
            let (weight, inputs) = (channel * outer + c * inner, c * self.links.others);
            for link in &self.links.of[pixel] {
                let input = (inputs + link.pixel as usize) * N + first;
                let weight = (weight + link.tap as usize) * R;
                // SAFETY: channel + O and c are channels and a link's tap and pixel are its sides', so these
                // are weights, R of each, and M packs' inputs, of slices whose lengths were checked.
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
