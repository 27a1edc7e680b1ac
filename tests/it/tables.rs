//! Tables: the real program's operations, equality with pandas, files of other programs, several
//! sweeps.

use std::process::Command;
use std::time::Duration;

use kelvin::table::{Cell, How, JoinOptions, Table};
use serde_json::Value;

use crate::support::{Lab, assert_soon};

/// Numbers agree to this, relatively.
const CLOSE: f64 = 1e-12;

fn table_of(columns: &Value) -> Table {
    let cell = |value: &Value| match value {
        Value::Null => Cell::Null,
        Value::Bool(value) => Cell::Bool(*value),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| Cell::Float(number.as_f64().unwrap()), Cell::Int)
        }
        value => Cell::Text(value.as_str().unwrap().to_owned()),
    };
    let (names, cells): (Vec<String>, Vec<Vec<Cell>>) = columns
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, values)| (name.clone(), values.as_array().unwrap().iter().map(cell).collect()))
        .unzip();
    Table::from_cells(&names, &cells).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// What differs between a cell and the one that pandas has.
fn differs(found: &Cell, wanted: &Cell) -> bool {
    let number = |cell: &Cell| match cell {
        Cell::Int(value) => Some(*value as f64),
        Cell::Float(value) => Some(*value),
        _ => None,
    };
    match (number(found), number(wanted)) {
        (Some(found), Some(wanted)) if found.is_nan() || wanted.is_nan() => found.is_nan() != wanted.is_nan(),
        (Some(found), Some(wanted)) if found.is_infinite() || wanted.is_infinite() => found != wanted,
        (Some(found), Some(wanted)) => (found - wanted).abs() > CLOSE * wanted.abs(),
        _ => found != wanted,
    }
}

#[test]
fn what_is_not_a_number_differs_from_numbers() {
    let float = Cell::Float;
    assert!(differs(&float(f64::NAN), &float(1.0)) && differs(&float(1.0), &float(f64::NAN)));
    assert!(differs(&float(f64::INFINITY), &float(1.0)) && differs(&float(1.0), &float(f64::INFINITY)));
    assert!(
        differs(&float(f64::INFINITY), &float(f64::NEG_INFINITY)) && differs(&Cell::Null, &float(f64::NAN))
    );
    assert!(!differs(&float(f64::NAN), &float(f64::NAN)) && !differs(&Cell::Int(2), &float(2.0)));
}

