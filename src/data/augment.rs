//! Random crops and flips, as one gather from padded bytes on the device.

use tch::{Device, Kind, Tensor};

use super::Images;
use crate::rng::Rng;

/// Padding on each side, in pixels (black), before a crop of the original size.
const PADDING: usize = 4;

/// What `augment: true` means for a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Augmentation {
    /// Nothing.
    None,
    /// A crop with padding 4 and a horizontal flip with probability ½.
    CropFlip,
}

/// The images of a data set on a device, as bytes, and how to get normalised batches of them.
pub(crate) struct ImageStore {
    /// N x channels x padded height x padded width bytes, flat.
    bytes: Tensor,
    /// Two rows, plain and flipped: the offset of each byte of an image from its crop's corner.
    offsets: Tensor,
    /// Bytes from one image to the next.
    stride: i64,
    /// Bytes from one row of pixels to the next.
    width: i64,
    augment: bool,
    shape: [i64; 3],
    scale: Tensor,
    shift: Tensor,
}

/// Where one image is cropped and whether it is flipped.
#[derive(Clone, Copy)]
pub(crate) struct View {
    corner: i64,
    flip: i64,
}

impl ImageStore {
    /// Copies the images to a device. Values become (byte / full scale − mean) / std, as `kind`.
    pub(crate) fn new(images: &Images, augmentation: Augmentation, device: Device, kind: Kind) -> Self {
        let [channels, height, width] = images.shape.map(|size| size as i64);
        let augment = augmentation == Augmentation::CropFlip;
        let padding = if augment { PADDING as i64 } else { 0 };
        let (padded_height, padded_width) = (height + 2 * padding, width + 2 * padding);
        let bytes = Tensor::from_slice(&images.bytes)
            .view([-1, channels, height, width])
            .constant_pad_nd([padding, padding, padding, padding])
            .contiguous()
            .view([-1])
            .to_device(device);
        let mut offsets = Vec::new();
        for flip in [false, true] {
            for channel in 0..channels {
                for row in 0..height {
                    for column in 0..width {
                        let column = if flip { width - 1 - column } else { column };
                        offsets.push((channel * padded_height + row) * padded_width + column);
                    }
                }
            }
        }
        let per_channel = |values: Vec<f64>| {
            Tensor::from_slice(&values).to_kind(kind).to_device(device).view([1, channels, 1, 1])
        };
        // A channel that does not vary becomes 0: over its deviation it would be no number.
        let spread: Vec<f64> = images.std.iter().map(|&std| if std == 0.0 { 1.0 } else { std }).collect();
        Self {
            bytes,
            offsets: Tensor::from_slice(&offsets).view([2, -1]).to_device(device),
            stride: channels * padded_height * padded_width,
            width: padded_width,
            augment,
            shape: [channels, height, width],
            scale: per_channel(spread.iter().map(|std| 1.0 / (std * images.full_scale)).collect()),
            shift: per_channel(images.mean.iter().zip(&spread).map(|(mean, std)| -mean / std).collect()),
        }
    }

    /// Another handle to the same memory, for another thread. Nothing ever writes to it.
    pub(crate) fn share(&self) -> Self {
        Self {
            bytes: self.bytes.shallow_clone(),
            offsets: self.offsets.shallow_clone(),
            scale: self.scale.shallow_clone(),
            shift: self.shift.shallow_clone(),
            ..*self
        }
    }

    /// A random view of an image, or the plain one without augmentation.
    pub(crate) fn draw(&self, rng: &mut Rng) -> View {
        if !self.augment {
            return View { corner: 0, flip: 0 };
        }
        let span = 2 * PADDING as u32 + 1;
        let (row, column) = (i64::from(rng.below(span)), i64::from(rng.below(span)));
        View { corner: row * self.width + column, flip: i64::from(rng.below(2)) }
    }

    /// Whether views are random.
    pub(crate) fn augments(&self) -> bool {
        self.augment
    }

    /// The position of a view's first byte.
    pub(crate) fn start(&self, row: u32, view: View) -> (i64, i64) {
        (i64::from(row) * self.stride + view.corner, view.flip)
    }

    /// The padded bytes, of a store on the CPU: where views start ([`ImageStore::start`]).
    pub(crate) fn bytes(&self) -> &[u8] {
        assert_eq!((self.bytes.device(), self.bytes.kind()), (Device::Cpu, Kind::Uint8));
        // SAFETY: the tensor is flat, contiguous and on the CPU, holds bytes, lives as long as
        // `self`, and nothing ever writes to it.
        unsafe { std::slice::from_raw_parts(self.bytes.data_ptr().cast(), self.bytes.numel()) }
    }

