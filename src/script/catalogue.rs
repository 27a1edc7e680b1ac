//! The calls that take a map of options, each with its schema: the one list that help, completion,
//! checking and the hints of errors read. The schemas lie beside what reads them.

use std::sync::LazyLock;

use crate::analysis::{AVERAGE_OPTIONS, CURVE_OPTIONS, FUNCTIONS};
use crate::data::{DIVISION_OPTIONS, SOURCES, SUBSET_OPTIONS};
use crate::error::{nearest, suggestion};
use crate::model::MODELS;
use crate::optim::OPTIMIZERS;
use crate::options::Opt;
use crate::plot::{FIGURE_OPTIONS, MARKS};
use crate::sweep::options::{EXECUTION_OPTIONS, START_OPTIONS};
use crate::sweep::slurm::SLURM_OPTIONS;
use crate::table::JOIN_OPTIONS;
use crate::theory::{self, PROBLEMS};
use crate::train::options::{INIT_OPTIONS, MEASURE_OPTIONS, RUN_OPTIONS};

/// A call that takes a map of options, its last map.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its name, with that of its module: `lab::gap`.
    pub name: &'static str,
    /// What its map may hold.
    pub options: &'static [Opt],
}

/// Every call.
pub fn calls() -> &'static [Call] {
    static CALLS: LazyLock<Vec<Call>> = LazyLock::new(|| {
        let call = |name, options| Call { name, options };
        let mut calls = vec![
            call("sweep", RUN_OPTIONS),
            call("train", RUN_OPTIONS),
            call("run", EXECUTION_OPTIONS),
            call("start", START_OPTIONS),
            call("slurm", SLURM_OPTIONS),
            call("figure", FIGURE_OPTIONS),
            call("join", JOIN_OPTIONS),
            call("init", INIT_OPTIONS),
            call("measure", MEASURE_OPTIONS),
            call("split", DIVISION_OPTIONS),
            call("sample", DIVISION_OPTIONS),
            call("fixed", DIVISION_OPTIONS),
            call("subset", SUBSET_OPTIONS),
            call("curve_fit", CURVE_OPTIONS),
            call("average_over", AVERAGE_OPTIONS),
        ];
        calls.extend(FUNCTIONS.iter().map(|function| call(function.name, function.options)));
        calls.extend(PROBLEMS.iter().map(|problem| call(problem.law.name, problem.law.options)));
        calls.extend(theory::FUNCTIONS.iter().map(|function| call(function.name, function.options)));
        calls.extend(MODELS.iter().map(|model| call(model.name, model.options)));
        calls.extend(SOURCES.iter().map(|source| call(source.name, source.options)));
        calls.extend(OPTIMIZERS.iter().map(|optimizer| call(optimizer.name, optimizer.options)));
        calls.extend(MARKS.iter().map(|mark| call(mark.method, mark.options())));
        calls.retain(|call| !call.options.is_empty());
        calls
    });
    &CALLS
}

/// The schema of a call; empty where it takes no options.
pub fn options_of(call: &str) -> &'static [Opt] {
    calls().iter().find(|known| known.name == call).map_or(&[], |call| call.options)
}

