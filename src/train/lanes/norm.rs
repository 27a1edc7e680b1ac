//! Batch norm and ReLU, with PyTorch's defaults (momentum 0.1, ε = 1e-5), replicas and images in
//! the vector lanes.
//!
//! Numbers are ordered by pack, channel, pixel, as those of a convolution. Statistics are the same
//! in all lanes of a replica. Only the input of batch norm is kept; what it and ReLU make of that
//! is computed again in the backward pass. Images that a batch's last pack lacks take part in
//! nothing: they are left out of the statistics, and their gradients are zero.

use std::ops::Range;

use super::slab::Slab;
use super::vector::{Kept, Scalar, Vector, lanes, lanes_mut};

const EPSILON: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

/// Sums of a channel are taken in as many parts, so that additions need not wait for one another.
const PARTS: usize = 4;

/// A batch norm of a network.
pub(super) struct BatchNorm {
    pub(super) channels: usize,
    /// Where its weights are among all parameters.
    pub(super) weights: Range<usize>,
    /// Where its biases are among all parameters.
    pub(super) biases: Range<usize>,
    /// Its number among the network's norms.
    pub(super) index: usize,
}

/// Running mean and variance of each channel.
#[derive(Clone)]
pub(super) struct Running<V> {
    pub(super) mean: Vec<V>,
    pub(super) variance: Vec<V>,
}

/// A norm's statistics of a batch: one number per channel.
pub(super) struct Statistics<V> {
    /// Replicas in a vector.
    replicas: usize,
    /// Numbers seen per channel.
    count: f64,
    mean: Vec<V>,
    /// Sum of squared deviations.
    squares: Vec<V>,
    /// 1 / √(variance + ε).
    inverse: Vec<V>,
    /// The norm is x · scale + shift.
    scale: Vec<V>,
    shift: Vec<V>,
    /// Σ g and Σ g · (x − mean) of the gradient g of what the norm gave.
    sums: Vec<V>,
    products: Vec<V>,
}

/// What a slab adds to a norm's sums over a batch.
#[derive(Clone)]
pub(super) struct SlabSums<V> {
    /// Numbers seen per channel.
    count: f64,
    /// Of each channel.
    pairs: Vec<[V; 2]>,
}

impl<V: Vector> SlabSums<V> {
    /// Of norms of so many channels at most.
    pub(super) fn new(channels: usize) -> Self {
        Self { count: 0.0, pairs: vec![[V::zero(); 2]; channels] }
    }
}

impl<V: Vector> Running<V> {
    /// PyTorch's start: mean 0, variance 1.
    pub(super) fn new(channels: usize) -> Self {
        Self { mean: vec![V::zero(); channels], variance: vec![V::of(1.0); channels] }
    }
}

impl<V: Vector> Statistics<V> {
    pub(super) fn new(channels: usize, replicas: usize) -> Self {
        let zeros = || vec![V::zero(); channels];
        Self {
            replicas,
            count: 0.0,
            mean: zeros(),
            squares: zeros(),
            inverse: zeros(),
            scale: zeros(),
            shift: zeros(),
            sums: zeros(),
            products: zeros(),
        }
    }

    /// Forgets the last batch.
    pub(super) fn clear(&mut self) {
        self.count = 0.0;
        for values in [&mut self.mean, &mut self.squares, &mut self.sums, &mut self.products] {
            values.fill(V::zero());
        }
    }

    /// A slab's mean, and sum of squared deviations from it.
    pub(super) fn observe(&self, x: &[V::Kept], slab: Slab, part: &mut SlabSums<V>) {
        let (order, replicas) = (self.order(x, slab.packs), self.replicas);
        let images = slab.packs * (V::LANES / replicas) - slab.missing;
        part.count = (order.pixels * images) as f64;
        let (share, last) = (V::of(1.0 / part.count), slab.last::<V>(replicas));
        V::run(
            #[inline(always)]
            || {
                for (channel, [mean, squares]) in part.pairs.iter_mut().enumerate().take(order.channels) {
                    let own = sum(
                        order.of(x, channel),
                        last,
                        #[inline(always)]
                        |value| value,
                    )
                    .fold(replicas)
                    .mul(share);
                    *mean = own;
                    *squares = sum(
                        order.of(x, channel),
                        last,
                        #[inline(always)]
                        |value| {
                            let deviation = value.sub(own);
                            deviation.mul(deviation)
                        },
                    )
                    .fold(replicas);
                }
            },
        );
    }