    /// The offset of each of a view's bytes (channel, row, column) from its start: plain, and
    /// flipped.
    pub(crate) fn offsets(&self) -> [Vec<i64>; 2] {
        [0, 1].map(|row| Vec::try_from(self.offsets.get(row)).unwrap_or_default())
    }

    /// Each channel's scale and shift: a byte means byte · scale + shift.
    pub(crate) fn scales(&self) -> Vec<[f64; 2]> {
        let values = |tensor: &Tensor| -> Vec<f64> {
            Vec::try_from(tensor.to_kind(Kind::Double).view([-1])).unwrap_or_default()
        };
        values(&self.scale)
            .into_iter()
            .zip(values(&self.shift))
            .map(|(scale, shift)| [scale, shift])
            .collect()
    }

    /// Gathers views, given as tensors of starts and flips of length n: n x channels x height x
    /// width, normalised.
    pub(crate) fn gather(&self, starts: &Tensor, flips: &Tensor) -> Tensor {
        let [channels, height, width] = self.shape;
        let offsets =
            if self.augment { self.offsets.index_select(0, flips) } else { self.offsets.narrow(0, 0, 1) };
        let index = starts.unsqueeze(1) + offsets;
        let bytes = self.bytes.take(&index).view([-1, channels, height, width]);
        bytes.to_kind(self.scale.kind()) * &self.scale + &self.shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    /// Every view equals a crop and flip done by hand on the padded image.
    #[test]
    fn a_gather_is_a_crop_and_a_flip() {
        let (channels, side) = (3usize, 6usize);
        let pixels = channels * side * side;
        let bytes: Vec<u8> = (0..4 * pixels).map(|i| (i * 37 % 251) as u8).collect();
        let images = Images::new(bytes.clone(), vec![0; 4], 1, [channels, side, side], 255.0).unwrap();
        let store = ImageStore::new(&images, Augmentation::CropFlip, Device::Cpu, Kind::Double);
        let mut rng = Rng::new(1, Stream::Augment, 0);
        for trial in 0..50u32 {
            let row = trial % 4;
            let view = store.draw(&mut rng);
            let (start, flip) = store.start(row, view);
            let got: Vec<f64> = store
                .gather(&Tensor::from_slice(&[start]), &Tensor::from_slice(&[flip]))
                .view([-1])
                .try_into()
                .unwrap();
            let padded = side + 2 * PADDING;
            let (top, left) = (view.corner as usize / padded, view.corner as usize % padded);
            for (i, value) in got.iter().enumerate() {
                let (channel, y, x) = (i / (side * side), i / side % side, i % side);
                let x = if flip == 1 { side - 1 - x } else { x };
                let (y, x) = ((y + top).wrapping_sub(PADDING), (x + left).wrapping_sub(PADDING));
                let byte = if y < side && x < side {
                    bytes[row as usize * pixels + channel * side * side + y * side + x]
                } else {
                    0
                };
                let expected = (f64::from(byte) / 255.0 - images.mean[channel]) / images.std[channel];
                assert!((value - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_channel_that_does_not_vary_is_zero() {
        let bytes: Vec<u8> = (0..4u8).flat_map(|image| [[7; 4], [image; 4]].concat()).collect();
        let images = Images::new(bytes, vec![0; 4], 1, [2, 2, 2], 255.0).unwrap();
        for augmentation in [Augmentation::None, Augmentation::CropFlip] {
            let store = ImageStore::new(&images, augmentation, Device::Cpu, Kind::Double);
            let (start, flip) = store.start(3, store.draw(&mut Rng::new(1, Stream::Augment, 0)));
            let view = store.gather(&Tensor::from_slice(&[start]), &Tensor::from_slice(&[flip]));
            let values: Vec<f64> = view.view([-1]).try_into().unwrap();
            assert!(values.iter().all(|value| value.is_finite()), "{values:?}");
            if augmentation == Augmentation::None {
                assert!(values[..4].iter().all(|value| value.abs() < 1e-12) && values[4] > 1.0, "{values:?}");
            }
        }
    }

    #[test]
    fn normalised_pixels_have_zero_mean_and_unit_deviation() {
        let images = crate::data::Dataset::load(crate::data::Source::digits()).unwrap();
        let store = ImageStore::new(images.images(), Augmentation::None, Device::Cpu, Kind::Double);
        let view = View { corner: 0, flip: 0 };
        let (starts, flips): (Vec<i64>, Vec<i64>) = (0..1797).map(|row| store.start(row, view)).unzip();
        let values = store.gather(&Tensor::from_slice(&starts), &Tensor::from_slice(&flips));
        assert!(values.mean(Kind::Double).double_value(&[]).abs() < 1e-12);
        assert!((values.std(false).double_value(&[]) - 1.0).abs() < 1e-12);
    }
}
