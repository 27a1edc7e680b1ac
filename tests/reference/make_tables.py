"""Store what pandas makes of small tables: group, describe, join, sort, derive, filter.

    python make_tables.py        (pandas 3.1, NumPy 2.4; writes tables.json beside itself)

tables.json: {"tables": {name: {column: [values]}}, "cases": [{"name", "table", "call", ..., "columns", "rows"}]}. Every
number is written with repr's digits, which are exact; a missing value is null. Where pandas and SQL disagree, the case
is made in SQL's sense and says so here: null keys agree with nothing in a join, and a null comparison is not
true. pandas' own NaN is its missing value, so that the tables hold nulls and no NaN.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
SEED = 7


def tables():
    rng = np.random.default_rng(SEED)
    n = 60
    runs = pd.DataFrame({
        # A key of text with quotes, and one of numbers; both with nulls and many ties.
        "who": rng.choice(["a", "b'c", 'say "d"', "Ü"], n).astype(object),
        "batch": pd.array(rng.choice([16, 32, 128], n), dtype="Int64"),
        "x": rng.standard_normal(n) * 10.0 ** rng.integers(-6, 7, n),
        # A large mean and a small spread: where the naive formula of the variance fails.
        "large": 1e6 + rng.standard_normal(n),
        "whole": pd.array(rng.integers(-10**12, 10**12, n), dtype="Int64"),
        "few": pd.array(rng.integers(-2, 3, n), dtype="Int64"),
    })
    runs.loc[rng.choice(n, 6, replace=False), "who"] = None
    runs.loc[rng.choice(n, 7, replace=False), "batch"] = pd.NA
    for name in ["x", "large"]:
        runs.loc[rng.choice(n, 9, replace=False), name] = np.nan
    for name in ["whole", "few"]:
        runs.loc[rng.choice(n, 9, replace=False), name] = pd.NA
    # A group of nulls alone, and one of a single value.
    runs.loc[runs["batch"] == 128, "x"] = np.nan
    runs.loc[(runs["batch"] == 16) & (runs.index != runs.index[runs["batch"] == 16][0]), "large"] = np.nan
    runs.loc[runs.index[runs["batch"] == 16][0], "large"] = 1e6 + 0.25
    costs = pd.DataFrame({
        "batch": pd.array([128, 16, None, 16, 64, None], dtype="Int64"),
        "who": np.array(["a", "b'c", "a", None, "a", None], dtype=object),
        "cost": [1.5, -2.5, 3.0, 4.0, np.nan, 6.0],
        "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    })
    # JSON objects have no order: sorted by name, as the test reads them.
    return {name: frame[sorted(frame.columns)] for name, frame in {"runs": runs, "costs": costs}.items()}


def plain(value):
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    return value.item() if hasattr(value, "item") else value


def content(frame):
    return {name: [plain(value) for value in frame[name]] for name in frame.columns}


AGGREGATES = {
    "mean": ("avg({})", "mean"), "sum": ("sum({})", "sum"), "std": ("stddev({})", "std"), "var": ("var({})", "var"),
    "median": ("median({})", "median"), "min": ("min({})", "min"), "max": ("max({})", "max"),
    "count": ("count({})", "count"), "distinct": ("count(distinct {})", "nunique"),
    "q25": ("percentile_cont({}, 0.25)", lambda values: values.astype(float).quantile(0.25)),
}


def grouped(runs, keys, column):
    # dropna=False: nulls are a group of their own, which is last; min_count=1: the sum of nothing
    # is null, not 0.
    groups = runs.groupby(keys, dropna=False, sort=True)[column]
    columns = {}
    for name, (_, function) in AGGREGATES.items():
        columns[name] = groups.sum(min_count=1) if function == "sum" else groups.agg(function)
    columns["rows"] = runs.groupby(keys, dropna=False, sort=True).size()
    expected = pd.DataFrame(columns).reset_index()
    expected = expected.sort_values(keys, na_position="last", kind="stable")
    calls = [f"{sql.format(column)} as \"{name}\"" for name, (sql, _) in AGGREGATES.items()]
    return {"call": "group", "keys": keys, "aggregates": [*calls, "count(*) as \"rows\""], "expected": expected}


def described(runs):
    expected = []
    for name in runs.columns:
        if name == "who":
            continue
        values = runs[name].astype("Float64").dropna().astype(float)
        about = values.describe()
        expected.append({
            "column": name, "count": int(about["count"]), "nulls": len(runs) - len(values), "mean": about["mean"],
            "std": about["std"], "min": about["min"], "q25": about["25%"], "median": about["50%"], "q75": about["75%"],
            "max": about["max"],
        })
    return {"call": "describe", "expected": pd.DataFrame(expected)}


def joined(runs, costs, on, how):
    known = costs.dropna(subset=on)
    expected = runs.merge(known, on=on, how=how, suffixes=("", "_right"))
    return {"call": "join", "other": "costs", "on": on, "how": how, "expected": expected}


def cases(runs, costs):
    numbered = runs.assign(row=range(len(runs)))
    yield "group by text", grouped(runs, ["who"], "x")
    yield "group by a number", grouped(runs, ["batch"], "large")
    yield "group by both, integers", grouped(runs, ["batch", "who"], "whole")
    yield "group by a number with a group of nulls", grouped(runs, ["batch"], "x")
    yield "describe", described(runs)
    for how in ["inner", "left"]:
        yield f"{how} join", joined(numbered, costs, ["batch"], how)
        yield f"{how} join on two", joined(numbered, costs, ["batch", "who"], how)
    yield "sort", {
        "call": "sort", "order": ["few", "batch desc"],
        "expected": numbered.sort_values(["few", "batch"], ascending=[True, False], na_position="last", kind="stable"),
    }
    yield "sort by text, descending", {
        "call": "sort", "order": ["who desc"],
        "expected": numbered.sort_values("who", ascending=False, na_position="last", kind="stable"),
    }
    yield "derive", {
        "call": "derive", "column": "y", "expression": "ln(abs(x)) + large / 7 - few * 0.1",
        "expected": numbered.assign(
            y=np.log(np.abs(numbered["x"])) + numbered["large"] / 7 - numbered["few"].astype("Float64") * 0.1
        ),
    }
    yield "derive a quotient of integers", {
        "call": "derive", "column": "y", "expression": "whole / batch",
        "expected": numbered.assign(y=numbered["whole"] / numbered["batch"]),
    }
    yield "filter", {
        "call": "filter", "condition": "x > 0 and few <> 1",
        "expected": numbered[(numbered["x"] > 0) & (numbered["few"] != 1).fillna(False)],
    }
    yield "filter by text", {
        "call": "filter", "condition": "who = 'b''c' or few is null",
        "expected": numbered[(numbered["who"] == "b'c") | numbered["few"].isna()],
    }
    yield "filter to nothing", {"call": "filter", "condition": "few > 9", "expected": numbered[numbered["few"] > 9]}


def main():
    found = tables()
    numbered = found["runs"].assign(row=range(len(found["runs"])))
    stored = []
    for name, case in cases(**found):
        expected = case.pop("expected")
        table = "runs" if case["call"] in ("group", "describe") else "numbered"
        stored.append({"name": name, "table": table, **case, "expected": content(expected)})
    inputs = {"runs": content(found["runs"]), "numbered": content(numbered), "costs": content(found["costs"])}
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in stored)
    tables_text = json.dumps(inputs, ensure_ascii=False)
    (HERE / "tables.json").write_text(f'{{"tables": {tables_text},\n"cases": [\n{lines}\n]}}\n')
    print(f"pandas {pd.__version__}: {len(stored)} cases")


if __name__ == "__main__":
    main()
