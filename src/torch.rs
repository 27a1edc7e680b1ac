//! The few things about libtorch that concern the whole process.

use std::sync::Once;

use tch::{Cuda, Device};

use crate::cuda;
use crate::error::{Error, Result};
pub use crate::precision::Precision;

/// The version of libtorch that kelvin is built against.
pub const LIBTORCH_VERSION: &str = "2.11.0";

/// Prepares libtorch; call it before anything else touches a tensor. Calling it again does nothing.
///
/// Where an NVIDIA driver is present, CUDA is loaded now and registers itself, so that one binary
/// serves machines with and without a GPU. Every thread gets one torch thread: kelvin keeps the cores
/// busy with runs, and a result must not depend on how an operation was cut into threads.
pub fn initialize() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        load_cuda();
        tch::set_num_threads(1);
        tch::set_num_interop_threads(1);
    });
}

#[cfg(target_os = "linux")]
fn load_cuda() {
    if !std::path::Path::new("/proc/driver/nvidia/version").exists() {
        return;
    }
    // libtorch computes float32 convolutions in TF32 by default; `float32` means what it says.
    let forbid = || {
        if std::env::var_os("NVIDIA_TF32_OVERRIDE").is_none() {
            // SAFETY: this runs before any thread that reads the environment is started.
            unsafe { std::env::set_var("NVIDIA_TF32_OVERRIDE", "0") };
        }
    };
    if !cuda::is_there() {
        forbid();
    }
    // SAFETY: the name is a C string, and loading a library of libtorch runs only its own initialisers.
    unsafe { libc::dlopen(c"libtorch_cuda.so".as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if cuda::is_there() && !cuda::forbid_tf32() {
        forbid();
    }
}

#[cfg(not(target_os = "linux"))]
fn load_cuda() {}

/// The device to train on when none is asked for: the first GPU, else the CPU.
pub fn default_device() -> Device {
    initialize();
    if Cuda::is_available() { Device::Cuda(0) } else { Device::Cpu }
}

/// The devices of a name: `auto`, `cpu`, `cuda` (the first GPU), `cuda:1`, `cuda:0,1`. One that is not there is an error.
pub fn devices_named(name: &str) -> Result<Vec<Device>> {
    initialize();
    match name {
        "auto" => Ok(vec![default_device()]),
        name => devices(name, Cuda::device_count()),
    }
}

/// The first device of a name.
pub fn device_named(name: &str) -> Result<Device> {
    Ok(devices_named(name)?[0])
}

/// The devices of a name where there are so many GPUs; never none, none twice.
fn devices(name: &str, count: i64) -> Result<Vec<Device>> {
    let indices = match name.strip_prefix("cuda") {
        None if name == "cpu" => return Ok(vec![Device::Cpu]),
        Some("") => Some(vec![0]),
        Some(list) => list.strip_prefix(':').and_then(|list| {
            list.split(',').map(|index| index.trim().parse().ok()).collect::<Option<Vec<usize>>>()
        }),
        None => None,
    };
    let indices = indices.filter(|all| (1..all.len()).all(|at| !all[..at].contains(&all[at])));
    let indices = indices.ok_or_else(|| {
        Error::invalid(format!(
            "device: expected \"auto\", \"cpu\", \"cuda\", \"cuda:0\" or \"cuda:0,1\", found \"{name}\""
        ))
    })?;
    if indices.iter().any(|&index| index as i64 >= count) {
        return Err(Error::invalid(format!(
            "device: \"{name}\" is not there, libtorch sees {count} GPUs; write \"cpu\" or \"auto\""
        )));
    }
    Ok(indices.into_iter().map(Device::Cuda).collect())
}

/// The name of a device: `cpu`, `cuda:0`.
pub fn device_name(device: Device) -> String {
    match device {
        Device::Cuda(index) => format!("cuda:{index}"),
        _ => "cpu".to_owned(),
    }
}

/// Whether the processor multiplies bfloat16 numbers.
pub fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_devices_that_are_there() {
        let gpus = |indices: &[usize]| indices.iter().copied().map(Device::Cuda).collect::<Vec<_>>();
        assert_eq!(devices("cpu", 2).unwrap(), [Device::Cpu]);
        for (name, expected) in
            [("cuda", &[0][..]), ("cuda:1", &[1]), ("cuda:1,0", &[1, 0]), ("cuda:0, 1", &[0, 1])]
        {
            assert_eq!(devices(name, 2).unwrap(), gpus(expected), "{name}");
        }
        for (name, count, expected) in [
            ("cuda", 0, "is not there, libtorch sees 0 GPUs"),
            ("cuda:0,2", 2, "is not there, libtorch sees 2 GPUs"),
            ("cuda:-1", 2, "expected \"auto\""),
            ("cuda:0,0", 2, "expected \"auto\""),
            ("cuda:", 2, "expected \"auto\""),
            ("gpu", 2, "expected \"auto\""),
            ("cuda1", 2, "expected \"auto\""),
        ] {
            let error = devices(name, count).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(name), "{name}: {error}");
        }
        assert_eq!(device_named("cpu").unwrap(), Device::Cpu);
    }
}
