//! Calls of every function of the manual, made from the types of its parameters.

use kelvin::script::manual::{Function, functions, keys};
use kelvin::script::{Session, engine};

/// A function of the manual with its parameters' names.
pub struct Known {
    pub function: Function,
    /// Name and type of each parameter.
    pub parameters: Vec<(String, String)>,
    /// Its options with whatever is given for each.
    pub options: Vec<&'static str>,
}

/// Functions that are not called, and why.
pub const LEFT_OUT: [(&str, &str); 1] = [("to_debug", "shows a value, as to_string does")];

/// Every function that is called.
pub fn known() -> Vec<Known> {
    let engine = engine(&Session::silent());
    let known = functions(&engine).into_iter().map(|function| {
        let inner = function.signature.split_once('(').map_or("", |(_, rest)| rest);
        let inner = inner.rsplit_once(')').map_or("", |(inner, _)| inner);
        let parameters = inner.split(", ").filter_map(|one| one.split_once(": "));
        let parameters = parameters.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
        let options = keys(&function.name, None).iter().map(|opt| opt.name).collect();
        Known { function, parameters, options }
    });
    known.filter(|known| !LEFT_OUT.iter().any(|(name, _)| *name == known.function.name)).collect()
}

impl Known {
    /// A call with these arguments. What stands before the dot of a method is a variable, which may
    /// be changed.
    pub fn call(&self, arguments: &[String]) -> String {
        let name = &self.function.name;
        match arguments {
            [] => format!("{name}()"),
            [first, rest @ ..] => {
                let rest: String = rest.iter().map(|argument| format!(", {argument}")).collect();
                format!("let it = {first}; {name}(it{rest})")
            }
        }
    }
}

/// Large arguments for a parameter, the most telling one first.
pub fn large(function: &str, parameter: &str, kind: &str, folder: &str) -> Vec<String> {
    let quoted = |text: &str| format!("\"{text}\"");
    let column = || vec![quoted("gap"), quoted("run_id"), "letters".to_owned()];
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let file = |ending: &str| format!("{folder}/out.{ending}");
    match (function, parameter, kind) {
        ("steady" | "last_quarter" | "stationarity", _, "Table") => list(&["epochs"]),
        (_, _, "Table") => list(&["runs"]),
        (_, _, "Figure") => list(&["picture"]),
        (_, _, "Plot") => list(&["points.mean().lines(\"run_id\")", "points"]),
        (_, _, "Page") => list(&["page(\"x\").figure(picture, letters).table(runs, letters).text(letters)"]),
        (_, _, "GapFit") => list(&["fit"]),
        ("take" | "subset" | "label_noise" | "split" | "sample" | "fixed" | "show", _, "Dataset") => {
            list(&["many"])
        }
        (_, _, "Dataset") => list(&["data"]),
        (_, _, "Model") => list(&["mlp(#{ hidden: [4096, 4096, 4096] })", "resnet(#{ width: 512 })"]),
        (_, _, "Network") => list(&["net"]),
        (_, _, "range") => list(&["range(0.0, 1.0, 1e-6)"]),
        (_, _, "Optimizer") => list(&["sgd()"]),
        ("start" | "run", _, "Sweep") => list(&["few", "plan"]),
        (_, _, "Sweep") => list(&["plan"]),
        (_, _, "Job") => vec![format!("few.start(\"{folder}/job\")")],
        (_, _, "TrainedRun") => {
            list(&["train(#{ data: digits().take(200), model: linear(), lr: 0.1, batch: 20, epochs: 1 })"])
        }
        (_, _, "Slurm") => list(&["slurm(#{ partition: letters })"]),
        (_, _, "Problem") => {
            list(&["lab::logistic(#{ n: examples })", "lab::linear_regression(#{ n: examples, dim: 16 })"])
        }
        ("filter", "condition", _) => {
            list(&["\"sqrt(gap * gap) + ln(lr) > -3 and run_id like '%abc%'\"", "letters"])
        }
        ("derive", "expression", _) => list(&["\"sin(gap) * exp(lr)\"", "\"repeat(run_id, 50)\"", "letters"]),
        ("sql", "query", _) => list(&[
            "\"select run_id, gap, row_number() over (partition by lr order by gap) as n from t order by run_id desc\"",
            "\"select a.gap from t a join t b on a.gap < b.gap where a.gap + b.gap < -5\"",
            "letters",
        ]),
        ("sql", "others", _) => list(&["#{ other: runs }"]),
        ("select", "expressions", _) => list(&["[\"gap\", \"sin(gap) as s\"]", "names", "letters"]),
        ("group", "keys", _) => list(&["\"run_id\"", "names", "letters"]),
        ("group", "aggregates", _) => {
            list(&["[\"median(gap) as m\", \"max(run_id) as r\"]", "names", "letters"])
        }
        ("sort", "keys", _) => list(&["[\"gap\", \"run_id\"]", "names", "letters"]),
        ("join", "on", _) => list(&["\"run_id\"", "\"lr\"", "names", "letters"]),
        ("curve_fit", "formula", _) => list(&["|x, p| p[0] + p[1] * x"]),
        ("watch", "analysis", _) => list(&["|table| table.len"]),
        ("curve", "function", _) => list(&["|x| { let sum = 0.0; for i in 0..1_000_000 { sum += x } sum }"]),
        ("curve_fit", "p0", _) => list(&["[0.1, 0.2]", "numbers"]),
        ("curve_fit", "xs", _) => list(&["numbers"]),
        ("figure", "plots", _) => {
            list(&["[points, points, points]", "integers", "{ let all = []; all.pad(100_000, points); all }"])
        }
        ("figure", "figure", _) => list(&["points", "picture"]),
        ("table", "rows", _) => list(&["rows", "integers"]),
        ("table", "columns", _) => list(&["#{ a: numbers, b: numbers }"]),
        ("set_column", "new", _) => list(&["{ let all = []; all.pad(runs.len, 0.5); all }", "numbers"]),
        ("set_row", "new", _) => list(&["#{ gap: 0.5 }"]),
        ("results", "dirs", _) => list(&["names"]),
        ("why", "run", "map") => list(&["#{ dir: letters, run_id: letters }"]),
        ("sweep", "options", "array") => list(&[
            "{ let all = []; all.pad(100_000, #{ data: data, model: linear(), lr: 1..=1000, batch: 2, epochs: 3 }); all }",
        ]),
        ("sample" | "pick", _, "array") => list(&["numbers"]),
        (_, "temperature", "any") => list(&["0.001", "numbers"]),
        ("range", _, "any") => list(&["1", "1e-6"]),
        (_, "p", "any") => list(&["0.5"]),
        ("arg", "default", "any") => list(&["1"]),
        (_, _, "array") => list(&["numbers", "integers"]),
        ("show", "i", _) => list(&["19_999_999"]),
        (_, _, "integer") => list(&["1_000_000", "9223372036854775807", "3"]),
        (_, _, "number") => list(&["1e300"]),
        (_, _, "true or false") => list(&["true"]),
        ("save", "path", _) if function == "save" => vec![
            quoted(&file("svg")),
            quoted(&file("png")),
            quoted(&file("html")),
            quoted(&file("safetensors")),
        ],
        ("write", "path", _) => vec![quoted(&file("parquet")), quoted(&file("csv")), "letters".to_owned()],
        ("parquet" | "images", "path", _) => {
            vec![quoted(&format!("{folder}/pipe")), quoted("/"), quoted("/**/*.nope"), "letters".to_owned()]
        }
        ("results", "dir" | "other" | "third", _) => {
            vec![quoted(&format!("{folder}/done")), "letters".to_owned()]
        }
        ("start", "dir", _) => vec![quoted(&format!("{folder}/again")), "letters".to_owned()],
        (_, "dir", _) => vec![quoted(&format!("{folder}/sweep")), "letters".to_owned()],
        (_, "path", "text") => vec![quoted(&format!("{folder}/pipe")), "letters".to_owned()],
        (_, "column", "text") => column(),
        ("column" | "column_at" | "set_column", "name", "text") => column(),
        (_, _, "text") => list(&["letters"]),
        _ => Vec::new(),
    }
}

