//! Data sets of labelled images.
//!
//! A data set is bytes in memory ([`Images`]), a plain description of where they come from and what
//! was done to them ([`DataSpec`], what a plan stores), and both together with the rows they leave
//! ([`Dataset`], what a script holds). One file per source, one entry per source in [`SOURCES`].

mod archive;
mod augment;
mod cifar;
mod cifar10;
mod cifar100;
mod dataset;
mod digits;
mod download;
mod fashion_mnist;
mod folder;
mod http;
mod idx;
mod image_files;
mod images;
mod mnist;
mod sampling;
mod source;
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
pub use sampling::{DIVISION_OPTIONS, SUBSET_OPTIONS, Sample, Sampling};
pub use source::{Place, Source, SourceEntry};
pub use synthetic::Options as SyntheticOptions;

/// Every source of images.
pub const SOURCES: &[&SourceEntry] = &[
    &digits::ENTRY,
    &cifar10::ENTRY,
    &cifar100::ENTRY,
    &mnist::ENTRY,
    &fashion_mnist::ENTRY,
    &image_files::ENTRY,
    &synthetic::ENTRY,
];
