//! Data sets in scripts.

use rhai::plugin::*;
use rhai::{Array, Dynamic, FuncRegistration, Map};

use crate::data::{DataOp, Dataset, Place, SOURCES, Sampling, Source, SyntheticOptions};
use crate::error::Error;
use crate::interrupt::leave_behind;
use crate::script::Session;
use crate::script::convert::{Scripted, at, count, integer, known_keys, number, text};
use crate::script::graphics::Picture;

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<Dataset>("Dataset");
}

/// `cifar10()` and `cifar10(path)`, and so on: the data sets that lie in a folder, from their list.
pub(super) fn add_folders(module: &mut Module) {
    for info in SOURCES {
        let Place::Folder(source) = info.place else { continue };
        FuncRegistration::new(info.name)
            .in_global_namespace()
            .with_comments([format!("/// {}, in a folder.", info.doc)])
            .with_params_info(["path: &str", "Dataset"])
            .set_into_module(module, move |context: NativeCallContext, path: &str| -> Scripted<Dataset> {
                loaded(source(crate::script::convert::path(path))).map_err(|error| at(&context, error))
            });
        FuncRegistration::new(info.name)
            .in_global_namespace()
            .with_comments([format!("/// {}, in {}/ of the data folder.", info.doc, info.name)])
            .with_params_info(["Dataset"])
            .set_into_module(module, move |context: NativeCallContext| -> Scripted<Dataset> {
                let found = Session::of(&context).data_dir().and_then(|folder| info.found(&folder));
                found.and_then(loaded).map_err(|error| at(&context, error))
            });
    }
}

/// The options of split, sample and fixed, with their meanings.
pub(in crate::script) const DIVISION_OPTIONS: [(&str, &str); 3] = [
    ("train", "examples of the first part; default: the data set's official size"),
    ("test", "examples of the second part; default: the data set's official size"),
    ("seed", "what decides the draws; default 1"),
];

/// The options of images(path, #{…}), with their meanings.
pub(in crate::script) const IMAGES_OPTIONS: [(&str, &str); 2] = [
    ("image", "the column of encoded images; default: found"),
    ("label", "the column of labels; default: found"),
];

/// The options of synthetic(#{…}), with their meanings.
pub(in crate::script) const SYNTHETIC_OPTIONS: [(&str, &str); 5] = [
    ("n", "images; default 1200"),
    ("classes", "classes; default 10"),
    ("shape", "[channels, height, width]; default [1, 8, 8]"),
    ("noise", "standard deviation of the pixel noise, in those of the patterns; default 1.0"),
    ("seed", "what decides patterns and noise; default 1"),
];

/// The options of subset(#{…}), with their meanings.
pub(in crate::script) const SUBSET_OPTIONS: [(&str, &str); 2] =
    [("n", "how many examples; required"), ("seed", "which ones; default 1")];

fn seed_of(options: &Map) -> Result<i64, Error> {
    options.get("seed").map_or(Ok(1), |value| integer("seed", value))
}

/// The data set of a source. An interrupt leaves it behind: a disk may be slow, and a named pipe may have no writer.
fn loaded(source: Source) -> Result<Dataset, Error> {
    leave_behind("the data set", move || Dataset::load(source))
}

/// A data set with a change, which takes seconds where there are hundreds of millions of examples.
fn changed(data: &Dataset, call: &str, operation: DataOp) -> Result<Dataset, Error> {
    let data = data.clone();
    leave_behind(call, move || data.then(operation))
}

/// The two data sets that a division makes, and how many examples of the second are also in the first.
fn divide(call: &str, data: &Dataset, sampling: Sampling, options: &Map) -> Result<Map, Error> {
    known_keys(call, options, DIVISION_OPTIONS.map(|(name, _)| name))?;
    let official = data.default_sizes();
    let size = |key: &str, default| options.get(key).map_or(Ok(default), |value| count(key, value));
    let (train, test, seed) = (size("train", official.0)?, size("test", official.1)?, seed_of(options)?);
    let data = data.clone();
    let divide = move || {
        let part = |is_test| data.then(DataOp::Part { sampling, train, test, seed, is_test, before: 0 });
        let (train, test) = (part(false)?, part(true)?);
        let overlap = train.overlap(&test) as i64;
        Ok((train, test, overlap))
    };
    let (train, test, overlap) = leave_behind(call, divide)?;
    Ok(Map::from_iter([
        ("train".into(), Dynamic::from(train)),
        ("test".into(), Dynamic::from(test)),
        ("overlap".into(), overlap.into()),
    ]))
}

