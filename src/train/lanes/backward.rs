//! Backward through a [`LaneNetwork`], slab by slab as [forward](super::forward).
//!
//! A tensor is updated as soon as its gradient is known, so there is one gradient buffer, of the
//! largest tensor's size.

use std::ops::Range;

use super::network::{BlockNumbers, Buffers, LaneNetwork, Parameters, Scratch};
use super::norm::{BatchNorm, Statistics};
use super::operands::{Accumulate, ConvWeights};
use super::share::{parts, parts_mut, share};
use super::slab::Batch;
use super::vector::{Kept, Vector, lanes};
use crate::model::Channels;

/// Takes the numbers of some parameters, their place among all parameters, and their gradients, and
/// changes them.
pub(super) type Updates<'a, V> =
    &'a mut dyn FnMut(&mut [<V as Vector>::Scalar], Range<usize>, &[<V as Vector>::Scalar]);

/// Takes the numbers of all parameters, and changes those at a place by their gradients.
type Changes<'a, V> = Updates<'a, V>;

impl LaneNetwork {
    /// From the logits' gradient to an update of every tensor, after a forward pass in training.
    pub(super) fn backward<V: Vector>(
        &self,
        parameters: &mut Parameters<V>,
        buffers: &mut Buffers<V>,
        batch: Batch,
        update: Updates<V>,
    ) {
        let replicas = parameters.replicas;
        let change: Changes<V> = &mut |theta, place, gradient| {
            update(&mut theta[place.start * replicas..place.end * replicas], place, gradient);
        };
        self.backward_head(parameters, buffers, batch, change);
        for index in (0..self.blocks.len()).rev() {
            self.backward_second(index, parameters, buffers, batch, change);
            self.backward_first(index, parameters, buffers, batch, change);
            std::mem::swap(&mut buffers.output, &mut buffers.input);
        }
        self.backward_stem(parameters, buffers, batch, change);
    }

    /// From the logits to the last block's output.
    fn backward_head<V: Vector>(
        &self,
        parameters: &mut Parameters<V>,
        buffers: &mut Buffers<V>,
        batch: Batch,
        change: Changes<V>,
    ) {
        let Parameters { theta, replicas, .. } = parameters;
        let (theta, replicas): (&mut [V::Scalar], usize) = (theta, *replicas);
        let Buffers { pooled, d_logits, output, kernels, scratch, .. } = buffers;
        let Channels { input: features, output: classes } = self.linear.channels;
        let mut biases = vec![V::zero(); classes];
        let last = self.numbers(self.blocks.len() - 1).output;
        let Scratch { gradient, points, .. } = &mut scratch[0];
        let linear = &mut gradient[..self.linear.gradient_vectors::<V>(replicas)];
        linear.fill(V::zero());
        self.linear.prepare(theta, true, replicas, kernels);
        let weights = ConvWeights { theta: &*theta, replicas, kernels };
        for slab in batch.slabs(self.linear.slab()) {
            let (pooled, d_logits) = (&mut pooled[slab.of(features)], &d_logits[slab.of(classes)]);
            self.linear.gradient(replicas, pooled, d_logits, linear, slab.packs, points);
            for (index, slope) in d_logits.iter().enumerate() {
                let bias = &mut biases[index % classes];
                *bias = bias.add(*slope);
            }
            // What the average was made of is not wanted any more; its gradient takes the place.
            self.linear.backward(weights, d_logits, pooled, slab.packs, Accumulate::Nothing, points);
            spread(pooled, &mut output[slab.of(last)]);
        }
        self.linear.emit_gradients(linear, replicas, |place, gradient| change(theta, place, gradient));
        biases.iter_mut().for_each(|bias| *bias = bias.fold(replicas));
        let biases: Vec<V::Scalar> =
            biases.iter().flat_map(|bias| lanes(&[*bias])[..replicas].to_vec()).collect();
        change(theta, self.biases.clone(), &biases);
    }

