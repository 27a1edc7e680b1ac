//! Every function of the manual, called with what nobody should give it, answers or says what is
//! wrong: in seconds, without a panic, within its memory, and without a file outside of its folder.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::manual::{known, large, required, soak, takes_options, with_option};
use crate::support::{Lab, say};

/// Values that fit no parameter, or hardly.
const VALUES: [&str; 40] = [
    "0",
    "-1",
    "-9223372036854775808",
    "9223372036854775807",
    "0.0 / 0.0",
    "1.0 / 0.0",
    "-1.0 / 0.0",
    "1e308",
    "-1e-308",
    "\"\"",
    "[]",
    "#{}",
    "()",
    "true",
    "'x'",
    "|x| x",
    "|| throw \"no\"",
    "deep",
    "long",
    "\"\\x1b]0;pwn\\x07\"",
    "\"a\\nb\\x01c\"",
    "\"../../../../outside\"",
    "\"'; drop table t; --\"",
    "no_rows",
    "nulls",
    "odd",
    "numbers",
    "[(), \"a\", 1, [], #{}]",
    "[0.0 / 0.0, 1.0 / 0.0]",
    "1..=1_000_000_000_000",
    "range(0.0, 1.0, 1e-300)",
    "#{ a: 1, \"\\x1b[31m\": deep }",
    "\"/dev/full\"",
    "\"pipe\"",
    "\"folder\"",
    "\"loop\"",
    "\"link\"",
    "\"../canary\"",
    "\"/proc/self/mem\"",
    "\"/dev/zero\"",
];

