//! Fashion-MNIST: 70,000 pieces of clothing, in the format of MNIST.

use super::idx::{CLASSES, SIZES, archive, files, load};
use super::{Place, SourceEntry};

pub(super) const ENTRY: SourceEntry = SourceEntry {
    name: "fashion_mnist",
    doc: "70,000 pieces of clothing, 28x28 grey, from the official files",
    origin: "H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, 2017 (MIT)",
    sizes: Some(SIZES),
    classes: Some(CLASSES),
    place: Place::Folder,
    // Lengths and hashes as TensorFlow Datasets records them, in url_checksums/fashion_mnist.txt.
    archives: &[
        archive(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        archive(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        archive(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        archive(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ],
    files: |source| files(source.path().as_ref()),
    load: |source| load(source.path().as_ref()),
    ..SourceEntry::PLAIN
};
