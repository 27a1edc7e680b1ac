"""Answers of DuckDB about NaN and -0, which crates/sql compares with kelvin's: python make_floats.py > floats.txt

Made with DuckDB 2.0.1. A line is a query, ` => ` and its rows; -0.0 is written 0.0, since both are one value.
"""

import duckdb

ROWS = "(1, 0.0, 0.0), (1, 1.0, 2.0), (1, -1.0, 0.0), (2, 3.0, 1.0), (2, 0.0, -1.0), (2, 0.0, 1.0), (3, 1.0, 0.0), (3, null, 1.0), (3, 2.0, 1.0)"
# a / b is NaN, 0.5, -inf, 3, -0, 0, inf, null, 2; the NaN has a sign on most processors, and -(a /
# b) has none.
QUERIES = """
select min(a / b), max(a / b), min(-(a / b)), max(-(a / b)) from t
select k, min(a / b), max(a / b) from t group by k order by k
select k, min(-(a / b)), max(-(a / b)) from t group by k order by k
select k, min(a / b) over (partition by k), max(a / b) over (partition by k) from t order by k, 2, 3
select a / b, max(a / b) over (order by a / b rows between 1 preceding and current row) from t order by 1
select a / b, min(a / b) over (order by a / b rows between current row and 1 following) from t order by 1
select a / b from t order by a / b
select a / b from t order by a / b desc nulls last
select a / b from t order by -(a / b)
select rank() over (order by a / b), dense_rank() over (order by -(a / b)) from t order by 1, 2
select greatest(a / b, 100.0), least(a / b, -100.0), greatest(-(a / b), 100.0) from t where k = 1 order by 1
select count(*) from t where a / b > 0.1
select count(*) from t where -(a / b) > 0.1
select count(*) from t where a / b < 0.1
select count(*) from t where a / b >= 'NaN'::double
select count(*) from t where a / b = -(a / b)
select count(*) from t where a / b = 0
select count(*) from t where a / b <> 0
select count(*) from t where a / b between 0.0 and 1.0
select count(*) from t where a / b between 0.0 and 'NaN'::double
select count(*) from t where a / b not between -1.0 and 1.0
select count(*) from t where a / b in (0.0, 3.0)
select count(*) from t where a / b in ('NaN'::double, 3.0)
select count(*) from t where a / b not in ('NaN'::double, 0.0)
select count(*) from t where a / b in (-0.0, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5)
select count(*) from t where a / b is distinct from 'NaN'::double
select count(*) from t where a / b is not distinct from -(a / b)
select count(*) from t where not (a / b > 0.1)
select case a / b when 'NaN'::double then 'nan' when 0.0 then 'zero' else 'other' end, count(*) from t group by 1 order by 1
select case when a / b > 1000 then 'more' else 'less' end, count(*) from t group by 1 order by 1
select nullif(a / b, 0.0) from t order by 1
select nullif(a / b, 'NaN'::double) from t order by 1
select coalesce(a / b, -(0.0 / 1.0), 1.0) from t order by 1
select count(distinct a / b) from t
select count(distinct x) from (select a / b as x from t union all select -(a / b) from t)
select distinct a / b from t order by 1
select a / b, count(*) from t group by a / b order by 1
select x, count(*) from (select a / b as x from t union all select -(a / b) from t) group by x order by x
select x, row_number() over (partition by x) from (select a / b as x from t union all select -(a / b) from t) order by 1, 2
select a / b from t union select -(a / b) from t order by 1
select a / b from t except select -(a / b) from t order by 1
select a / b from t intersect select -(a / b) from t order by 1
select count(*) from t x join t y on x.a / x.b = -(y.a / y.b)
select count(*) from t x join t y on x.a / x.b < y.a / y.b
select count(*) from t x left join t y on x.a / x.b = -(y.a / y.b) where y.k is null
select count(*) from t where a / b in (select -(a / b) from t)
select count(*) from t x where exists (select 1 from t y where -(y.a / y.b) = x.a / x.b)
select median(a / b) from t where k = 1
select k, median(a / b) from t group by k order by k
select quantile_cont(a / b, 1.0) from t where k = 1
select first_value(a / b) over (order by a / b desc), last_value(a / b) over (order by a / b desc rows between unbounded preceding and unbounded following) from t where k = 1 order by 1
select 'NaN'::double = 0.0 / 0.0, 'NaN'::double > 'inf'::double, -0.0 = 0.0, -0.0 < 0.0, '-0.0'::double = 0.0
select (0.0 / 0.0) = -(0.0 / 0.0), (0.0 / 0.0) > 1e308, -(0.0 / 0.0) > 1e308
select count(*) from t where (a / b)::float = 0
select count(*) from t where (a * -1e-60)::float = 0
select max((a / b)::float), min((a / b)::float) from t where k <> 3
select k, max((a / b)::float) from t group by k order by k
select count(*) from t where round(-0.3 * a) = 0
select count(distinct round(x)) from (select -0.3 as x union all select 0.3)
select count(*) from t where a - a = 0 and -(a - a) = 0
select avg(a / b) = max(a / b), sum(a / b) > 1e308 from t where k = 1
select count(*) from (select k, avg(a / b) as m from t group by k) where m > 1e308
select k from (select k, sum(a / b) as m from t group by k) order by m, k
select max(m) from (select avg(a / b) as m from t group by k)
select count(*) from (select sum(a / b) over (partition by k) as m from t) where m > 1e308
select k, min(1.0 / (a - a)) from t where b = 1 group by k order by k
select min(x), max(x) from (select -(1.0 / 0.0) as x from t)
select k, max(-(1.0 / 0.0)), min(1.0 / 0.0) from t group by k order by k
""".strip().splitlines()


def text(value):
    if value is None:
        return "null"
    if isinstance(value, float):
        return {"nan": "NaN", "inf": "inf", "-inf": "-inf"}.get(str(value), repr(value + 0.0))
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def main():
    duck = duckdb.connect()
    duck.execute("create table t(k bigint, a double, b double)")
    duck.execute(f"insert into t values {ROWS}")
    for query in QUERIES:
        rows = duck.execute(query).fetchall()
        print(query, "=>", "; ".join(" ".join(text(value) for value in row) for row in rows))


main()
