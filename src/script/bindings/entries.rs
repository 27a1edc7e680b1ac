//! Functions that are entries of a list: how they come into a module, and the schemas of their
//! options.

use crate::options::Opt;

/// The options of a call.
pub(in crate::script) type Schema = (&'static str, &'static [Opt]);

/// The schemas of the calls whose entries or options lie in `analysis/` and `theory/`.
pub(in crate::script) fn schemas() -> Vec<Schema> {
    let mut schemas = super::analysis::schemas();
    schemas.extend(super::lab::schemas());
    schemas.push(("average_over", super::average::OPTIONS));
    schemas
}

/// A doc comment that ends in an example, as help reads it.
pub(super) fn comment(doc: &str, example: &str) -> String {
    let example: String = example.lines().map(|line| format!("\n/// {line}")).collect();
    format!("/// {doc}\n///\n/// ```{example}\n/// ```")
}

/// Rhai's name of a type, which editors read.
pub(super) fn of_rhai(name: &str) -> &str {
    match name {
        "any" => "Dynamic",
        "map" => "Map",
        name => name,
    }
}
