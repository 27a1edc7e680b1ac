#!/usr/bin/env bash
# Builds libkelvin_cuda.so, with which runs on a GPU are recorded as CUDA graphs: tools/cuda.sh
# [FOLDER], by default beside the program.
#
# Needs g++ and the libtorch that `make setup` fetched, whose wheels have the headers but for the
# compiler's, which are fetched (0.1 MB); no CUDA toolkit and no GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${KELVIN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kelvin}
site=$cache/libtorch-2.11.0/site
crt=$cache/cuda-crt-13.0.88
# A folder that lacks the header was not unpacked by this, or not to its end.
if [ ! -s "$crt/nvidia/cu13/include/crt/host_runtime.h" ]; then
    folder=$(mktemp -d)
    python3 -m pip download --quiet --no-deps --dest "$folder" nvidia-cuda-crt==13.0.88
    wheel=$(ls "$folder"/*.whl)
    echo "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4  $wheel" | sha256sum --check --quiet
    rm -rf "$crt" "$crt.new"
    python3 -m zipfile -e "$wheel" "$crt.new"
    mv "$crt.new" "$crt"
    rm -r "$folder"
fi
out=${1:-target/release}
mkdir -p "$out"
g++ -std=c++20 -O2 -shared -fPIC -o "$out/libkelvin_cuda.so" src/cuda/libtorch.cpp \
    -isystem "$site/torch/include" -isystem "$site/torch/include/torch/csrc/api/include" \
    -isystem "$site/nvidia/cu13/include" -isystem "$crt/nvidia/cu13/include" \
    -L"$site/torch/lib" -Wl,--no-as-needed -ltorch_cuda -lc10_cuda -lc10 -Wl,--allow-shlib-undefined
ls -l "$out/libkelvin_cuda.so"
