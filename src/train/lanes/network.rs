//! The pre-activation ResNet of `model/resnet.rs` with replicas and images in the vector lanes.
//!
//! A batch is cut into slabs of a few packs, by every layer as suits it. Between two batch norms everything is done slab by
//! slab: one pass normalises, convolves and gathers the next norm's statistics while the numbers are near the core. Only
//! the inputs of the norms are kept for the backward pass. A tensor is updated as soon as its gradient is known, so
//! there is one gradient buffer, of the largest tensor's size. Slabs are shared out to threads where there is more than
//! one ([`share`]).

use std::collections::HashMap;
use std::ops::Range;

use super::conv::{Accumulate, Conv, ConvGeometry, ConvWeights};
use super::norm::{Norm, Part, Running, State};
use super::share::{parts, parts_mut, share};
use super::slab::{Batch, SLAB};
use super::vector::{Kept, Numbers, Vector, lanes, zeros};
use super::winograd::{Kernels, Points};
use crate::error::Result;

/// A residual block.
struct Block {
    bn1: Norm,
    conv1: Conv,
    bn2: Norm,
    conv2: Conv,
    shortcut: Option<Conv>,
}

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

/// The network's shape.
pub(super) struct Network {
    stem: Conv,
    blocks: Vec<Block>,
    linear: Conv,
    biases: Range<usize>,
    /// Channels and pixels of the images.
    image: [usize; 2],
}

/// Where tensors lie among all parameters.
pub(super) trait Places {
    /// Where this tensor lies, with its shape; none where there is no such tensor.
    fn place(&self, name: &str) -> Option<(Range<usize>, Vec<usize>)>;
}

/// The parameters of the replicas of a network.
pub(super) struct Weights<V: Vector> {
    /// In the layout's order, `replicas` numbers per parameter.
    pub(super) theta: Numbers<V>,
    /// Replicas in a vector: a power of two.
    pub(super) replicas: usize,
    /// Of each norm.
    pub(super) running: Vec<Running<V>>,
}

/// Everything that a forward and a backward pass leave behind.
pub(super) struct Work<V: Vector> {
    /// Normalised images, as pack, channel, pixel; all others lie alike.
    pub(super) images: Vec<V>,
    /// As pack, class.
    pub(super) logits: Vec<V>,
    /// The loss's gradient with respect to the logits; zero for images that the last pack lacks.
    pub(super) d_logits: Vec<V>,
    /// The input of each block, and the last one's output.
    inputs: Vec<Vec<V::Kept>>,
    /// What each block's first convolution gave.
    middles: Vec<Vec<V::Kept>>,
    norms: Vec<State<V>>,
    /// Averages over the last block's pixels.
    pooled: Vec<V>,
    /// Gradients of the whole batch: of a block's output, of its middle, of its input.
    output: Vec<V::Kept>,
    middle: Vec<V::Kept>,
    input: Vec<V::Kept>,
    /// Of the convolution at hand, and of a shortcut.
    kernels: Kernels<V>,
    projections: Kernels<V>,
    /// What each slab adds to the norm at hand.
    added: Vec<Part<V>>,
    /// One for each thread.
    desks: Vec<Scratch<V>>,
}

/// What a thread needs for itself.
struct Scratch<V> {
    /// One slab's activations.
    activated: Vec<V>,
    points: Points<V>,
    /// Its slabs' gradient of a convolution, and of a shortcut.
    gradient: Vec<V>,
    projection: Vec<V>,
}

#[cfg(test)]
impl<V: Vector> Work<V> {
    /// Bytes of all buffers whose length grows with the batch or with the network.
    pub(super) fn bytes(&self) -> usize {
        let Self { images, logits, d_logits, pooled, output, middle, input, .. } = self;
        let kept = self.inputs.iter().chain(&self.middles).chain([output, middle, input]);
        let desks = self.desks.iter().flat_map(|desk| {
            let Scratch { activated, points: [before, after], gradient, projection } = desk;
            [activated, before, after, gradient, projection]
        });
        let others = [images, logits, d_logits, pooled].into_iter().chain(desks);
        let kernels = [&self.kernels, &self.projections];
        let kernels = kernels.map(|kernels| kernels.scalars().len().div_ceil(V::LANES));
        let vectors = others.map(Vec::len).sum::<usize>() + kernels.iter().sum::<usize>();
        vectors * size_of::<V>() + kept.map(Vec::len).sum::<usize>() * size_of::<V::Kept>()
    }
}

