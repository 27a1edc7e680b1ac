//! Forward and backward through a [`LaneNetwork`].
//!
//! A batch is cut into slabs of a few packs, by every layer as suits it. Between two batch norms everything is
//! done slab by slab: one pass normalises, convolves and gathers the next norm's statistics while the numbers
//! are in the core's caches. Only the inputs of the norms are kept for the backward pass. A tensor is updated as
//! soon as its gradient is known, so there is one gradient buffer, of the largest tensor's size. Slabs are shared
//! out to threads where there is more than one ([`share`]).

use std::ops::Range;

use super::network::{Block, BlockNumbers, Buffers, LaneNetwork, Parameters, Scratch};
use super::norm::{BatchNorm, Statistics};
use super::operands::{Accumulate, ConvWeights, Kernels};
use super::share::{parts, parts_mut, share};
use super::slab::Batch;
use super::vector::{Kept, Vector, lanes};
use crate::model::Channels;

/// Takes the numbers of some parameters, their place among all parameters, and their gradients, and changes them.
pub(super) type Updates<'a, V> =
    &'a mut dyn FnMut(&mut [<V as Vector>::Scalar], Range<usize>, &[<V as Vector>::Scalar]);

impl Block {
    /// Makes its shortcut's kernels ready, if it has one.
    fn prepare_shortcut<'a, V: Vector>(
        &self,
        theta: &'a [V::Scalar],
        transposed: bool,
        replicas: usize,
        kernels: &'a mut Kernels<V>,
    ) -> ConvWeights<'a, V> {
        if let Some(shortcut) = &self.shortcut {
            shortcut.prepare(theta, transposed, replicas, kernels);
        }
        ConvWeights { theta, replicas, kernels }
    }
}

