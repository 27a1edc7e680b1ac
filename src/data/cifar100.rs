//! CIFAR-100 with its fine labels: 60,000 colour images of a hundred classes.

use super::cifar::{Cifar, ORIGIN, PIXELS};
use super::{Archive, Augmentation, Member, Place, SourceEntry, Unpack};

const FORMAT: Cifar = Cifar {
    classes: 100,
    labels: 2,
    files: &[
        Member { name: "train.bin", bytes: 50_000 * (2 + PIXELS as u64) },
        Member { name: "test.bin", bytes: 10_000 * (2 + PIXELS as u64) },
    ],
    folder: "cifar-100-binary",
};

pub(super) const ENTRY: SourceEntry = SourceEntry {
    name: "cifar100",
    doc: "60,000 colour images, 32x32, of a hundred classes, from the official binary files or Parquet",
    origin: ORIGIN,
    sizes: Some((50_000, 10_000)),
    classes: Some(FORMAT.classes),
    place: Place::Folder,
    // Length and hash as TensorFlow Datasets records them, in url_checksums/cifar100.txt.
    archives: &[Archive {
        address: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        bytes: 168_513_733,
        unpack: Some(Unpack { folder: FORMAT.folder, members: FORMAT.files }),
    }],
    augmentation: Augmentation::CropFlip,
    files: |source| FORMAT.files(source.path().as_ref()),
    load: |source| FORMAT.load(source.path().as_ref()),
    ..SourceEntry::PLAIN
};
