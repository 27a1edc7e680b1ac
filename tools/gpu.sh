#!/usr/bin/env bash
# Everything that is to be measured on a machine with a GPU, in one command, from binaries built
# elsewhere.
#
#   tools/gpu.sh pack [CIFAR10]         here: gpu/ (ignored by git) with the stripped, compressed
#                                       programs, and CIFAR-10's Parquet files from the folder
#                                       CIFAR10, if given
# tools/gpu.sh run [OUT] [SECONDS]    there, in this folder with gpu/ beside it: needs python3 with
#                                       torch 2.11 (CUDA), no compiler; writes Parquet, a page and
#                                       plots into OUT (default gpu/out), and all of it into
#                                       OUT.tar.gz; after SECONDS (default 900) of comparing speeds
#                                       begins no other case
set -euo pipefail
cd "$(dirname "$0")/.."

pack() {
    make build
    cargo build --release --locked --example bench
    rm -rf gpu && mkdir gpu
    tools/cuda.sh gpu
    strip -o gpu/kelvin target/release/kelvin
    strip -o gpu/bench target/release/examples/bench
    # One archive: the two share most of their code.
    tar -C gpu -c kelvin bench | xz --threads=1 --lzma2=preset=9,dict=256MiB >gpu/programs.tar.xz
    rm gpu/kelvin gpu/bench
    if [ -n "${1:-}" ]; then
        cp -r "$1" gpu/cifar10
    fi
    du -sh gpu
}

run() {
    local out=${1:-gpu/out} seconds=${2:-900}
    mkdir -p "$out" results
    out=$(cd "$out" && pwd)
    python3 -c 'import tarfile; tarfile.open("gpu/programs.tar.xz").extractall("gpu", filter="data")'
    LD_LIBRARY_PATH=$(python3 -c 'import torch; print(torch.__path__[0] + "/lib")')
    export LD_LIBRARY_PATH
    nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv | tee "$out/gpu.csv"

    # Epochs at the paper's scale beside its 28 s (batch 20) and 2 s (batch 2,000) on an RTX 3080,
    # then a short sweep of Figure 1.
    if [ -d gpu/cifar10 ]; then
        gpu/kelvin run --quiet --allow-write "$out" tools/gpu-epochs.rhai -D data=gpu/cifar10 -D dir="$out/epochs" 2>&1 | tee "$out/epochs.txt"
        gpu/kelvin run --quiet --allow-write "$out" scripts/figure01.rhai -D scale=paper -D data=gpu/cifar10 -D precision=tf32 \
            -D epochs=2 -D seeds=1 -D dir="$out/figure01" 2>&1 | tee "$out/figure01.txt"
    fi

    # The same losses as PyTorch's, then the comparison of speeds.
    gpu/bench "$(command -v python3)" --device cuda --no-compile --seconds "$seconds" losses train 2>&1 | tee "$out/bench.txt"
    cp results/bench*.parquet results/bench.md "$out"
    # In one file, whatever brings it back.
    tar -C "$out" -czf "$out.tar.gz" .
}

case "${1:-}" in
    pack) pack "${2:-}" ;;
    run) run "${2:-}" "${3:-}" ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
