"""Write Parquet as pandas, polars, pyarrow, DuckDB and Spark do, and what kelvin should make of it.

    python foreign.py DIR

Writes files and folders under DIR, and DIR/expected.json: {name: {"path": file, folder or glob under DIR,
"types": {column: kelvin's name of its type, in order}, "columns": {column: values as kelvin's JSON has them}}}. The
values come from the Python objects that were written, not from reading the files again.
"""

import json
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

TIME = datetime(2024, 3, 31, 12, 30, 15, 250000)
UTC_TEXT = "2024-03-31T10:30:15.250Z"  # TIME in Berlin, where summer had begun that night
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


def by_pandas(folder):
    frame = pd.DataFrame(
        {
            "category": pd.Categorical(["b", None, "a"], categories=["a", "b"]),
            "ordered": pd.Categorical([3, 1, None], categories=[1, 2, 3], ordered=True),
            "when": pd.to_datetime([TIME, None, TIME]).astype("datetime64[ns]"),
            "zoned": pd.to_datetime([TIME, None, TIME]).tz_localize("Europe/Berlin"),
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "small": pd.array([1, None, 255], dtype="UInt8"),
            "single": np.array([0.5, np.nan, -1.25], dtype="float32"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "text": ["it's", None, 'a "b"'],
            "Upper Case": [1.5, 2.5, 3.5],
            "span": pd.to_timedelta([90, None, 1], unit="s"),
        },
        index=pd.Index([10, 20, 30], name="id"),
    )
    frame.to_parquet(folder / "pandas.parquet")
    return "pandas.parquet", {
        "category": ("text", ["b", None, "a"]),
        "ordered": ("int64", [3, 1, None]),
        "when": ("time", ["2024-03-31T12:30:15.250", None, "2024-03-31T12:30:15.250"]),
        "zoned": ("time (UTC)", [UTC_TEXT, None, UTC_TEXT]),
        "nullable": ("int64", [1, None, 3]),
        "small": ("uint8", [1, None, 255]),
        # pandas writes the NaN of a float column as null.
        "single": ("float32", [0.5, None, -1.25]),
        "flag": ("bool", [True, None, False]),
        "text": ("text", ["it's", None, 'a "b"']),
        "Upper Case": ("float64", [1.5, 2.5, 3.5]),
        "span": ("duration", ["PT90S", None, "PT1S"]),
        "id": ("int64", [10, 20, 30]),
    }


def by_polars(folder):
    large = 2**64 - 1
    frame = pl.DataFrame({
        "text": pl.Series(["a", None, "long enough not to be inlined in a string view"]),
        "category": pl.Series(["x", None, "y"], dtype=pl.Categorical),
        "choice": pl.Series(["lo", "hi", None], dtype=pl.Enum(["lo", "hi"])),
        "u8": pl.Series([1, None, 255], dtype=pl.UInt8),
        "u16": pl.Series([1, None, 65535], dtype=pl.UInt16),
        "u32": pl.Series([1, None, 2**32 - 1], dtype=pl.UInt32),
        "u64": pl.Series([1, None, large], dtype=pl.UInt64),
        "i8": pl.Series([-128, None, 127], dtype=pl.Int8),
        "day": pl.Series([date(2024, 2, 29), None, date(1969, 12, 31)]),
        "when": pl.Series([TIME, None, TIME], dtype=pl.Datetime("us")),
        "zoned": pl.Series([TIME, None, TIME], dtype=pl.Datetime("ms")).dt.replace_time_zone("Europe/Berlin"),
        "span": pl.Series([timedelta(seconds=90), None, timedelta(seconds=1)], dtype=pl.Duration("us")),
        "clock": pl.Series([time(12, 30, 15), None, time(0, 0, 1)]),
        "list": pl.Series([[1.0, 2.5], None, []], dtype=pl.List(pl.Float64)),
        "parts": pl.Series([{"a": 1, "b": "x"}, {"a": 2, "b": None}, {"a": None, "b": "z"}]),
        "money": pl.Series([Decimal("1.50"), None, Decimal("-0.25")], dtype=pl.Decimal(10, 2)),
        "nothing": pl.Series([None, None, None], dtype=pl.Null),
        "nan": pl.Series([float("nan"), None, 1.0]),
    })
    frame.write_parquet(folder / "polars.parquet")
    return "polars.parquet", {
        "text": ("text", frame["text"].to_list()),
        "category": ("text", ["x", None, "y"]),
        "choice": ("text", ["lo", "hi", None]),
        "u8": ("uint8", [1, None, 255]),
        "u16": ("uint16", [1, None, 65535]),
        "u32": ("uint32", [1, None, 2**32 - 1]),
        "u64": ("uint64", [1, None, large]),
        "i8": ("int8", [-128, None, 127]),
        "day": ("date", ["2024-02-29", None, "1969-12-31"]),
        "when": ("time", ["2024-03-31T12:30:15.250", None, "2024-03-31T12:30:15.250"]),
        "zoned": ("time (UTC)", [UTC_TEXT, None, UTC_TEXT]),
        "span": ("duration", ["PT90S", None, "PT1S"]),
        "clock": ("time of day", ["12:30:15", None, "00:00:01"]),
        "list": ("list of float64", [[1.0, 2.5], None, []]),
        "parts": ("struct", [{"a": 1, "b": "x"}, {"a": 2, "b": None}, {"a": None, "b": "z"}]),
        "money": ("decimal", [1.5, None, -0.25]),
        "nothing": ("null", [None, None, None]),
        # JSON has no NaN.
        "nan": ("float64", [None, None, 1.0]),
    }


def by_pyarrow(folder):
    table = pa.table({
        "large": pa.array(["a", None, "b"], pa.large_string()),
        "view": pa.array(["a", None, "b"], pa.string_view()),
        "dictionary": pa.array([1.5, None, 1.5]).dictionary_encode(),
        "half": pa.array([np.float16(0.5), None, np.float16(2)], pa.float16()),
        "bytes": pa.array([b"\x00\x01", None, b""], pa.binary()),
        "naive": pa.array([TIME, None, TIME], pa.timestamp("ms")),
        "utc": pa.array([TIME, None, TIME], pa.timestamp("us", "UTC")),
        "lists": pa.array([["x", None], None, []], pa.list_(pa.string())),
        "int": pa.array([1, 2, 3], pa.int32()),
    })
    # Row groups of one row: a dictionary in each.
    pq.write_table(table, folder / "pyarrow.parquet", row_group_size=1, compression="zstd")
    return "pyarrow.parquet", {
        "large": ("text", ["a", None, "b"]),
        "view": ("text", ["a", None, "b"]),
        "dictionary": ("float64", [1.5, None, 1.5]),
        "half": ("float32", [0.5, None, 2.0]),
        "bytes": ("bytes", ["0001", None, ""]),
        "naive": ("time", ["2024-03-31T12:30:15.250", None, "2024-03-31T12:30:15.250"]),
        "utc": ("time (UTC)", ["2024-03-31T12:30:15.250Z", None, "2024-03-31T12:30:15.250Z"]),
        "lists": ("list of text", [["x", None], None, []]),
        "int": ("int32", [1, 2, 3]),
    }


def by_duckdb(folder):
    base = duckdb.connect()
    base.sql("create type mood as enum ('sad', 'ok')")
    base.sql(f"""copy (select * from (values
        (1.25::decimal(10, 2), 170141183460469231731687303715884105727::hugeint, 'ok'::mood, 4294967295::uinteger,
         18446744073709551615::ubigint, '2024-02-29'::date, '2024-03-31 12:30:15.25'::timestamp, [1, 2], {{'a': 1}}, null),
        (null, 2::hugeint, null, null, null, null, null, null, null, null))
        t(money, huge, mood, u, u8, day, "when", list, parts, nothing)) to '{folder}/duckdb.parquet' (format parquet)""")
    return "duckdb.parquet", {
        "money": ("decimal", [1.25, None]),
        # DuckDB itself writes huge integers as floats.
        "huge": ("float64", [float(2**127 - 1), 2.0]),
        "mood": ("text", ["ok", None]),
        "u": ("uint32", [4294967295, None]),
        "u8": ("uint64", [18446744073709551615, None]),
        "day": ("date", ["2024-02-29", None]),
        "when": ("time", ["2024-03-31T12:30:15.250", None]),
        "list": ("list of int32", [[1, 2], None]),
        "parts": ("struct", [{"a": 1}, None]),
        "nothing": ("null", [None, None]),
    }


def write_part(folder, name, table, **options):
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name, compression="snappy", **options)
    (folder / f".{name}.crc").write_bytes(b"crc\x00\x00\x02\x00")


