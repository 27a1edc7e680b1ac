//! Forward through a [`LaneNetwork`].
//!
//! A batch is cut into slabs of a few packs, by every layer as suits it. Between two batch norms
//! everything is done slab by slab: one pass normalises, convolves and gathers the next norm's
//! statistics while the numbers are in the core's caches. Only the inputs of the norms are kept for
//! the backward pass. Slabs are shared out to threads where there is more than one ([`share`]).

use super::network::{Block, BlockNumbers, Buffers, LaneNetwork, Parameters};
use super::norm::{BatchNorm, Statistics};
use super::operands::{Accumulate, ConvWeights, Kernels};
use super::share::{parts, parts_mut, share};
use super::slab::Batch;
use super::vector::{Kept, Vector};
use crate::model::Channels;

impl Block {
    /// Makes its shortcut's kernels ready, if it has one.
    pub(super) fn prepare_shortcut<'a, V: Vector>(
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
        if training {
            buffers.norms.iter_mut().for_each(Statistics::clear);
        }
        let mut observed = self.forward_stem(parameters, buffers, batch, training);
        for index in 0..self.blocks.len() {
            observed = self.forward_block(index, observed, parameters, buffers, batch, training);
        }
        self.forward_head(parameters, buffers, batch);
    }

    /// From the images to the first block's input. Gives how many slabs were observed of that.
    fn forward_stem<V: Vector>(
        &self,
        parameters: &Parameters<V>,
        buffers: &mut Buffers<V>,
        batch: Batch,
        training: bool,
    ) -> usize {
        let Parameters { theta, replicas, .. } = parameters;
        let (theta, replicas): (&[V::Scalar], usize) = (theta, *replicas);
        let Buffers { images, norms, inputs, kernels, added, scratch, .. } = buffers;
        self.stem.prepare(theta, false, replicas, kernels);
        let weights = ConvWeights { theta, replicas, kernels };
        let (image, before) = (self.image, self.numbers(0).input);
        let slabs = &batch.slabs(self.stem.slab());
        let images = parts(images, slabs, image);
        let x = parts_mut(&mut inputs[0], slabs, before);
        share(
            slabs.iter().zip(images).zip(x).zip(&mut *added),
            batch.working(scratch),
            |(((slab, image), x), part), thread| {
                self.stem.forward(weights, image, x, slab.packs, Accumulate::Nothing, &mut thread.points);
                if training {
                    norms[0].observe(x, *slab, part);
                }
            },
        );
        slabs.len()
    }

    /// A block, of whose input so many slabs were observed. Gives the same of its output.
    fn forward_block<V: Vector>(
        &self,
        index: usize,
        observed: usize,
        parameters: &mut Parameters<V>,
        buffers: &mut Buffers<V>,
        batch: Batch,
        training: bool,
    ) -> usize {
        let Parameters { theta, replicas, running } = parameters;
        let (theta, replicas): (&[V::Scalar], usize) = (theta, *replicas);
        let Buffers { norms, inputs, middles, kernels, projections, added, scratch, .. } = buffers;
        let (block, scratch) = (&self.blocks[index], batch.working(scratch));
        let mut settle = |norm: &BatchNorm, state: &mut Statistics<V>| match training {
            true => state.use_batch(norm, theta, &mut running[norm.index]),
            false => state.use_running(norm, theta, &running[norm.index]),
        };
        let BlockNumbers { input: before, output: after } = self.numbers(index);
        let (head, tail) = inputs.split_at_mut(index + 1);
        let (x, next) = (&head[index], &mut tail[0]);
        if training {
            added[..observed].iter().for_each(|part| norms[2 * index].add_observed(part));
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
        slabs.len()
    }

    /// From the last block's output to the logits.
    fn forward_head<V: Vector>(&self, parameters: &Parameters<V>, buffers: &mut Buffers<V>, batch: Batch) {
        let Parameters { theta, replicas, .. } = parameters;
        let (theta, replicas): (&[V::Scalar], usize) = (theta, *replicas);
        let Buffers { inputs, kernels, scratch, .. } = buffers;
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
