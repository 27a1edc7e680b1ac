//! Convolutions whose vector lanes are replicas.
//!
//! Numbers of a few images (a *slab*, at most [`SLAB`]) lie as channel, pixel, image, and in each vector one
//! lane per replica; weights as output, input, tap, which is PyTorch's order. A pixel and a pixel are linked by
//! a tap where the kernel, laid on the output pixel, sees the input pixel; padding is the links that are
//! missing, so nothing is multiplied by zero. One loop contracts weights with inputs over the links of an output
//! pixel; the gradient with respect to the inputs is the same loop over the links seen from the other side.

use std::ops::Range;
use std::sync::Arc;

use super::vector::Vector;

/// Images that are computed together: with four output channels as many as the registers hold.
pub(super) const SLAB: usize = 6;

/// Terms of a weight's gradient that are added in registers before they reach memory: few enough that
/// what they are made of stays in the first-level cache.
const RUN: usize = 64;

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
    tap: usize,
    pairs: Vec<(u32, u32)>,
}

/// What a kernel sees of images of one size, whatever the channels.
pub(super) struct Geometry {
    /// Pixels of the output.
    pixels: usize,
    taps: usize,
    inputs: Links,
    outputs: Links,
    /// For slabs of one image, two, … [`SLAB`]; empty for those that do not come up.
    pairs: [Vec<Pairs>; SLAB],
}

impl Geometry {
    /// Kernels of `kernel` x `kernel` taps and a padding of half of that, on images of this height and width.
    /// Gradients come up for slabs of `slabs` images.
    pub(super) fn new(kernel: usize, stride: usize, [height, width]: [usize; 2], slabs: &[usize]) -> Self {
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
        let pairs = std::array::from_fn(|slab| match slabs.contains(&(slab + 1)) {
            true => runs(&linked, taps, pixels, RUN.div_ceil(slab + 1)),
            false => Vec::new(),
        });
        Self {
            pixels,
            taps,
            inputs: Links { of: inputs, others: before },
            outputs: Links { of: outputs, others: pixels },
            pairs,
        }
    }
}

/// A convolution without bias on images of one size; a linear layer is one on images of one pixel.
pub(super) struct Conv {
    /// Channels of the input.
    pub(super) from: usize,
    /// Channels of the output.
    pub(super) to: usize,
    /// Where its weights are among all parameters.
    pub(super) weights: Range<usize>,
    geometry: Arc<Geometry>,
}

impl Conv {
    /// Its weights begin at `start`.
    pub(super) fn new(from: usize, to: usize, start: usize, geometry: Arc<Geometry>) -> Self {
        Self { from, to, weights: start..start + to * from * geometry.taps, geometry }
    }

    /// Pixels of the output.
    pub(super) fn pixels(&self) -> usize {
        self.geometry.pixels
    }

    /// Output channels of `images` images, or their sum with what `y` holds.
    pub(super) fn forward<V: Vector>(&self, theta: &[V], x: &[V], y: &mut [V], images: usize, add: bool) {
        let side = Side {
            weights: &theta[self.weights.clone()],
            channels: [self.from, self.to],
            strides: [self.geometry.taps, self.from * self.geometry.taps],
            links: &self.geometry.inputs,
        };
        side.contract(x, y, images, add);
    }

    /// The gradient with respect to the input, or its sum with what `dx` holds.
    pub(super) fn backward<V: Vector>(&self, theta: &[V], dy: &[V], dx: &mut [V], images: usize, add: bool) {
        let side = Side {
            weights: &theta[self.weights.clone()],
            channels: [self.to, self.from],
            strides: [self.from * self.geometry.taps, self.geometry.taps],
            links: &self.geometry.outputs,
        };
        side.contract(dy, dx, images, add);
    }

    /// Adds the gradient with respect to the weights to `gradient`.
    pub(super) fn gradient<V: Vector>(&self, x: &[V], dy: &[V], gradient: &mut [V], images: usize) {
        assert_eq!(x.len(), self.from * self.geometry.inputs.others * images);
        assert_eq!(dy.len(), self.to * self.geometry.pixels * images);
        assert_eq!(gradient.len(), self.weights.len());
        V::run(
            #[inline(always)]
            || match images {
                1 => self.gradient_of::<V, 1>(x, dy, gradient),
                2 => self.gradient_of::<V, 2>(x, dy, gradient),
                3 => self.gradient_of::<V, 3>(x, dy, gradient),
                4 => self.gradient_of::<V, 4>(x, dy, gradient),
                5 => self.gradient_of::<V, 5>(x, dy, gradient),
                _ => self.gradient_of::<V, 6>(x, dy, gradient),
            },
        );
    }

    #[inline(always)]
    fn gradient_of<V: Vector, const N: usize>(&self, x: &[V], dy: &[V], gradient: &mut [V]) {
        for run in &self.geometry.pairs[N - 1] {
            let mut output = 0;
            while output < self.to {
                let wide = tile(self.to - output, V::TILE);
                let mut input = 0;
                while input < self.from {
                    let deep = tile(self.from - input, 4);
                    match (wide, deep) {
                        (4, 4) => self.gradient_tile::<V, N, 4, 4>(x, dy, gradient, run, output, input),
                        (4, _) => self.gradient_tile::<V, N, 4, 1>(x, dy, gradient, run, output, input),
                        (2, 4) => self.gradient_tile::<V, N, 2, 4>(x, dy, gradient, run, output, input),
                        (2, _) => self.gradient_tile::<V, N, 2, 1>(x, dy, gradient, run, output, input),
                        (_, 4) => self.gradient_tile::<V, N, 1, 4>(x, dy, gradient, run, output, input),
                        (_, _) => self.gradient_tile::<V, N, 1, 1>(x, dy, gradient, run, output, input),
                    }
                    input += deep;
                }
                output += wide;
            }
        }
    }

