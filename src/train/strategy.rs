//! How a cohort is executed: in vector lanes, in stacks of tensors, or one run after another.
//!
//! The strategy decides rounding, so it is frozen with a sweep's plan. [`super::costs`] chooses it.

use serde::{Deserialize, Serialize};
use tch::Device;

use super::lanes::capability::{is_resnet, max_lanes};
use super::spec::RunSpec;
use crate::cuda;
use crate::error::{Error, Result};
use crate::torch::Precision;

/// How the runs of a cohort are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionStrategy {
    /// Replicas of one stack, at most. In libtorch, 1: one run after another, without grouped
    /// operations; more: a lone replica is padded to two, because stacks of two or more round
    /// alike.
    pub stack: usize,
    /// Threads of one stack. In lanes each adds up its own part of a batch, so it decides rounding,
    /// too.
    pub threads: usize,
    /// What computes. Absent in plans made before lanes existed: torch.
    #[serde(default, skip_serializing_if = "Backend::is_torch")]
    pub backend: Backend,
    /// Images of a replica's batch that a vector of lanes holds, a power of two. It decides
    /// rounding, as a stack's size does in libtorch.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub images: usize,
}

fn one() -> usize {
    1
}

fn is_one(images: &usize) -> bool {
    *images == 1
}

/// What computes a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// libtorch, with replicas side by side in the channels.
    #[default]
    Torch,
    /// Vector instructions with replicas in their lanes; on a GPU the same as `Torch`.
    Lanes,
}

impl Backend {
    fn is_torch(&self) -> bool {
        *self == Self::Torch
    }

    /// The name in the measured table.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, value)| *value == self).map_or("", |(name, _)| name)
    }

    /// Every backend with its name in the measured table.
    pub const ALL: [(&'static str, Self); 2] = [("torch", Self::Torch), ("lanes", Self::Lanes)];
}

impl ExecutionStrategy {
    /// Stacks of this many replicas in libtorch.
    pub fn torch(stack: usize, threads: usize) -> Self {
        Self { stack, threads, backend: Backend::Torch, images: 1 }
    }

    /// Stacks as large as vectors have lanes for replicas of this many images each.
    pub fn lanes(precision: Precision, images: usize) -> Self {
        Self { stack: max_lanes(precision) / images, threads: 1, backend: Backend::Lanes, images }
    }

    /// Checks a stored strategy for a run of valid values.
    pub(crate) fn check(self, spec: &RunSpec) -> Result<()> {
        let Self { stack, threads, backend, images } = self;
        let (largest_stack, most_threads, images_fit) = match backend {
            Backend::Torch => (MOST_STACKED, MOST_THREADS, images == 1),
            Backend::Lanes => {
                let lanes = max_lanes(spec.precision);
                let fit = images.is_power_of_two() && images <= lanes;
                // Each thread takes some of the vectors that a batch fills.
                (lanes / images.max(1), spec.batch.div_ceil(images.max(1)), fit)
            }
        };
        if backend == Backend::Lanes && !is_resnet(spec) {
            let model = spec.model.info().name;
            return Err(Error::invalid(format!("choice.backend is lanes, which train no {model}")));
        }
        if !images_fit {
            return Err(Error::invalid(format!(
                "choice.images is {images}, expected a power of two that vectors hold, and 1 in libtorch"
            )));
        }
        for (name, found, most) in [("stack", stack, largest_stack), ("threads", threads, most_threads)] {
            if !(1..=most).contains(&found) {
                return Err(Error::invalid(format!("choice.{name} is {found}, expected 1 to {most}")));
            }
        }
        Ok(())
    }

    /// What computes, for people: `torch`, or `lanes, 4 images in a vector`.
    pub fn describe(self) -> String {
        match self.images {
            1 => self.backend.name().to_owned(),
            images => format!("{}, {images} images in a vector", self.backend.name()),
        }
    }

    /// What computes on this device.
    pub(super) fn backend_on(self, device: Device) -> Backend {
        if device == Device::Cpu { self.backend } else { Backend::Torch }
    }

    /// Runs of one stack at most, on this machine.
    pub fn largest(self, precision: Precision, device: Device) -> usize {
        match (self.backend, device) {
            // Recorded steps of lone runs on streams of their own fill a GPU.
            (_, device) if cuda::available(device) => 1,
            (Backend::Torch, _) => self.stack,
            (Backend::Lanes, Device::Cpu) => self.stack.min(max_lanes(precision) / self.images),
            // In float64 libtorch's stacks of different sizes round differently.
            (Backend::Lanes, _) if precision == Precision::Float64 => 1,
            (Backend::Lanes, _) => self.stack * self.images,
        }
    }

    /// The share of lanes that hold an image of a batch, where all hold replicas. Empty ones take
    /// their time, too.
    pub(super) fn full(self, spec: &RunSpec) -> f64 {
        spec.batch as f64 / spec.batch.next_multiple_of(self.images) as f64
    }

    /// Replicas that train in a stack of this many runs.
    pub(super) fn replicas(self, runs: usize, precision: Precision, device: Device) -> usize {
        let pads = self.backend_on(device) == Backend::Torch && self.largest(precision, device) > 1;
        if pads { runs.max(2) } else { runs }
    }
}

/// How replicas are executed, and where.
#[derive(Clone, Copy)]
pub(super) struct Execution {
    pub(super) strategy: ExecutionStrategy,
    pub(super) device: Device,
}

/// No machine measured a larger stack of libtorch as the fastest.
const MOST_STACKED: usize = 1024;

/// No machine has more cores.
const MOST_THREADS: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders written before there were backends are read, and their checksums hold.
    #[test]
    fn a_choice_of_libtorch_is_written_as_before() {
        let text = "{\"stack\":2,\"threads\":1}";
        assert_eq!(serde_json::to_string(&ExecutionStrategy::torch(2, 1)).unwrap(), text);
        assert_eq!(serde_json::from_str::<ExecutionStrategy>(text).unwrap(), ExecutionStrategy::torch(2, 1));
        for images in [1, 4] {
            let lanes = ExecutionStrategy::lanes(Precision::Float32, images);
            let back: ExecutionStrategy =
                serde_json::from_str(&serde_json::to_string(&lanes).unwrap()).unwrap();
            assert_eq!(back, lanes);
        }
        let text = "{\"stack\":16,\"threads\":1,\"backend\":\"lanes\"}";
        assert_eq!(
            serde_json::from_str::<ExecutionStrategy>(text).unwrap(),
            ExecutionStrategy::lanes(Precision::Float32, 1)
        );
    }
}
