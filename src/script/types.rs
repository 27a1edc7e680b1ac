//! Types by the names that scripts know.

use rhai::Dynamic;

/// A type's name as scripts see it.
pub(super) fn type_name(name: &str) -> String {
    /// Types of Rust that only hold another one.
    const HOLDERS: [&str; 8] = ["Arc", "Rc", "Box", "Mutex", "RwLock", "RefCell", "Locked", "Shared"];
    let name = name.trim_start_matches("&mut ").trim();
    // What is in the brackets is what the type holds, or only says more of it.
    let (outer, inner) = name.split_once('<').unwrap_or((name, ""));
    let outer = outer.rsplit("::").next().unwrap_or(outer).trim_end_matches(['>', ' ']);
    if HOLDERS.contains(&outer) && !inner.is_empty() {
        return type_name(inner);
    }
    let name = outer;
    let name = name.strip_suffix("Handle").unwrap_or(name);
    match name {
        "i64" => "integer",
        "f64" => "number",
        "& str" | "&str" | "ImmutableString" | "String" | "string" => "text",
        "bool" => "true or false",
        "()" => "nothing",
        "Array" => "array",
        "Map" => "map",
        "FnPtr" | "Fn" => "function",
        "Range" | "RangeInclusive" | "StepRange" | "Steps" => "range",
        "Dynamic" => "any",
        name => name,
    }
    .to_owned()
}

/// The type of a value, as scripts see it.
pub fn type_of(value: &Dynamic) -> String {
    if value.is_unit() { "nothing".to_owned() } else { type_name(value.type_name()) }
}

/// A type by Rust's name for it, in words: `a Network`, `an integer`.
pub(super) fn kind(name: &str) -> String {
    let name = type_name(name);
    let a = if name.starts_with(['a', 'e', 'i', 'o', 'A', 'E', 'I', 'O']) { "an" } else { "a" };
    match &*name {
        "text" | "nothing" | "true or false" => name,
        _ => format!("{a} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_as_scripts_know_them() {
        for (name, shown) in [
            ("alloc::sync::Arc<std::sync::Mutex<kelvin::model::network::Network>>", "Network"),
            ("alloc::sync::Arc<kelvin::script::handles::PlotHandle>", "Plot"),
            ("rhai::packages::iter_basic::StepRange<i64>", "range"),
            ("core::ops::range::RangeInclusive<i64>", "range"),
            ("&mut kelvin::table::Table", "Table"),
            ("Array", "array"),
        ] {
            assert_eq!(type_name(name), shown, "{name}");
        }
    }
}
