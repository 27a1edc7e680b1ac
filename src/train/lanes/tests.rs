//! The kernels against each other and against libtorch.

use super::bf16::Bf16;
use super::capability::{Processor, max_lanes};
use super::lane_map::every;
use super::network::LaneNetwork;
use super::replicas::Lanes;
use super::vector::{Pair, Plain, Vector};
use super::{build, vector};
use crate::data::{Augmentation, Dataset, ImageStore, Source};
use crate::model::architecture::Builder;
use crate::model::layers::Filters;
use crate::model::resnet::block;
use crate::model::{Model, ModelSpec};
use crate::optim::{Adam, OptimizerSpec, Sgd};
use crate::rng::{Rng, Stream};
use crate::torch::Precision;
use crate::train::backend::{Step, TrainingBackend};
use crate::train::batches::{EpochBatches, EvaluationSet, Examples};
use crate::train::spec::{RunSpec, Seeds, example};
use crate::train::strategy::{Backend, ExecutionStrategy};
use crate::train::tally::Tally;
use crate::train::tensors::Tensors;

/// The weights of every replica after a few updates on the first digits.
fn train<V: Vector>(specs: &[RunSpec], images: usize) -> Vec<Vec<f64>> {
    let first = &specs[0];
    let strategy =
        ExecutionStrategy { threads: images.min(2), ..ExecutionStrategy::lanes(first.precision, images) };
    let data = Dataset::load(Source::digits()).unwrap();
    let model = first.model.build(data.shape(), data.classes()).unwrap();
    let kind = first.precision.master();
    let store = ImageStore::new(data.images(), Augmentation::None, tch::Device::Cpu, kind);
    let network = LaneNetwork::new(&model.net).unwrap();
    let mut lanes = Lanes::<V>::new(specs, &model, network, store, strategy).unwrap();
    let (steps, n) = (3, 3 * first.batch * specs.len());
    let starts = (0..n as i64).map(|view| (view % 97) * 64).collect();
    let labels = (0..n as i64).map(|view| view % 10).collect();
    lanes.begin(EpochBatches { starts, flips: Vec::new(), labels, factors: Vec::new() }, None);
    for index in 0..steps {
        lanes.update(Step { index, done: index as u64, factor: 1.0, noise: None });
    }
    (0..specs.len())
        .map(|replica| every(&lanes.parameters.theta, replica, lanes.parameters.replicas))
        .collect()
}

/// What is reserved is what is taken.
#[test]
fn memory_is_counted() {
    for (width, shape, batch) in
        [(4, [1, 8, 8], 1), (8, [1, 8, 8], 128), (3, [3, 32, 20], 20), (16, [1, 9, 8], 5)]
    {
        let model = ModelSpec::resnet(width).build(shape, 10).unwrap();
        let network = LaneNetwork::new(&model.net).unwrap();
        for (replicas, threads) in [(1, 1), (8, 1), (1, 3)] {
            let taken = network.buffers::<Plain<f32, 8>>(batch, replicas, threads).unwrap().bytes();
            assert_eq!(taken, network.bytes::<Plain<f32, 8>>(batch, replicas, threads));
            type Half = Bf16<Pair<Plain<f32, 8>>>;
            let taken = network.buffers::<Half>(batch, replicas, threads).unwrap().bytes();
            assert_eq!(taken, network.bytes::<Half>(batch, replicas, threads));
        }
    }
}

