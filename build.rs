//! Puts libtorch's folder into the run path of every binary, and the git commit into the program.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=KELVIN_TORCH_LIB");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let lib = std::env::var("KELVIN_TORCH_LIB")
        .or_else(|_| std::env::var("LIBTORCH").map(|root| format!("{root}/lib")));
    match lib {
        Ok(lib) => println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}"),
        Err(_) => println!("cargo:warning=libtorch is not set up: run `make setup` first"),
    }

    // A file that does not exist would count as changed at every build.
    for file in ["build.rs", ".git/HEAD", ".git/logs/HEAD"] {
        if std::path::Path::new(file).exists() {
            println!("cargo:rerun-if-changed={file}");
        }
    }
    let commit = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map_or_else(String::new, |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!("cargo:rustc-env=KELVIN_GIT_COMMIT={commit}");
}
