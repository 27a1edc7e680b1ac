//! Reproducibility: seeds, cohorts, orders, and where a result may and may not depend on its
//! neighbours.

use std::sync::{Arc, Mutex};

use kelvin::data::{DataOp, DataSpec, Sampling, Source, SyntheticOptions};
use kelvin::error::Result;
use kelvin::model::ModelSpec;
use kelvin::optim::{OptimizerSpec, Schedule, Sgd};
use kelvin::torch::Precision;
use kelvin::train::engine::{Event, ResumeSource, Settings, Start, Task, resume, run};
use kelvin::train::{EpochRecord, ExecutionStrategy, Order, RunSpec, Seeds, TrainMetrics};
use tch::Device;

fn spec(width: i64, batch: usize, precision: Precision, seed: i64) -> RunSpec {
    RunSpec {
        data: DataSpec::new(Source::digits()),
        sampling: Sampling::Split,
        train: 300,
        test: 100,
        augment: false,
        model: ModelSpec::resnet(width),
        init: None,
        optimizer: OptimizerSpec::new(Sgd::default()),
        schedule: Schedule::CONSTANT,
        lr: 0.05,
        batch,
        order: Order::Shuffled,
        epochs: 1,
        seeds: Seeds::all(seed),
        precision,
        evaluate_every: 1,
        train_metrics: TrainMetrics::Evaluate,
        measure: None,
    }
}

/// Trains specs together in libtorch's stacks of at most `stack`; the last record of each.
fn train(specs: &[RunSpec], stack: usize, workers: usize) -> Vec<EpochRecord> {
    train_by(specs, ExecutionStrategy::torch(stack, 1), workers)
}

/// Trains specs in this way; the last record of each.
fn train_by(specs: &[RunSpec], choice: ExecutionStrategy, workers: usize) -> Vec<EpochRecord> {
    let tasks = specs.iter().map(|spec| Task::new(spec.clone(), choice)).collect();
    let settings = Settings { workers, ..Settings::on(Device::Cpu) };
    let mut last: Vec<Option<EpochRecord>> = vec![None; specs.len()];
    run(tasks, settings, &mut |event| {
        match event {
            Event::Epoch { run, record } => last[run] = Some(record),
            Event::Ended { outcome, .. } => assert_eq!(outcome.error, None),
            _ => {}
        }
        Ok(())
    })
    .unwrap();
    last.into_iter().map(Option::unwrap).collect()
}

/// The metrics without the time.
fn bits(record: &EpochRecord) -> Vec<u64> {
    [record.train, record.test]
        .iter()
        .flat_map(|scores| [scores.loss, scores.accuracy, scores.loss_std])
        .map(f64::to_bits)
        .collect()
}

/// Notes where runs are to train.
#[derive(Default)]
struct Dealt(Mutex<Vec<(usize, Device)>>);

impl ResumeSource for Dealt {
    fn start(&self, run: usize, device: Device) -> Result<Start> {
        self.0.lock().unwrap().push((run, device));
        Ok(Start::Fresh)
    }
}

/// Workers are dealt out to devices: on the same one several times every run trains once, and as on
/// one.
#[test]
fn runs_are_dealt_out_to_devices() {
    let specs: Vec<RunSpec> = (1..=4).map(|seed| spec(2, 16, Precision::Float32, seed)).collect();
    let choice = ExecutionStrategy::torch(1, 1);
    let alone = train_by(&specs, choice, 1);
    for (devices, workers) in
        [(vec![Device::Cpu; 2], 2), (vec![Device::Cpu; 2], 3), (vec![Device::Cpu; 3], 2)]
    {
        let settings = Settings { workers, ..Settings::on_all(devices) };
        let tasks = specs.iter().map(|spec| Task::new(spec.clone(), choice)).collect();
        let dealt = Arc::new(Dealt::default());
        let mut together: Vec<Option<EpochRecord>> = vec![None; specs.len()];
        resume(tasks, Arc::clone(&dealt) as Arc<dyn ResumeSource>, settings, &mut |event| {
            if let Event::Epoch { run, record } = event {
                together[run] = Some(record);
            }
            Ok(())
        })
        .unwrap();
        for (own, alone) in together.iter().zip(&alone) {
            assert_eq!(bits(own.as_ref().unwrap()), bits(alone));
        }
        let mut dealt = std::mem::take(&mut *dealt.0.lock().unwrap());
        dealt.sort_unstable_by_key(|(run, _)| *run);
        assert_eq!(dealt, [0, 1, 2, 3].map(|run| (run, Device::Cpu)));
    }
}