/// Shows an image.
fn draw(data: &Dataset, index: usize) {
    let images = data.images();
    let [channels, height, width] = images.shape;
    let start = data.rows()[index] as usize * channels * height * width;
    let pixel = |y: usize, x: usize| {
        let value = |channel: usize| {
            let byte = images.bytes[start + (channel * height + y) * width + x];
            (f64::from(byte) / images.full_scale * 255.0).min(255.0) as u8
        };
        if channels >= 3 { [value(0), value(1), value(2)] } else { [value(0); 3] }
    };
    let rgb =
        (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).flat_map(|(y, x)| pixel(y, x)).collect();
    let label = data.labels()[index];
    let name = data.names().get(usize::from(label)).map(|name| format!(" ({name})")).unwrap_or_default();
    Picture { width, height, rgb }.show(&format!("image {index}, label {label}{name}"));
}

#[export_module]
pub mod functions {
    /// The 1,797 handwritten digits that are embedded in kelvin: 8x8 pixels, grey.
    ///
    /// ```
    /// digits()
    /// ```
    #[rhai_fn(return_raw)]
    pub fn digits(context: NativeCallContext) -> Scripted<Dataset> {
        loaded(Source::Digits).map_err(|error| at(&context, error))
    }

    /// Fetches the official files of a data set, "cifar10", "cifar100", "mnist" or "fashion_mnist", into the data folder,
    /// unless they are there, and returns its folder. Stopped, it goes on where it was when it is called again.
    ///
    /// ```no_run
    /// download("cifar10");
    /// cifar10()
    /// ```
    #[rhai_fn(return_raw)]
    pub fn download(context: NativeCallContext, name: &str) -> Scripted<String> {
        let session = Session::of(&context);
        let fetch = || {
            let folder = crate::data::download(name, &session.data_dir()?, &mut |text| session.tell(text))?;
            Ok(folder.to_string_lossy().into_owned())
        };
        fetch().map_err(|error| at(&context, error))
    }

