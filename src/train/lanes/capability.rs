//! What vector lanes can train, and in vectors of how many lanes.

use super::super::cohort::stacks;
use super::super::spec::RunSpec;
use super::resnet::ResnetLayers;
use crate::model::USUAL_CLASSES;
use crate::torch::Precision;

/// What the processor can do.
#[derive(Clone, Copy)]
pub(super) enum Processor {
    #[cfg(target_arch = "x86_64")]
    Avx512 {
        /// Whether it multiplies bfloat16 numbers.
        bf16: bool,
    },
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Other,
}

impl Processor {
    pub(super) fn get() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            if !is_x86_feature_detected!("avx512f") {
                return Self::Avx2;
            }
            let bf16 = is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512bw");
            return Self::Avx512 { bf16 };
        }
        Self::Other
    }
}

/// Lanes of the longest vector, on any processor.
pub(in super::super) fn max_lanes(precision: Precision) -> usize {
    if precision == Precision::Float64 { 8 } else { 16 }
}

/// Images of a batch per vector for `cohort` runs on `cores` cores: the number that takes the
/// fewest vectors.
pub(in super::super) fn images(precision: Precision, batch: usize, cohort: usize, cores: usize) -> usize {
    let possible = (0..).map(|power| 1 << power).take_while(|&images| images <= max_lanes(precision));
    // Packs of an update that the busiest core computes, and one for what an update costs besides.
    // The first of equals is taken: more replicas, which share updates.
    let vectors = |&images: &usize| {
        let stacks = stacks(cohort, max_lanes(precision) / images, cores).len();
        stacks.div_ceil(cores.max(1)) * (batch.div_ceil(images) + 1)
    };
    possible.min_by_key(vectors).unwrap_or(1)
}

/// Whether lanes can train such a run, on a processor that multiplies and adds in one instruction.
pub(in super::super) fn is_supported(spec: &RunSpec) -> bool {
    let fused = !matches!(Processor::get(), Processor::Other) || cfg!(target_arch = "aarch64");
    is_resnet(spec) && fused
}

/// Whether lanes can run the architecture of a run's model, on images of any size.
pub(in super::super) fn is_resnet(spec: &RunSpec) -> bool {
    const ANY: [usize; 3] = [3, 32, 32];
    let model = spec.model.build(ANY, USUAL_CLASSES);
    model.is_ok_and(|model| ResnetLayers::of(&model.net).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_hold_as_many_images_as_leave_no_lane_empty() {
        let float = |batch, cohort, cores| images(Precision::Float32, batch, cohort, cores);
        assert_eq!(float(128, 12, 2), 8);
        assert_eq!(float(8, 12, 2), 2);
        assert_eq!(float(128, 48, 2), 2);
        assert_eq!(float(8, 32, 2), 1);
        assert_eq!(float(128, 1, 2), 16);
        assert_eq!(float(20, 1, 2), 16);
        assert_eq!(float(7, 1, 2), 8);
        assert_eq!(float(1, 1, 2), 1);
        assert_eq!(images(Precision::Float64, 128, 1, 1), 8);
    }
}
