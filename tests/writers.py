"""Writes Parquet files as pyarrow, pandas, polars and DuckDB write them, for tests/it/writers.rs.

    python tests/writers.py DIR

DIR/tables/*.parquet: the same 5,000 rows in every codec, page version and encoding that the writers offer.
DIR/hub/*.parquet: images in the layout of public hubs, three files of 8x6 colour PNG.
DIR/plain.parquet: the same images as plain bytes under other names, large and in a dictionary.
DIR/tags.parquet: 3 of 90 short texts in each of 300,000 lists.
DIR/brotli.parquet, DIR/int128.parquet: sound files that kelvin does not read.
DIR/long.parquet: a million rows of few values, which pack to almost nothing, and a text of 200 kB in one of them.
"""

import itertools
import json
import struct
import sys
import zlib
from pathlib import Path

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 5000
folder = Path(sys.argv[1])


def png(width, height, pixel):
    """A colour PNG file, without a library."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + b"".join(bytes(pixel(x, y)) for x in range(width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def tables():
    """Columns of every kind of encoding: numbers, texts with shared beginnings, nulls, lists, structures."""
    (folder / "tables").mkdir(parents=True)
    table = pa.table(
        {
            "id": pa.array(range(ROWS), pa.int64()),
            "small": pa.array([i % 7 for i in range(ROWS)], pa.int32()),
            "x": pa.array([i * 0.25 for i in range(ROWS)], pa.float64()),
            "half": pa.array([None if i % 11 == 0 else i * 0.5 for i in range(ROWS)], pa.float32()),
            "flag": pa.array([i % 3 == 0 for i in range(ROWS)], pa.bool_()),
            "name": pa.array([None if i % 5 == 0 else f"a common beginning {i // 10}" for i in range(ROWS)]),
            "fixed": pa.array([struct.pack(">I", i) for i in range(ROWS)], pa.binary(4)),
            "time": pa.array([i * 1_000_000 for i in range(ROWS)], pa.timestamp("us")),
            "list": pa.array([list(range(i % 4)) if i % 6 else None for i in range(ROWS)], pa.list_(pa.int32())),
            "texts": pa.array([[f"t{j}" for j in range(i % 3)] for i in range(ROWS)], pa.list_(pa.string())),
            "both": pa.array([{"a": i, "b": str(i)} for i in range(ROWS)]),
            "none": pa.array([None] * ROWS, pa.string()),
        }
    )
    codecs = ["none", "snappy", "gzip", "zstd", "lz4"]
    for codec, version, dictionary in itertools.product(codecs, ["1.0", "2.0"], [True, False]):
        pq.write_table(
            table,
            folder / f"tables/pyarrow-{codec}-{version}-{dictionary}.parquet",
            compression=codec,
            data_page_version=version,
            use_dictionary=dictionary,
            data_page_size=4096,
            row_group_size=2000,
        )
    encodings = [
        {"id": "DELTA_BINARY_PACKED", "small": "DELTA_BINARY_PACKED", "name": "DELTA_BYTE_ARRAY", "none": "DELTA_BYTE_ARRAY"},
        {"name": "DELTA_LENGTH_BYTE_ARRAY", "x": "BYTE_STREAM_SPLIT", "half": "BYTE_STREAM_SPLIT", "flag": "RLE"},
        {"fixed": "DELTA_BYTE_ARRAY", "texts.list.element": "DELTA_BYTE_ARRAY", "both.b": "DELTA_LENGTH_BYTE_ARRAY"},
    ]
    for number, encoding in enumerate(encodings):
        for version in ["1.0", "2.0"]:
            pq.write_table(
                table,
                folder / f"tables/encoded-{number}-{version}.parquet",
                use_dictionary=False,
                column_encoding=encoding,
                data_page_version=version,
                compression="gzip" if number == 1 else "snappy",
                data_page_size=3000,
                write_statistics=number != 2,
            )
    table.to_pandas().to_parquet(folder / "tables/pandas.parquet")
    frame = polars.from_arrow(table)
    frame.write_parquet(folder / "tables/polars.parquet")
    frame.write_parquet(folder / "tables/polars-lz4.parquet", compression="lz4", row_group_size=700)
    for codec in ["snappy", "zstd", "gzip", "lz4_raw"]:
        for version in ["v1", "v2"]:
            duckdb.sql(
                f"copy (select * from \"table\") to '{folder}/tables/duckdb-{codec}-{version}.parquet' "
                f"(format parquet, compression {codec}, parquet_version {version})"
            )


def images():
    """Pixel (x, y) of image n has the colour (n, 10 x, 20 y)."""
    (folder / "hub").mkdir(parents=True)

    def picture(n):
        return png(8, 6, lambda x, y: (n, 10 * x, 20 * y))

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}}}
    schema = pa.schema([("image", image), ("label", pa.int64())], metadata={"huggingface": json.dumps(features)})
    files = [("test-00000-of-00001", 20, 30), ("train-00000-of-00002", 0, 10), ("train-00001-of-00002", 10, 20)]
    for name, first, last in files:
        rows = [{"image": {"bytes": picture(n), "path": f"{n}.png"}, "label": n % 3} for n in range(first, last)]
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"hub/{name}.parquet", row_group_size=4)
    pictures = pa.array([picture(n) for n in range(30)], pa.large_binary())
    labels = {"fine": pa.array([n % 3 for n in range(30)], pa.uint8()), "coarse": pa.array([0] * 30, pa.int8())}
    plain = pa.table({"number": range(30), "picture": pictures.dictionary_encode(), "other": pictures, **labels})
    pq.write_table(plain, folder / "plain.parquet", compression="zstd")


def long():
    """Few values in many rows."""
    n = 1_000_000
    names = ["alpha", "beta", "x" * 200_000]
    codes = pa.array([2 if i == 500_000 else i * 2 // n for i in range(n)], pa.int32())
    table = pa.table(
        {
            "lr": pa.array([0.1 * (1 + i * 4 // n) for i in range(n)]),
            "batch": pa.array([16 << (i % 3) for i in range(n)], pa.int64()),
            "name": pa.DictionaryArray.from_arrays(codes, pa.array(names)),
            "epoch": pa.array([i % 50 for i in range(n)], pa.int64()),
        }
    )
    pq.write_table(table, folder / "long.parquet")


def tags():
    """Lists of short texts, whose dictionary is small."""
    names = [f"tag-{i}" for i in range(90)]
    lists = pa.array([[names[(i + j) % 90] for j in range(3)] for i in range(300_000)])
    pq.write_table(pa.table({"tags": lists}), folder / "tags.parquet")


def others():
    """What kelvin does not read."""
    pq.write_table(pa.table({"x": [1, 2, 3]}), folder / "brotli.parquet", compression="brotli")
    polars.DataFrame({"i": polars.Series([1, -2], dtype=polars.Int128)}).write_parquet(folder / "int128.parquet")


tables()
images()
long()
tags()
others()