    /// Adds what was observed of a slab to the batch's (Chan, Golub and LeVeque 1979).
    pub(super) fn add_observed(&mut self, part: &SlabSums<V>) {
        let (count, own) = (self.count, part.count);
        let total = count + own;
        let (to_mean, to_squares) = (V::of(own / total), V::of(count * own / total));
        V::run(
            #[inline(always)]
            || {
                let batch = self.mean.iter_mut().zip(&mut self.squares);
                for ((mean, squares), [own_mean, own_squares]) in batch.zip(&part.pairs) {
                    let step = own_mean.sub(*mean);
                    *mean = step.mul_add(to_mean, *mean);
                    let between = step.mul(step).mul(to_squares);
                    *squares = squares.add(*own_squares).add(between);
                }
            },
        );
        self.count = total;
    }

    /// Normalises by the batch, and lets the running statistics follow.
    pub(super) fn use_batch(&mut self, norm: &BatchNorm, theta: &[V::Scalar], running: &mut Running<V>) {
        V::run(
            #[inline(always)]
            || {
                let follow = |old: V, new: V| old.mul(V::of(1.0 - MOMENTUM)).add(new.mul(V::of(MOMENTUM)));
                for channel in 0..norm.channels {
                    let variance = self.squares[channel].mul(V::of(1.0 / self.count));
                    self.normalise(norm, theta, channel, self.mean[channel], variance);
                    let unbiased = self.squares[channel].mul(V::of(1.0 / (self.count - 1.0)));
                    running.mean[channel] = follow(running.mean[channel], self.mean[channel]);
                    running.variance[channel] = follow(running.variance[channel], unbiased);
                }
            },
        );
    }

    /// Normalises by the running statistics.
    pub(super) fn use_running(&mut self, norm: &BatchNorm, theta: &[V::Scalar], running: &Running<V>) {
        V::run(
            #[inline(always)]
            || {
                for channel in 0..norm.channels {
                    self.normalise(norm, theta, channel, running.mean[channel], running.variance[channel]);
                }
            },
        );
    }

    #[inline(always)]
    fn normalise(&mut self, norm: &BatchNorm, theta: &[V::Scalar], channel: usize, mean: V, variance: V) {
        let of = |parameters: &Range<usize>| {
            V::repeated(&theta[(parameters.start + channel) * self.replicas..], self.replicas)
        };
        let inverse = V::of(1.0).div(variance.add(V::of(EPSILON)).sqrt());
        let scale = of(&norm.weights).mul(inverse);
        self.inverse[channel] = inverse;
        self.scale[channel] = scale;
        self.shift[channel] = of(&norm.biases).sub(mean.mul(scale));
    }

    /// How the numbers of so many packs are ordered.
    fn order(&self, x: &[V::Kept], packs: usize) -> ChannelOrder {
        let channels = self.mean.len();
        ChannelOrder { channels, pixels: x.len() / (packs * channels) }
    }

    /// relu(norm(x)).
    pub(super) fn activate(&self, x: &[V::Kept], activated: &mut [V], packs: usize) {
        let ChannelOrder { channels, pixels } = self.order(x, packs);
        V::run(
            #[inline(always)]
            || {
                for (x, activated) in
                    x.chunks_exact(channels * pixels).zip(activated.chunks_exact_mut(channels * pixels))
                {
                    let sides = x.chunks_exact(pixels).zip(activated.chunks_exact_mut(pixels));
                    for ((x, activated), (scale, shift)) in sides.zip(self.scale.iter().zip(&self.shift)) {
                        for (x, activated) in x.iter().zip(activated) {
                            *activated = x.value().mul_add(*scale, *shift).relu();
                        }
                    }
                }
            },
        );
    }

    /// Turns the gradient of what ReLU gave, which was `activated`, into that of what the norm
    /// gave, and sums it up.
    pub(super) fn gather(
        &self,
        x: &[V::Kept],
        activated: &[V],
        gradient: &mut [V::Kept],
        packs: usize,
        part: &mut SlabSums<V>,
    ) {
        let (order, replicas) = (self.order(x, packs), self.replicas);
        V::run(
            #[inline(always)]
            || {
                for channel in 0..order.channels {
                    let mean = self.mean[channel];
                    let (mut sums, mut products) = ([V::zero(); PARTS], [V::zero(); PARTS]);
                    for pack in 0..packs {
                        let own = order.range(pack, channel);
                        let (x, activated) = (&x[own.clone()], &activated[own.clone()]);
                        for (index, gradient) in gradient[own].iter_mut().enumerate() {
                            let part = index % PARTS;
                            let own = activated[index].where_positive(gradient.value());
                            *gradient = V::Kept::keep(own);
                            sums[part] = sums[part].add(own);
                            products[part] = x[index].value().sub(mean).mul_add(own, products[part]);
                        }
                    }
                    part.pairs[channel] = [total(sums).fold(replicas), total(products).fold(replicas)];
                }
            },
        );
    }

