"""Opens kelvin's Parquet files in the readers that people use, and compares.

    python readers.py DIR expected.json

DIR holds metrics/sweep=ID/RUN.parquet and runs.parquet. The partition column
`sweep` also stands inside the files, with the same value: each reader has to
cope with that. (pandas and pyarrow.parquet.read_table, given the folder and no
more, guess a dictionary or a number for it and refuse: hence `partitioning`.)
expected.json; the sum leaves out null and NaN:

    {"columns": [[name, arrow type], ...], "rows": N, "sum_test_loss": x,
     "runs": n, "run_columns": [name, ... or [name, arrow type], ...]}

One line per reader; exit 1 at any difference. A missing reader is an error.
"""

import json
import math
import sys
from pathlib import Path

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

# Each reader's own name of a type, in Arrow's words.
POLARS = {"String": "string", "Float64": "double", "Float32": "float", "Boolean": "bool"}
DUCKDB = {
    "VARCHAR": "string",
    "DOUBLE": "double",
    "FLOAT": "float",
    "BOOLEAN": "bool",
    "BIGINT": "int64",
    "UBIGINT": "uint64",
    "INTEGER": "int32",
    "UINTEGER": "uint32",
}


class Difference(Exception):
    pass


class Table:
    """What a reader found: column names and types, rows, the sum, the nulls."""

    def __init__(self, columns, rows, sum_test_loss=None, null_run_ids=0, sweeps=None):
        self.columns, self.rows = columns, rows
        self.sum_test_loss, self.null_run_ids = sum_test_loss, null_run_ids
        self.sweeps = sweeps


def same(what, found, wanted):
    if found != wanted:
        raise Difference(f"{what}: {found!r}, expected {wanted!r}")


def total(values):
    """The exact sum of the losses there are: null and NaN, of diverged runs, are not."""
    return math.fsum(v for v in values if not pandas.isna(v))


def read_arrow(table):
    columns = [(f.name, str(f.type)) for f in table.schema]
    if "test_loss" not in table.column_names:
        return Table(columns, table.num_rows)
    return Table(
        columns,
        table.num_rows,
        total(table["test_loss"].to_pylist()),
        table["run_id"].null_count,
        set(table["sweep"].to_pylist()),
    )


def read_pandas(frame):
    columns = [(name, str(t.pyarrow_dtype)) for name, t in frame.dtypes.items()]
    if "test_loss" not in frame:
        return Table(columns, len(frame))
    return Table(
        columns,
        len(frame),
        total(frame["test_loss"]),
        int(frame["run_id"].isna().sum()),
        set(frame["sweep"]),
    )


def read_polars(frame):
    columns = []
    for name, dtype in frame.schema.items():
        word = str(dtype)
        columns.append((name, POLARS.get(word, word.lower())))
    if "test_loss" not in frame.columns:
        return Table(columns, frame.height)
    return Table(
        columns,
        frame.height,
        total(frame["test_loss"]),
        frame["run_id"].null_count(),
        set(frame["sweep"]),
    )


def read_duckdb(relation):
    columns = []
    for name, dtype in zip(relation.columns, relation.types):
        columns.append((name, DUCKDB.get(str(dtype), str(dtype).lower())))
    rows = len(relation)
    if "test_loss" not in relation.columns:
        return Table(columns, rows)
    return Table(
        columns,
        rows,
        total(v for (v,) in relation.project("test_loss").fetchall()),
        len(relation.filter("run_id is null")),
        {v for (v,) in relation.project("sweep").distinct().fetchall()},
    )


