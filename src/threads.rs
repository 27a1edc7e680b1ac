//! Threads, as far as the system starts them.

use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::error::{Error, Result};

/// Starts a thread of a scope.
///
/// # Errors
///
/// Where the system starts no more.
pub(crate) fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).map_err(|error| refused(&error))
}

/// What is said where the system starts no more threads.
pub(crate) fn refused(error: &std::io::Error) -> Error {
    Error::invalid(format!("the system starts no more threads ({error}); see ulimit -u"))
}