def as_spark(folder):
    """The layout of Spark: parts in folders of keys, with marks and checksums beside them."""
    root = folder / "spark"
    part = "part-00000-6e2b0d5c-8a7e-4f1a-9a57-000000000000.c000.snappy.parquet"
    when = pa.array([TIME], pa.timestamp("ns"))
    full = pa.table({"id": pa.array([1], pa.int32()), "value": [0.5], "when": when})
    # Columns in another order, and wider ones.
    other = pa.table({"value": pa.array([2], pa.int64()), "when": when, "id": pa.array([2], pa.int64())})
    lacking = pa.table({"id": pa.array([3], pa.int32()), "new": ["x"]})
    old = {"use_deprecated_int96_timestamps": True, "store_schema": False}
    write_part(root / "lr=0.1" / "batch=32" / "name=a%2Fb", part, full, **old)
    write_part(root / "lr=1" / "batch=8" / f"name={HIVE_NULL}", part, other, **old)
    write_part(root / "lr=1" / f"batch={HIVE_NULL}" / "name=3", part, lacking, **old)
    write_part(root / "_temporary" / "0", part, pa.table({"unfinished": [1]}))
    (root / "_SUCCESS").touch()
    (root / "._SUCCESS.crc").touch()
    pq.write_metadata(full.schema, root / "_metadata")
    pq.write_metadata(full.schema, root / "_common_metadata")
    # In the order of the files' names.
    text = "2024-03-31T12:30:15.250"
    return "spark", {
        "id": ("int64", [1, 2, 3]),
        "value": ("float64", [0.5, 2.0, None]),
        "when": ("time", [text, text, None]),
        "lr": ("float64", [0.1, 1.0, 1.0]),
        "batch": ("int64", [32, 8, None]),
        "name": ("text", ["a/b", None, "3"]),
        "new": ("text", [None, None, "x"]),
    }