/// What a map of options must have, besides what is tried out.
pub fn required(function: &str, parameter: &str, folder: &str) -> String {
    match (function, parameter) {
        ("sweep" | "train", _) => {
            "data: data, model: linear(), lr: 0.1, batch: 2, epochs: passes,".to_owned()
        }
        ("average_over", "sweep") => {
            "data: data, model: linear(), lr: 0.1, batch: 2, epochs: passes,".to_owned()
        }
        ("average_over", _) => format!("until: 1e-9, dir: \"{folder}/average\","),
        ("join", _) => "on: \"run_id\",".to_owned(),
        ("measure", _) => "batch: 16,".to_owned(),
        ("subset", _) => "n: 19_000_000,".to_owned(),
        ("resnet", _) => "width: 8,".to_owned(),
        ("init", _) => "data: data,".to_owned(),
        ("lab::density" | "lab::ensemble" | "lab::gap" | "lab::check", _) => {
            "temperature: 0.1, alpha: 0.1, beta: 0.5,".to_owned()
        }
        ("lab::optimum", _) => "from: 0.02, to: 2, alpha: 0.1, beta: 0.5,".to_owned(),
        ("lab::sgd", _) => "lr: 0.1,".to_owned(),
        ("lab::histogram", _) => "lr: 0.1, low: -2, high: 2,".to_owned(),
        ("lab::relaxation", _) => "temperature: 0.01, lr: 0.01,".to_owned(),
        ("lab::diffusion", _) => "temperature: 0.1, alpha: 0.1,".to_owned(),
        _ => String::new(),
    }
}

