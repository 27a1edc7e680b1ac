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
    loop {
        if let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
            text = rest;
        } else if let Some((_, rest)) =
            text.split_once("\ncaused by\n").filter(|_| text.starts_with("Optimizer rule '"))
        {
            text = rest;
        } else {
            break;
        }
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
    let text = text.split(" Hint: ").next().unwrap_or(text).trim_end();
    known(text).unwrap_or_else(|| in_words(text))
}

/// Messages about common mistakes, with what to write instead.
fn known(text: &str) -> Option<String> {
    // `before`, something, `after`.
    let between = |before: &str, after: &str| {
        let (_, rest) = text.split_once(before)?;
        rest.split_once(after).map(|(found, rest)| (in_words(found), in_words(rest)))
    };
    if let Some((name, _)) = between("table '", "' not found") {
        let name = name.trim_start_matches("datafusion.").trim_start_matches("public.");
        return Some(format!("no table `{name}`"));
    }
    if let Some(operation) = text.strip_prefix("Arithmetic overflow: Overflow happened on: ") {
        return Some(format!(
            "{operation} leaves the range of integers; make a part of it a float: cast(x as double)"
        ));
    }
    if text.starts_with("Projections require unique expression names")
        && let Some((expression, _)) = between("expression \"", "\" at position")
    {
        let name = expression.rsplit_once(" AS ").map_or(bare(&expression), |(_, name)| name);
        return Some(format!("two columns would be called `{name}`; name one with `as`"));
    }
    if text.starts_with("HAVING clause references: ") {
        return Some(
            "`having` is a condition on aggregates, and there are none; one on rows is written `where`"
                .to_owned(),
        );
    }
    let single = between("column \"", "\" must appear in the GROUP BY");
    if let Some((column, _)) = single {
        let column = bare(&column);
        return Some(format!(
            "beside an aggregate, which makes one row of many, `{column}` has many values; make it one of the keys or \
             aggregate it, too: avg({column}), or write the aggregate with `over ()`, which gives every row its value"
        ));
    }
    if let Some((condition, kind)) = between("non-boolean predicate '", "' returning ") {
        let (condition, kind) = (bare(&condition), kind.to_lowercase());
        return Some(format!("expected a condition such as x > 0, found `{condition}`, which is {kind}"));
    }
    if text == "Could not plan array literal." {
        return Some("expected numbers, texts or columns, found a list".to_owned());
    }
    None
}

/// A column without the table's name.
fn bare(column: &str) -> &str {
    column.strip_prefix("t.").unwrap_or(column)
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
        let rule =
            "Optimizer rule 'simplify_expressions' failed\ncaused by\nArrow error: Divide by zero error";
        assert_eq!(clean(rule), "Divide by zero error");
        assert_eq!(clean("Error during planning: table 'datafusion.public.a.b' not found"), "no table `a.b`");
        assert_eq!(clean("SQL error: ParserError(\"Expected: \\\"x\\\"\")"), "Expected: \"x\"");
    }
}
