//! The engine's errors in words that help whoever wrote the query.

use datafusion::error::DataFusionError;

/// What the engine puts before its messages.
const PREFIXES: [&str; 12] = [
    "Error during planning: ",
    "Internal error: ",
    "Execution error: ",
    "External error: ",
    "Schema error: ",
    "Arrow error: ",
    "SQL error: ",
    "Compute error: ",
    "Cast error: ",
    "This feature is not implemented: ",
    "type_coercion\ncaused by\n",
    "caused by\n",
];

/// An error's message without the engine's own words around it.
pub(crate) fn of(error: DataFusionError) -> String {
    clean(&error.strip_backtrace())
}

fn clean(message: &str) -> String {
    let mut text = message;
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest;
    }
    // Which arguments a function does not take; which it takes is a page long.
    if let Some((_, rest)) = text.split_once("No function matches the given name and argument types '")
        && let Some((call, _)) = rest.split_once("'.")
    {
        let call = in_words(call);
        return format!("no function takes `{call}`; a cast changes a type: cast(x as double)");
    }
    if let Some(message) = text.strip_prefix("ParserError(\"").and_then(|text| text.strip_suffix("\")")) {
        return message.replace("\\\"", "\"");
    }
    let text = text.split("\nThis issue was likely caused by a bug").next().unwrap_or(text);
    in_words(text.trim_end())
}

/// With kelvin's names of types.
fn in_words(text: &str) -> String {
    ["LargeUtf8", "Utf8View", "Utf8"].iter().fold(text.to_owned(), |text, name| text.replace(name, "text"))
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn the_engines_own_words_are_left_out() {
        let long = "Error during planning: Internal error: Function 'sum' failed to match any signature.\nThis issue \
                    was likely caused by a bug. No function matches the given name and argument types 'sum(Utf8)'. \
                    You might need to add explicit type casts.\n\tCandidate functions:\n\tsum(Int64)";
        assert_eq!(clean(long), "no function takes `sum(text)`; a cast changes a type: cast(x as double)");
        assert_eq!(clean("Arrow error: Divide by zero error"), "Divide by zero error");
        assert_eq!(clean("SQL error: ParserError(\"Expected: \\\"x\\\"\")"), "Expected: \"x\"");
    }
}
