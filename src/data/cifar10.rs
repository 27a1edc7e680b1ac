//! CIFAR-10: 60,000 colour images of ten classes.

use super::cifar::{Cifar, ORIGIN, PIXELS};
use super::{Archive, Augmentation, Member, Place, SourceEntry, Unpack};

/// Bytes of 10,000 records.
const BATCH: u64 = 10_000 * (1 + PIXELS as u64);

const FORMAT: Cifar = Cifar {
    classes: 10,
    labels: 1,
    files: &[
        Member { name: "data_batch_1.bin", bytes: BATCH },
        Member { name: "data_batch_2.bin", bytes: BATCH },
        Member { name: "data_batch_3.bin", bytes: BATCH },
        Member { name: "data_batch_4.bin", bytes: BATCH },
        Member { name: "data_batch_5.bin", bytes: BATCH },
        Member { name: "test_batch.bin", bytes: BATCH },
    ],
    folder: "cifar-10-batches-bin",
};

pub(super) const ENTRY: SourceEntry = SourceEntry {
    name: "cifar10",
    doc: "60,000 colour images, 32x32, of ten classes, from the official binary files or Parquet",
    origin: ORIGIN,
    sizes: Some((50_000, 10_000)),
    classes: Some(FORMAT.classes),
    place: Place::Folder,
    // Length and hash as TensorFlow Datasets records them, in url_checksums/cifar10.txt.
    archives: &[Archive {
        address: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        bytes: 170_052_171,
        unpack: Some(Unpack { folder: FORMAT.folder, members: FORMAT.files }),
    }],
    augmentation: Augmentation::CropFlip,
    files: |source| FORMAT.files(source.path().as_ref()),
    load: |source| FORMAT.load(source.path().as_ref()),
    ..SourceEntry::PLAIN
};
