//! Replicas in the lanes of the processor's vectors: ResNets on a CPU.
//!
//! A vector holds the same number of several replicas, at several images of each one's batch where
//! there are fewer replicas than lanes, so a vector instruction does useful work in every lane
//! however few channels a layer has. [`capability`] says what can be trained so. [`vector`] is the
//! vector, [`conv`], [`norm`], [`loss`] and [`update`] the operations. [`resnet`] reads a network's
//! layers, [`network`] has its kernels and memory, [`forward`] and [`backward`] run it,
//! [`replicas`] is what a stack drives. A replica's bits depend on how many
//! images a vector holds and on how many threads share its batch, which a plan decides
//! ([`ExecutionStrategy`]), and neither on the other replicas nor on how long the processor's
//! vectors are (exp, ln and powers are the C library's; in bfloat16 a few processors take numbers
//! below 1.2e-38 for zero).

mod backward;
mod bf16;
pub(super) mod capability;
mod conv;
mod direct;
mod factors;
mod forward;
mod images;
mod lane_map;
mod links;
mod loss;
mod network;
mod norm;
mod operands;
mod replicas;
mod resnet;
mod share;
mod slab;
#[cfg(test)]
mod tests;
mod update;
mod vector;
mod winograd;

use self::bf16::Bf16;
use self::capability::{Processor, max_lanes};
use self::network::LaneNetwork;
use self::replicas::Lanes;
use self::vector::{Pair, Plain, Vector};
use super::backend::TrainingBackend;
use super::spec::RunSpec;
use super::strategy::ExecutionStrategy;
use crate::data::ImageStore;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::torch::Precision;

/// Runs the expression with `$vector` as the vector type for this many lanes: the shortest that has
/// them, or the longest.
macro_rules! with_vector {
    ($precision:expr, $lanes:expr, $vector:ident => $value:expr) => {{
        macro_rules! with {
            ($type:ty) => {{
                type $vector = $type;
                $value
            }};
        }
        let long = $lanes > max_lanes($precision) / 2;
        match (Processor::get(), $precision, long) {
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx512 { bf16: true }, Precision::Bf16, _) => with!(Bf16<vector::Avx512F32>),
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx512 { .. } | Processor::Avx2, Precision::Bf16, _) => {
                with!(Bf16<Pair<vector::Avx2F32>>)
            }
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx512 { .. }, Precision::Float64, true) => with!(vector::Avx512F64),
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx512 { .. }, _, true) => with!(vector::Avx512F32),
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx2, Precision::Float64, true) => with!(Pair<vector::Avx2F64>),
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx2, _, true) => with!(Pair<vector::Avx2F32>),
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx512 { .. } | Processor::Avx2, Precision::Float64, false) => with!(vector::Avx2F64),
            #[cfg(target_arch = "x86_64")]
            (Processor::Avx512 { .. } | Processor::Avx2, _, false) => with!(vector::Avx2F32),
            (Processor::Other, Precision::Bf16, _) => with!(Bf16<Pair<Plain<f32, 8>>>),
            (Processor::Other, Precision::Float64, true) => with!(Pair<Plain<f64, 4>>),
            (Processor::Other, _, true) => with!(Pair<Plain<f32, 8>>),
            (Processor::Other, Precision::Float64, false) => with!(Plain<f64, 4>),
            (Processor::Other, _, false) => with!(Plain<f32, 8>),
        }
    }};
}

/// Replicas with drawn weights, one per spec, all of one cohort.
pub(super) fn build(
    specs: &[RunSpec],
    model: &Model,
    store: ImageStore,
    strategy: ExecutionStrategy,
) -> Result<Box<dyn TrainingBackend>> {
    let (first, images) = (&specs[0], strategy.images);
    let largest = max_lanes(first.precision) / images;
    let network = LaneNetwork::new(&model.net)?;
    if specs.len() > largest {
        return Err(Error::invalid(format!(
            "vector lanes train at most {largest} ResNets; found {} of {} in {}",
            specs.len(),
            first.model.info().name,
            first.precision.name()
        )));
    }
    let lanes = lanes_of(first.precision, specs.len(), images);
    Ok(
        with_vector!(first.precision, lanes, V => Box::new(Lanes::<V>::new(specs, model, network, store, strategy)?)),
    )
}

/// Lanes of the vectors that hold this many replicas and images.
fn lanes_of(precision: Precision, replicas: usize, images: usize) -> usize {
    let most = max_lanes(precision);
    // Products of bfloat16 numbers have no short vectors.
    let shortest = if precision == Precision::Bf16 { most } else { most / 2 };
    (replicas.next_power_of_two() * images).max(shortest)
}

/// Bytes that training this many replicas needs.
pub(super) fn bytes(
    spec: &RunSpec,
    model: &Model,
    replicas: usize,
    strategy: ExecutionStrategy,
) -> Result<u64> {
    let images = strategy.images;
    let parameters = model.layout.parameters() as u64;
    let lanes = lanes_of(spec.precision, replicas, images) as u64;
    let noise = if spec.optimizer.noise() > 0.0 { 3 } else { 0 };
    let numbers = parameters * (1 + spec.optimizer.buffers() + noise) * (lanes / images as u64);
    let network = LaneNetwork::new(&model.net)?;
    let work = with_vector!(spec.precision, lanes as usize, V => {
        network.bytes::<V>(spec.batch.div_ceil(images), V::LANES / images, strategy.threads)
    });
    let size = if spec.precision == Precision::Float64 { 8 } else { 4 };
    Ok(numbers * size + work as u64)
}