def by_pandas_in_folders(folder):
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "k": [10, 9, 10], "t": ["b", None, "a b"]})
    frame.to_parquet(folder / "partitioned", partition_cols=["k", "t"])
    return "partitioned/*/*/*.parquet", {
        "x": ("float64", [3.0, 1.0, 2.0]), "k": ("int64", [10, 10, 9]), "t": ("text", ["a b", "b", None]),
    }


def by_duckdb_in_folders(folder):
    duckdb.sql(f"""copy (select * from (values (1.5, 2, 'x y'), (2.5, 1, null)) t(v, n, t) order by n)
        to '{folder}/hive' (format parquet, partition_by (n, t))""")
    return "hive", {"v": ("decimal", [2.5, 1.5]), "n": ("int64", [1, 2]), "t": ("text", [None, "x y"])}


def as_kelvin(folder):
    """An id that looks like a number stays text."""
    root = folder / "metrics"
    for sweep in ["123", "124"]:
        (root / f"sweep={sweep}").mkdir(parents=True)
        pq.write_table(pa.table({"epoch": [int(sweep)]}), root / f"sweep={sweep}" / "r1.parquet")
    return "metrics", {"epoch": ("int64", [123, 124]), "sweep": ("text", ["123", "124"])}


def main():
    folder = Path(sys.argv[1])
    expected = {}
    for case in [by_pandas, by_polars, by_pyarrow, by_duckdb, as_spark, by_pandas_in_folders, by_duckdb_in_folders,
                 as_kelvin]:
        path, columns = case(folder)
        expected[case.__name__] = {
            "path": path,
            "types": [[name, kind] for name, (kind, _) in columns.items()],
            "columns": {name: values for name, (_, values) in columns.items()},
        }
    # The folders' values are what DuckDB says of them, too; it knows no fractions there.
    pattern = str(folder / "spark" / "lr*" / "*" / "*" / "*.parquet")
    found = duckdb.sql(f"""select batch, name from read_parquet('{pattern}', hive_partitioning = true,
        union_by_name = true) order by id""").fetchall()
    columns = expected["as_spark"]["columns"]
    assert found == list(zip(columns["batch"], columns["name"])), found
    (folder / "expected.json").write_text(json.dumps(expected))
    print(f"pandas {pd.__version__}, polars {pl.__version__}, pyarrow {pa.__version__}, duckdb {duckdb.__version__}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
