//! Data sets of labelled images.
//!
//! A data set is bytes in memory ([`Images`]), a plain description of where they come from and what
//! was done to them ([`DataSpec`], what a plan stores), and both together with the rows they leave
//! ([`Dataset`], what a script holds). One file per source, one entry per source in [`SOURCES`].

mod archive;
mod augment;
mod cifar;
mod dataset;
mod digits;
mod download;
mod folder;
mod http;
mod idx;
mod image_files;
mod images;
pub mod options;
mod sampling;
mod synthetic;

pub use archive::{Archive, Member, Unpack};
pub use augment::Augmentation;
pub(crate) use augment::ImageStore;
pub use dataset::{DataOp, DataSpec, Dataset};
pub use download::{Tell, download, fetch};
pub use folder::{DATA_VARIABLE, data_dir};
pub use http::Patience;
pub use images::Images;
pub(crate) use sampling::MOST_EXAMPLES;
pub use sampling::{Sample, Sampling};

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where images come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Source {
    /// The embedded handwritten digits.
    Digits,
    /// CIFAR-10, in a folder.
    Cifar10 {
        /// The folder with the official binary files or with Parquet files.
        path: String,
    },
    /// CIFAR-100 with its fine labels, in a folder.
    Cifar100 {
        /// The folder with the official binary files or with Parquet files.
        path: String,
    },
    /// MNIST, in a folder.
    Mnist {
        /// The folder with the official files.
        path: String,
    },
    /// Fashion-MNIST, in a folder.
    FashionMnist {
        /// The folder with the official files.
        path: String,
    },
    /// Parquet files with encoded images.
    Images {
        /// A file, a folder or a glob.
        path: String,
        /// The image column; none: found by its type.
        image: Option<String>,
        /// The label column; none: found by its name.
        label: Option<String>,
    },
    /// Random class patterns with Gaussian pixel noise.
    Synthetic(synthetic::Options),
}

pub use synthetic::Options as SyntheticOptions;

/// What help, completion and checking know of a source of images.
pub struct SourceInfo {
    /// The name in scripts.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub doc: &'static str,
    /// Who made it.
    pub origin: &'static str,
    /// The official sizes of the training and the test part, where there are any.
    pub sizes: Option<(usize, usize)>,
    /// How many classes, where that is known.
    pub classes: Option<usize>,
    /// Where its images are.
    pub place: Place,
    /// The official files.
    pub archives: &'static [Archive<'static>],
    /// Crops and flips that `augment: true` means.
    pub augmentation: Augmentation,
}

/// Where the images of a source are.
#[derive(Clone, Copy)]
pub enum Place {
    /// In the program.
    Inside,
    /// In `NAME/` of the data folder; this makes the source of a folder.
    Folder(fn(String) -> Source),
    /// Where the user says.
    Anywhere,
}

/// Every source of images.
pub const SOURCES: &[SourceInfo] = &[
    SourceInfo {
        name: "digits",
        doc: "1,797 handwritten digits, 8x8 grey, embedded in the program",
        origin: "E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (CC BY 4.0)",
        sizes: Some((1500, 297)),
        classes: Some(10),
        place: Place::Inside,
        archives: &[],
        augmentation: Augmentation::None,
    },
    SourceInfo {
        name: "cifar10",
        doc: "60,000 colour images, 32x32, of ten classes, from the official binary files or Parquet",
        origin: "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        sizes: Some((50_000, 10_000)),
        classes: Some(10),
        place: Place::Folder(|path| Source::Cifar10 { path }),
        archives: cifar::CIFAR10_ARCHIVES,
        augmentation: Augmentation::CropFlip,
    },
    SourceInfo {
        name: "cifar100",
        doc: "60,000 colour images, 32x32, of a hundred classes, from the official binary files or Parquet",
        origin: "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        sizes: Some((50_000, 10_000)),
        classes: Some(100),
        place: Place::Folder(|path| Source::Cifar100 { path }),
        archives: cifar::CIFAR100_ARCHIVES,
        augmentation: Augmentation::CropFlip,
    },
    SourceInfo {
        name: "mnist",
        doc: "70,000 handwritten digits, 28x28 grey, from the official files",
        origin: "Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits, 1998",
        sizes: Some((60_000, 10_000)),
        classes: Some(10),
        place: Place::Folder(|path| Source::Mnist { path }),
        archives: idx::MNIST_ARCHIVES,
        augmentation: Augmentation::None,
    },
    SourceInfo {
        name: "fashion_mnist",
        doc: "70,000 pieces of clothing, 28x28 grey, from the official files",
        origin: "H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, 2017 (MIT)",
        sizes: Some((60_000, 10_000)),
        classes: Some(10),
        place: Place::Folder(|path| Source::FashionMnist { path }),
        archives: idx::FASHION_MNIST_ARCHIVES,
        augmentation: Augmentation::None,
    },
    SourceInfo {
        name: "images",
        doc: "encoded images (PNG, JPEG) with labels in Parquet files",
        origin: "the user's own",
        sizes: None,
        classes: None,
        place: Place::Anywhere,
        archives: &[],
        augmentation: Augmentation::CropFlip,
    },
    SourceInfo {
        name: "synthetic",
        doc: "random class patterns with Gaussian pixel noise",
        origin: "drawn by kelvin from a seed",
        sizes: None,
        classes: None,
        place: Place::Inside,
        archives: &[],
        augmentation: Augmentation::None,
    },
];