#[test]
fn operations_equal_those_of_pandas() {
    let path = crate::support::checkout().join("tests/reference/tables.json");
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let table = |name: &Value| table_of(&stored["tables"][name.as_str().unwrap()]);
    let cases = stored["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 16);
    for case in cases {
        let text = |key: &str| case[key].as_str().unwrap();
        let given = table(&case["table"]);
        let found = match text("call") {
            "group" => given.group(&texts(&case["keys"]), &texts(&case["aggregates"])),
            "describe" => given.describe(),
            "join" => {
                let how = How::ALL.iter().find(|(name, _)| *name == text("how")).unwrap().1;
                let options = JoinOptions { how, ..JoinOptions::on(&texts(&case["on"])) };
                given.join(&table(&case["other"]), &options)
            }
            "sort" => given.sort(&texts(&case["order"])),
            "derive" => given.derive(text("column"), text("expression")),
            "filter" => given.filter(text("condition")),
            call => panic!("{call}"),
        }
        .unwrap();
        let wanted = table_of(&case["expected"]);
        let name = text("name");
        assert_eq!(found.len(), wanted.len(), "{name}");
        let mut columns = [found.columns(), wanted.columns()];
        columns.iter_mut().for_each(|columns| columns.sort_unstable());
        assert_eq!(columns[0], columns[1], "{name}");
        for column in wanted.columns() {
            let cells = |table: &Table| Cell::all(table.column(column).unwrap());
            for (row, (found, wanted)) in cells(&found).iter().zip(&cells(&wanted)).enumerate() {
                assert!(
                    !differs(found, wanted),
                    "{name}: {column}[{row}] is {found:?}, pandas has {wanted:?}"
                );
            }
        }
    }
}

fn printed(lab: &Lab, script: &str) -> String {
    let run = lab.script(script);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout.trim().to_owned()
}

#[test]
fn scripts_work_on_tables() {
    let lab = Lab::new();
    let found = printed(
        &lab,
        r#"
        let a = table([#{ k: 1, x: 0.5, "Two Words": "it's" }, #{ k: 2, x: () }, #{ k: (), x: 2 }]);
        let b = table(#{ k: [2, 1, ()], y: ["p", "q", "r"] });
        print([a.len, a.columns]);
        print(a.join(b, ["k"]).column("y"));
        print(a.join(b, #{ on: "k", how: "left" }).column("y"));
        print(a.join(b, #{ on: ["k"], how: "full" }).len);
        print(a.join(b, #{ on: ["k"], how: "anti" }).rows());
        print(a.filter("\"Two Words\" = 'it''s'").len);
        print(a.sort("x desc").column("x"));
        print(a.derive("x", "k / 2").column("x"));
        print(a.append(b).columns);
        print(a.sql("select count(*) as n from t join \"Costs.2\" using (k)", #{ "Costs.2": b }).rows());
        print(a.sql("select sum(y) from t join costs using (k)", #{ costs: table([#{ k: 1, y: 2 }, #{ k: 2, y: 3 }]) }).rows());
        print([table([]).len, a.head(1).len, a.filter("k > 9").group(["k"], ["avg(x)"]).columns]);
        "#,
    );
    let wanted = r#"[3, ["Two Words", "k", "x"]]
["q", "p"]
["q", "p", ()]
4
[#{"Two Words": (), "k": (), "x": 2.0}]
1
[2.0, 0.5, ()]
[0.5, 1.0, ()]
["Two Words", "k", "x", "y"]
[#{"n": 2}]
[#{"sum(y)": 5}]
[0, 1, ["k", "avg(x)"]]"#;
    assert_eq!(found, wanted);
}

#[test]
fn mistakes_say_what_to_write() {
    let lab = Lab::new();
    for (call, told) in [
        ("t.join(t, #{ on: [\"x\"], how: \"inward\" })", "expected \"inner\", \"left\""),
        ("t.join(t, #{ how: \"left\" })", "join: the option `on` is missing"),
        ("t.join(t, #{ on: [\"x\"], hwo: \"left\" })", "did you mean `how`?"),
        ("t.head(-1)", "head(n): expected an integer ≥ 0"),
        (
            "train(#{ data: digits().take(60), model: linear(), lr: 0.1, batch: 10, epochs: 1 }).gap",
            "a TrainedRun has no property `gap`; it has epochs, network",
        ),
        ("t.x[0] = 7", "a table does not change; write t.derive(\"x\", "),
        ("t[0].x = 7", "a table does not change; write `let row = t[0];`"),
        (
            "print(t.x.len()); print(t.columns.contains(\"x\")); print(t[0].keys()); t.x.push(7)",
            "a table does not change; write t.derive(\"x\", ",
        ),
        ("t.filter(\"X > 1\")", "no column `X`; did you mean `x`?"),
        ("t.select([\"x + \"])", "select: `x + `: Expected: an expression"),
        ("t.append(3)", "`append` does not take (Table, integer); expected append("),
        ("t.derive(\"y\")", "`derive` does not take (Table, text); expected derive("),
        ("t.sql(\"select * from T\", #{ Costs: t })", "no table `T`; known: t, Costs"),
        ("t.sql(\"select * from u\", #{ Costs: t })", "no table `u`; known: t, Costs"),
        (
            "table([]).write(\"e.parquet\")",
            "e.parquet: expected a table with at least one column, found none",
        ),
        (
            "t.append(table(#{ x: [\"a\"] }))",
            "column `x` is float64 in the table and text in the appended one",
        ),
        ("table(#{ x: [1], y: [1, 2] })", "expected columns of one length, found 1, 2"),
        ("t.group([\"x\"], [\"sum(s)\"])", "no function takes `sum(text)`"),
        ("results([])", "results: expected at least one sweep's folder"),
        ("results(\"a\", \"b\")", "a: expected a folder with a sweep (sweep.json), found none"),
        ("t.sql(\"drop table t\")", "expected a query"),
    ] {
        let run = lab.script(&format!("let t = table(#{{ x: [0.5], s: [\"a\"] }}); {call};"));
        assert!(run.code == Some(1) && run.stderr.contains(told), "{call}: {}", run.stderr);
        assert!(!run.stderr.to_lowercase().contains("datafusion"), "{}", run.stderr);
    }
}

#[test]
fn files_have_every_value_and_null() {
    let lab = Lab::new();
    let script = r#"
        let t = table([#{ n: (), text: "a,\"b\"\nc", x: 1.5, z: () }, #{ n: 3, text: (), x: (), z: () }]);
        t.write("t.json"); t.write("t.csv"); t.write("t.parquet");
        print(parquet("t.parquet"));
        table([#{ "a,b": "", c: 1e300 }, #{ "a,b": (), c: 1e-7 }, #{ "a,b": "plain", c: 0.0 / 0.0 }]).write("e.csv");
    "#;
    let found = printed(&lab, script);
    let json: Value = serde_json::from_slice(&std::fs::read(lab.path("t.json")).unwrap()).unwrap();
    let wanted = serde_json::json!([
        { "n": null, "text": "a,\"b\"\nc", "x": 1.5, "z": null },
        { "n": 3, "text": null, "x": null, "z": null },
    ]);
    assert_eq!(json, wanted);
    let csv = std::fs::read_to_string(lab.path("t.csv")).unwrap();
    assert_eq!(csv, "n,text,x,z\n,\"a,\"\"b\"\"\nc\",1.5,\n3,,,\n");
    let csv = std::fs::read_to_string(lab.path("e.csv")).unwrap();
    assert_eq!(csv, "\"a,b\",c\n\"\",1e300\n,1e-7\nplain,NaN\n");
    for line in
        ["n  text            x  z", "int64  text      float64  null", " null  a,\"b\"\\nc      1.5  null"]
    {
        assert!(found.contains(line), "{line}\n{found}");
    }
}

/// A query that would take hours ends when the user asks.
#[test]
fn a_long_query_can_be_interrupted() {
    let lab = Lab::new();
    let run = lab.script(
        "let rows = []; for i in 0..3000 { rows.push(#{ x: i }); } table(rows).write(\"t.parquet\");",
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let script = "debug(\"begun\"); parquet(\"t.parquet\").sql(\"select count(*) from t a, t b, t c, t d where a.x + b.x > c.x + d.x\");";
    lab.write("long.rhai", script);
    let run = lab.start(["long.rhai"]);
    run.wait_for("begun");
    std::thread::sleep(Duration::from_millis(300));
    run.signal(libc::SIGINT);
    let ended = run.end();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
}

/// Several sweeps in one table; a run in two of them counts once; a folder of an earlier version
/// opens.
#[test]
fn several_sweeps_open_as_one_table() {
    let lab = Lab::new();
    let sweep = |dir: &str, data: &str, lr: &str| {
        format!(
            "sweep(#{{ data: {data}, sampling: \"random\", train: 60, test: 30, model: linear(), lr: {lr}, batch: 10, \
             epochs: 2 }}).run(\"{dir}\"); "
        )
    };
    let noisy = "digits().take(100).label_noise(0.25, 1)";
    let script = [
        sweep("a", "digits().take(100)", "[0.1, 0.2]"),
        sweep("b", "digits().take(100)", "[0.2, 0.3]"),
        sweep("c", noisy, "0.1"),
    ]
    .concat();
    let runs = r#"
        let all = results("a", "b", "c");
        let runs = all.group(["run_id", "sweep", "lr", "label_noise", "overlap"], ["count(*) as n"]);
        print([all.len, runs.len, runs.filter("n = 2").len, results(["a", "b"]).len, results("a", "a").len]);
        print(all.group(["sweep"], ["count(*)"]).len);
        print(all.steady().group(["label_noise"], ["count(*) as n"]).rows());
        print(all.columns[37] + " " + all.columns[38]);
        print(all.group(["overlap"], ["count(*)"]).column("overlap") ==
            [digits().take(100).sample(#{ train: 60, test: 30 }).overlap]);
        print(digits().split(#{ train: 60, test: 30 }).overlap);
    "#;
    let run = lab.script(&(script + runs));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let wanted = "[8, 4, 4, 6, 4]\n3\n[#{\"label_noise\": 0.0, \"n\": 3}, #{\"label_noise\": 0.25, \"n\": 1}]\n\
                  label_noise overlap\ntrue\n0";
    assert_eq!(run.stdout.trim(), wanted);
    assert!(
        run.stderr.contains("1 run is in more than one of the folders; each counts once"),
        "{}",
        run.stderr
    );

    // As an earlier version wrote it: without the two columns.
    for (path, _) in lab.metrics().into_iter().filter(|(path, _)| path.starts_with(lab.path("c"))) {
        let old = Table::read_parquet(&path).unwrap();
        let names =
            old.columns().into_iter().filter(|name| !["sweep", "label_noise", "overlap"].contains(name));
        let names: Vec<String> = names.map(str::to_owned).collect();
        old.select(&names).unwrap().write(&path).unwrap();
    }
    let found = printed(&lab, "print(results(\"c\").select([\"label_noise\", \"overlap > 0\"]).rows()[0]);");
    assert_eq!(found, "#{\"label_noise\": 0.25, \"overlap > 0\": true}");
}

/// What pandas, polars, pyarrow, DuckDB and Spark write. `make test` installs them and sets
/// KELVIN_PYTHON.
#[test]
fn files_of_other_programs_are_read() {
    let Some(python) = std::env::var_os("KELVIN_PYTHON") else {
        eprintln!("skipped: KELVIN_PYTHON names no Python with the readers; run `make test`");
        return;
    };
    let lab = Lab::new();
    let writer = crate::support::checkout().join("tests/foreign.py");
    let written = Command::new(python).arg(writer).arg(lab.path("")).output().unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    println!("{}", String::from_utf8_lossy(&written.stdout).trim());
    let expected: Value = serde_json::from_slice(&std::fs::read(lab.path("expected.json")).unwrap()).unwrap();
    let cases = expected.as_object().unwrap();
    assert_eq!(cases.len(), 8);
    let mut script = String::new();
    for (name, case) in cases {
        let path = case["path"].as_str().unwrap();
        script += &format!(
            "let t = parquet(\"{path}\"); print(\"{name}\"); print(t); t.write(\"out/{name}.json\"); \
             t.write(\"out/{name}.csv\"); t.sort(t.columns[0]).head(1).write(\"out/{name}.parquet\"); "
        );
    }
    let shown = printed(&lab, &script);
    let mut wrong = Vec::new();
    for (name, case) in cases {
        let path = lab.path(case["path"].as_str().unwrap());
        let table = Table::read_parquet_files(&path.to_string_lossy()).unwrap();
        let fields = table.batch().schema_ref().fields();
        let types: Vec<Value> = fields
            .iter()
            .map(|field| {
                serde_json::json!([field.name(), kelvin::table::schema::type_name(field.data_type())])
            })
            .collect();
        if case["types"] != Value::Array(types.clone()) {
            wrong.push(format!("{name}: {}, expected {}", Value::Array(types), case["types"]));
        }
        let file = std::fs::read(lab.path(&format!("out/{name}.json"))).unwrap();
        let rows: Value = serde_json::from_slice(&file).unwrap();
        for (column, wanted) in case["columns"].as_object().unwrap() {
            let found = rows.as_array().unwrap().iter().map(|row| row[column].clone()).collect();
            if !same(&found, wanted) {
                wrong.push(format!("{name}: {column} is {found}, expected {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\n{shown}", wrong.join("\n"));

    // What can be computed with is; what cannot says so, and is shown.
    let script = r#"
        let p = parquet("polars.parquet");
        print(p.select(["u8 + u32 as a", "money * 2 as b", "i8 / 2 as c"]).rows()[0]);
        print(p.group(["category"], ["avg(money) as m", "max(u32) as u", "min(day) as d", "count(list) as n"]).column("m"));
        print(p.filter("day > '2000-01-01'").len);
        print(p.filter("zoned > '2024-03-31T10:00:00Z'").len);
        print(parquet("pandas.parquet").group(["ordered"], ["sum(single) as s"]).column("s"));
        print(parquet("spark").group(["lr"], ["sum(batch) as b"]).column("b"));
    "#;
    let wanted = "#{\"a\": 2, \"b\": 3.0, \"c\": -64.0}\n[1.5, -0.25, ()]\n1\n2\n[(), 0.5, -1.25]\n[32, 8]";
    assert_eq!(printed(&lab, script), wanted);
    for (call, told) in [
        ("p.select([\"list + 1\"])", "list"),
        (
            "plot(p).x(\"u8\").y(\"list\").save(\"x.svg\")",
            "column `list` holds list of float64, expected numbers",
        ),
        ("plot(p).x(\"u8\").y(\"span\").save(\"x.svg\")", "column `span` holds duration, expected numbers"),
    ] {
        let run = lab.script(&format!("let p = parquet(\"polars.parquet\"); {call};"));
        assert!(run.code == Some(1) && run.stderr.contains(told), "{call}: {}", run.stderr);
    }
}

/// Equal, whatever JSON type a number has.
fn same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| same(found, wanted))
        }
        (Value::Number(found), Value::Number(wanted)) => found == wanted || found.as_f64() == wanted.as_f64(),
        _ => found == wanted,
    }
}

/// One at a time; see `main.rs`.
mod alone {
    use super::*;

    /// A million rows group in under a second.
    #[test]
    fn a_million_rows_group_quickly() {
        let lab = Lab::new();
        // 10⁶ rows without a loop in the script.
        let script = r#"
            let digits = table(#{ d: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] });
            let t = digits.sql(`select 0.01 * (1 + a.d) as lr, 16 * (1 + b.d) as batch,
                sin(a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d + 100000 * f.d) as gap
                from t a, t b, t c, t d, t e, t f`);
            let start = timestamp();
            let g = t.group(["lr", "batch"], ["avg(gap) as gap", "stddev(gap) as s", "count(*) as n"]);
            let seconds = start.elapsed;
            print(t.len); print(g.len); print(seconds);
        "#;
        let found = printed(&lab, script);
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(lines[..2], ["1000000", "100"]);
        println!("a million rows in groups: {} s", lines[2]);
        assert_soon("groups", Duration::from_secs_f64(lines[2].parse().unwrap()), Duration::from_secs(1));
    }
}
