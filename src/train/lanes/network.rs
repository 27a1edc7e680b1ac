//! The pre-activation ResNet of `model/resnet.rs` with replicas in the vector lanes.
//!
//! A batch is cut into slabs of a few images. Between two batch norms everything is done slab by slab: one pass
//! normalises, convolves and gathers the next norm's statistics while the numbers are near the core. Only the
//! inputs of the norms are kept for the backward pass. A tensor is updated as soon as its gradient is known, so
//! there is one gradient buffer, of the largest tensor's size.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::conv::{Conv, Geometry, SLAB};
use super::norm::{Norm, Running, State};
use super::vector::Vector;

/// A residual block.
struct Block {
    bn1: Norm,
    conv1: Conv,
    bn2: Norm,
    conv2: Conv,
    shortcut: Option<Conv>,
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
pub(super) struct Weights<V> {
    /// In the layout's order, one vector per parameter.
    pub(super) theta: Vec<V>,
    /// Of each norm.
    pub(super) running: Vec<Running<V>>,
}

/// Images that are computed together.
#[derive(Clone, Copy)]
pub(super) struct Slab {
    pub(super) start: usize,
    pub(super) images: usize,
}

impl Slab {
    /// Cuts a batch evenly.
    pub(super) fn cut(batch: usize) -> Vec<Self> {
        let slabs = batch.div_ceil(SLAB).max(1);
        let start = |slab: usize| batch * slab / slabs;
        (0..slabs).map(|slab| Self { start: start(slab), images: start(slab + 1) - start(slab) }).collect()
    }