/// What is said of an option that is none of a call's: the one that is meant, or the calls that
/// have it.
pub fn unknown_option<'a>(call: &str, key: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let has_it = |call: &&Call| call.options.iter().any(|opt| opt.name == key);
    let owners = calls().iter().filter(has_it).map(|call| format!("{}(#{{{key}: …}})", call.name));
    let owners: Vec<String> = owners.collect();
    let hint = match &owners[..] {
        owners if owners.is_empty() || nearest(key, known.clone()).is_some() => suggestion(key, known),
        owners => format!("it belongs to {}", owners.join(" or ")),
    };
    format!("{call}: unknown option `{key}`; {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Statistic;
    use crate::data::Sampling;
    use crate::optim::{Form, Schedule};
    use crate::options::DefaultValue;
    use crate::script::manual::{TOPICS, functions};
    use crate::script::{Session, engine};
    use crate::table::How;
    use crate::theory::{DataSet, Gauge};
    use crate::torch::Precision;
    use crate::train::{Group, Order, TrainMetrics};

    #[test]
    fn every_call_stands_once_and_every_option_of_it_too() {
        let mut names: Vec<&str> = calls().iter().map(|call| call.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        for call in calls() {
            for (at, opt) in call.options.iter().enumerate() {
                let others = call.options[..at].iter();
                assert!(
                    others.clone().all(|other| !other.is_called(opt.name)),
                    "{}: {}",
                    call.name,
                    opt.name
                );
            }
        }
        assert!(options_of("linear").is_empty() && options_of("nothing").is_empty());
    }

    /// A choice of a schema is one that its reader knows, and the other way round.
    #[test]
    fn every_choice_is_read() {
        fn names<T>(all: &[(&'static str, T)]) -> Vec<&'static str> {
            all.iter().map(|(name, _)| *name).collect()
        }
        let known = [
            ("sampling", names(&Sampling::ALL)),
            ("schedule", names(&Schedule::all())),
            ("order", names(&Order::ALL)),
            ("precision", names(&Precision::ALL)),
            ("train_metrics", names(&TrainMetrics::ALL)),
            ("measure", names(&Group::ALL)),
            ("what", names(&Group::ALL)),
            ("how", names(&How::ALL)),
            ("form", names(&Form::ALL)),
            ("statistic", names(&Statistic::ALL)),
            ("gauge", names(&Gauge::ALL)),
            ("set", names(&DataSet::ALL)),
            ("method", vec!["langevin", "fokker-planck"]),
            ("device", vec!["auto", "cpu", "cuda", "cuda:1"]),
            ("executor", vec!["local"]),
            ("retry", vec!["failed"]),
        ];
        for call in calls() {
            let keys = call.options.iter().flat_map(Opt::keys);
            for opt in call.options.iter().chain(keys).filter(|opt| !opt.choices().is_empty()) {
                let (call, name) = (call.name, opt.name);
                let known = known.iter().find(|(known, _)| *known == name);
                let (_, known) = known.unwrap_or_else(|| panic!("{call}: {name}: who reads it?"));
                assert_eq!(&opt.choices(), known, "{call}: {name}");
                if let DefaultValue::Text(text) = opt.default {
                    assert!(known.contains(&text), "{call}: {name}: {text}");
                }
            }
        }
    }

    /// A default that is written down, where it is a value and no phrase.
    fn value(text: &str) -> Option<DefaultValue> {
        let plain = text.trim_start_matches('`');
        if let Some(text) = plain.strip_prefix('"') {
            let known = calls().iter().flat_map(|call| call.options).map(|opt| opt.default);
            let is_it = |default: &DefaultValue| match default {
                DefaultValue::Text(known) => text.starts_with(&format!("{known}\"")),
                _ => false,
            };
            return Some(known.into_iter().find(is_it).unwrap_or(DefaultValue::Text("")));
        }
        let end = plain.find(|c: char| !(c.is_alphanumeric() || "+-._".contains(c))).unwrap_or(plain.len());
        let word = plain[..end].trim_end_matches('.').replace('_', "");
        match (word.parse::<f64>(), word.parse()) {
            (Ok(number), _) => Some(DefaultValue::Number(number)),
            (_, Ok(flag)) => Some(DefaultValue::Flag(flag)),
            _ => None,
        }
    }

    /// Whether an option of this name has this default, in one of these calls.
    fn agrees(calls: &[Call], name: &str, said: DefaultValue) -> bool {
        let all = calls.iter().flat_map(|call| call.options).filter(|opt| opt.is_called(name));
        all.into_iter().any(|opt| match (opt.default, said) {
            (DefaultValue::Integer(own), DefaultValue::Number(said)) => own as f64 == said,
            (own, said) => own == said,
        })
    }

    /// What a text says of defaults and the schemas do not, of the options of these calls:
    /// "`name` … default 3", and "`name: "text"` (the default)".
    fn false_claims(calls: &[Call], text: &str) -> Vec<String> {
        let is_option = |name: &str| calls.iter().any(|call| call.options.iter().any(|opt| opt.name == name));
        let mut found = Vec::new();
        for (at, word) in text.match_indices("default") {
            let (before, after) = (&text[..at], &text[at + word.len()..]);
            let sentence = before.rfind("\n\n").max(before.rfind(". ")).unwrap_or(0);
            // The name between the last two back ticks of the sentence.
            let mut ticks = before[sentence..].rsplit('`');
            let (_, Some(span)) = (ticks.next(), ticks.next()) else { continue };
            let (name, given) = span.split_once(": ").unwrap_or((span, ""));
            let is_the_default = before.ends_with("the ") && after.starts_with(')');
            let said = if is_the_default { given } else { after.trim_start_matches([':', ' ']) };
            let begins = is_the_default || after.starts_with([':', ' ']);
            if let Some(said) = value(said).filter(|_| begins && is_option(name))
                && !agrees(calls, name, said)
            {
                found.push(format!("`{name}`: default {said}"));
            }
        }
        found
    }

    #[test]
    fn no_doc_says_a_default_that_the_schema_does_not_have() {
        for call in calls() {
            for opt in call.options {
                let (call, name, doc) = (call.name, opt.name, opt.doc);
                assert!(!doc.contains("default") && !doc.contains("required"), "{call}: {name}: {doc}");
                let choices = opt.choices();
                let named = choices.iter().find(|choice| doc.contains(&format!("\"{choice}\"")));
                assert!(named.is_none(), "{call}: {name}: its schema lists the choices: {doc}");
            }
        }
        let mut texts: Vec<(String, String)> =
            TOPICS.iter().map(|topic| (topic.name.to_owned(), topic.text.to_owned())).collect();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
        for path in docs.chain([root.join("README.md")]).filter(|path| path.is_file()) {
            texts.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
        for (name, text) in texts {
            assert_eq!(false_claims(calls(), &text), [""; 0], "{name}");
        }
        // A function's own doc may say "`name` (3)".
        for function in functions(&engine(&Session::silent())) {
            let Some(call) = calls().iter().find(|call| call.name == function.name) else { continue };
            let own = std::slice::from_ref(call);
            assert_eq!(false_claims(own, &function.doc), [""; 0], "{}", call.name);
            for opt in call.options {
                let name = opt.name;
                for (at, said) in function.doc.match_indices(&format!("`{name}` (")) {
                    let said = value(&function.doc[at + said.len()..]);
                    let is_true = said.is_none_or(|said| agrees(own, name, said));
                    assert!(is_true, "{}: {name}: {}", call.name, function.doc);
                }
            }
        }
    }

    #[test]
    fn a_false_default_is_found() {
        let claims = |text: &str| false_claims(calls(), text);
        assert_eq!(claims("`evaluate_every` (epochs, default 2)"), ["`evaluate_every`: default 2"]);
        assert_eq!(claims("`schedule: \"cosine\"` (the default)"), ["`schedule`: default \"\""]);
        for text in [
            "`evaluate_every` (epochs, default 1), `sampling`: default `\"split\"`",
            "`schedule: \"constant\"` (the default)",
            "`checkpoint_every` (seconds, default 60; 0: every epoch)",
            "`nothing`, default 7; `lr`. The default is 8",
            "`evaluate_every`\n\ndefault 7",
        ] {
            assert_eq!(claims(text), [""; 0], "{text}");
        }
    }
}