/// What the program does elsewhere is what it does on any other processor, and in vectors of any
/// length.
#[test]
fn every_vector_gives_the_same_bits() {
    let adam = OptimizerSpec::new(Adam::default());
    let momentum = OptimizerSpec::new(Sgd { momentum: 0.9, ..Sgd::default() });
    let mut seen: Vec<Vec<Vec<f64>>> = Vec::new();
    for (optimizer, precision) in
        [(adam, Precision::Float64), (momentum.clone(), Precision::Float32), (momentum, Precision::Bf16)]
    {
        for images in [1, 2, 4, 8, 16] {
            if images > max_lanes(precision) {
                continue;
            }
            // Convolutions tap by tap, and by tiles.
            let width = if matches!(images, 1 | 4) { 3 } else { 12 };
            // Five packs, the last one perhaps not full.
            let specs: Vec<RunSpec> = (1..=3.min(max_lanes(precision) / images))
                .map(|seed| RunSpec {
                    model: ModelSpec::resnet(width),
                    batch: 5 * images - images / 3,
                    lr: 0.01 * seed as f64,
                    seeds: Seeds::all(seed as i64),
                    optimizer: optimizer.clone(),
                    precision,
                    ..example()
                })
                .collect();
            let (specs, most) = (&specs[..], max_lanes(precision));
            let short = specs.len().next_power_of_two() * images <= most / 2;
            let processor = Processor::get();
            let mut others: Vec<(&str, Vec<Vec<f64>>)> = Vec::new();
            let mut other = |there: bool, name, train: &dyn Fn() -> Vec<Vec<f64>>| {
                if there {
                    others.push((name, train()));
                }
            };
            #[cfg(target_arch = "x86_64")]
            let (avx2, avx512, bf16) = (
                !matches!(processor, Processor::Other),
                matches!(processor, Processor::Avx512 { .. }),
                matches!(processor, Processor::Avx512 { bf16: true }),
            );
            let long = match precision {
                Precision::Float64 => {
                    other(short, "short", &|| train::<Plain<f64, 4>>(specs, images));
                    #[cfg(target_arch = "x86_64")]
                    {
                        other(avx2, "AVX2", &|| train::<Pair<vector::Avx2F64>>(specs, images));
                        other(avx2 && short, "short AVX2", &|| train::<vector::Avx2F64>(specs, images));
                        other(avx512, "AVX-512", &|| train::<vector::Avx512F64>(specs, images));
                    }
                    train::<Pair<Plain<f64, 4>>>(specs, images)
                }
                Precision::Bf16 => {
                    #[cfg(target_arch = "x86_64")]
                    {
                        other(avx2, "AVX2", &|| train::<Bf16<Pair<vector::Avx2F32>>>(specs, images));
                        other(bf16, "AVX-512", &|| train::<Bf16<vector::Avx512F32>>(specs, images));
                    }
                    train::<Bf16<Pair<Plain<f32, 8>>>>(specs, images)
                }
                _ => {
                    other(short, "short", &|| train::<Plain<f32, 8>>(specs, images));
                    #[cfg(target_arch = "x86_64")]
                    {
                        other(avx2, "AVX2", &|| train::<Pair<vector::Avx2F32>>(specs, images));
                        other(avx2 && short, "short AVX2", &|| train::<vector::Avx2F32>(specs, images));
                        other(avx512, "AVX-512", &|| train::<vector::Avx512F32>(specs, images));
                    }
                    train::<Pair<Plain<f32, 8>>>(specs, images)
                }
            };
            assert!(long.iter().flatten().all(|value| value.is_finite()));
            for (name, other) in others {
                assert!(long == other, "{name} in {precision:?}, {images} images in a vector");
            }
            seen.push(long);
        }
    }
    assert_eq!(seen.len(), 14);
}

/// Losses, gradients, updates and scores are libtorch's, with last packs that are not full.
#[test]
fn lanes_compute_what_libtorch_does() {
    let data = Dataset::load(Source::digits()).unwrap();
    // Convolutions tap by tap, and by tiles; in more than one thread, too.
    for (images, width, batch, threads) in
        [(1, 3, 8, 1), (4, 3, 8, 2), (4, 3, 7, 1), (1, 16, 8, 3), (4, 16, 18, 1), (4, 16, 18, 2)]
    {
        let specs = [1, 2].map(|seed| spec(width, batch, seed));
        let model = specs[0].model.build(data.shape(), data.classes()).unwrap();
        let strategy = ExecutionStrategy { threads, ..ExecutionStrategy::lanes(Precision::Float64, images) };
        compare(&data, &specs, &model, strategy);
    }
}