    /// Encoded images (PNG, JPEG; 8 bits, opaque) and labels in Parquet files: a file, a folder or a glob. Labels are integers from 0, or texts:
    /// these are the classes' names, numbered in alphabetical order.
    ///
    /// ```no_run
    /// images("data/cifar100/train-*.parquet", #{ image: "img", label: "fine_label" })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn images(context: NativeCallContext, path: &str) -> Scripted<Dataset> {
        images_named(context, path, Map::new())
    }

    /// Encoded images and labels in Parquet files; `image` and `label` name the columns.
    #[rhai_fn(name = "images", return_raw)]
    pub fn images_named(context: NativeCallContext, path: &str, options: Map) -> Scripted<Dataset> {
        let load = || {
            known_keys("images", &options, IMAGES_OPTIONS.map(|(name, _)| name))?;
            let name = |key: &str| options.get(key).map(|value| text(key, value)).transpose();
            loaded(Source::Images {
                path: crate::script::convert::path(path),
                image: name("image")?,
                label: name("label")?,
            })
        };
        load().map_err(|error| at(&context, error))
    }

    /// Random class patterns with Gaussian pixel noise: `n` (1200), `classes` (10), `shape` ([1, 8, 8]),
    /// `noise` (1.0, in standard deviations of the patterns), `seed` (1).
    ///
    /// ```
    /// let data = synthetic(#{ n: 200, classes: 4, noise: 0.5, seed: 1 });
    /// train(#{ data: data, model: linear(), lr: 0.1, batch: 20, epochs: 3 })
    /// ```
    #[rhai_fn(return_raw)]
    pub fn synthetic(context: NativeCallContext, options: Map) -> Scripted<Dataset> {
        let load = || {
            known_keys("synthetic", &options, SYNTHETIC_OPTIONS.map(|(name, _)| name))?;
            let size = |key: &str, default| options.get(key).map_or(Ok(default), |value| count(key, value));
            let shape = match options.get("shape") {
                None => [1, 8, 8],
                Some(value) => {
                    let sizes = value.clone().try_cast::<Array>().unwrap_or_default();
                    let sizes =
                        sizes.iter().map(|size| count("shape", size)).collect::<Result<Vec<_>, _>>()?;
                    <[usize; 3]>::try_from(sizes).map_err(|_| {
                        Error::invalid(format!("shape: expected [channels, height, width], found {value}"))
                    })?
                }
            };
            loaded(Source::Synthetic(SyntheticOptions {
                n: size("n", 1200)?,
                classes: size("classes", 10)?,
                shape,
                noise: options.get("noise").map_or(Ok(1.0), |value| number("noise", value))?,
                seed: seed_of(&options)?,
            }))
        };
        load().map_err(|error| at(&context, error))
    }

    /// How many examples.
    #[rhai_fn(get = "len", pure)]
    pub fn len(data: &mut Dataset) -> i64 {
        data.len() as i64
    }

    /// How many classes.
    #[rhai_fn(get = "classes", pure)]
    pub fn classes(data: &mut Dataset) -> i64 {
        data.classes() as i64
    }

    /// The names of the classes, in the order of their labels, where the files say them; else an empty array.
    #[rhai_fn(get = "names", pure)]
    pub fn names(data: &mut Dataset) -> Array {
        data.names().iter().cloned().map(Dynamic::from).collect()
    }

    /// [channels, height, width].
    #[rhai_fn(get = "shape", pure)]
    pub fn shape(data: &mut Dataset) -> Array {
        data.shape().iter().map(|&size| Dynamic::from(size as i64)).collect()
    }

    /// The first `n` examples.
    ///
    /// ```
    /// digits().take(200)
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn take(context: NativeCallContext, data: &mut Dataset, n: i64) -> Scripted<Dataset> {
        let taken = count("take(n)", &n.into()).and_then(|n| changed(data, "take", DataOp::Take { n }));
        taken.map_err(|error| at(&context, error))
    }

    /// `n` examples drawn without replacement with `seed`.
    ///
    /// ```
    /// digits().subset(#{ n: 200, seed: 1 })
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn subset(context: NativeCallContext, data: &mut Dataset, options: Map) -> Scripted<Dataset> {
        let draw = || {
            known_keys("subset", &options, SUBSET_OPTIONS.map(|(name, _)| name))?;
            let n = options.get("n").ok_or_else(|| Error::invalid("subset: the option `n` is missing"))?;
            changed(data, "subset", DataOp::subset(count("n", n)?, seed_of(&options)?))
        };
        draw().map_err(|error| at(&context, error))
    }

    /// Replaces each label, with probability `p`, by another class drawn uniformly. Done again, labels are replaced again, with other
    /// random numbers; the column `label_noise` is the share of labels that both together change.
    ///
    /// ```
    /// let data = digits().take(200).label_noise(0.2, 1);
    /// train(#{ data: data, model: linear(), lr: 0.1, batch: 20, epochs: 3 })
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn label_noise(
        context: NativeCallContext,
        data: &mut Dataset,
        p: Dynamic,
        seed: i64,
    ) -> Scripted<Dataset> {
        number("p", &p)
            .and_then(|p| changed(data, "label_noise", DataOp::label_noise(p, seed)))
            .map_err(|error| at(&context, error))
    }

    /// Shuffles and cuts into `train` and `test`, which never overlap (the paper's data splitting, section 3.1): `overlap` is 0.
    ///
    /// ```
    /// let parts = digits().split(#{ train: 1000, test: 797, seed: 1 });
    /// print(parts.train);
    /// print(parts.test);
    /// parts.overlap
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn split(context: NativeCallContext, data: &mut Dataset, options: Map) -> Scripted<Map> {
        divide("split", data, Sampling::Split, &options).map_err(|error| at(&context, error))
    }

    /// Draws `train` and `test` independently, each without replacement (the paper's random sampling, section 3.1); they may overlap, and
    /// `overlap` says how many examples of `test` are also in `train`.
    ///
    /// ```
    /// let parts = digits().sample(#{ train: 1000, test: 797, seed: 1 });
    /// print(`${parts.overlap} of ${parts.test.len} test examples are also trained on`);
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn sample(context: NativeCallContext, data: &mut Dataset, options: Map) -> Scripted<Map> {
        divide("sample", data, Sampling::Random, &options).map_err(|error| at(&context, error))
    }

    /// The first rows are `train`, the next are `test`; `overlap` is 0.
    ///
    /// ```
    /// let parts = digits().fixed(#{ train: 1500, test: 297 });
    /// parts.test
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn fixed(context: NativeCallContext, data: &mut Dataset, options: Map) -> Scripted<Map> {
        divide("fixed", data, Sampling::Fixed, &options).map_err(|error| at(&context, error))
    }

    /// Draws example `i` in the terminal, or in the notebook.
    ///
    /// ```
    /// digits().show(0)
    /// ```
    #[rhai_fn(return_raw, pure)]
    pub fn show(context: NativeCallContext, data: &mut Dataset, i: i64) -> Scripted<()> {
        match usize::try_from(i) {
            Ok(index) if index < data.len() => {
                draw(data, index);
                Ok(())
            }
            _ => Err(at(&context, Error::invalid(format!("show({i}): expected 0 to {}", data.len() - 1)))),
        }
    }

    /// A data set in a line.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(data: &mut Dataset) -> String {
        let [channels, height, width] = data.shape();
        let mut name = data.spec().name().to_owned();
        if !data.spec().operations.is_empty() {
            name += " (part of it)";
        }
        let bytes = data.len() * channels * height * width;
        let memory = match bytes {
            0..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
            _ => format!("{:.1} MB", bytes as f64 / 1e6),
        };
        format!(
            "{name}: {} images {channels}x{height}x{width}, {} classes, {memory}",
            data.len(),
            data.classes()
        )
    }
}