    /// From a block's output to its first convolution's.
    fn backward_second<V: Vector>(
        &self,
        index: usize,
        parameters: &mut Parameters<V>,
        buffers: &mut Buffers<V>,
        batch: Batch,
        change: Changes<V>,
    ) {
        let Parameters { theta, replicas, .. } = parameters;
        let (theta, replicas): (&mut [V::Scalar], usize) = (theta, *replicas);
        let Buffers { middles, norms, output, middle, kernels, added, scratch, .. } = buffers;
        let (block, scratch) = (&self.blocks[index], batch.working(scratch));
        let after = self.numbers(index).output;
        let bn2 = &mut norms[2 * index + 1];
        block.conv2.prepare(theta, true, replicas, kernels);
        let weights = ConvWeights { theta: &*theta, replicas, kernels };
        let slabs = &batch.slabs(block.conv2.slab());
        let length =
            clear(scratch, block.conv2.gradient_vectors::<V>(replicas), |thread| &mut thread.gradient);
        let sides = parts(&middles[index], slabs, after).zip(parts(output, slabs, after));
        let items = slabs.iter().zip(sides).zip(parts_mut(middle, slabs, after)).zip(&mut *added);
        share(items, scratch, |(((slab, (x, dy)), middle), part), thread| {
            let Scratch { activated, points, gradient, .. } = thread;
            let activated = &mut activated[..x.len()];
            bn2.activate(x, activated, slab.packs);
            block.conv2.gradient(replicas, activated, dy, &mut gradient[..length], slab.packs, points);
            block.conv2.backward(weights, dy, middle, slab.packs, Accumulate::Nothing, points);
            bn2.gather(x, activated, middle, slab.packs, part);
        });
        added[..slabs.len()].iter().for_each(|part| bn2.add_gathered(part));
        let gradient = total(scratch, length, |thread| &mut thread.gradient);
        block.conv2.emit_gradients(gradient, replicas, |place, gradient| change(theta, place, gradient));
        change_norm(&block.bn2, bn2, theta, change);
    }

    /// From the output of a block's first convolution, and through its shortcut, to the block's
    /// input.
    fn backward_first<V: Vector>(
        &self,
        index: usize,
        parameters: &mut Parameters<V>,
        buffers: &mut Buffers<V>,
        batch: Batch,
        change: Changes<V>,
    ) {
        let Parameters { theta, replicas, .. } = parameters;
        let (theta, replicas): (&mut [V::Scalar], usize) = (theta, *replicas);
        let Buffers {
            inputs,
            middles,
            norms,
            output,
            middle,
            input,
            kernels,
            projections,
            added,
            scratch,
            ..
        } = buffers;
        let (block, scratch) = (&self.blocks[index], batch.working(scratch));
        let BlockNumbers { input: before, output: after } = self.numbers(index);
        let (first, second) = norms.split_at_mut(2 * index + 1);
        let (bn1, bn2) = (&mut first[2 * index], &second[0]);
        block.conv1.prepare(theta, true, replicas, kernels);
        let weights = ConvWeights { theta: &*theta, replicas, kernels };
        let shortcut_weights = block.prepare_shortcut(theta, true, replicas, projections);
        let slabs = &batch.slabs(block.conv1.slab());
        let length =
            clear(scratch, block.conv1.gradient_vectors::<V>(replicas), |thread| &mut thread.gradient);
        let shortcut = block.shortcut.as_ref().map_or(0, |shortcut| shortcut.gradient_vectors::<V>(replicas));
        clear(scratch, shortcut, |thread| &mut thread.projection);
        let sides = parts(&inputs[index], slabs, before).zip(parts(output, slabs, after));
        let inner = parts(&middles[index], slabs, after).zip(parts_mut(middle, slabs, after));
        let items = slabs.iter().zip(sides).zip(inner).zip(parts_mut(input, slabs, before)).zip(&mut *added);
        share(items, scratch, |((((slab, (x, dy)), (between, middle)), input), part), thread| {
            let Scratch { activated, points, gradient, projection } = thread;
            let activated = &mut activated[..x.len()];
            bn2.backward(between, middle, *slab, None);
            bn1.activate(x, activated, slab.packs);
            block.conv1.gradient(replicas, activated, middle, &mut gradient[..length], slab.packs, points);
            block.conv1.backward(weights, middle, input, slab.packs, Accumulate::Nothing, points);
            if let Some(conv) = &block.shortcut {
                let projection = &mut projection[..shortcut];
                conv.gradient(replicas, activated, dy, projection, slab.packs, points);
                conv.backward(shortcut_weights, dy, input, slab.packs, Accumulate::Existing, points);
            }
            bn1.gather(x, activated, input, slab.packs, part);
        });
        added[..slabs.len()].iter().for_each(|part| bn1.add_gathered(part));
        let gradient = total(scratch, length, |thread| &mut thread.gradient);
        block.conv1.emit_gradients(gradient, replicas, |place, gradient| change(theta, place, gradient));
        if let Some(conv) = &block.shortcut {
            let gradient = total(scratch, shortcut, |thread| &mut thread.projection);
            conv.emit_gradients(gradient, replicas, |place, gradient| change(theta, place, gradient));
        }
        change_norm(&block.bn1, bn1, theta, change);

        let sides = parts(&inputs[index], slabs, before).zip(parts(output, slabs, after));
        share(
            slabs.iter().zip(sides).zip(parts_mut(input, slabs, before)),
            scratch,
            |((slab, (x, dy)), input), _| {
                let around = block.shortcut.is_none().then_some(dy);
                bn1.backward(x, input, *slab, around);
            },
        );
    }