/// Takes the numbers of some parameters, their place among all parameters, and their gradients, and changes them.
pub(super) type Updates<'a, V> =
    &'a mut dyn FnMut(&mut [<V as Vector>::Scalar], Range<usize>, &[<V as Vector>::Scalar]);

impl Network {
    /// The network of a layout, for images of these channels, height and width; none where the layout is not a ResNet's.
    pub(super) fn new(places: &dyn Places, [channels, height, width]: [usize; 3]) -> Option<Self> {
        let mut sides = [height, width];
        // Most convolutions of a stage see the same.
        let mut known: HashMap<(usize, usize, [usize; 2]), ConvGeometry> = HashMap::new();
        let mut sight = |kernel: usize, stride: usize, sides: [usize; 2]| {
            let new = || ConvGeometry::new(kernel, stride, sides);
            known.entry((kernel, stride, sides)).or_insert_with(new).clone()
        };
        let mut conv = |name: &str, stride: usize, sides: [usize; 2]| {
            let (range, shape) = places.place(&format!("{name}.weight"))?;
            let [to, from, kernel, _] = shape[..] else { return None };
            Some(Conv::new([from, to], range.start, &sight(kernel, stride, sides)))
        };
        let mut index = 0;
        let mut norm = |name: &str| {
            let (weights, _) = places.place(&format!("{name}.weight"))?;
            let (biases, _) = places.place(&format!("{name}.bias"))?;
            index += 1;
            Some(Norm { channels: weights.len(), weights, biases, index: index - 1 })
        };
        let stem = conv("conv1", 1, sides)?;
        let mut blocks = Vec::new();
        for (stage, stride) in [(1, 1), (2, 2), (3, 2), (4, 2)] {
            for block in 0..2 {
                let name = |layer: &str| format!("layer{stage}.{block}.{layer}");
                let stride = if block == 0 { stride } else { 1 };
                let after = sides.map(|side| side.div_ceil(stride));
                blocks.push(Block {
                    bn1: norm(&name("bn1"))?,
                    conv1: conv(&name("conv1"), stride, sides)?,
                    bn2: norm(&name("bn2"))?,
                    conv2: conv(&name("conv2"), 1, after)?,
                    shortcut: conv(&name("shortcut.0"), stride, sides),
                });
                sides = after;
            }
        }
        let (range, shape) = places.place("linear.weight")?;
        let [classes, features] = shape[..] else { return None };
        let linear = Conv::new([features, classes], range.start, &sight(1, 1, [1, 1]));
        let (biases, _) = places.place("linear.bias")?;
        Some(Self { stem, blocks, linear, biases, image: [channels, height * width] })
    }

    /// How many classes.
    pub(super) fn classes(&self) -> usize {
        self.linear.to
    }

    /// The norms' numbers of channels, in the layout's order.
    pub(super) fn norms(&self) -> Vec<usize> {
        self.blocks.iter().flat_map(|block| [block.bn1.channels, block.bn2.channels]).collect()
    }

    /// Numbers per image of a block's input and of its output.
    fn sizes(&self, block: usize) -> [usize; 2] {
        let before = match block.checked_sub(1) {
            Some(before) => &self.blocks[before].conv2,
            None => &self.stem,
        };
        let own = &self.blocks[block].conv2;
        [before.to * before.pixels(), own.to * own.pixels()]
    }

    /// All convolutions but the shortcuts, and the shortcuts.
    fn convs(&self) -> [Vec<&Conv>; 2] {
        let blocks = self.blocks.iter().flat_map(|block| [&block.conv1, &block.conv2]);
        let shortcuts = self.blocks.iter().filter_map(|block| block.shortcut.as_ref());
        [[&self.stem, &self.linear].into_iter().chain(blocks).collect(), shortcuts.collect()]
    }