fn spec(width: i64, batch: usize, seed: i64) -> RunSpec {
    RunSpec {
        model: ModelSpec::resnet(width),
        batch,
        lr: 0.01 * seed as f64,
        seeds: Seeds::all(seed),
        optimizer: OptimizerSpec::new(Sgd { momentum: 0.9, weight_decay: 0.1, ..Sgd::default() }),
        precision: Precision::Float64,
        ..example()
    }
}

fn stored(data: &Dataset) -> ImageStore {
    ImageStore::new(data.images(), Augmentation::None, tch::Device::Cpu, tch::Kind::Double)
}

/// The batches of an epoch of three steps.
fn epoch(specs: &[RunSpec]) -> EpochBatches {
    let n = 3 * (specs[0].batch * specs.len()) as i64;
    let starts = (0..n).map(|view| (view % 97) * 64).collect();
    let labels = (0..n).map(|view| view % 10).collect();
    EpochBatches { starts, flips: Vec::new(), labels, factors: vec![1.0; 3] }
}

/// Trains a model in lanes and in libtorch.
fn compare(data: &Dataset, specs: &[RunSpec], model: &Model, strategy: ExecutionStrategy) {
    let (store, cpu) = (stored(data), tch::Device::Cpu);
    let tensors = Tensors::new(specs, model.clone(), store.share(), cpu);
    let mut both: [Box<dyn TrainingBackend>; 2] =
        [build(specs, model, store, strategy).unwrap(), Box::new(tensors)];
    let mut gradients = [Vec::new(), Vec::new()];
    for (replicas, gradients) in both.iter_mut().zip(&mut gradients) {
        replicas.begin(epoch(specs), Some(vec![Tally::default(); specs.len()]));
        for index in 0..2 {
            replicas.update(Step { index, done: index as u64, factor: 1.0, noise: None });
        }
        replicas.gradients(2, gradients);
    }
    let close = |a: f64, b: f64| (a - b).abs() < 1e-10 * (1.0 + b.abs());
    for (a, b) in gradients[0].iter().zip(&gradients[1]) {
        assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(*a, *b)), "gradients");
    }
    let [some, others] = both.each_mut().map(|replicas| replicas.tallies().unwrap());
    let sums = |tallies: &[Tally]| tallies.iter().flat_map(|tally| tally.to_array()).collect::<Vec<_>>();
    assert!(sums(&some).iter().zip(sums(&others)).all(|(a, b)| close(*a, b)), "sums");
    let examples = Examples { rows: data.rows()[..37].to_vec(), labels: data.labels()[..37].to_vec() };
    let [some, others] = both.each_mut().map(|replicas| {
        let rng = |seed| Rng::new(seed, Stream::Augment, 0);
        let set = |seed| EvaluationSet { examples: &examples, rng: rng(seed as i64) };
        let sets = (0..specs.len()).map(set).collect();
        replicas.evaluate(sets, &mut || Ok(())).unwrap()
    });
    for (a, b) in some.iter().zip(&others) {
        assert!(close(a.loss, b.loss) && close(a.loss_std, b.loss_std) && a.accuracy == b.accuracy);
    }
}