impl SourceInfo {
    /// The source in a folder, if it is one that lies in a folder.
    pub fn in_folder(&self, folder: &Path) -> Option<Source> {
        match self.place {
            Place::Folder(source) => Some(source(folder.to_string_lossy().into_owned())),
            Place::Inside | Place::Anywhere => None,
        }
    }

    /// The source in the data folder, if it lies there.
    ///
    /// # Errors
    ///
    /// It does not lie there whole; the message says how to get it.
    pub fn found(&self, data_dir: &Path) -> Result<Source> {
        let name = self.name;
        let folder = data_dir.join(name);
        let source = self
            .in_folder(&folder)
            .ok_or_else(|| Error::invalid(format!("{name} does not lie in a folder")))?;
        match source.files() {
            Ok(_) => Ok(source),
            Err(error) if folder.exists() => Err(error),
            Err(_) => Err(Error::invalid(format!(
                "{name}(): there is no {}; fetch it with download(\"{name}\"), or write {name}(path) with the folder that has its files",
                folder.display()
            ))),
        }
    }
}

impl Source {
    /// The entry of this source in [`SOURCES`].
    pub fn info(&self) -> &'static SourceInfo {
        let index = match self {
            Self::Digits => 0,
            Self::Cifar10 { .. } => 1,
            Self::Cifar100 { .. } => 2,
            Self::Mnist { .. } => 3,
            Self::FashionMnist { .. } => 4,
            Self::Images { .. } => 5,
            Self::Synthetic(_) => 6,
        };
        &SOURCES[index]
    }

    /// How many classes it has, where that is known without loading it.
    fn classes(&self) -> Option<usize> {
        match self {
            Self::Synthetic(options) => Some(options.classes),
            _ => self.info().classes,
        }
    }

    /// Where its files lie, if it has any.
    pub(crate) fn path_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Cifar10 { path }
            | Self::Cifar100 { path }
            | Self::Mnist { path }
            | Self::FashionMnist { path }
            | Self::Images { path, .. } => Some(path),
            Self::Digits | Self::Synthetic(_) => None,
        }
    }

    /// The files that it is read from, found and, as far as their names, lengths and ends say, complete.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        match self {
            Self::Cifar10 { path } => cifar::CIFAR10.files(path.as_ref()),
            Self::Cifar100 { path } => cifar::CIFAR100.files(path.as_ref()),
            Self::Mnist { path } | Self::FashionMnist { path } => idx::files(path.as_ref()),
            Self::Images { path, .. } => {
                let files = image_files::files(path)?;
                image_files::check(&files).map(|()| files)
            }
            Self::Digits | Self::Synthetic(_) => Ok(Vec::new()),
        }
    }

    /// Reads or makes the images.
    fn load(&self) -> Result<Images> {
        match self {
            Self::Digits => digits::load(),
            Self::Cifar10 { path } => cifar::CIFAR10.load(path.as_ref()),
            Self::Cifar100 { path } => cifar::CIFAR100.load(path.as_ref()),
            Self::Mnist { path } | Self::FashionMnist { path } => idx::load(path.as_ref()),
            Self::Images { path, image, label } => {
                image_files::read(&image_files::files(path)?, image.as_deref(), label.as_deref())
            }
            Self::Synthetic(options) => synthetic::load(options),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list's names are those that plans store.
    #[test]
    fn every_source_finds_its_entry() {
        let path = String::new;
        let sources = [
            Source::Digits,
            Source::Cifar10 { path: path() },
            Source::Cifar100 { path: path() },
            Source::Mnist { path: path() },
            Source::FashionMnist { path: path() },
            Source::Images { path: path(), image: None, label: None },
            Source::Synthetic(SyntheticOptions { n: 1, classes: 1, shape: [1, 1, 1], noise: 0.0, seed: 1 }),
        ];
        assert_eq!(sources.len(), SOURCES.len());
        for source in sources {
            assert_eq!(serde_json::to_value(&source).unwrap()["name"], source.info().name);
        }
    }
}
