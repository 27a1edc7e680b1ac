//! MNIST: 70,000 handwritten digits.

use super::idx::{CLASSES, SIZES, archive, files, load};
use super::{Place, SourceEntry};

pub(super) const ENTRY: SourceEntry = SourceEntry {
    name: "mnist",
    doc: "70,000 handwritten digits, 28x28 grey, from the official files",
    origin: "Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits, 1998",
    sizes: Some(SIZES),
    classes: Some(CLASSES),
    place: Place::Folder,
    // Lengths and hashes as TensorFlow Datasets records them, in url_checksums/mnist.txt. MNIST's
    // own page does not serve its files any more; the copy here is the one that is read there, too.
    archives: &[
        archive(
            "https://storage.googleapis.com/cvdf-datasets/mnist/train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        archive(
            "https://storage.googleapis.com/cvdf-datasets/mnist/train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        archive(
            "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        archive(
            "https://storage.googleapis.com/cvdf-datasets/mnist/t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ],
    files: |source| files(source.path().as_ref()),
    load: |source| load(source.path().as_ref()),
    ..SourceEntry::PLAIN
};