/// The values that calls are made of: those of `interrupts.rs`, in small.
const SETUP: &str = r#"
let passes = 1;
let examples = 20;
let numbers = [0.24, 0.2, 0.16, 0.13];
let integers = [1, 2, 3];
let letters = "gap";
let words = "a b";
let rows = [#{ lr: 0.1, gap: 0.2, name: "x" }];
let names = ["gap"];
let small = table(#{ temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13], batch: [8, 8, 16, 16] });
let fit = fit_gap(small, #{ bootstrap: 100 });
let data = digits().take(100);
let many = data;
let net = mlp(#{ hidden: [4] }).init(#{ data: data });
let few = sweep(#{ data: data, model: linear(), lr: [0.1, 0.2], batch: 20, epochs: 1 });
let plan = few;
let epochs = train(#{ data: data, model: linear(), lr: 0.1, batch: 20, epochs: 4 }).epochs;
let runs = epochs.derive("seed", "1");
let points = plot(runs).x("temperature").y("gap");
let picture = figure([points]);
few.run("out/done");
let deep = [];
for i in 0..1000 { try { deep = [deep]; } catch { } }
let long = ""; long.pad(1_000_000, 'x');
let no_rows = small.filter("gap > 9");
let nulls = table([#{ temperature: (), gap: (), run_id: (), epoch: () }]);
let odd = table([#{ "\x1b]0;pwn\x07": 1, "a\nb": 2 }]);
"#;

/// A call may take so long.
const SECONDS: f64 = 10.0;

/// And so much memory, in bytes.
const MEMORY: u64 = 2 << 30;

/// Every function with each value in each place, and each of its options with each value.
fn calls() -> Vec<String> {
    let mut all = Vec::new();
    for known in known() {
        let name = known.function.name.as_str();
        // The network is not ours to ask; a job would be waited for to its end.
        let good: Vec<String> = known
            .parameters
            .iter()
            .map(|(parameter, kind)| match takes_options(name, parameter, kind) {
                true => format!("#{{ {} }}", required(name, parameter, "out")),
                false => large(name, parameter, kind, "out").into_iter().next().unwrap_or_default(),
            })
            .collect();
        let mut own = Vec::new();
        for (place, (parameter, kind)) in known.parameters.iter().enumerate() {
            let with = |value: &str| {
                let mut arguments = good.clone();
                arguments[place] = value.to_owned();
                known.call(&arguments)
            };
            own.extend(VALUES.iter().map(|value| with(value)));
            if takes_options(name, parameter, kind) {
                let base = required(name, parameter, "out");
                for option in &known.options {
                    own.extend(VALUES.iter().map(|value| with(&with_option(&base, option, value))));
                }
            }
        }
        // A sample, another one for each function; the long test makes every call.
        let step = if soak() { 1 } else { own.len().div_ceil(8).max(1) };
        let skip = if soak() { 0 } else { name.len() % step };
        all.extend(own.into_iter().skip(skip).step_by(step));
    }
    all
}

/// A script of calls, each of which says that it begins.
fn script(calls: &[(usize, &String)]) -> String {
    let call = |(number, call): &(usize, &String)| {
        format!(
            "debug(\"CALL {number}\"); let began = timestamp();\ntry {{ {call}; }} catch {{ }}\n\
             if began.elapsed > {SECONDS} {{ debug(`SLOW ${{began.elapsed}}`); }}\n"
        )
    };
    let calls: String = calls.iter().map(call).collect();
    format!("{SETUP}{calls}debug(\"END\");\n")
}

#[test]
fn hostile_values_are_answered_or_refused() {
    let lab = Lab::new();
    lab.write("canary", "untouched");
    lab.write("work/folder/file", "");
    std::os::unix::fs::symlink("loop", lab.path("work/loop")).unwrap();
    std::os::unix::fs::symlink("../canary", lab.path("work/link")).unwrap();
    let pipe = std::ffi::CString::new(lab.path("work/pipe").to_str().unwrap()).unwrap();
    // SAFETY: the call only reads the path, which ends in a zero byte.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);

    let only = std::env::var("KELVIN_CALLS").unwrap_or_default();
    let calls: Vec<String> = calls().into_iter().filter(|call| call.contains(&only)).collect();
    let mut left: Vec<(usize, &String)> = calls.iter().enumerate().collect();
    let mut faults: Vec<String> = Vec::new();
    while !left.is_empty() && faults.len() < 40 {
        lab.write("work/script.rhai", script(&left));
        let (out, err) = (lab.path("stdout"), lab.path("stderr"));
        let mut child = lab
            .kelvin()
            .current_dir(lab.path("work"))
            .arg("script.rhai")
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let (mut seen, mut since) = (0, Instant::now());
        let fault = loop {
            let ended = child.try_wait().unwrap();
            let said = fs::read(&err).unwrap();
            if said.len() > seen {
                (seen, since) = (said.len(), Instant::now());
            }
            if let Some(status) = ended {
                break (!status.success()).then(|| format!("{status}"));
            }
            let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let held = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
            let held = held.and_then(|held| held.trim().parse::<u64>().ok()).unwrap_or(0) * 1024;
            let fault = match () {
                () if held > MEMORY => Some(format!("{held} bytes of memory")),
                () if since.elapsed().as_secs_f64() > 4.0 * SECONDS => Some("no answer".to_owned()),
                () => None,
            };
            if fault.is_some() {
                child.kill().unwrap();
                child.wait().unwrap();
                break fault;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let said = String::from_utf8_lossy(&fs::read(&err).unwrap()).into_owned();
        let mut last = None;
        // `debug` writes texts in quotes.
        for line in said.lines().map(|line| line.trim_matches(['"', '`'])) {
            if let Some(number) = line.strip_prefix("CALL ").and_then(|number| number.parse::<usize>().ok()) {
                last = Some(number);
            }
            let of = last.map_or("the values themselves", |number| calls[number].as_str());
            if line.starts_with("SLOW ") || line.contains("panicked at") {
                faults.push(format!("{line}: {of}"));
            }
        }
        let Some(fault) = fault else { break };
        let of = last.map_or("the values themselves", |number| calls[number].as_str());
        let tail: String = said.chars().rev().take(400).collect::<Vec<_>>().into_iter().rev().collect();
        faults.push(format!("{fault}: {of}\n    {}", tail.replace('\n', "\n    ")));
        let Some(last) = last else { break };
        left.retain(|(number, _)| *number > last);
    }
    say(&format!("{} calls with hostile values", calls.len()));
    assert_eq!(fs::read_to_string(lab.path("canary")).unwrap(), "untouched");
    let outside: Vec<_> =
        fs::read_dir(lab.path("")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(outside.len(), 4, "{outside:?}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