    /// The most of something that a convolution needs, and that a shortcut needs.
    fn most(&self, of: impl Fn(&Conv) -> usize) -> [usize; 2] {
        self.convs().map(|convs| convs.into_iter().map(&of).max().unwrap_or_default())
    }

    /// Vectors that the convolutions of a batch need: for each side of [`Points`], and for gradients.
    fn room<V: Vector>(&self, replicas: usize) -> (usize, [usize; 2]) {
        let points = self.most(Conv::room::<V>);
        (points[0].max(points[1]), self.most(|conv| conv.sums::<V>(replicas)))
    }

    /// Memory for batches of this many packs with `replicas` replicas, and for slabs of `threads` threads.
    pub(super) fn work<V: Vector>(&self, batch: usize, replicas: usize, threads: usize) -> Result<Work<V>> {
        let batch = batch.max(SLAB);
        let sizes: Vec<[usize; 2]> = (0..self.blocks.len()).map(|block| self.sizes(block)).collect();
        let largest = sizes.iter().flatten().copied().max().unwrap_or(0);
        let last = sizes.last().map_or(0, |[_, output]| *output);
        let inputs = sizes.iter().map(|[input, _]| *input).chain([last]);
        let [kernels, projections] = self.most(|conv| conv.factors::<V>(replicas));
        let (points, [gradient, projection]) = self.room::<V>(replicas);
        let desk = |_| {
            Ok(Scratch {
                activated: zeros(SLAB * largest)?,
                points: [zeros(points)?, zeros(points)?],
                gradient: zeros(gradient)?,
                projection: zeros(projection)?,
            })
        };
        Ok(Work {
            images: zeros(batch * self.image.iter().product::<usize>())?,
            logits: zeros(batch * self.linear.to)?,
            d_logits: zeros(batch * self.linear.to)?,
            inputs: inputs.map(|numbers| zeros(batch * numbers)).collect::<Result<_>>()?,
            middles: sizes.iter().map(|[_, output]| zeros(batch * output)).collect::<Result<_>>()?,
            norms: self.norms().into_iter().map(|channels| State::new(channels, replicas)).collect(),
            pooled: zeros(batch * self.linear.from)?,
            output: zeros(batch * largest)?,
            middle: zeros(batch * largest)?,
            input: zeros(batch * largest)?,
            kernels: Kernels::new(kernels)?,
            projections: Kernels::new(projections)?,
            added: vec![Part::new(self.norms().into_iter().max().unwrap_or(0)); batch],
            desks: (0..threads).map(desk).collect::<Result<_>>()?,
        })
    }

    /// Bytes that [`Network::work`] takes, but for what the norms need.
    pub(super) fn bytes<V: Vector>(&self, batch: usize, replicas: usize, threads: usize) -> usize {
        let batch = batch.max(SLAB);
        let sizes: Vec<[usize; 2]> = (0..self.blocks.len()).map(|block| self.sizes(block)).collect();
        let largest = sizes.iter().flatten().copied().max().unwrap_or(0);
        let last = sizes.last().map_or(0, |[_, output]| *output);
        let kept = sizes.iter().flatten().sum::<usize>() + last;
        let ends = self.image.iter().product::<usize>() + 2 * self.linear.to + self.linear.from;
        let kernels = self.most(|conv| conv.factors::<V>(replicas)).map(|scalars| scalars.div_ceil(V::LANES));
        let (points, gradients) = self.room::<V>(replicas);
        let desk = SLAB * largest + 2 * points + gradients.iter().sum::<usize>();
        let vectors = batch * ends + kernels.iter().sum::<usize>() + threads * desk;
        vectors * size_of::<V>() + batch * (kept + 3 * largest) * size_of::<V::Kept>()
    }