def readers(root):
    """(name, a function that reads the metrics, one that reads the runs)."""
    metrics, runs = root / "metrics", str(root / "runs.parquet")
    pattern = str(metrics / "*/*.parquet")
    one = str(min(metrics.glob("*/*.parquet")))
    # Left to guess, a reader makes an id of digits a number, against the file's
    # string; so the type of the partition is taken from a file.
    sweep = pyarrow.parquet.read_schema(one).field("sweep")
    hive = pyarrow.dataset.partitioning(pyarrow.schema([sweep]), flavor="hive")
    sql = "select * from read_parquet('{}', hive_partitioning = {}{})"
    quoted = pattern.replace("'", "''")
    typed = ", hive_types = {'sweep': VARCHAR}"
    duck = duckdb.connect()

    def arrow(partitioning):
        files = pyarrow.dataset.dataset(
            metrics, format="parquet", partitioning=partitioning
        )
        return read_arrow(files.to_table())

    def arrow_runs():
        return read_arrow(pyarrow.parquet.ParquetFile(runs).read())

    def frame(path, partitioning):
        # Arrow's types: NumPy's would make an integer column with a null a float.
        frame = pandas.read_parquet(
            path, engine="pyarrow", partitioning=partitioning, dtype_backend="pyarrow"
        )
        return read_pandas(frame)

    def polars_runs():
        return read_polars(polars.read_parquet(runs))

    def duckdb_runs():
        return read_duckdb(duck.read_parquet(runs))

    return [
        ("pyarrow", lambda: arrow(None), arrow_runs),
        ("pyarrow hive", lambda: arrow(hive), arrow_runs),
        ("pandas", lambda: frame(metrics, None), lambda: frame(runs, None)),
        ("pandas hive", lambda: frame(metrics, hive), lambda: frame(runs, None)),
        (
            "polars",
            lambda: read_polars(polars.read_parquet(pattern, hive_partitioning=False)),
            polars_runs,
        ),
        (
            "polars hive",
            lambda: read_polars(
                polars.read_parquet(
                    pattern,
                    hive_partitioning=True,
                    hive_schema={"sweep": polars.String},
                )
            ),
            polars_runs,
        ),
        (
            "duckdb",
            lambda: read_duckdb(duck.sql(sql.format(quoted, "false", ""))),
            duckdb_runs,
        ),
        (
            "duckdb hive",
            lambda: read_duckdb(duck.sql(sql.format(quoted, "true", typed))),
            duckdb_runs,
        ),
    ]


def check_metrics(table, expected, sweeps):
    wanted = [tuple(c) for c in expected["columns"]]
    same("column names", [c[0] for c in table.columns], [c[0] for c in wanted])
    same("column types", table.columns, wanted)
    same("rows", table.rows, expected["rows"])
    found, wanted = table.sum_test_loss, expected["sum_test_loss"]
    if not math.isclose(found, wanted, rel_tol=1e-12):
        raise Difference(f"sum of test_loss: {found!r}, expected {wanted!r}")
    same("nulls in run_id", table.null_run_ids, 0)
    same("sweeps", sorted(table.sweeps), sorted(sweeps))


def check_runs(table, expected):
    for found, wanted in zip(table.columns, expected["run_columns"]):
        if isinstance(wanted, list):
            same("type in runs.parquet", found, tuple(wanted))
    names = [c if isinstance(c, str) else c[0] for c in expected["run_columns"]]
    same("columns of runs.parquet", [c[0] for c in table.columns], names)
    same("rows of runs.parquet", table.rows, expected["runs"])


def main():
    root, expected = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    sweeps = {p.parent.name.partition("=")[2] for p in root.glob("metrics/*/*.parquet")}
    if not sweeps:
        sys.exit(f"no Parquet files under {root / 'metrics'}")
    versions = {m.__name__: m.__version__ for m in (pyarrow, pandas, polars, duckdb)}
    failed = False
    for name, metrics, runs in readers(root):
        try:
            table = metrics()
            check_metrics(table, expected, sweeps)
            check_runs(runs(), expected)
        except Exception as error:  # whatever a reader raises is a failure of its own
            print(f"{name} FAILED: {type(error).__name__}: {error}")
            failed = True
        else:
            version = versions[name.split()[0]]
            print(f"{name} ok: {table.rows} rows, {len(table.columns)} columns ({version})")
    sys.exit(failed)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main()
