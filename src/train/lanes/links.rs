//! Which pixels the taps of a kernel link.
//!
//! An output pixel and an input pixel are linked by a tap where the kernel, laid on the output
//! pixel, covers the input pixel with that tap. Padding is links that are missing, so nothing is
//! multiplied by zero.

use super::slab::SLAB;
use crate::model::Size;

/// Terms of a weight's gradient that are added in registers before they reach memory: few enough
/// that what they are made of stays in the first-level cache.
const RUN: usize = 64;

/// A tap with the pixel on its other side.
#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) tap: u32,
    pub(super) pixel: u32,
}

/// The links of each pixel of one side.
pub(super) struct Links {
    pub(super) of: Vec<Vec<Link>>,
    /// Pixels of the other side: every link's pixel is below.
    pub(super) others: usize,
}

/// Pairs of output and input pixel that share a tap, within a run of output pixels.
pub(super) struct Pairs {
    /// The tap's place among the live ones.
    pub(super) live: usize,
    pub(super) pairs: Vec<(u32, u32)>,
}

/// The links of kernels of one size, at one stride, on images of one size, whatever the channels.
pub(super) struct TapGeometry {
    /// Pixels of the output.
    pub(super) pixels: usize,
    pub(super) taps: usize,
    /// Taps with any link; on an image of one pixel only the middle one.
    pub(super) live: Vec<usize>,
    pub(super) inputs: Links,
    pub(super) outputs: Links,
    /// For slabs of one factor of packs, two, … [`SLAB`].
    pub(super) pairs: [Vec<Pairs>; SLAB],
}

impl TapGeometry {
    /// Kernels of `kernel` x `kernel` taps and a padding of half of that.
    pub(super) fn new(kernel: usize, stride: usize, size: Size) -> Self {
        let padding = kernel / 2;
        let Size { height, width } = size;
        let output = size.strided(stride);
        let (pixels, before) = (output.pixels(), size.pixels());
        let mut inputs = vec![Vec::new(); pixels];
        let mut outputs = vec![Vec::new(); before];
        let mut linked = Vec::new();
        for row in 0..output.height {
            for column in 0..output.width {
                for tap in 0..kernel * kernel {
                    let y = (row * stride + tap / kernel).wrapping_sub(padding);
                    let x = (column * stride + tap % kernel).wrapping_sub(padding);
                    if y < height && x < width {
                        let (output, input) = (row * output.width + column, y * width + x);
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

    /// Pairs of pixels that are linked.
    pub(super) fn links(&self) -> usize {
        self.inputs.of.iter().map(Vec::len).sum()
    }
}

/// Cuts output pixels into runs of `length`, and lists the pairs of each live tap within each.
/// `linked` holds taps with their output and input pixels.
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
