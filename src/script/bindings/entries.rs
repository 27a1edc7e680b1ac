//! Functions that are entries of a list: how help knows them.

/// A doc comment as help reads it: a text that begins with a capital, and an example, which may be
/// empty, that runs on every machine or not.
pub(super) fn comment(doc: &str, example: &str, runs: bool) -> String {
    let mut chars = doc.chars();
    let doc: String = chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect();
    if example.is_empty() {
        return format!("/// {doc}");
    }
    let lines: String = example.lines().map(|line| format!("\n/// {line}")).collect();
    format!("/// {doc}\n///\n/// ```{}{lines}\n/// ```", if runs { "" } else { "no_run" })
}

/// Rhai's name of a type, which editors read.
pub(super) fn of_rhai(name: &str) -> &str {
    match name {
        "any" => "Dynamic",
        "map" => "Map",
        name => name,
    }
}