    /// The stem's gradient, from the first block's input.
    fn backward_stem<V: Vector>(
        &self,
        parameters: &mut Parameters<V>,
        buffers: &mut Buffers<V>,
        batch: Batch,
        change: Changes<V>,
    ) {
        let Parameters { theta, replicas, .. } = parameters;
        let (theta, replicas): (&mut [V::Scalar], usize) = (theta, *replicas);
        let Buffers { images, output, scratch, .. } = buffers;
        let scratch = batch.working(scratch);
        let length = clear(scratch, self.stem.gradient_vectors::<V>(replicas), |thread| &mut thread.gradient);
        let (image, before) = (self.image, self.numbers(0).input);
        let slabs = &batch.slabs(self.stem.slab());
        let sides = parts(images, slabs, image).zip(parts(output, slabs, before));
        share(slabs.iter().zip(sides), scratch, |(slab, (x, dy)), thread| {
            let Scratch { points, gradient, .. } = thread;
            self.stem.gradient(replicas, x, dy, &mut gradient[..length], slab.packs, points);
        });
        let gradient = total(scratch, length, |thread| &mut thread.gradient);
        self.stem.emit_gradients(gradient, replicas, |place, gradient| change(theta, place, gradient));
    }
}

/// Changes a norm's scales and shifts.
fn change_norm<V: Vector>(
    norm: &BatchNorm,
    statistics: &Statistics<V>,
    theta: &mut [V::Scalar],
    change: Changes<V>,
) {
    let [scales, shifts] = statistics.gradients();
    change(theta, norm.weights.clone(), &scales);
    change(theta, norm.biases.clone(), &shifts);
}

/// Sets the beginning of a buffer of each thread to zeros, and gives its length again.
fn clear<V: Vector>(
    scratch: &mut [Scratch<V>],
    length: usize,
    buffer: impl Fn(&mut Scratch<V>) -> &mut Vec<V>,
) -> usize {
    scratch.iter_mut().for_each(|thread| buffer(thread)[..length].fill(V::zero()));
    length
}

/// The sum over threads of the beginning of a buffer, at the first one.
fn total<V: Vector>(
    scratch: &mut [Scratch<V>],
    length: usize,
    buffer: impl Fn(&mut Scratch<V>) -> &mut Vec<V>,
) -> &[V] {
    let (first, others) = scratch.split_at_mut(1);
    let sum = &mut buffer(&mut first[0])[..length];
    for thread in others {
        add(&buffer(thread)[..length], sum);
    }
    sum
}

/// The gradient of the average over the pixels.
fn spread<V: Vector>(pooled: &[V], dx: &mut [V::Kept]) {
    let pixels = dx.len() / pooled.len();
    V::run(
        #[inline(always)]
        || {
            for (dx, pooled) in dx.chunks_exact_mut(pixels).zip(pooled) {
                dx.fill(V::Kept::keep(pooled.mul(V::of(1.0 / pixels as f64))));
            }
        },
    );
}

/// Adds values.
fn add<V: Vector>(values: &[V], to: &mut [V]) {
    V::run(
        #[inline(always)]
        || {
            for (value, to) in values.iter().zip(to) {
                *to = to.add(*value);
            }
        },
    );
}
