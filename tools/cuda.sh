#!/usr/bin/env bash
# Builds libkelvin_cuda.so, which records training steps as CUDA graphs, beside the program: tools/cuda.sh [FOLDER]
#
# Needs g++ and the libtorch that `make setup` fetched, whose wheels have the headers; no CUDA toolkit and no GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
site=${KELVIN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kelvin}/libtorch-2.11.0/site
out=${1:-target/release}
mkdir -p "$out"
g++ -std=c++20 -O2 -shared -fPIC -Wall -o "$out/libkelvin_cuda.so" src/train/cuda/graphs.cpp \
    -isystem "$site/torch/include" -isystem "$site/torch/include/torch/csrc/api/include" -isystem "$site/nvidia/cu13/include" \
    -L"$site/torch/lib" -ltorch_cuda -lc10_cuda -lc10 -ltorch_cpu -Wl,--no-as-needed -Wl,--allow-shlib-undefined
ls -l "$out/libkelvin_cuda.so"
