//! Vectors whose lanes are replicas, of one image or of several.
//!
//! Lane i + R·p is replica i, of R, at the p-th of the images that a vector holds. A kernel is
//! written once, for any [`Vector`], and compiled for each: it is `#[inline(always)]`, and
//! [`Vector::run`] is where the processor's features begin. Replicas never mix, and every kernel
//! does the same operations in the same order whatever R and the processor, so a replica's bits
//! depend on how many images a vector holds and on nothing else.

mod lane;
mod numbers;
mod pair;
mod plain;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use self::lane::{
    DEEPEST, Kept, Scalar, Vector, fetch_two, lanes, lanes_mut, parts, parts_mut, with_replicas,
};
pub(super) use self::numbers::{Numbers, zeros};
pub(super) use self::pair::Pair;
pub(super) use self::plain::Plain;
#[cfg(target_arch = "x86_64")]
pub(super) use self::x86::{Avx2F32, Avx2F64, Avx512F32, Avx512F64};
