#!/usr/bin/env bash
# Everything that is to be measured on a machine with a GPU, in one command, from binaries built elsewhere.
#
#   tools/gpu.sh pack [CIFAR10]   here: gpu/ (ignored by git) with the stripped, compressed programs, and CIFAR-10's
#                                 Parquet files from the folder CIFAR10, if given
#   tools/gpu.sh run [OUT]        there, in this folder with gpu/ beside it: needs python3 with torch 2.11 (CUDA), no compiler;
#                                 writes Parquet, a page and plots into OUT (default gpu/out)
set -euo pipefail
cd "$(dirname "$0")/.."

pack() {
    make build
    cargo build --release --locked --example bench
    rm -rf gpu && mkdir gpu
    tools/cuda.sh gpu
    for program in target/release/kelvin target/release/examples/bench; do
        strip -o "gpu/$(basename "$program")" "$program"
        xz -9 --threads=0 "gpu/$(basename "$program")"
    done
    if [ -n "${1:-}" ]; then
        cp -r "$1" gpu/cifar10
    fi
    du -sh gpu
}

run() {
    local out=${1:-gpu/out}
    mkdir -p "$out" results
    out=$(cd "$out" && pwd)
    for program in gpu/*.xz; do
        python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[1][:-3], "wb"))' "$program"
        chmod +x "${program%.xz}"
    done
    LD_LIBRARY_PATH=$(python3 -c 'import torch; print(torch.__path__[0] + "/lib")')
    export LD_LIBRARY_PATH
    nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv | tee "$out/gpu.csv"

    # The same losses as PyTorch's, then the comparison of speeds.
    gpu/bench "$(command -v python3)" --device cuda --no-compile losses train 2>&1 | tee "$out/bench.txt"
    cp results/bench*.parquet results/bench.md "$out"

    # Epochs at the paper's scale beside its 28 s (batch 20) and 2 s (batch 2,000) on an RTX 3080, then a short sweep of figure 1.
    if [ -d gpu/cifar10 ]; then
        gpu/kelvin run --allow-write "$out" tools/gpu-epochs.rhai -D data=gpu/cifar10 -D dir="$out/epochs" -D epochs=2 2>&1 | tee "$out/epochs.txt"
        gpu/kelvin run --allow-write "$out" scripts/figure01.rhai -D scale=paper -D data=gpu/cifar10 -D precision=tf32 -D epochs=2 \
            -D seeds=1 -D dir="$out/figure01" 2>&1 | tee "$out/figure01.txt"
    fi
}

case "${1:-}" in
    pack) pack "${2:-}" ;;
    run) run "${2:-}" ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
