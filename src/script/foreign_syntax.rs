//! What users of other languages write, and what Rhai wants instead.

/// Names that other languages know, and what to write instead.
const NAMES: [(&str, &str); 30] = [
    ("pi", "it is written PI()"),
    ("numpy", "arrays have sum(), mean(), std(), min() and max(); tables have group and describe"),
    ("None", "nothing is written ()"),
    ("nil", "nothing is written ()"),
    ("null", "nothing is written ()"),
    ("NULL", "nothing is written ()"),
    ("undefined", "nothing is written ()"),
    ("True", "it is written true"),
    ("False", "it is written false"),
    ("not", "it is written !: !converged"),
    ("and", "it is written &&"),
    ("or", "it is written ||"),
    ("def", "a function is written fn name(arguments) { … }"),
    ("function", "a function is written fn name(arguments) { … }"),
    ("lambda", "a function without a name is written |x| x + 1"),
    ("elif", "it is written else if condition { … }"),
    ("var", "a variable is made with let name = …;"),
    ("println", "it is written print"),
    ("range", "it is written with its ends: 0..3, or 1..=3 with the last"),
    ("upper", "it is written to_upper"),
    ("lower", "it is written to_lower"),
    ("strip", "it is written trim"),
    ("append", "it is written push"),
    ("np", "arrays have sum(), mean(), std(), min() and max(); tables have group and describe"),
    ("where", "a table's rows are chosen with filter: runs.filter(\"epoch = 3\")"),
    ("query", "a table's rows are chosen with filter: runs.filter(\"epoch = 3\")"),
    ("groupby", "it is written group: runs.group([\"batch\"], [\"mean(gap) as gap\"])"),
    ("group_by", "it is written group: runs.group([\"batch\"], [\"mean(gap) as gap\"])"),
    ("sort_values", "it is written sort: runs.sort([\"temperature\"])"),
    ("order_by", "it is written sort: runs.sort([\"temperature\"])"),
];

/// What to write instead of a name that is not known.
pub(super) fn hint_for_name(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|(other, _)| *other == name).map(|(_, advice)| *advice)
}

/// What to write instead of a call that nothing takes; `types` are those of its arguments.
pub(super) fn hint_for_call(name: &str, types: &[String]) -> Option<String> {
    let numbers = types.iter().all(|kind| kind == "number" || kind == "integer");
    match name {
        "print" if types.len() > 1 => {
            Some("print takes one value; several go into a text: print(`${a} ${b}`)".to_owned())
        }
        "^" if numbers => Some("a power is written x ** y".to_owned()),
        name => hint_for_name(name).map(|advice| format!("unknown function `{name}`; {advice}")),
    }
}

/// What to write where a script cannot be parsed; `before` is its text up to there, `from` the text
/// from there on.
pub(super) fn hint_for_syntax(before: &str, from: &str) -> Option<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let line = before.rsplit('\n').next().unwrap_or_default().trim_start();
    let last = before.trim_end().rsplit(|c: char| !is_part(c)).next().unwrap_or_default();
    let next: String = from.chars().take_while(|&c| is_part(c)).collect();
    let begins = |word: &str| line.strip_prefix(word).is_some_and(|rest| !rest.starts_with(is_part));
    let is_block =
        ["if", "for", "while", "else", "def"].iter().any(|word| begins(word)) && !line.contains('{');
    let is_lambda =
        last == "lambda" && from.split_once(':').is_some_and(|(names, _)| !names.contains([',', '}', '\n']));
    if ["not", "def", "function", "var"].contains(&last) && line.starts_with(last)
        || last == "not"
        || is_lambda
    {
        return hint_for_name(last).map(|advice| format!("`{last}`: {advice}"));
    }
    let right =
        from[next.len()..].trim_start().starts_with(|c: char| is_part(c) || c == '(' || c == '!' || c == '"');
    if ["and", "or"].contains(&next.as_str()) && right
        || ["elif", "not", "null", "var"].contains(&next.as_str())
    {
        return hint_for_name(&next).map(|advice| format!("`{next}`: {advice}"));
    }
    match from.chars().next() {
        Some('\'') => Some("a text stands in double quotes: \"text\"".to_owned()),
        Some('"') if last == "f" && before.ends_with('f') => {
            Some("a text with values in it stands in back ticks: `lr ${lr}`".to_owned())
        }
        Some('^') => Some("a power is written x ** y".to_owned()),
        Some(':') if is_block => Some("what follows stands in braces: { … }".to_owned()),
        Some(':') if begins("let") && !line.contains('=') => {
            Some("a variable is written without its type: let x = …;".to_owned())
        }
        Some(':')
            if before.trim_end().trim_end_matches(is_part).trim_end().ends_with(['{'])
                && !line.contains("switch") =>
        {
            Some("a map is written #{name: value}".to_owned())
        }
        _ if next == "then" || (is_block && next == "do") => {
            Some("what follows stands in braces: { … }".to_owned())
        }
        _ => None,
    }
}

/// What to write instead of a variable that a function does not see.
pub(super) fn hand_over(name: &str) -> String {
    format!("; a function sees its arguments only: hand it over, fn f({name}) {{ … }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_tell_what_was_meant() {
        for (script, at, wanted) in [
            ("let a = 1; a and 2", 13, "written &&"),
            ("not true", 4, "written !"),
            ("def f(x): x", 4, "fn name"),
            ("for i in 0..3: print(i)", 13, "braces"),
            ("let x: i64 = 3", 5, "without its type"),
            ("let a = {b: 1}", 10, "#{name"),
            ("f\"{x}\"", 1, "back ticks"),
            ("let s = 'abc';", 8, "double quotes"),
            ("2 ^ 3", 2, "x ** y"),
        ] {
            let (before, from) = script.split_at(at);
            let advice = hint_for_syntax(before, from).unwrap_or_default();
            assert!(advice.contains(wanted), "{script}: {advice}");
        }
        for (script, at) in
            [("let a = 1 2", 10), ("let or = 3; let x = 2 or;", 22), ("switch 3 { 3: 4 }", 12)]
        {
            let (before, from) = script.split_at(at);
            assert_eq!(hint_for_syntax(before, from), None, "{script}");
        }
        let (before, from) = "for i in 0..3 { let m = {a: i}; }".split_at(26);
        assert!(hint_for_syntax(before, from).is_some_and(|advice| advice.contains("#{name")));
    }
}