/// Replicas with their own seed and learning rate agree with solo runs to 1e-10 in float64.
#[test]
fn cohort_and_solo_agree_in_float64() {
    let specs: Vec<RunSpec> = (1..=5)
        .map(|seed| RunSpec { lr: 0.01 * seed as f64, ..spec(2, 16, Precision::Float64, seed) })
        .collect();
    let alone: Vec<EpochRecord> =
        specs.iter().map(|spec| train(std::slice::from_ref(spec), 1, 1)[0].clone()).collect();
    for choice in [ExecutionStrategy::torch(5, 1), lanes(1), lanes(2), lanes(8)] {
        assert_same_to_1e10(&train_by(&specs, choice, 1), &alone);
    }
}

/// Vector lanes in float64, with so many images in a vector.
fn lanes(images: usize) -> ExecutionStrategy {
    ExecutionStrategy::lanes(Precision::Float64, images)
}

fn assert_same_to_1e10(some: &[EpochRecord], others: &[EpochRecord]) {
    assert_eq!(some.len(), others.len());
    for (a, b) in some.iter().zip(others) {
        for (a, b) in [(a.train, b.train), (a.test, b.test)] {
            assert!((a.loss - b.loss).abs() < 1e-10, "{} {}", a.loss, b.loss);
            assert!((a.loss_std - b.loss_std).abs() < 1e-10);
            assert_eq!(a.accuracy, b.accuracy);
        }
    }
}

/// Vector lanes agree with libtorch on everything that the digits leave out: colour, odd widths and
/// sides, crops and flips, an incomplete slab, training metrics from the batches.
#[test]
fn lanes_agree_with_libtorch_on_augmented_colour_images() {
    let options = SyntheticOptions { n: 90, classes: 7, shape: [3, 18, 13], noise: 1.0, seed: 1 };
    let folder = tempfile::tempdir().unwrap();
    let data = write_images(folder.path(), &DataSpec::new(options.into()));
    for (batch, width, train_metrics) in
        [(1, 1, TrainMetrics::Evaluate), (7, 3, TrainMetrics::Running), (20, 5, TrainMetrics::Evaluate)]
    {
        let specs: Vec<RunSpec> = (1..=3)
            .map(|seed| RunSpec {
                data: data.clone(),
                // Single images set rounding errors apart within tens of updates.
                train: 8 * batch.min(7),
                test: 30,
                augment: true,
                train_metrics,
                ..spec(width, batch, Precision::Float64, seed)
            })
            .collect();
        for images in [1, 2, 4] {
            if batch % images == 0 {
                assert_same_to_1e10(&train_by(&specs, lanes(images), 1), &train(&specs, 1, 1));
            }
        }
    }
}

/// In vector lanes a replica's bits depend on nothing but itself: not on its neighbours, not on
/// where a sweep was cut, and in float32 they are those of libtorch to rounding.
#[test]
fn a_replica_in_lanes_gives_the_same_bits_whoever_shares_its_vector() {
    let specs: Vec<RunSpec> = (1..=19)
        .map(|seed| RunSpec { lr: 0.005 * seed as f64, train: 96, ..spec(4, 16, Precision::Float32, seed) })
        .collect();
    let torch = train(&specs, 4, 1);
    for images in [1, 2, 8] {
        let lanes = ExecutionStrategy::lanes(Precision::Float32, images);
        let all = train_by(&specs, lanes, 1);
        for (first, count, workers) in [(0, 1, 1), (3, 2, 1), (1, 8, 1), (2, 11, 2)] {
            let some = train_by(&specs[first..first + count], lanes, workers);
            for (run, (a, b)) in all[first..].iter().zip(&some).enumerate() {
                assert_eq!(
                    bits(a),
                    bits(b),
                    "run {run} of {count} from {first} on, {images} images in a vector"
                );
            }
        }
        for (a, b) in all.iter().zip(&torch) {
            assert!((a.train.loss - b.train.loss).abs() < 1e-3 * b.train.loss, "{a:?} {b:?}");
        }
    }
}

/// In float32 a lone run equals a stacked one to rounding. Rounding grows with every step, so few
/// steps.
#[test]
fn cohort_and_solo_agree_to_rounding_in_float32() {
    let specs: Vec<RunSpec> =
        (1..=4).map(|seed| RunSpec { train: 64, ..spec(4, 32, Precision::Float32, seed) }).collect();
    let together = train(&specs, 4, 1);
    for (spec, together) in specs.iter().zip(&together) {
        let alone = &train(std::slice::from_ref(spec), 1, 1)[0];
        assert!((together.train.loss - alone.train.loss).abs() < 1e-4 * alone.train.loss);
    }
}

