"""Open kelvin's Parquet files in the readers that people use, with the calls that they type first.

    python readers.py DIR expected.json

DIR holds metrics/sweep=ID/RUN.parquet and runs.parquet. The files leave out the column `sweep`, which every
reader takes from the folder's name: pandas and pyarrow.parquet.read_table refuse a folder whose files hold
the partition column too. expected.json:

    {"columns": [[name, arrow type], ...], "rows": N, "sum_test_loss": x, "sweep": id,
     "runs": n, "run_columns": [[name, arrow type], ...]}

One line per reader and call; exit 1 at any difference. A missing reader is an error.
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
WORDS = {
    "String": "string", "str": "string", "object": "string", "large_string": "string", "VARCHAR": "string",
    "Float64": "double", "float64": "double", "DOUBLE": "double",
    "Int64": "int64", "BIGINT": "int64",
    "Boolean": "bool", "BOOLEAN": "bool",
}


def word(kind):
    kind = str(kind)
    if "imestamp" in kind or "atetime" in kind or "TIMESTAMP" in kind:
        return "time"
    return WORDS.get(kind, kind)


def from_arrow(table):
    columns = {field.name: word(field.type) for field in table.schema}
    return columns, {name: table[name].to_pylist() for name in columns}


def from_pandas(frame):
    columns = {name: word(kind) for name, kind in frame.dtypes.items()}
    return columns, {name: frame[name].tolist() for name in columns}


def from_polars(frame):
    columns = {name: word(kind) for name, kind in frame.schema.items()}
    return columns, frame.to_dict(as_series=False)


def from_duckdb(relation):
    columns = dict(zip(relation.columns, map(word, relation.types)))
    return columns, {name: [v for (v,) in relation.project(f'"{name}"').fetchall()] for name in columns}


def calls(folder, one, runs):
    """(name, function, what is read: "folder", "file" or "runs")."""
    pattern = f"{folder}/*/*.parquet".replace("'", "''")
    return [
        ("pyarrow.parquet.read_table(folder)", lambda: from_arrow(pyarrow.parquet.read_table(folder)), "folder"),
        ("pyarrow.dataset(folder, hive)",
         lambda: from_arrow(pyarrow.dataset.dataset(folder, partitioning="hive").to_table()), "folder"),
        ("pandas.read_parquet(folder)", lambda: from_pandas(pandas.read_parquet(folder)), "folder"),
        ("polars.read_parquet(folder)", lambda: from_polars(polars.read_parquet(folder)), "folder"),
        ("duckdb: from 'folder/*/*.parquet'", lambda: from_duckdb(duckdb.sql(f"from '{pattern}'")), "folder"),
        ("pyarrow.parquet.ParquetFile(file)", lambda: from_arrow(pyarrow.parquet.ParquetFile(one).read()), "file"),
        ("pandas.read_parquet(file)", lambda: from_pandas(pandas.read_parquet(one, partitioning=None)), "file"),
        ("polars.read_parquet(file)", lambda: from_polars(polars.read_parquet(one)), "file"),
        ("pyarrow: runs", lambda: from_arrow(pyarrow.parquet.read_table(runs)), "runs"),
        ("pandas: runs", lambda: from_pandas(pandas.read_parquet(runs)), "runs"),
        ("polars: runs", lambda: from_polars(polars.read_parquet(runs)), "runs"),
        ("duckdb: runs", lambda: from_duckdb(duckdb.sql(f"from '{runs}'")), "runs"),
    ]


def same(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: {found!r}, expected {wanted!r}")


def check(what, columns, values, expected):
    wanted = [(name, word(kind)) for name, kind in expected["run_columns" if what == "runs" else "columns"]]
    if what != "runs":
        wanted = [(name, kind) for name, kind in wanted if name != "sweep"]
    found = dict(columns)
    if what == "folder":
        # Where it stands and how it is encoded is the reader's choice.
        found.pop("sweep")
        same("sweep", set(values["sweep"]), {expected["sweep"]})
    found.pop("sweep", None) if what == "file" else None
    same("columns", list(found), [name for name, _ in wanted])
    for name, kind in wanted:
        # A column of nulls alone has no type of its own in pandas.
        if any(value is not None for value in values[name]):
            same(f"type of {name}", found[name], kind)
    same("nulls in run_id", [v for v in values["run_id"] if v is None], [])
    if what == "runs":
        same("rows", len(values["run_id"]), expected["runs"])
    if what == "folder":
        same("rows", len(values["run_id"]), expected["rows"])
        total = math.fsum(values["test_loss"])
        if not math.isclose(total, expected["sum_test_loss"], rel_tol=1e-12):
            raise AssertionError(f"sum of test_loss: {total!r}, expected {expected['sum_test_loss']!r}")


def main():
    root, expected = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    folder, runs = str(root / "metrics"), str(root / "runs.parquet")
    one = str(min((root / "metrics").glob("*/*.parquet")))
    versions = {module.__name__: module.__version__ for module in (pyarrow, pandas, polars, duckdb)}
    failed = False
    for name, read, what in calls(folder, one, runs):
        try:
            check(what, *read(), expected)
        except Exception as error:  # whatever a reader raises is a failure of its own
            print(f"{name} FAILED: {type(error).__name__}: {error}")
            failed = True
        else:
            print(f"{name} ok")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    sys.exit(failed)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main()