impl LaneNetwork {
    /// From the images to the logits. In training every norm goes by its batch, else by its running
    /// statistics.
    pub(super) fn forward<V: Vector>(
        &self,
        parameters: &mut Parameters<V>,
        buffers: &mut Buffers<V>,
        batch: Batch,
        training: bool,
    ) {
        let Parameters { theta, replicas, running } = parameters;
        let (theta, replicas): (&[V::Scalar], usize) = (theta, *replicas);
        let Buffers { norms, inputs, middles, kernels, projections, added, scratch, .. } = buffers;
        let threads = scratch.len().min(batch.packs);
        let scratch = &mut scratch[..threads];
        if training {
            norms.iter_mut().for_each(Statistics::clear);
        }
        let mut settle = |norm: &BatchNorm, state: &mut Statistics<V>| match training {
            true => state.use_batch(norm, theta, &mut running[norm.index]),
            false => state.use_running(norm, theta, &running[norm.index]),
        };
        self.stem.prepare(theta, false, replicas, kernels);
        let weights = ConvWeights { theta, replicas, kernels };
        let (image, before) = (self.image, self.numbers(0).input);
        let slabs = &batch.slabs(self.stem.slab());
        let images = parts(&buffers.images, slabs, image);
        let x = parts_mut(&mut inputs[0], slabs, before);
        let mut seen = slabs.len();
        share(
            slabs.iter().zip(images).zip(x).zip(&mut *added),
            scratch,
            |(((slab, image), x), part), thread| {
                self.stem.forward(weights, image, x, slab.packs, Accumulate::Nothing, &mut thread.points);
                if training {
                    norms[0].observe(x, *slab, part);
                }
            },
        );
        for (index, block) in self.blocks.iter().enumerate() {
            let BlockNumbers { input: before, output: after } = self.numbers(index);
            let (head, tail) = inputs.split_at_mut(index + 1);
            let (x, next) = (&head[index], &mut tail[0]);
            if training {
                added[..seen].iter().for_each(|part| norms[2 * index].add_observed(part));
            }
            settle(&block.bn1, &mut norms[2 * index]);
            block.conv1.prepare(theta, false, replicas, kernels);
            let weights = ConvWeights { theta, replicas, kernels };
            let shortcut_weights = block.prepare_shortcut(theta, false, replicas, projections);
            let slabs = &batch.slabs(block.conv1.slab());
            let middle = parts_mut(&mut middles[index], slabs, after);
            let sides = parts(x, slabs, before).zip(parts_mut(next, slabs, after));
            let items = slabs.iter().zip(sides).zip(middle).zip(&mut *added);
            share(items, scratch, |(((slab, (x, next)), middle), part), thread| {
                let activated = &mut thread.activated[..x.len()];
                norms[2 * index].activate(x, activated, slab.packs);
                block.conv1.forward(
                    weights,
                    activated,
                    middle,
                    slab.packs,
                    Accumulate::Nothing,
                    &mut thread.points,
                );
                if let Some(shortcut) = &block.shortcut {
                    shortcut.forward(
                        shortcut_weights,
                        activated,
                        next,
                        slab.packs,
                        Accumulate::Nothing,
                        &mut thread.points,
                    );
                }
                if training {
                    norms[2 * index + 1].observe(middle, *slab, part);
                }
            });
            if training {
                added[..slabs.len()].iter().for_each(|part| norms[2 * index + 1].add_observed(part));
            }
            settle(&block.bn2, &mut norms[2 * index + 1]);
            block.conv2.prepare(theta, false, replicas, kernels);
            let weights = ConvWeights { theta, replicas, kernels };
            let slabs = &batch.slabs(block.conv2.slab());
            seen = slabs.len();
            let sides = parts(&middles[index], slabs, after).zip(parts_mut(next, slabs, after));
            let items = slabs.iter().zip(parts(x, slabs, before)).zip(sides).zip(&mut *added);
            share(items, scratch, |(((slab, x), (middle, next)), part), thread| {
                let activated = &mut thread.activated[..middle.len()];
                norms[2 * index + 1].activate(middle, activated, slab.packs);
                let onto = if block.shortcut.is_some() { Accumulate::Existing } else { Accumulate::Other(x) };
                block.conv2.forward(weights, activated, next, slab.packs, onto, &mut thread.points);
                if let (true, Some(norm)) = (training, norms.get(2 * index + 2)) {
                    norm.observe(next, *slab, part);
                }
            });
        }
        self.linear.prepare(theta, false, replicas, kernels);
        let weights = ConvWeights { theta, replicas, kernels };
        let Channels { input: features, output: classes } = self.linear.channels;
        let (last, size) = (&inputs[self.blocks.len()], self.numbers(self.blocks.len() - 1).output);
        for slab in batch.slabs(self.linear.slab()) {
            let pooled = &mut buffers.pooled[slab.of(features)];
            average(&last[slab.of(size)], pooled);
            let logits = &mut buffers.logits[slab.of(classes)];
            for (index, logit) in logits.iter_mut().enumerate() {
                *logit = V::repeated(&theta[(self.biases.start + index % classes) * replicas..], replicas);
            }
            self.linear.forward(
                weights,
                pooled,
                logits,
                slab.packs,
                Accumulate::Existing,
                &mut scratch[0].points,
            );
        }
    }