/// Lanes train residual networks of any depth. What they do not know, and a tensor that a
/// backend leaves unused, is an error, never another network than was asked for.
#[test]
fn a_network_is_trained_whole_or_not_at_all() {
    let data = Dataset::load(Source::digits()).unwrap();
    let specs = [spec(2, 8, 1)];
    let model = specs[0].model.build(data.shape(), data.classes()).unwrap();
    let head = |net: &mut Builder| {
        net.global_pool()?;
        net.flatten();
        net.dense("linear", 10)
    };
    let blocks = |net: &mut Builder, blocks: &[(usize, usize)]| {
        net.conv("conv1", Filters { count: 2, kernel: 3, stride: 1 })?;
        blocks.iter().enumerate().try_for_each(|(index, &(filters, stride))| {
            block(net, &format!("layer1.{index}"), filters, stride)
        })
    };
    let strategy = ExecutionStrategy::lanes(Precision::Float64, 2);
    let refused = |model: &Model| match build(&specs, model, stored(&data), strategy) {
        Ok(_) => panic!("lanes run it"),
        Err(error) => error.to_string(),
    };
    // One block, three, and nine, where the ResNet18 has eight.
    for depth in [1, 3, 9] {
        let sizes: Vec<_> = (0..depth).map(|index| [(2, 1), (4, 2), (4, 1)][index % 3]).collect();
        let deep = model.with_layers(|net| {
            blocks(net, &sizes)?;
            head(net)
        });
        compare(&data, &specs, &deep, strategy);
    }
    let final_norm = model.with_layers(|net| {
        blocks(net, &[(2, 1)])?;
        net.norm("bn")?;
        head(net)
    });
    let error = refused(&final_norm);
    assert!(error.contains("vector lanes train residual blocks; found norm"), "{error}");
    let mlp = ModelSpec::mlp(vec![3]).build(data.shape(), 10).unwrap();
    let error = refused(&mlp);
    assert!(error.contains("found flatten, dense, relu, dense"), "{error}");
    let extra = model.with_layers(|net| {
        blocks(net, &[(2, 1)])?;
        net.unused("extra");
        head(net)
    });
    let error = refused(&extra);
    assert!(error.contains("vector lanes do not use the tensor `extra`"), "{error}");
    let cpu = tch::Device::Cpu;
    let mut tensors = Tensors::new(&specs, extra, stored(&data), cpu);
    tensors.begin(epoch(&specs), None);
    let update = || tensors.update(Step { index: 0, done: 0, factor: 1.0, noise: None });
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(update)).unwrap_err();
    let error = crate::error::panic_message(panic.as_ref());
    assert!(error.contains("does not use the tensor `extra`"), "{error}");
}

/// Rounding to bfloat16 takes gradients as far from those in float64 as it does in libtorch.
#[test]
fn bfloat16_is_as_exact_as_libtorchs() {
    let data = Dataset::load(Source::digits()).unwrap();
    // Convolutions tap by tap, and by tiles.
    for (images, width, batch) in [(1, 3, 8), (4, 16, 18), (16, 16, 33)] {
        let gradient = |seed: i64, precision: Precision, backend: Backend| {
            let spec = RunSpec {
                model: ModelSpec::resnet(width),
                batch,
                precision,
                seeds: Seeds::all(seed),
                ..example()
            };
            let model = spec.model.build(data.shape(), data.classes()).unwrap();
            let (cpu, kind) = (tch::Device::Cpu, precision.master());
            let store = ImageStore::new(data.images(), Augmentation::None, cpu, kind);
            let mut replicas: Box<dyn TrainingBackend> = match backend {
                Backend::Lanes => {
                    build(&[spec], &model, store, ExecutionStrategy::lanes(precision, images)).unwrap()
                }
                Backend::Torch => Box::new(Tensors::new(&[spec], model, store, cpu)),
            };
            let starts = (0..batch as i64).map(|view| view * 64).collect();
            let labels = (0..batch as i64).map(|view| view * view % 10).collect();
            replicas.begin(EpochBatches { starts, flips: Vec::new(), labels, factors: vec![1.0] }, None);
            let mut gradients = Vec::new();
            replicas.gradients(0, &mut gradients);
            gradients.swap_remove(0)
        };
        // Mean squares over draws of weights.
        let square = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>();
        const DRAWS: i64 = 24;
        let mut errors = [0.0; 3];
        for seed in 1..=DRAWS {
            let exact = gradient(seed, Precision::Float64, Backend::Torch);
            let ways = [
                (Precision::Float32, Backend::Lanes),
                (Precision::Bf16, Backend::Lanes),
                (Precision::Bf16, Backend::Torch),
            ];
            for ((precision, backend), error) in ways.into_iter().zip(&mut errors) {
                let own = gradient(seed, precision, backend);
                *error += square(&mut own.iter().zip(&exact).map(|(a, b)| a - b))
                    / square(&mut exact.iter().copied())
                    / DRAWS as f64;
            }
        }
        let [float, lanes, torch] = errors.map(f64::sqrt);
        eprintln!("width {width}: float32 {float:.1e}, bfloat16 {lanes:.2e}, libtorch's {torch:.2e}");
        assert!(float < 1e-4 && float < lanes && lanes < 1.1 * torch, "{float} {lanes} {torch}");
    }
}