    /// From `work.images` to `work.logits`. In training every norm goes by its batch, else by its running
    /// statistics.
    pub(super) fn forward<V: Vector>(
        &self,
        weights: &mut Weights<V>,
        work: &mut Work<V>,
        batch: Batch,
        training: bool,
    ) {
        let Weights { theta, replicas, running } = weights;
        let (theta, replicas): (&[V::Scalar], usize) = (theta, *replicas);
        let Work { norms, inputs, middles, kernels, projections, added, desks, .. } = work;
        let threads = desks.len().min(batch.packs);
        let desks = &mut desks[..threads];
        if training {
            norms.iter_mut().for_each(State::clear);
        }
        let mut settle = |norm: &Norm, state: &mut State<V>| match training {
            true => state.use_batch(norm, theta, &mut running[norm.index]),
            false => state.use_running(norm, theta, &running[norm.index]),
        };
        self.stem.prepare(theta, false, replicas, kernels);
        let own = ConvWeights { theta, replicas, kernels };
        let (image, before) = (self.image[0] * self.image[1], self.sizes(0)[0]);
        let slabs = &batch.slabs(self.stem.slab());
        let images = parts(&work.images, slabs, image);
        let x = parts_mut(&mut inputs[0], slabs, before);
        let mut seen = slabs.len();
        share(slabs.iter().zip(images).zip(x).zip(&mut *added), desks, |(((slab, image), x), part), desk| {
            self.stem.forward(own, image, x, slab.packs, Accumulate::Nothing, &mut desk.points);
            if training {
                norms[0].observe(x, *slab, part);
            }
        });
        for (index, block) in self.blocks.iter().enumerate() {
            let [before, after] = self.sizes(index);
            let (head, tail) = inputs.split_at_mut(index + 1);
            let (x, next) = (&head[index], &mut tail[0]);
            if training {
                added[..seen].iter().for_each(|part| norms[2 * index].add_observed(part));
            }
            settle(&block.bn1, &mut norms[2 * index]);
            block.conv1.prepare(theta, false, replicas, kernels);
            let own = ConvWeights { theta, replicas, kernels };
            let side = block.prepare_shortcut(theta, false, replicas, projections);
            let slabs = &batch.slabs(block.conv1.slab());
            let middle = parts_mut(&mut middles[index], slabs, after);
            let sides = parts(x, slabs, before).zip(parts_mut(next, slabs, after));
            let items = slabs.iter().zip(sides).zip(middle).zip(&mut *added);
            share(items, desks, |(((slab, (x, next)), middle), part), desk| {
                let activated = &mut desk.activated[..x.len()];
                norms[2 * index].activate(x, activated, slab.packs);
                block.conv1.forward(
                    own,
                    activated,
                    middle,
                    slab.packs,
                    Accumulate::Nothing,
                    &mut desk.points,
                );
                if let Some(shortcut) = &block.shortcut {
                    shortcut.forward(
                        side,
                        activated,
                        next,
                        slab.packs,
                        Accumulate::Nothing,
                        &mut desk.points,
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
            let own = ConvWeights { theta, replicas, kernels };
            let slabs = &batch.slabs(block.conv2.slab());
            seen = slabs.len();
            let sides = parts(&middles[index], slabs, after).zip(parts_mut(next, slabs, after));
            let items = slabs.iter().zip(parts(x, slabs, before)).zip(sides).zip(&mut *added);
            share(items, desks, |(((slab, x), (middle, next)), part), desk| {
                let activated = &mut desk.activated[..middle.len()];
                norms[2 * index + 1].activate(middle, activated, slab.packs);
                let onto =
                    if block.shortcut.is_some() { Accumulate::ConvWeights } else { Accumulate::Other(x) };
                block.conv2.forward(own, activated, next, slab.packs, onto, &mut desk.points);
                if let (true, Some(norm)) = (training, norms.get(2 * index + 2)) {
                    norm.observe(next, *slab, part);
                }
            });
        }
        self.linear.prepare(theta, false, replicas, kernels);
        let own = ConvWeights { theta, replicas, kernels };
        let (features, classes) = (self.linear.from, self.linear.to);
        let (last, size) = (&inputs[self.blocks.len()], self.sizes(self.blocks.len() - 1)[1]);
        for slab in batch.slabs(self.linear.slab()) {
            let pooled = &mut work.pooled[slab.of(features)];
            average(&last[slab.of(size)], pooled);
            let logits = &mut work.logits[slab.of(classes)];
            for (index, logit) in logits.iter_mut().enumerate() {
                *logit = V::repeated(&theta[(self.biases.start + index % classes) * replicas..], replicas);
            }
            self.linear.forward(
                own,
                pooled,
                logits,
                slab.packs,
                Accumulate::ConvWeights,
                &mut desks[0].points,
            );
        }
    }

    /// From `work.d_logits` to an update of every tensor, after a forward pass in training.
    pub(super) fn backward<V: Vector>(
        &self,
        weights: &mut Weights<V>,
        work: &mut Work<V>,
        batch: Batch,
        update: Updates<V>,
    ) {
        let Weights { theta, replicas, .. } = weights;
        let (theta, replicas): (&mut [V::Scalar], usize) = (theta, *replicas);
        let Work {
            inputs, middles, norms, output, middle, input, kernels, projections, added, desks, ..
        } = work;
        let threads = desks.len().min(batch.packs);
        let desks = &mut desks[..threads];
        let mut change = |theta: &mut [V::Scalar], place: Range<usize>, gradient: &[V::Scalar]| {
            update(&mut theta[place.start * replicas..place.end * replicas], place, gradient);
        };
        let (features, classes) = (self.linear.from, self.linear.to);
        let mut biases = vec![V::zero(); classes];
        let last = self.sizes(self.blocks.len() - 1)[1];
        let Scratch { gradient, points, .. } = &mut desks[0];
        let linear = &mut gradient[..self.linear.sums::<V>(replicas)];
        linear.fill(V::zero());
        self.linear.prepare(theta, true, replicas, kernels);
        let own = ConvWeights { theta: &*theta, replicas, kernels };
        for slab in batch.slabs(self.linear.slab()) {
            let (pooled, d_logits) = (&mut work.pooled[slab.of(features)], &work.d_logits[slab.of(classes)]);
            self.linear.gradient(replicas, pooled, d_logits, linear, slab.packs, points);
            for (index, slope) in d_logits.iter().enumerate() {
                let bias = &mut biases[index % classes];
                *bias = bias.add(*slope);
            }
            // What the average was made of is not wanted any more; its gradient takes the place.
            self.linear.backward(own, d_logits, pooled, slab.packs, Accumulate::Nothing, points);
            spread(pooled, &mut output[slab.of(last)]);
        }
        self.linear.emit_gradients(linear, replicas, |place, gradient| change(theta, place, gradient));
        biases.iter_mut().for_each(|bias| *bias = bias.fold(replicas));
        let biases: Vec<V::Scalar> =
            biases.iter().flat_map(|bias| lanes(&[*bias])[..replicas].to_vec()).collect();
        change(theta, self.biases.clone(), &biases);

        for (index, block) in self.blocks.iter().enumerate().rev() {
            let [before, after] = self.sizes(index);
            let (first, second) = norms.split_at_mut(2 * index + 1);
            let (bn1, bn2) = (&mut first[2 * index], &mut second[0]);

            block.conv2.prepare(theta, true, replicas, kernels);
            let own = ConvWeights { theta: &*theta, replicas, kernels };
            let slabs = &batch.slabs(block.conv2.slab());
            let length = clear(desks, block.conv2.sums::<V>(replicas), |desk| &mut desk.gradient);
            let sides = parts(&middles[index], slabs, after).zip(parts(output, slabs, after));
            let items = slabs.iter().zip(sides).zip(parts_mut(middle, slabs, after)).zip(&mut *added);
            share(items, desks, |(((slab, (x, dy)), middle), part), desk| {
                let Scratch { activated, points, gradient, .. } = desk;
                let activated = &mut activated[..x.len()];
                bn2.activate(x, activated, slab.packs);
                block.conv2.gradient(replicas, activated, dy, &mut gradient[..length], slab.packs, points);
                block.conv2.backward(own, dy, middle, slab.packs, Accumulate::Nothing, points);
                bn2.gather(x, activated, middle, slab.packs, part);
            });
            added[..slabs.len()].iter().for_each(|part| bn2.add_gathered(part));
            let own = total(desks, length, |desk| &mut desk.gradient);
            block.conv2.emit_gradients(own, replicas, |place, gradient| change(theta, place, gradient));
            let [weights, biases] = bn2.gradients();
            change(theta, block.bn2.weights.clone(), &weights);
            change(theta, block.bn2.biases.clone(), &biases);

            block.conv1.prepare(theta, true, replicas, kernels);
            let own = ConvWeights { theta: &*theta, replicas, kernels };
            let side = block.prepare_shortcut(theta, true, replicas, projections);
            let slabs = &batch.slabs(block.conv1.slab());
            let length = clear(desks, block.conv1.sums::<V>(replicas), |desk| &mut desk.gradient);
            let shortcut = block.shortcut.as_ref().map_or(0, |shortcut| shortcut.sums::<V>(replicas));
            clear(desks, shortcut, |desk| &mut desk.projection);
            let sides = parts(&inputs[index], slabs, before).zip(parts(output, slabs, after));
            let inner = parts(&middles[index], slabs, after).zip(parts_mut(middle, slabs, after));
            let items =
                slabs.iter().zip(sides).zip(inner).zip(parts_mut(input, slabs, before)).zip(&mut *added);
            share(items, desks, |((((slab, (x, dy)), (between, middle)), input), part), desk| {
                let Scratch { activated, points, gradient, projection } = desk;
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
                block.conv1.backward(own, middle, input, slab.packs, Accumulate::Nothing, points);
                if let Some(conv) = &block.shortcut {
                    let projection = &mut projection[..shortcut];
                    conv.gradient(replicas, activated, dy, projection, slab.packs, points);
                    conv.backward(side, dy, input, slab.packs, Accumulate::ConvWeights, points);
                }
                bn1.gather(x, activated, input, slab.packs, part);
            });
            added[..slabs.len()].iter().for_each(|part| bn1.add_gathered(part));
            let own = total(desks, length, |desk| &mut desk.gradient);
            block.conv1.emit_gradients(own, replicas, |place, gradient| change(theta, place, gradient));
            if let Some(conv) = &block.shortcut {
                let own = total(desks, shortcut, |desk| &mut desk.projection);
                conv.emit_gradients(own, replicas, |place, gradient| change(theta, place, gradient));
            }
            let [weights, biases] = bn1.gradients();
            change(theta, block.bn1.weights.clone(), &weights);
            change(theta, block.bn1.biases.clone(), &biases);

            let sides = parts(&inputs[index], slabs, before).zip(parts(output, slabs, after));
            share(
                slabs.iter().zip(sides).zip(parts_mut(input, slabs, before)),
                desks,
                |((slab, (x, dy)), input), _| {
                    let around = block.shortcut.is_none().then_some(dy);
                    bn1.backward(x, input, *slab, around);
                },
            );
            std::mem::swap(output, input);
        }

        let length = clear(desks, self.stem.sums::<V>(replicas), |desk| &mut desk.gradient);
        let (image, before) = (self.image[0] * self.image[1], self.sizes(0)[0]);
        let slabs = &batch.slabs(self.stem.slab());
        let sides = parts(&work.images, slabs, image).zip(parts(output, slabs, before));
        share(slabs.iter().zip(sides), desks, |(slab, (x, dy)), desk| {
            let Scratch { points, gradient, .. } = desk;
            self.stem.gradient(replicas, x, dy, &mut gradient[..length], slab.packs, points);
        });
        let own = total(desks, length, |desk| &mut desk.gradient);
        self.stem.emit_gradients(own, replicas, |place, gradient| change(theta, place, gradient));
    }
}

/// Sets the beginning of a buffer of each desk to zeros, and gives its length again.
fn clear<V: Vector>(
    desks: &mut [Scratch<V>],
    length: usize,
    buffer: impl Fn(&mut Scratch<V>) -> &mut Vec<V>,
) -> usize {
    desks.iter_mut().for_each(|desk| buffer(desk)[..length].fill(V::zero()));
    length
}

/// The sum over desks of the beginning of a buffer, at the first one.
fn total<V: Vector>(
    desks: &mut [Scratch<V>],
    length: usize,
    buffer: impl Fn(&mut Scratch<V>) -> &mut Vec<V>,
) -> &[V] {
    let (first, others) = desks.split_at_mut(1);
    let sum = &mut buffer(&mut first[0])[..length];
    for desk in others {
        add(&buffer(desk)[..length], sum);
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