/// Stacks of two or more give the same bits whoever shares them: the plan may cut cohorts as it
/// likes, and a sweep that is resumed with other neighbours gives the same rows.
#[test]
fn a_stack_of_two_or_more_gives_the_same_bits_whoever_shares_it() {
    for (width, batch, precision) in
        [(4, 8, Precision::Float32), (8, 32, Precision::Float32), (4, 8, Precision::Bf16)]
    {
        // The first four have one learning rate, the others their own.
        let lr = |seed| if seed <= 4 { 0.05 } else { 0.01 * seed as f64 };
        let specs: Vec<RunSpec> =
            (1..=7).map(|seed| RunSpec { lr: lr(seed), ..spec(width, batch, precision, seed) }).collect();
        let all = train(&specs, 7, 1);
        for (count, stack, workers) in [(1, 7, 1), (2, 2, 1), (3, 3, 1), (5, 5, 2), (7, 4, 2)] {
            let some = train(&specs[..count], stack, workers);
            for (run, (a, b)) in all.iter().zip(&some).enumerate() {
                assert_eq!(
                    bits(a),
                    bits(b),
                    "{precision:?}, width {width}, run {run} of {count} in stacks of {stack}"
                );
            }
        }
    }
}

/// The same run gives the same bits again, another seed does not, and each stream of seeds varies
/// alone.
#[test]
fn each_stream_of_seeds_varies_alone() {
    let base = RunSpec {
        optimizer: OptimizerSpec::new(Sgd { noise: 0.1, ..Sgd::default() }),
        ..spec(2, 32, Precision::Float32, 1)
    };
    let with = |change: fn(&mut Seeds)| {
        let mut spec = base.clone();
        change(&mut spec.seeds);
        spec
    };
    let specs = [
        base.clone(),
        with(|seeds| seeds.split = 2),
        with(|seeds| seeds.init = 2),
        with(|seeds| seeds.order = 2),
        with(|seeds| seeds.noise = 2),
        with(|seeds| seeds.augment = 2),
    ];
    for choice in [ExecutionStrategy::torch(6, 1), ExecutionStrategy::lanes(Precision::Float32, 2)] {
        let first: Vec<Vec<u64>> = train_by(&specs, choice, 1).iter().map(bits).collect();
        let second: Vec<Vec<u64>> = train_by(&specs, choice, 1).iter().map(bits).collect();
        assert_eq!(first, second);
        for other in 1..5 {
            assert_ne!(first[0], first[other], "stream {other} changes nothing");
        }
        assert_eq!(first[0], first[5], "digits are not augmented: that stream changes nothing");
    }
}

/// Writes a data set's images as PNG in a Parquet file, and describes it.
pub(crate) fn write_images(folder: &std::path::Path, data: &DataSpec) -> DataSpec {
    use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
    let data = kelvin::data::Dataset::open(data).unwrap();
    let [channels, height, width] = data.shape();
    let png = |row: usize| {
        let image = image::RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let byte = |channel| {
                data.images().bytes[((row * channels + channel) * height + y as usize) * width + x as usize]
            };
            image::Rgb([byte(0), byte(1), byte(2)])
        });
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let files: Vec<Vec<u8>> = (0..data.len()).map(png).collect();
    let labels = data.labels().iter().map(|&label| i64::from(label));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("image", std::sync::Arc::new(BinaryArray::from_iter_values(files))),
        ("label", std::sync::Arc::new(Int64Array::from_iter_values(labels))),
    ];
    let path = folder.join("train.parquet");
    kelvin::table::Table::new(RecordBatch::try_from_iter(columns).unwrap()).write(&path).unwrap();
    let path = path.to_str().unwrap().to_owned();
    DataSpec::new(Source::images(&path, None, None))
}

/// Crops and flips depend on their own stream.
#[test]
fn augmentation_has_its_own_stream() {
    let data = DataSpec::new(Source::from(kelvin::data::SyntheticOptions {
        n: 120,
        classes: 4,
        shape: [3, 12, 12],
        noise: 1.0,
        seed: 1,
    }));
    // Synthetic images have no recipe of their own; images from files do. A folder of them is made
    // here.
    let folder = tempfile::tempdir().unwrap();
    let images = write_images(folder.path(), &data);
    let base =
        RunSpec { data: images, train: 80, test: 40, augment: true, ..spec(1, 16, Precision::Float32, 1) };
    let mut other = base.clone();
    other.seeds.augment = 2;
    let plain = RunSpec { augment: false, ..base.clone() };
    let records = train(&[base.clone(), other, base, plain], 4, 1);
    assert_eq!(bits(&records[0]), bits(&records[2]));
    assert_ne!(bits(&records[0]), bits(&records[1]));
    assert_ne!(bits(&records[0]), bits(&records[3]));
}

