"""Seconds to decode a folder's Parquet files of images into one array, as PyTorch users do: pyarrow and Pillow,
one process per core."""

import io
import multiprocessing
import os
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
from PIL import Image


def decode(items):
    return np.stack([np.asarray(Image.open(io.BytesIO(item)).convert("RGB")) for item in items])


def main(folder):
    begin = time.perf_counter()
    images = []
    for path in sorted(Path(folder).rglob("*.parquet")):
        table = pyarrow.parquet.read_table(path)
        name = next(name for name in table.column_names if name in ("img", "image"))
        images += [item["bytes"] for item in table[name].to_pylist()]
    cores = os.cpu_count()
    share = -(-len(images) // (cores * 8))
    with multiprocessing.Pool(cores) as pool:
        parts = pool.map(decode, [images[i : i + share] for i in range(0, len(images), share)])
    array = np.concatenate(parts)
    assert len(array) == len(images)
    print(time.perf_counter() - begin)


if __name__ == "__main__":
    main(sys.argv[1])