    #[inline(always)]
    fn gradient_tile<V: Vector, const N: usize, const O: usize, const I: usize>(
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
            for image in 0..N {
                // SAFETY: output + O and input + I are channels, the pairs hold pixels of their sides, and the
                // slices' lengths were checked.
                let inputs: [V; I] = std::array::from_fn(
                    #[inline(always)]
                    |i| unsafe { *x.get_unchecked(from + i * before + image) },
                );
                for (o, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: as above.
                    let change = unsafe { *dy.get_unchecked(to + o * after + image) };
                    for (sum, input) in sums.iter_mut().zip(inputs) {
                        *sum = input.mul_add(change, *sum);
                    }
                }
            }
        }
        for (o, sums) in sums.iter().enumerate() {
            for (i, sum) in sums.iter().enumerate() {
                let weight =
                    &mut gradient[((output + o) * self.from + input + i) * self.geometry.taps + run.tap];
                *weight = weight.add(*sum);
            }
        }
    }
}

/// Cuts output pixels into runs of `length`, and lists the pairs of each tap within each. `linked` holds taps with
/// their output and input pixels.
fn runs(linked: &[(usize, u32, u32)], taps: usize, pixels: usize, length: usize) -> Vec<Pairs> {
    let mut all: Vec<Pairs> = (0..pixels.div_ceil(length) * taps)
        .map(|index| Pairs { tap: index % taps, pairs: Vec::new() })
        .collect();
    for &(tap, output, input) in linked {
        all[output as usize / length * taps + tap].pairs.push((output, input));
    }
    all.retain(|run| !run.pairs.is_empty());
    all
}

/// Channels of the next tile, of those that are left: `size`, or one.
#[inline(always)]
fn tile(left: usize, size: usize) -> usize {
    if left >= size { size } else { 1 }
}

/// A convolution seen from one of its sides.
struct Side<'a, V> {
    weights: &'a [V],
    /// Channels contracted over, and channels computed.
    channels: [usize; 2],
    /// From one such channel's weights to the next one's.
    strides: [usize; 2],
    /// The links of the pixels that are computed.
    links: &'a Links,
}

impl<V: Vector> Side<'_, V> {
    fn contract(&self, x: &[V], y: &mut [V], images: usize, add: bool) {
        assert_eq!(x.len(), self.channels[0] * self.links.others * images);
        assert_eq!(y.len(), self.channels[1] * self.links.of.len() * images);
        V::run(
            #[inline(always)]
            || match images {
                1 => self.contract_of::<1>(x, y, add),
                2 => self.contract_of::<2>(x, y, add),
                3 => self.contract_of::<3>(x, y, add),
                4 => self.contract_of::<4>(x, y, add),
                5 => self.contract_of::<5>(x, y, add),
                _ => self.contract_of::<6>(x, y, add),
            },
        );
    }

    #[inline(always)]
    fn contract_of<const N: usize>(&self, x: &[V], y: &mut [V], add: bool) {
        // A tile's weights stay in the first-level cache while the pixels pass.
        let mut channel = 0;
        while channel < self.channels[1] {
            let wide = tile(self.channels[1] - channel, V::TILE);
            for pixel in 0..self.links.of.len() {
                match wide {
                    4 => self.tile::<N, 4>(x, y, channel, pixel, add),
                    2 => self.tile::<N, 2>(x, y, channel, pixel, add),
                    _ => self.tile::<N, 1>(x, y, channel, pixel, add),
                }
            }
            channel += wide;
        }
    }

    #[inline(always)]
    fn tile<const N: usize, const O: usize>(
        &self,
        x: &[V],
        y: &mut [V],
        channel: usize,
        pixel: usize,
        add: bool,
    ) {
        let [inner, outer] = self.strides;
        let pixels = self.links.of.len();
        let mut sums = [[V::zero(); O]; N];
        for c in 0..self.channels[0] {
            let (weight, inputs) = (channel * outer + c * inner, c * self.links.others);
            for link in &self.links.of[pixel] {
                let input = (inputs + link.pixel as usize) * N;
                // SAFETY: channel + O and c are channels and a link's tap and pixel are its sides', so these
                // are weights, and below N inputs, of slices whose lengths were checked.
                let weights: [V; O] = std::array::from_fn(
                    #[inline(always)]
                    |o| unsafe { *self.weights.get_unchecked(weight + o * outer + link.tap as usize) },
                );
                for (image, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: as above.
                    let input = unsafe { *x.get_unchecked(input + image) };
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = input.mul_add(weight, *sum);
                    }
                }
            }
        }
        for o in 0..O {
            let own = &mut y[((channel + o) * pixels + pixel) * N..][..N];
            for (value, sums) in own.iter_mut().zip(&sums) {
                *value = if add { value.add(sums[o]) } else { sums[o] };
            }
        }
    }
}
