//! Memory that begins where a vector may.

use super::lane::{Kept, Vector, lanes, lanes_mut};
use crate::error::{Error, Result};

/// As a slice of numbers that begins where a vector may.
pub(in super::super) struct Numbers<V: Vector> {
    vectors: Vec<V>,
    length: usize,
}

impl<V: Vector> Numbers<V> {
    /// This many zeros.
    pub(in super::super) fn zeros(length: usize) -> Result<Self> {
        Ok(Self { vectors: zeros(length.div_ceil(V::LANES))?, length })
    }
}

/// This many zeros; an error where there is no memory for them, which would end the process
/// otherwise.
pub(in super::super) fn zeros<V: Vector, T: Kept<V>>(length: usize) -> Result<Vec<T>> {
    let mut vectors = Vec::new();
    vectors.try_reserve_exact(length).map_err(|_| {
        let megabytes = (length * size_of::<T>()) as f64 / 1e6;
        Error::invalid(format!(
            "the system has no memory for {megabytes:.0} MB more; make batch or width smaller, or run fewer at once (jobs)"
        ))
    })?;
    vectors.resize(length, T::keep(V::zero()));
    Ok(vectors)
}

impl<V: Vector> std::ops::Deref for Numbers<V> {
    type Target = [V::Scalar];

    fn deref(&self) -> &[V::Scalar] {
        &lanes(&self.vectors)[..self.length]
    }
}

impl<V: Vector> std::ops::DerefMut for Numbers<V> {
    fn deref_mut(&mut self) -> &mut [V::Scalar] {
        &mut lanes_mut(&mut self.vectors)[..self.length]
    }
}