/// A large value for an option; none: the test must be told of it.
pub fn large_option(function: &str, option: &str) -> Option<&'static str> {
    Some(match (function, option) {
        ("sweep" | "train", "data") => "[data, many]",
        (_, "data") => "data",
        (_, "sampling") => "[\"split\", \"random\", \"fixed\"]",
        (_, "train") => "180_000",
        ("measure", "test") => "data",
        ("lab::ensemble" | "lab::gap" | "lab::check", "test") => "1_000_000",
        (_, "test") => "20_000",
        (_, "augment") => "[true, false]",
        (_, "model") => "[resnet(#{ width: 256 }), mlp(#{ hidden: [4096, 4096] })]",
        (_, "init") => "letters",
        (_, "optimizer") => "[sgd(), adam()]",
        (_, "schedule" | "order" | "precision" | "train_metrics" | "gauge" | "form" | "set" | "device") => {
            "letters"
        }
        (_, "evaluate_every") => "1..=1_000_000",
        ("sweep" | "train", "measure") => "#{ what: [\"gradient\", \"hessian\", \"spectrum\"], every: 1 }",
        ("sweep" | "train" | "lab::sgd" | "lab::diffusion" | "lab::relaxation", "lr") => {
            "range(0.000001, 1.0, 0.000001)"
        }
        (_, "lr") => "1e-300",
        ("sweep" | "train" | "lab::sgd", "batch") => "1..=1_000_000",
        (_, "batch") => "1_000_000",
        ("sweep" | "train" | "lab::data", "seed") => "1..=1_000_000",
        (_, "seed") => "9223372036854775807",
        (_, "epochs") => "1..=1_000_000",
        (_, "jobs") => "1_000_000_000_000",
        (_, "executor") => "slurm()",
        (_, "checkpoint_every") => "0",
        (_, "retry") => "\"failed\"",
        (_, "extend" | "relative" | "drop_spikes" | "nesterov" | "decoupled" | "printed") => "true",
        (_, "on_epoch") => "|row| print(row)",
        (_, "until") => "1e-300",
        (_, "metric") => "letters",
        (_, "by") => "\"run_id\"",
        (_, "start") => "1_000_000",
        (_, "most") => "1_000_000_000_000",
        ("average_over", "dir") => "letters",
        (_, "steady" | "run") => "#{}",
        ("slurm", _) => "1_000_000_000_000",
        (_, "columns") => "1_000_000_000_000",
        (_, "title" | "suffix") => "letters",
        (_, "on") => "\"lr\"",
        (_, "how") => "\"full\"",
        (_, "channels" | "classes") => "65_536",
        (_, "what") => "[\"gradient\", \"hessian\", \"spectrum\"]",
        (_, "weight_decay" | "momentum" | "noise" | "beta1" | "beta2" | "eps") => "0.5",
        ("subset", "n") => "20_000_000",
        ("synthetic", "n") => "1_000_000_000_000",
        (_, "n") => "1_000_000",
        (_, "shape") => "[1, 30_000, 30_000]",
        (_, "image" | "label") => "letters",
        (_, "last") => "1_000_000_000",
        (_, "statistic") => "\"mean\"",
        (_, "tolerance" | "level") => "1e-300",
        (_, "x" | "y") => "\"gap\"",
        (_, "bootstrap" | "draws") => "1_000_000",
        (_, "sigma") => "numbers",
        (_, "width") if function == "resnet" => "4096",
        (_, "width") => "0.5",
        (_, "hidden") => "integers",
        (_, "mean" | "tilt" | "slope" | "weight" | "spread") => "1e3",
        (_, "dim") => "16",
        (_, "dataset") if function == "lab::data" => "1..=1_000_000",
        (_, "dataset") => "1_000_000_000_000",
        (_, "temperature" | "alpha" | "beta")
            if function != "lab::optimum" && function != "lab::histogram" =>
        {
            "range(0.001, 1.0, 0.00001)"
        }
        (_, "alpha" | "beta") => "1e3",
        (_, "datasets") => "1_000_000",
        (_, "from") => "1e-9",
        (_, "to") => "1e9",
        (_, "points") => "1000",
        (_, "steps") => "1_000_000_000_000",
        (_, "burn") => "10",
        (_, "chains") => "16_777_216",
        (_, "low") => "-1e300",
        (_, "high") => "1e300",
        (_, "bins") => "100_000",
        (_, "time") => "1e9",
        (_, "times") => "100_000",
        (_, "method") => "\"fokker-planck\"",
        (_, "step") => "1e-9",
        _ => return None,
    })
}

/// Whether a parameter is a map of options.
pub fn takes_options(function: &str, parameter: &str, kind: &str) -> bool {
    kind == "map" && !["others", "new", "columns", "run"].contains(&parameter) && function != "why"
}

/// A map with the required options and one more, or another value for one of them.
pub fn with_option(required: &str, option: &str, value: &str) -> String {
    let own = format!("{option}:");
    let others: String =
        required.split_inclusive(',').filter(|part| !part.trim().starts_with(&own)).collect();
    format!("#{{ {others} {option}: {value} }}")
}

/// Whether everything is tried out, for as long as it takes.
pub fn soak() -> bool {
    std::env::var_os("KELVIN_SOAK").is_some()
}