/// Sequential order depends on no seed; with replacement an epoch does not see every example.
#[test]
fn orders_do_what_they_say() {
    let with = |order, seed| {
        let mut spec = RunSpec { order, ..spec(1, 10, Precision::Float64, 1) };
        spec.seeds.order = seed;
        spec
    };
    let bits_of = |order, seed| bits(&train(&[with(order, seed)], 1, 1)[0]);
    assert_eq!(bits_of(Order::Sequential, 1), bits_of(Order::Sequential, 2));
    assert_ne!(bits_of(Order::Shuffled, 1), bits_of(Order::Sequential, 1));
    assert_ne!(bits_of(Order::Replacement, 1), bits_of(Order::Replacement, 2));
    assert_ne!(bits_of(Order::Replacement, 1), bits_of(Order::Shuffled, 1));
}

/// The isotropic noise of Eq. 15: with a vanishing gradient the weights diffuse by β √(λT) per
/// step.
#[test]
fn noise_has_the_stated_strength() {
    let (lr, batch, beta, steps) = (0.1, 10, 0.5, 40u32);
    let quiet = RunSpec { lr, ..spec(1, batch, Precision::Float64, 1) };
    let noisy = RunSpec {
        optimizer: OptimizerSpec::new(Sgd { noise: beta, weight_decay: 0.0, ..Sgd::default() }),
        ..quiet.clone()
    };
    let quiet =
        RunSpec { optimizer: OptimizerSpec::new(Sgd { weight_decay: 0.0, ..Sgd::default() }), ..quiet };
    // One epoch of one step: both start alike and see the same batch, so they differ by the noise
    // alone.
    let one = |spec: &RunSpec| RunSpec { train: batch, epochs: 1, ..spec.clone() };
    let weights = |spec: &RunSpec| -> Vec<f64> {
        let options = kelvin::sweep::RunOptions::default();
        let trained = kelvin::sweep::train(spec, &options, &mut kelvin::sweep::Silent).unwrap();
        let network = trained.network.unwrap();
        Vec::try_from(network.weights().flat()).unwrap()
    };
    let mut sum = 0.0;
    let mut count = 0.0;
    for seed in 1..=i64::from(steps) {
        let (mut a, mut b) = (one(&quiet), one(&noisy));
        (a.seeds, b.seeds) = (Seeds::all(seed), Seeds::all(seed));
        for (a, b) in weights(&a).iter().zip(weights(&b)) {
            sum += (b - a).powi(2);
            count += 1.0;
        }
    }
    let expected = beta * beta * lr * lr / batch as f64;
    assert!(
        (sum / count / expected - 1.0).abs() < 4.0 * (2.0f64 / count).sqrt(),
        "{}",
        sum / count / expected
    );
}

/// bfloat16 learns as float32 does, to its few digits.
#[test]
fn bf16_follows_float32() {
    let long = |precision| RunSpec { epochs: 5, ..spec(8, 32, precision, 1) };
    let bf16 = &train(&[long(Precision::Bf16)], 1, 1)[0];
    let float32 = &train(&[long(Precision::Float32)], 1, 1)[0];
    assert!(
        bf16.train.loss < 0.7 && (bf16.train.loss - float32.train.loss).abs() < 0.25,
        "{bf16:?} {float32:?}"
    );
    assert_ne!(bits(bf16), bits(float32));
}

/// Label noise, subsets and other data operations are part of a run's identity; a path is not.
#[test]
fn ids_depend_on_what_decides_the_result() {
    let base = spec(4, 8, Precision::Float32, 1);
    let mut noisy = base.clone();
    noisy.data.operations.push(DataOp::label_noise(0.1, 1));
    assert_ne!(base.id(), noisy.id());
    assert_ne!(base.id(), RunSpec { lr: 0.06, ..base.clone() }.id());
    // Where files lie is not what they hold; before they are loaded, nothing else is known of them.
    let at = |path: &str, digest: Option<&str>| RunSpec {
        data: DataSpec {
            digest: digest.map(str::to_owned),
            ..DataSpec::new(Source::named("cifar10", Some(path)).unwrap())
        },
        ..base.clone()
    };
    assert_eq!(at("/a", Some("x")).id(), at("/b", Some("x")).id());
    assert_ne!(at("/a", Some("x")).id(), at("/a", Some("y")).id());
    assert_ne!(at("/a", None).id(), at("/b", None).id());
    assert!(base.id().starts_with('r'));
}
