//! Closures keep the value that a loop's variable had when they were made.
//!
//! Rhai's `for` has one variable for all turns, and writes into what closures captured of it. Where
//! a closure captures the variable of a loop, the loop's body is therefore compiled as if it began
//! with `let x = x;`, which makes another one in each turn. The words stand at the end of the
//! body's first line where nothing else does, so that no column moves; else errors are told where
//! they are in the text.

use rhai::{AST, ASTNode, Engine, EvalAltResult, Position, Scope, Stmt};

use super::text::{LONGEST, too_long};

/// Words that are put into a text.
struct Insertion {
    /// In the text without them.
    byte: usize,
    line: usize,
    /// Characters before them on their line.
    column: usize,
    words: String,
}

/// Compiles a text; nothing of it runs.
///
/// # Errors
///
/// Where it is too long, or cannot be parsed.
pub fn compile(engine: &Engine, scope: &Scope, text: &str) -> Result<AST, Box<EvalAltResult>> {
    if text.len() as u64 > LONGEST {
        let message = too_long(Some(text.len()));
        return Err(Box::new(EvalAltResult::ErrorRuntime(message.into(), Position::NONE)));
    }
    let ast = engine.compile_with_scope(scope, text)?;
    match &insertions(&ast, text)[..] {
        [] => Ok(ast),
        found => Ok(engine.compile_with_scope(scope, with(text, found))?),
    }
}

/// Where in a text an error stands that arose in what [`compile`] made of it.
pub(super) fn original(engine: &Engine, text: &str, position: Position) -> Position {
    let (Some(line), Some(column)) = (position.line(), position.position()) else { return position };
    let found = engine.compile(text).map(|ast| insertions(&ast, text)).unwrap_or_default();
    let mut moved = column;
    for words in found.iter().filter(|words| words.line == line) {
        // A position within the inserted words is that of their place.
        moved -= moved.saturating_sub(words.column + 1).min(words.words.chars().count());
    }
    Position::new(line as u16, moved as u16)
}

fn with(text: &str, insertions: &[Insertion]) -> String {
    let mut out = String::with_capacity(text.len() + 32 * insertions.len());
    let mut end = 0;
    for insertion in insertions {
        out += &text[end..insertion.byte];
        out += &insertion.words;
        end = insertion.byte;
    }
    out + &text[end..]
}

/// What is to be put into a text, in order.
fn insertions(ast: &AST, text: &str) -> Vec<Insertion> {
    let mut found: Vec<(Position, String)> = Vec::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Stmt(Stmt::Share(captured))) = path.last() {
            for (name, _) in captured.iter() {
                // The innermost loop that has a variable of this name.
                let body = path.iter().rev().find_map(|node| match node {
                    ASTNode::Stmt(Stmt::For(parts, _)) => {
                        let (variable, counter, flow) = &**parts;
                        let has = variable.name == name.name
                            || counter.as_ref().is_some_and(|counter| counter.name == name.name);
                        has.then(|| flow.body.position())
                    }
                    _ => None,
                });
                let own = body.map(|body| (body, name.name.to_string()));
                found.extend(own.filter(|own| !own.0.is_none() && !found.contains(own)));
            }
        }
        true
    });
    if found.is_empty() {
        return Vec::new();
    }
    found.sort();
    let starts: Vec<usize> =
        std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let place = |(position, name): (Position, String)| {
        let (line, column) = (position.line()?, position.position()?);
        let start = *starts.get(line - 1)?;
        let rest = text[start..].split('\n').next()?;
        // Behind the brace, or at the end of its line.
        let brace = rest.char_indices().nth(column - 1).filter(|(_, brace)| *brace == '{')?.0 + 1;
        let is_last = rest[brace..].trim().is_empty();
        let column = if is_last { rest.chars().count() } else { column };
        let byte = start + if is_last { rest.len() } else { brace };
        Some(Insertion { byte, line, column, words: format!(" let {name} = {name};") })
    };
    found.into_iter().filter_map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ints(script: &str) -> Vec<i64> {
        let session = crate::script::Session::silent();
        let engine = crate::script::engine(&session);
        let found = crate::script::evaluate(&engine, &mut Scope::new(), script).unwrap();
        found.into_typed_array::<i64>().unwrap()
    }

    #[test]
    fn closures_keep_the_value_of_their_turn() {
        let fs = "let fs = []; ";
        let called = "; fs.map(|f| f.call())";
        for (script, wanted) in [
            ("for b in [16, 32] { fs.push(|| b / 8); }", vec![2, 4]),
            ("for b in [16, 32] {\n fs.push(|| b / 8);\n}", vec![2, 4]),
            ("for (b, i) in [16, 32] { fs.push(|| b + i); }", vec![16, 33]),
            ("for (b, i) in [16, 32] { fs.push(|| i); }", vec![0, 1]),
            ("for a in [1, 2] { for b in [10, 20] { fs.push(|| a + b); } }", vec![11, 21, 12, 22]),
            ("for a in [1, 2] { for a in [a, 5 * a] { fs.push(|| a); } }", vec![1, 5, 2, 10]),
            // In a closure within a closure, and beside other variables.
            (
                "let c = 100; for b in [1, 2] { let d = 10 * b; fs.push(|| [1].map(|x| x + b + c + d)[0]); }",
                vec![112, 123],
            ),
            (
                "for b in [1, 2] { if b > 0 { switch b { 1 => fs.push(|| b), _ => fs.push(|| -b) } } }",
                vec![1, -2],
            ),
            // Turns that are left early.
            ("for b in [1, 2, 3] { fs.push(|| b); if b == 2 { break; } continue; }", vec![1, 2]),
            // Used at once, and written to.
            ("for b in [1, 2] { let f = || { b *= 10; }; f.call(); fs.push(|| b); }", vec![10, 20]),
            ("let n = 0; for b in [1, 2] { n += [1, 2].filter(|x| x == b).len(); } fs.push(|| n);", vec![2]),
            ("let i = 0; while i < 2 { let j = i; fs.push(|| j); i += 1; }", vec![0, 1]),
        ] {
            assert_eq!(ints(&format!("{fs}{script}{called}")), wanted, "{script}");
        }
        let in_function =
            "fn make() { let fs = []; for b in [1, 2] { fs.push(|| b); } fs } make().map(|f| f.call())";
        assert_eq!(ints(in_function), [1, 2]);
        let maps = "let m = []; for b in [16, 32] { m.push(#{ batch: b, epochs: |run| b / 8 }) } m.map(|o| o.epochs.call(0))";
        assert_eq!(ints(maps), [2, 4]);
    }

    #[test]
    fn errors_are_told_where_they_stand() {
        let engine = crate::script::engine(&crate::script::Session::silent());
        for text in [
            "for b in [1] { [1].map(|x| x + b); b.nothing() }",
            "for b in [1] {\n [1].map(|x| x + b); b.nothing()\n}",
            "for a in [1] { for b in [a] { [1].map(|x| x + b + a); b.nothing() } }",
            "\"é\"; for b in [1] { [1].map(|x| x + b); b.nothing() }",
            "for b in [1] { [1].map(|x| x + b); } let b = 1; b.nothing()",
        ] {
            let ast = compile(&engine, &Scope::new(), text).unwrap();
            let error = engine.eval_ast::<rhai::Dynamic>(&ast).unwrap_err();
            let found = original(&engine, text, error.position());
            let line = text.lines().nth(found.line().unwrap() - 1).unwrap();
            let from: String = line.chars().skip(found.position().unwrap() - 1).collect();
            assert!(from.starts_with("nothing"), "{text}: {from}");
        }
    }
}
