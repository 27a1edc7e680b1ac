//! SQL and tables that ask for too much, or for long: refused in words, or ended by an interrupt.

use std::time::{Duration, Instant};

use crate::support::{Lab, assert_soon};

/// What a script prints.
fn printed(script: &str) -> String {
    let lab = Lab::new();
    let run = lab.script(script);
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    run.stdout
}

#[test]
fn what_the_engine_cannot_do_is_an_error_that_a_script_catches() {
    let script = r#"
        let t = table(#{ a: [1, 2], x: ["a", "b"] });
        let union = "select 1 as x"; for i in 0..3000 { union += " union all select 1"; }
        let sum = "1"; for i in 0..5000 { sum += "+1"; }
        for query in ["select repeat('x', 2000000000) as x from t", union, `select ${sum} as x from t`,
            "select lpad(x, -3 * a, repeat('y', 300000000)) as x from t",
            "select string_agg(x, repeat('y', 100000000)) as x from (select x from t, generate_series(1, 1000))"] {
            try { print(t.sql(query).len); } catch (error) { print(`caught: ${error}`); }
        }
        try { t.filter(`a = ${sum}`); } catch (error) { print(`caught: ${error}`); }
        print(t.sql("select lpad(x, -3 * a) as x, rpad(x, -a) as y from t").column("x"));
        print(t.derive("y", "a / 2").column("y"));
    "#;
    let found = printed(script);
    let lines: Vec<&str> = found.lines().collect();
    for (line, told) in lines.iter().zip([
        "would make texts of up to 2.0 GB",
        "at most 200 times union",
        "operators, names and brackets in one",
        "would make texts",
        "string_agg",
        "operators, names and brackets in one",
        "[\"\", \"\"]",
        "[0.5, 1.0]",
    ]) {
        assert!(line.contains(told), "{told}: {found}");
    }
    assert_eq!(lines.len(), 8, "{found}");
}

#[test]
fn what_would_fill_the_memory_is_told() {
    let script = r#"
        let long = table(#{ a: [1] }).sql("select value as v from generate_series(1, 30000000)");
        print(long.len);
        try { long.rows(); } catch (error) { print(error); }
        let rows = []; for i in 0..20000 { let row = #{}; row[`c${i}`] = 1; rows.push(row); }
        try { table(rows); } catch (error) { print(error); }
        print(table(rows.extract(0, 300)).columns.len);
        print(long.head(3).rows());
        print(long.describe()[0].max);
    "#;
    let found = printed(script);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines[0], "30000000");
    assert!(lines[1].contains("rows: 30000000 rows of 1 columns, expected at most 10000000"), "{found}");
    assert!(lines[2].contains("20000 rows with 20000 different keys"), "{found}");
    assert_eq!(lines[3..], ["300", "[#{\"v\": 1}, #{\"v\": 2}, #{\"v\": 3}]", "30000000.0"]);
}

/// A sweep's folder is its metrics; what was compacted before other runs finished says so.
#[test]
fn a_sweeps_folder_reads_as_its_metrics() {
    let lab = Lab::new();
    let sweep = |lr: &str, options: &str| {
        format!(
            "sweep(#{{ data: digits().take(60), train: 40, test: 20, model: linear(), lr: {lr}, batch: 10, epochs: 2 }})\
             .run(\"results/a\", #{{{options}}});"
        )
    };
    assert_eq!(lab.script(&sweep("[0.1, 0.2]", "")).code, Some(0));
    assert_eq!(lab.run(["compact", "results/a"]).code, Some(0));
    let reads = r#"
        for path in ["results/a", "results", "results/*", "results/**", "results/**/*.parquet", "results/a/metrics"] {
            let t = parquet(path);
            print([t.len, t.group("run_id", ["count(*) as n"]).len, "sweep" in t.columns]);
        }
        try { print(parquet("results/a/compact").len); } catch (error) { print(error); }
        print(parquet("results/a/runs.parquet").len);
    "#;
    let run = lab.script(reads);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], "[4, 2, true]", "{}", run.stdout);
    assert!(lines[..6].iter().all(|line| *line == lines[0]), "{}", run.stdout);
    assert_eq!(lines[6..], ["4", "2"]);

    let more = lab.script(&sweep("[0.1, 0.2, 0.3]", "extend: true"));
    assert_eq!(more.code, Some(0), "{}", more.stderr);
    let run = lab.script(reads);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(lines[..6].iter().all(|line| *line == "[6, 3, true]"), "{}{}", run.stdout, run.stderr);
    assert!(lines[6].contains("1 runs of this sweep finished after this file was made"), "{}", run.stdout);
    assert_eq!(lab.run(["compact", "results/a"]).code, Some(0));
    let run = lab.script(reads);
    assert_eq!(run.stdout.lines().nth(6), Some("6"), "{}{}", run.stdout, run.stderr);
}

/// One at a time; see `main.rs`.
mod alone {
    use super::*;

    /// Each is at work for much longer than it may take to end, mostly within one call of the
    /// engine.
    #[test]
    fn long_work_ends_soon_after_an_interrupt() {
        let series = |query: &str| format!("table(#{{a: [1]}}).sql(`{query}`)");
        for script in [
            series("select levenshtein(repeat('ab', 300000), repeat('ba', 300000)) as d from t"),
            series(
                "select levenshtein(x, y) as d from (select repeat('ab', 200000 + a) as x, repeat('ba', 200000 + a) as y from t)",
            ),
            series(
                "with s as (select value as v from generate_series(1, 60000)) \
                 select count(*) as n from s x join s y on x.v + 1 < y.v * y.v and x.v * 3 <> y.v",
            ),
            series(
                "select count(*) as n from (select sin(value) as x from generate_series(1, 300000000)) group by x",
            ),
            series(
                "select regexp_replace(repeat('ab', 30000000), '(a|b)*c', 'x') as x from generate_series(1, 100)",
            ),
            "parquet(\"/**/**/*.nope\")".to_owned(),
        ] {
            let lab = Lab::new();
            lab.write(
                "long.rhai",
                format!("debug(\"begun\"); for i in 0..1000 {{ try {{ {script}; }} catch {{}} }}"),
            );
            let run = lab.start(["long.rhai"]);
            run.wait_for("begun");
            run.wait_for_work(1);
            run.signal(libc::SIGINT);
            let asked = Instant::now();
            let ended = run.end();
            assert_eq!(ended.code, Some(130), "{script}: {}{}", ended.stdout, ended.stderr);
            // A fifth of a second and less on a free machine.
            assert_soon(&script, asked.elapsed(), Duration::from_secs(10));
        }
    }
}