    /// Its part of a buffer with this many numbers per image.
    pub(super) fn of(self, numbers: usize) -> Range<usize> {
        self.start * numbers..(self.start + self.images) * numbers
    }
}

/// Everything that a forward and a backward pass leave behind.
pub(super) struct Work<V> {
    /// Normalised images; each slab as channel, pixel, image.
    pub(super) images: Vec<V>,
    /// Each slab as class, image.
    pub(super) logits: Vec<V>,
    /// The loss's gradient with respect to the logits.
    pub(super) slopes: Vec<V>,
    /// The input of each block, and the last one's output.
    inputs: Vec<Vec<V>>,
    /// What each block's first convolution gave.
    middles: Vec<Vec<V>>,
    norms: Vec<State<V>>,
    /// Averages over the last block's pixels.
    pooled: Vec<V>,
    /// One slab's activations.
    activated: Vec<V>,
    /// Gradients of the whole batch: of a block's output, of its middle, of its input.
    output: Vec<V>,
    middle: Vec<V>,
    input: Vec<V>,
    gradient: Vec<V>,
}

#[cfg(test)]
impl<V> Work<V> {
    /// Vectors of all buffers whose length grows with the batch or with the network.
    pub(super) fn vectors(&self) -> usize {
        let Self { images, logits, slopes, pooled, activated, output, middle, input, gradient, .. } = self;
        let kept: usize = self.inputs.iter().chain(&self.middles).map(Vec::len).sum();
        let others = [images, logits, slopes, pooled, activated, output, middle, input, gradient];
        kept + others.iter().map(|buffer| buffer.len()).sum::<usize>()
    }
}

/// Takes all parameters, a tensor's place among them and its gradient, and changes the tensor.
type Change<'a, V> = &'a mut dyn FnMut(&mut [V], &Range<usize>, &[V]);

/// Takes a tensor's parameters with their place and gradient, and changes them.
pub(super) type Updates<'a, V> = &'a mut dyn FnMut(&mut [V], Range<usize>, &[V]);

impl Network {
    /// The network of a layout, for images of these channels, height and width in batches of `batch`; none where
    /// the layout is not a ResNet's.
    pub(super) fn new(
        places: &dyn Places,
        [channels, height, width]: [usize; 3],
        batch: usize,
    ) -> Option<Self> {
        let slabs: Vec<usize> = Slab::cut(batch).into_iter().map(|slab| slab.images).collect();
        let mut sides = [height, width];
        // Most convolutions of a stage see the same.
        let mut known: HashMap<(usize, usize, [usize; 2]), Arc<Geometry>> = HashMap::new();
        let mut geometry = |kernel: usize, stride: usize, sides: [usize; 2]| {
            let new = || Arc::new(Geometry::new(kernel, stride, sides, &slabs));
            Arc::clone(known.entry((kernel, stride, sides)).or_insert_with(new))
        };
        let mut conv = |name: &str, stride: usize, sides: [usize; 2]| {
            let (range, shape) = places.place(&format!("{name}.weight"))?;
            let [to, from, kernel, _] = shape[..] else { return None };
            Some(Conv::new(from, to, range.start, geometry(kernel, stride, sides)))
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
        let linear = Conv::new(features, classes, range.start, geometry(1, 1, [1, 1]));
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

    fn largest_tensor(&self) -> usize {
        let blocks = self.blocks.iter().map(|block| block.conv1.weights.len().max(block.conv2.weights.len()));
        blocks.chain([self.stem.weights.len(), self.linear.weights.len()]).max().unwrap_or(0)
    }

    /// Memory for batches of this size, and for a slab.
    pub(super) fn work<V: Vector>(&self, batch: usize) -> Work<V> {
        let batch = batch.max(SLAB);
        let zeros = |numbers: usize| vec![V::zero(); numbers];
        let sizes: Vec<[usize; 2]> = (0..self.blocks.len()).map(|block| self.sizes(block)).collect();
        let largest = sizes.iter().flatten().copied().max().unwrap_or(0);
        let last = sizes.last().map_or(0, |[_, output]| *output);
        let inputs = sizes.iter().map(|[input, _]| *input).chain([last]);
        Work {
            images: zeros(batch * self.image.iter().product::<usize>()),
            logits: zeros(batch * self.linear.to),
            slopes: zeros(batch * self.linear.to),
            inputs: inputs.map(|numbers| zeros(batch * numbers)).collect(),
            middles: sizes.iter().map(|[_, output]| zeros(batch * output)).collect(),
            norms: self.norms().into_iter().map(State::new).collect(),
            pooled: zeros(batch * self.linear.from),
            activated: zeros(SLAB * largest),
            output: zeros(batch * largest),
            middle: zeros(batch * largest),
            input: zeros(batch * largest),
            gradient: zeros(self.largest_tensor()),
        }
    }

    /// From `work.images` to `work.logits`. In training every norm goes by its batch, else by its running
    /// statistics.
    pub(super) fn forward<V: Vector>(
        &self,
        weights: &mut Weights<V>,
        work: &mut Work<V>,
        slabs: &[Slab],
        training: bool,
    ) {
        let Weights { theta, running } = weights;
        let Work { norms, activated, inputs, middles, .. } = work;
        if training {
            norms.iter_mut().for_each(State::clear);
        }
        let mut settle = |norm: &Norm, state: &mut State<V>| match training {
            true => state.use_batch(norm, theta, &mut running[norm.index]),
            false => state.use_running(norm, theta, &running[norm.index]),
        };
        let numbers = self.image[0] * self.image[1];
        for slab in slabs {
            let x = &mut inputs[0][slab.of(self.sizes(0)[0])];
            self.stem.forward(theta, &work.images[slab.of(numbers)], x, slab.images, false);
            if training {
                norms[0].observe(x);
            }
        }
        for (index, block) in self.blocks.iter().enumerate() {
            let [before, after] = self.sizes(index);
            let (head, tail) = inputs.split_at_mut(index + 1);
            let (x, next) = (&head[index], &mut tail[0]);
            settle(&block.bn1, &mut norms[2 * index]);
            for slab in slabs {
                let (x, middle) = (&x[slab.of(before)], &mut middles[index][slab.of(after)]);
                let (next, activated) = (&mut next[slab.of(after)], &mut activated[..x.len()]);
                norms[2 * index].activate(x, activated);
                block.conv1.forward(theta, activated, middle, slab.images, false);
                match &block.shortcut {
                    Some(shortcut) => shortcut.forward(theta, activated, next, slab.images, false),
                    None => next.copy_from_slice(x),
                }
                if training {
                    norms[2 * index + 1].observe(middle);
                }
            }
            settle(&block.bn2, &mut norms[2 * index + 1]);
            for slab in slabs {
                let (middle, next) = (&middles[index][slab.of(after)], &mut next[slab.of(after)]);
                let activated = &mut activated[..middle.len()];
                norms[2 * index + 1].activate(middle, activated);
                block.conv2.forward(theta, activated, next, slab.images, true);
                if training && index + 1 < self.blocks.len() {
                    norms[2 * index + 2].observe(next);
                }
            }
        }
        let (features, classes) = (self.linear.from, self.linear.to);
        let last = &inputs[self.blocks.len()];
        for slab in slabs {
            let pooled = &mut work.pooled[slab.of(features)];
            average(&last[slab.of(self.sizes(self.blocks.len() - 1)[1])], pooled, slab.images);
            let logits = &mut work.logits[slab.of(classes)];
            for (class, logits) in logits.chunks_exact_mut(slab.images).enumerate() {
                logits.fill(theta[self.biases.start + class]);
            }
            self.linear.forward(theta, pooled, logits, slab.images, true);
        }
    }

    /// From `work.slopes` to an update of every tensor, after a forward pass in training.
    pub(super) fn backward<V: Vector>(
        &self,
        theta: &mut [V],
        work: &mut Work<V>,
        slabs: &[Slab],
        update: Updates<V>,
    ) {
        let Work { inputs, middles, norms, activated, output, middle, input, gradient, .. } = work;
        let mut change = |theta: &mut [V], place: &Range<usize>, gradient: &[V]| {
            update(&mut theta[place.clone()], place.clone(), gradient);
        };
        let (features, classes) = (self.linear.from, self.linear.to);
        let linear = &mut gradient[..self.linear.weights.len()];
        linear.fill(V::zero());
        let mut biases = vec![V::zero(); classes];
        let last = self.sizes(self.blocks.len() - 1)[1];
        for slab in slabs {
            let (pooled, slopes) = (&mut work.pooled[slab.of(features)], &work.slopes[slab.of(classes)]);
            self.linear.gradient(pooled, slopes, linear, slab.images);
            for (bias, slopes) in biases.iter_mut().zip(slopes.chunks_exact(slab.images)) {
                *bias = slopes.iter().fold(*bias, |sum, slope| sum.add(*slope));
            }
            // What the average was made of is not wanted any more; its gradient takes the place.
            self.linear.backward(theta, slopes, pooled, slab.images, false);
            spread(pooled, &mut output[slab.of(last)], slab.images);
        }
        change(theta, &self.linear.weights, linear);
        change(theta, &self.biases, &biases);

        for (index, block) in self.blocks.iter().enumerate().rev() {
            let [before, after] = self.sizes(index);
            let (first, second) = norms.split_at_mut(2 * index + 1);
            let (bn1, bn2) = (&mut first[2 * index], &mut second[0]);

            let own = &mut gradient[..block.conv2.weights.len()];
            own.fill(V::zero());
            for slab in slabs {
                let (x, dy) = (&middles[index][slab.of(after)], &output[slab.of(after)]);
                let (middle, activated) = (&mut middle[slab.of(after)], &mut activated[..x.len()]);
                bn2.activate(x, activated);
                block.conv2.gradient(activated, dy, own, slab.images);
                block.conv2.backward(theta, dy, middle, slab.images, false);
                bn2.gather(x, activated, middle);
            }
            change(theta, &block.conv2.weights, own);
            self.update_norm(&block.bn2, bn2, theta, gradient, &mut change);

            let own = &mut gradient[..block.conv1.weights.len()];
            own.fill(V::zero());
            let mut projection =
                vec![V::zero(); block.shortcut.as_ref().map_or(0, |conv| conv.weights.len())];
            for slab in slabs {
                let (x, dy) = (&inputs[index][slab.of(before)], &output[slab.of(after)]);
                let (middle, input) = (&mut middle[slab.of(after)], &mut input[slab.of(before)]);
                let activated = &mut activated[..x.len()];
                bn2.backward(&middles[index][slab.of(after)], middle);
                bn1.activate(x, activated);
                block.conv1.gradient(activated, middle, own, slab.images);
                block.conv1.backward(theta, middle, input, slab.images, false);
                if let Some(shortcut) = &block.shortcut {
                    shortcut.gradient(activated, dy, &mut projection, slab.images);
                    shortcut.backward(theta, dy, input, slab.images, true);
                }
                bn1.gather(x, activated, input);
            }
            change(theta, &block.conv1.weights, own);
            if let Some(shortcut) = &block.shortcut {
                change(theta, &shortcut.weights, &projection);
            }
            self.update_norm(&block.bn1, bn1, theta, gradient, &mut change);

            for slab in slabs {
                let input = &mut input[slab.of(before)];
                bn1.backward(&inputs[index][slab.of(before)], input);
                if block.shortcut.is_none() {
                    add(&output[slab.of(before)], input);
                }
            }
            std::mem::swap(output, input);
        }

        let own = &mut gradient[..self.stem.weights.len()];
        own.fill(V::zero());
        let numbers = self.image[0] * self.image[1];
        for slab in slabs {
            let dy = &output[slab.of(self.sizes(0)[0])];
            self.stem.gradient(&work.images[slab.of(numbers)], dy, own, slab.images);
        }
        change(theta, &self.stem.weights, own);
    }

    fn update_norm<V: Vector>(
        &self,
        norm: &Norm,
        state: &State<V>,
        theta: &mut [V],
        gradient: &mut [V],
        change: Change<V>,
    ) {
        let (weights, biases) = gradient[..2 * norm.channels].split_at_mut(norm.channels);
        state.gradients(weights, biases);
        change(theta, &norm.weights, weights);
        change(theta, &norm.biases, biases);
    }
}

/// Vectors that training a ResNet of this width needs besides parameters: those of [`Network::work`], but for what
/// the last layer and the norms need.
pub(super) fn vectors([channels, height, width]: [usize; 3], filters: usize, batch: usize) -> usize {
    let size = |stage: usize| (filters << stage) * height.div_ceil(1 << stage) * width.div_ceil(1 << stage);
    // Two blocks of each stage: their inputs and middles; the first one's input is the stage before's output.
    let kept: usize = (0..4).map(|stage| size(usize::saturating_sub(stage, 1)) + 3 * size(stage)).sum();
    let largest = (0..4).map(size).max().unwrap_or(0);
    let batch = batch.max(SLAB);
    batch * (kept + size(3) + 3 * largest + channels * height * width)
        + SLAB * largest
        + 9 * (filters * 8).pow(2)
}

/// Averages over the pixels.
fn average<V: Vector>(x: &[V], pooled: &mut [V], images: usize) {
    let pixels = x.len() / pooled.len();
    V::run(
        #[inline(always)]
        || {
            for (x, pooled) in x.chunks_exact(pixels * images).zip(pooled.chunks_exact_mut(images)) {
                for (image, pooled) in pooled.iter_mut().enumerate() {
                    let mut sum = V::zero();
                    for pixel in 0..pixels {
                        sum = sum.add(x[pixel * images + image]);
                    }
                    *pooled = sum.mul(V::of(1.0 / pixels as f64));
                }
            }
        },
    );
}

/// The gradient of [`average`].
fn spread<V: Vector>(pooled: &[V], dx: &mut [V], images: usize) {
    let pixels = dx.len() / pooled.len();
    V::run(
        #[inline(always)]
        || {
            for (dx, pooled) in dx.chunks_exact_mut(pixels * images).zip(pooled.chunks_exact(images)) {
                for (index, value) in dx.iter_mut().enumerate() {
                    *value = pooled[index % images].mul(V::of(1.0 / pixels as f64));
                }
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
