//! What this program says that it is.

use std::sync::LazyLock;

/// The versions of kelvin, with its commit, and of libtorch.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let commit = env!("KELVIN_GIT_COMMIT");
    let commit = if commit.is_empty() { String::new() } else { format!(" ({commit})") };
    format!("{}{commit}, libtorch {}", env!("CARGO_PKG_VERSION"), crate::torch::LIBTORCH_VERSION)
});
