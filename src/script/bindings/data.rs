//! Data sets in scripts.

use rhai::plugin::*;
use rhai::{Array, Dynamic, FuncRegistration, Map};

use super::entries::comment;
use crate::data::{
    DIVISION_OPTIONS, DataOp, Dataset, Place, SOURCES, SUBSET_OPTIONS, Sampling, Source, SourceEntry,
};
use crate::error::Error;
use crate::interrupt::leave_behind;
use crate::script::Session;
use crate::script::convert::{Scripted, at, count, given, number};
use crate::script::graphics::Picture;

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<Dataset>("Dataset");
}

/// `digits()`, `cifar10()` and `cifar10(path)`, `images(path)` and `images(path, #{…})`, and so on.
pub(super) fn add_constructors(module: &mut Module) {
    for entry in SOURCES.iter().copied() {
        let constructor = |place: &str, parameters: &[&str]| {
            let text = format!("{}{place}. {}", entry.doc, entry.more);
            FuncRegistration::new(entry.name)
                .in_global_namespace()
                .with_comments([comment(text.trim_end(), entry.example, entry.place == Place::Inside)])
                .with_params_info(parameters.iter().chain(&["Dataset"]))
        };
        match entry.place {
            Place::Inside if entry.options.is_empty() => {
                constructor("", &[]).set_into_module(module, move |context: NativeCallContext| {
                    made(&context, entry, None, &Map::new())
                });
            }
            Place::Inside => {
                constructor("", &["options: Map"])
                    .set_into_module(module, move |context: NativeCallContext, options: Map| {
                        made(&context, entry, None, &options)
                    });
            }
            Place::Folder => {
                let place = format!(", in {}/ of the data folder", entry.name);
                constructor(&place, &[]).set_into_module(
                    module,
                    move |context: NativeCallContext| -> Scripted<Dataset> {
                        let found = Session::of(&context).data_dir().and_then(|folder| entry.found(&folder));
                        found.and_then(loaded).map_err(|error| at(&context, error))
                    },
                );
            }
            Place::Anywhere => {
                constructor("", &["path: &str", "options: Map"]).set_into_module(
                    module,
                    move |context: NativeCallContext, path: &str, options: Map| {
                        made(&context, entry, Some(path), &options)
                    },
                );
            }
        }
        if entry.place != Place::Inside {
            let place = if entry.place == Place::Folder { ", in a folder" } else { "" };
            constructor(place, &["path: &str"])
                .set_into_module(module, move |context: NativeCallContext, path: &str| {
                    made(&context, entry, Some(path), &Map::new())
                });
        }
    }
}

/// The data set of a constructor's arguments.
fn made(
    context: &NativeCallContext,
    entry: &'static SourceEntry,
    path: Option<&str>,
    options: &Map,
) -> Scripted<Dataset> {
    let options = given(entry.name, entry.options, options);
    let path = path.map(crate::script::convert::path);
    let source = options.and_then(|options| entry.of_given(path, &options));
    source.and_then(loaded).map_err(|error| at(context, error))
}

/// The data set of a source. An interrupt leaves it behind: a disk may be slow, and a named pipe
/// may have no writer.
fn loaded(source: Source) -> Result<Dataset, Error> {
    leave_behind("the data set", move || Dataset::load(source))
}

/// A data set with a change, which takes seconds where there are hundreds of millions of examples.
fn changed(data: &Dataset, call: &str, operation: DataOp) -> Result<Dataset, Error> {
    let data = data.clone();
    leave_behind(call, move || data.then(operation))
}

/// The two data sets that a division makes, and how many examples of the second are also in the
/// first.
fn divide(call: &str, data: &Dataset, sampling: Sampling, options: &Map) -> Result<Map, Error> {
    let given = given(call, DIVISION_OPTIONS, options)?;
    let official = data.default_sizes();
    let train = given.given_count("train")?.unwrap_or(official.0);
    let test = given.given_count("test")?.unwrap_or(official.1);
    let seed = given.integer("seed")?;
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
    /// Fetches the official files of a data set such as "cifar10" or "mnist" into the data folder,
    /// unless they are there, and returns its folder. Stopped, it goes on where it was when it is
    /// called again.
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

    /// The names of the classes, in the order of their labels, where the files say them; else an
    /// empty array.
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
            let given = given("subset", SUBSET_OPTIONS, &options)?;
            changed(data, "subset", DataOp::subset(given.count("n")?, given.integer("seed")?))
        };
        draw().map_err(|error| at(&context, error))
    }

    /// Replaces each label, with probability `p`, by another class drawn uniformly. Done again,
    /// labels are replaced again, with other random numbers; the column `label_noise` is the share
    /// of labels that both together change.
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

    /// Shuffles and cuts into `train` and `test`, which never overlap (the paper's data splitting,
    /// section 3.1): `overlap` is 0.
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

    /// Draws `train` and `test` independently, each without replacement (the paper's random
    /// sampling, section 3.1); they may overlap, and `overlap` says how many examples of `test` are
    /// also in `train`.
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