    /// From the logits' gradient to an update of every tensor, after a forward pass in training.
    pub(super) fn backward<V: Vector>(
        &self,
        parameters: &mut Parameters<V>,
        buffers: &mut Buffers<V>,
        batch: Batch,
        update: Updates<V>,
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
        let threads = scratch.len().min(batch.packs);
        let scratch = &mut scratch[..threads];
        let mut change = |theta: &mut [V::Scalar], place: Range<usize>, gradient: &[V::Scalar]| {
            update(&mut theta[place.start * replicas..place.end * replicas], place, gradient);
        };
        let Channels { input: features, output: classes } = self.linear.channels;
        let mut biases = vec![V::zero(); classes];
        let last = self.numbers(self.blocks.len() - 1).output;
        let Scratch { gradient, points, .. } = &mut scratch[0];
        let linear = &mut gradient[..self.linear.gradient_vectors::<V>(replicas)];
        linear.fill(V::zero());
        self.linear.prepare(theta, true, replicas, kernels);
        let weights = ConvWeights { theta: &*theta, replicas, kernels };
        for slab in batch.slabs(self.linear.slab()) {
            let (pooled, d_logits) =
                (&mut buffers.pooled[slab.of(features)], &buffers.d_logits[slab.of(classes)]);
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

        for (index, block) in self.blocks.iter().enumerate().rev() {
            let BlockNumbers { input: before, output: after } = self.numbers(index);
            let (first, second) = norms.split_at_mut(2 * index + 1);
            let (bn1, bn2) = (&mut first[2 * index], &mut second[0]);

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
            let [scales, shifts] = bn2.gradients();
            change(theta, block.bn2.weights.clone(), &scales);
            change(theta, block.bn2.biases.clone(), &shifts);

            block.conv1.prepare(theta, true, replicas, kernels);
            let weights = ConvWeights { theta: &*theta, replicas, kernels };
            let shortcut_weights = block.prepare_shortcut(theta, true, replicas, projections);
            let slabs = &batch.slabs(block.conv1.slab());
            let length =
                clear(scratch, block.conv1.gradient_vectors::<V>(replicas), |thread| &mut thread.gradient);
            let shortcut =
                block.shortcut.as_ref().map_or(0, |shortcut| shortcut.gradient_vectors::<V>(replicas));
            clear(scratch, shortcut, |thread| &mut thread.projection);
            let sides = parts(&inputs[index], slabs, before).zip(parts(output, slabs, after));
            let inner = parts(&middles[index], slabs, after).zip(parts_mut(middle, slabs, after));
            let items =
                slabs.iter().zip(sides).zip(inner).zip(parts_mut(input, slabs, before)).zip(&mut *added);
            share(items, scratch, |((((slab, (x, dy)), (between, middle)), input), part), thread| {
                let Scratch { activated, points, gradient, projection } = thread;
                let activated = &mut activated[..x.len()];
                bn2.backward(between, middle, *slab, None);
                bn1.activate(x, activated, slab.packs);
                block.conv1.gradient(
                    replicas,
                    activated,
                    middle,
                    &mut gradient[..length],
                    slab.packs,
                    points,
                );
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
            let [scales, shifts] = bn1.gradients();
            change(theta, block.bn1.weights.clone(), &scales);
            change(theta, block.bn1.biases.clone(), &shifts);

            let sides = parts(&inputs[index], slabs, before).zip(parts(output, slabs, after));
            share(
                slabs.iter().zip(sides).zip(parts_mut(input, slabs, before)),
                scratch,
                |((slab, (x, dy)), input), _| {
                    let around = block.shortcut.is_none().then_some(dy);
                    bn1.backward(x, input, *slab, around);
                },
            );
            std::mem::swap(output, input);
        }

        let length = clear(scratch, self.stem.gradient_vectors::<V>(replicas), |thread| &mut thread.gradient);
        let (image, before) = (self.image, self.numbers(0).input);
        let slabs = &batch.slabs(self.stem.slab());
        let sides = parts(&buffers.images, slabs, image).zip(parts(output, slabs, before));
        share(slabs.iter().zip(sides), scratch, |(slab, (x, dy)), thread| {
            let Scratch { points, gradient, .. } = thread;
            self.stem.gradient(replicas, x, dy, &mut gradient[..length], slab.packs, points);
        });
        let gradient = total(scratch, length, |thread| &mut thread.gradient);
        self.stem.emit_gradients(gradient, replicas, |place, gradient| change(theta, place, gradient));
    }
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

/// Averages over the pixels.
fn average<V: Vector>(x: &[V::Kept], pooled: &mut [V]) {
    let pixels = x.len() / pooled.len();
    V::run(
        #[inline(always)]
        || {
            for (x, pooled) in x.chunks_exact(pixels).zip(pooled) {
                let mut sum = V::zero();
                for value in x {
                    sum = sum.add(value.value());
                }
                *pooled = sum.mul(V::of(1.0 / pixels as f64));
            }
        },
    );
}

/// The gradient of [`average`].
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