    /// Adds what was gathered of a slab to the batch's.
    pub(super) fn add_gathered(&mut self, part: &SlabSums<V>) {
        let batch = self.sums.iter_mut().zip(&mut self.products);
        V::run(
            #[inline(always)]
            || {
                for ((sum, product), [own_sum, own_product]) in batch.zip(&part.pairs) {
                    (*sum, *product) = (sum.add(*own_sum), product.add(*own_product));
                }
            },
        );
    }

    /// Turns the gradient of what the norm gave into that of its input, and adds that of what goes
    /// `around` the norm and all until its block's end.
    pub(super) fn backward(
        &self,
        x: &[V::Kept],
        gradient: &mut [V::Kept],
        slab: Slab,
        around: Option<&[V::Kept]>,
    ) {
        let order = self.order(x, slab.packs);
        let share = V::of(1.0 / self.count);
        let last = slab.last::<V>(self.replicas);
        V::run(
            #[inline(always)]
            || {
                for channel in 0..order.channels {
                    let inverse = self.inverse[channel];
                    let (mean, scale) = (self.mean[channel], self.scale[channel]);
                    let shift = self.sums[channel].mul(share);
                    let slope = self.products[channel].mul(inverse).mul(inverse).mul(share);
                    for pack in 0..slab.packs {
                        let own = order.range(pack, channel);
                        let gradient = &mut gradient[own.clone()];
                        let around = around.map(|around| &around[own.clone()]);
                        for (index, x) in x[own].iter().enumerate() {
                            let deviation = x.value().sub(mean);
                            let centred = gradient[index].value().sub(shift).sub(deviation.mul(slope));
                            let mut value = centred.mul(scale);
                            if let Some(around) = around {
                                value = value.add(around[index].value());
                            }
                            gradient[index] = V::Kept::keep(value);
                        }
                        if let (Some(there), true) = (last, pack + 1 == slab.packs) {
                            for gradient in gradient {
                                *gradient = V::Kept::keep(there.where_positive(gradient.value()));
                            }
                        }
                    }
                }
            },
        );
    }

    /// The gradients of each replica with respect to the norm's weights, and to its biases.
    pub(super) fn gradients(&self) -> [Vec<V::Scalar>; 2] {
        let each = |values: &mut dyn Iterator<Item = V>| {
            values.flat_map(|value| lanes(&[value])[..self.replicas].to_vec()).collect()
        };
        let mut weights =
            self.products.iter().zip(&self.inverse).map(|(product, inverse)| product.mul(*inverse));
        [each(&mut weights), each(&mut self.sums.iter().copied())]
    }
}

impl Slab {
    /// Where the last pack lacks images: 1 in each lane of it that holds one.
    fn last<V: Vector>(self, replicas: usize) -> Option<V> {
        let there = V::LANES - self.missing * replicas;
        let mut mask = [V::zero()];
        lanes_mut(&mut mask)[..there].fill(V::Scalar::of(1.0));
        (self.missing > 0).then_some(mask[0])
    }
}

/// Numbers ordered by pack, channel, pixel.
#[derive(Clone, Copy)]
struct ChannelOrder {
    channels: usize,
    pixels: usize,
}

impl ChannelOrder {
    /// A pack's numbers of a channel.
    #[inline(always)]
    fn range(self, pack: usize, channel: usize) -> Range<usize> {
        let start = (pack * self.channels + channel) * self.pixels;
        start..start + self.pixels
    }

    /// Each pack's numbers of a channel.
    #[inline(always)]
    fn of<T>(self, x: &[T], channel: usize) -> impl Iterator<Item = &[T]> {
        x[channel * self.pixels..].chunks(self.channels * self.pixels).map(move |x| &x[..self.pixels])
    }
}

/// The sum of f over packs; `last` is [`Slab::last`]'s.
#[inline(always)]
fn sum<'a, V: Vector>(packs: impl Iterator<Item = &'a [V::Kept]>, last: Option<V>, f: impl Fn(V) -> V) -> V {
    let mut sums = [V::zero(); PARTS];
    let mut packs = packs.peekable();
    while let Some(values) = packs.next() {
        match (last, packs.peek()) {
            (Some(there), None) => {
                for (index, value) in values.iter().enumerate() {
                    sums[index % PARTS] = sums[index % PARTS].add(there.where_positive(f(value.value())));
                }
            }
            _ => {
                for (index, value) in values.iter().enumerate() {
                    sums[index % PARTS] = sums[index % PARTS].add(f(value.value()));
                }
            }
        }
    }
    total(sums)
}

#[inline(always)]
fn total<V: Vector>([a, b, c, d]: [V; PARTS]) -> V {
    a.add(b).add(c.add(d))
}
