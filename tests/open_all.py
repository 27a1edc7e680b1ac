"""Open everything under metrics/ of sweeps' folders with pyarrow, polars and DuckDB, again and again.

Reads a folder per line; answers each with a line of JSON: {"pyarrow": {run: rows}, "polars": …, "duckdb": …}, or
{"error": text} where a reader fails or a file is not Parquet.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import duckdb
import polars
import pyarrow.dataset


def count(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    others = [str(path) for path in files if path.suffix != ".parquet"]
    if others:
        raise ValueError(f"not Parquet: {others}")
    if not files:
        return {"pyarrow": {}, "polars": {}, "duckdb": {}}
    # Whole tables, not only the column that is counted: every page has to open.
    arrow = pyarrow.dataset.dataset(str(folder), partitioning="hive").to_table()
    frame = polars.read_parquet(str(folder))
    pattern = f"{folder}/**/*".replace("'", "''")
    relation = duckdb.sql(f"select * from read_parquet('{pattern}', hive_partitioning = true)")
    names, rows = relation.columns, relation.fetchall()
    runs = names.index("run_id")
    return {
        "pyarrow": Counter(arrow["run_id"].to_pylist()),
        "polars": Counter(frame["run_id"].to_list()),
        "duckdb": Counter(row[runs] for row in rows),
    }


for line in sys.stdin:
    try:
        answer = count(Path(line.rstrip("\n")) / "metrics")
    except Exception as error:  # whatever a reader raises is what is looked for
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
