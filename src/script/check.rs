//! What can be told of a script without running it: unknown names, options and values, and plans that nothing uses.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rhai::{
    AST, ASTFlags, ASTNode, Engine, EvalAltResult, Expr, FnCallExpr, OptimizationLevel, ParseErrorType,
    Position, Stmt,
};

use super::convert;
use super::manual;
use super::modules;
use super::session::Session;
use crate::error::{nearest, suggestion};

/// Something that is wrong, and where.
#[derive(Debug)]
pub struct Finding {
    /// What was expected, what was found.
    pub message: String,
    /// Where.
    pub position: Position,
}

/// Words that Rhai calls like functions.
const BUILT_IN: [&str; 10] =
    ["call", "curry", "Fn", "eval", "is_shared", "type_of", "print", "debug", "is_def_var", "is_def_fn"];

/// Looks at a script; nothing of it runs.
///
/// # Errors
///
/// Where it cannot be parsed.
pub fn check(session: &Rc<Session>, text: &str) -> Result<Vec<Finding>, Box<EvalAltResult>> {
    let mut engine = super::engine(session);
    // What the optimiser would take away is to be looked at, too.
    engine.set_optimization_level(OptimizationLevel::None);
    let (ast, mut findings) = strictly(&mut engine, text)?;
    let script = Script::new(&engine, session, &ast);
    ast.walk(&mut |path| {
        if let Some(node) = path.last() {
            script.look(node, &mut findings);
        }
        true
    });
    unreachable(ast.statements(), &mut findings);
    unreachable_in_functions(&ast, &mut findings);
    unused_plans(&ast, &mut findings);
    findings.sort_by_key(|finding| (finding.position.line(), finding.position.position()));
    findings.dedup_by(|a, b| a.position == b.position && a.message == b.message);
    Ok(findings)
}

/// The names of variables that a script uses without having them.
///
/// # Errors
///
/// Where it cannot be parsed.
pub fn unknown_variables(session: &Rc<Session>, text: &str) -> Result<Vec<String>, Box<EvalAltResult>> {
    let (_, findings) = strictly(&mut super::engine(session), text)?;
    Ok(findings.into_iter().map(|finding| finding.message).collect())
}

/// Compiles a script, and finds every variable that is unknown.
fn strictly(engine: &mut Engine, text: &str) -> Result<(AST, Vec<Finding>), Box<EvalAltResult>> {
    engine.set_strict_variables(true);
    let (mut findings, mut scope) = (Vec::new(), rhai::Scope::new());
    // The compiler stops at the first; what was found counts as known in the next try.
    let ast = loop {
        match engine.compile_with_scope(&scope, text) {
            Err(error) => match &*error.0 {
                ParseErrorType::VariableUndefined(name) => {
                    findings
                        .push(Finding { message: format!("unknown variable `{name}`"), position: error.1 });
                    // Functions see no variables from outside.
                    if scope.contains(name) {
                        engine.set_strict_variables(false);
                    }
                    scope.push_constant(name.as_str(), ());
                }
                // The look at each call tells of all of them.
                ParseErrorType::ModuleUndefined(_) if engine.strict_variables() => {
                    engine.set_strict_variables(false);
                }
                _ => return Err(error.into()),
            },
            Ok(ast) => break ast,
        }
    };
    Ok((ast, findings))
}

/// What a script can call.
struct Script {
    /// Functions of the program and of the script: their numbers of arguments.
    functions: BTreeMap<String, BTreeSet<usize>>,
    /// Those of the modules that it imports, by alias; none where the module is only known when it runs.
    modules: BTreeMap<String, Option<BTreeMap<String, BTreeSet<usize>>>>,
    /// Keys of the maps that it writes down: they may hold functions.
    keys: BTreeSet<String>,
    /// Modules that are not there.
    missing: Vec<(String, Position)>,
}

impl Script {
    fn new(engine: &Engine, session: &Rc<Session>, ast: &AST) -> Self {
        let native = |info: rhai::FuncInfo| {
            let metadata = info.metadata;
            Some((info.namespace.to_string(), metadata.name.to_string(), metadata.param_types.len()))
        };
        let mut functions: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        let (mut modules, mut keys, mut missing) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        for (module, name, arity) in engine.collect_fn_metadata(None, native, true) {
            let functions = if module.is_empty() {
                &mut functions
            } else {
                modules.entry(module).or_insert_with(|| Some(BTreeMap::new())).get_or_insert_default()
            };
            functions.entry(name).or_default().insert(arity);
        }
        add(&mut functions, ast);
        ast.walk(&mut |path| {
            match path.last() {
                Some(ASTNode::Stmt(Stmt::Import(import, position))) => {
                    let (name, alias) = &**import;
                    let functions = match name {
                        Expr::StringConstant(name, _) => match modules::find(session, name) {
                            Ok((_, text)) => engine.compile(text).ok().map(|ast| {
                                let mut functions = BTreeMap::new();
                                add(&mut functions, &ast);
                                functions
                            }),
                            Err(error) => {
                                missing.push((error.to_string(), *position));
                                None
                            }
                        },
                        _ => None,
                    };
                    modules.insert(alias.name.to_string(), functions);
                }
                Some(ASTNode::Expr(Expr::Map(map, _))) => {
                    keys.extend(map.0.iter().map(|(key, _)| key.name.to_string()));
                }
                _ => {}
            }
            true
        });
        Self { functions, modules, keys, missing }
    }

    fn look(&self, node: &ASTNode, findings: &mut Vec<Finding>) {
        match node {
            ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position)) => {
                self.call(call, 0, *position, findings);
            }
            // A map may hold a function.
            ASTNode::Expr(Expr::MethodCall(call, position)) if !self.keys.contains(call.name.as_str()) => {
                self.call(call, 1, *position, findings);
            }
            ASTNode::Stmt(Stmt::Import(_, position)) => {
                let missing = self.missing.iter().filter(|(_, place)| place == position);
                findings.extend(
                    missing.map(|(message, _)| Finding { message: message.clone(), position: *position }),
                );
            }
            ASTNode::Stmt(Stmt::Block(block)) => unreachable(block.statements(), findings),
            _ => {}
        }
    }

    /// `before` is 1 where the first argument stands before the point.
    fn call(&self, call: &FnCallExpr, before: usize, position: Position, findings: &mut Vec<Finding>) {
        let arguments = call.args.len() + before;
        if call.op_token.is_some() {
            return;
        }
        let name = call.name.as_str();
        let mut found = |message: String| findings.push(Finding { message, position });
        if let Some(alias) = call.namespace.path.first() {
            match self.modules.get(alias.name.as_str()) {
                None => found(format!("no module `{}` is imported", alias.name)),
                Some(Some(functions)) => match functions.get(name) {
                    None => {
                        let known = functions.keys().map(String::as_str).collect::<Vec<_>>();
                        found(format!(
                            "`{}` has no function `{name}`; {}",
                            alias.name,
                            suggestion(name, known)
                        ));
                    }
                    Some(arities) if !arities.contains(&arguments) => {
                        found(format!(
                            "`{}::{name}` takes {}, found {arguments}",
                            alias.name,
                            counts(arities)
                        ));
                    }
                    Some(_) => written_options(&format!("{}::{name}", alias.name), call, findings),
                },
                Some(None) => {}
            }
            return;
        }
        if BUILT_IN.contains(&name) || name.starts_with(modules::CLOSURE) {
            return;
        }
        match self.functions.get(name) {
            None => {
                let near = nearest(name, self.functions.keys().map(String::as_str));
                let hint = near.map_or("help() lists the functions".to_owned(), |near| {
                    format!("did you mean `{near}`?")
                });
                found(format!("unknown function `{name}`; {hint}"));
            }
            Some(arities) if !arities.contains(&arguments) => {
                found(format!(
                    "`{name}` takes {}, found {}; help(\"{name}\") says more",
                    counts(&arities.iter().filter_map(|arity| arity.checked_sub(before)).collect()),
                    call.args.len()
                ));
            }
            Some(_) => {}
        }
        written_options(name, call, findings);
    }
}

/// The maps of options that are written down in a call.
fn written_options(name: &str, call: &FnCallExpr, findings: &mut Vec<Finding>) {
    for argument in &call.args {
        if let Expr::Map(map, _) = argument {
            options(name, None, &map.0, findings);
        }
    }
}

/// The functions that a script defines.
fn add(functions: &mut BTreeMap<String, BTreeSet<usize>>, ast: &AST) {
    for function in ast.iter_functions().filter(|function| !function.name.starts_with(modules::CLOSURE)) {
        functions.entry(function.name.to_owned()).or_default().insert(function.params.len());
    }
}

/// `1 or 2 arguments`.
fn counts(arities: &BTreeSet<usize>) -> String {
    let counts: Vec<String> = arities.iter().map(usize::to_string).collect();
    let s = if counts == ["1"] { "" } else { "s" };
    format!("{} argument{s}", counts.join(" or "))
}

/// Keys and values of a map of options that is written down.
fn options(call: &str, within: Option<&str>, map: &[(rhai::Ident, Expr)], findings: &mut Vec<Finding>) {
    let known = manual::keys(call, within);
    if known.is_empty() {
        return;
    }
    for (key, value) in map {
        let name = key.name.as_str();
        let Some((_, doc)) = known.iter().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            findings.push(Finding { message: convert::unknown_option(call, name, names), position: key.pos });
            continue;
        };
        match value {
            Expr::Map(inner, _) => options(call, Some(name), &inner.0, findings),
            // Where the meaning begins with the choices, there are no others.
            Expr::StringConstant(text, position) if within.is_none() && doc.starts_with('"') => {
                let choices = manual::choices(call, name);
                if !choices.contains(&text.as_str()) {
                    let hint = nearest(text, choices.iter().copied())
                        .map_or(String::new(), |near| format!("; did you mean \"{near}\"?"));
                    let list: Vec<String> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
                    findings.push(Finding {
                        message: format!("{name}: expected {}, found \"{text}\"{hint}", list.join(", ")),
                        position: *position,
                    });
                }
            }
            _ => {}
        }
    }
}

/// Statements after one that leaves the block.
fn unreachable(statements: &[Stmt], findings: &mut Vec<Finding>) {
    for pair in statements.windows(2) {
        if matches!(pair[0], Stmt::Return(..) | Stmt::BreakLoop(..)) && !matches!(pair[1], Stmt::Noop(_)) {
            findings.push(Finding {
                message: "this never runs: what stands before it leaves the block".to_owned(),
                position: pair[1].position(),
            });
        }
    }
}

/// The same in the bodies of functions.
fn unreachable_in_functions(ast: &AST, findings: &mut Vec<Finding>) {
    let bodies: Vec<Position> = ast.iter_fn_def().map(|function| function.body.start_position()).collect();
    let mut last: Option<(Position, bool)> = None;
    ast.walk(&mut |path| {
        // Statements of a body come one after the other; another body begins where a function does.
        if let [ASTNode::Stmt(statement)] = path {
            let here = statement.position();
            if let Some((before, true)) = last
                && here > before
                && !bodies.iter().any(|body| before < *body && *body <= here)
            {
                let message = "this never runs: what stands before it leaves the block".to_owned();
                findings.push(Finding { message, position: here });
            }
            last = Some((here, matches!(statement, Stmt::Return(..))));
        }
        true
    });
}

/// Plans that nothing uses: a sweep trains when .run(dir) or .start(dir) is called.
fn unused_plans(ast: &AST, findings: &mut Vec<Finding>) {
    const ADVICE: &str = "this plan is not used: it trains with .run(dir) or .start(dir)";
    let is_sweep =
        |expression: &Expr| matches!(expression, Expr::FnCall(call, _) if call.name.as_str() == "sweep");
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut plans: Vec<(String, Position)> = Vec::new();
    ast.walk(&mut |path| {
        match path.last() {
            Some(ASTNode::Expr(Expr::Variable(variable, ..))) => {
                used.insert(variable.1.to_string());
            }
            Some(ASTNode::Stmt(Stmt::Export(names, _))) => {
                used.insert(names.0.name.to_string());
            }
            Some(ASTNode::Stmt(Stmt::Var(variable, flags, _)))
                if is_sweep(&variable.1) && !flags.intersects(ASTFlags::EXPORTED) =>
            {
                plans.push((variable.0.name.to_string(), variable.0.pos));
            }
            _ => {}
        }
        true
    });
    for (name, position) in plans.into_iter().filter(|(name, _)| !used.contains(name)) {
        findings.push(Finding { message: format!("`{name}`: {ADVICE}"), position });
    }
    // The last statement's value is what the script gives.
    let statements = ast.statements();
    for statement in &statements[..statements.len().saturating_sub(1)] {
        let position = match statement {
            Stmt::FnCall(call, position) if call.name.as_str() == "sweep" => *position,
            Stmt::Expr(expression) if is_sweep(expression) => expression.start_position(),
            _ => continue,
        };
        findings.push(Finding { message: ADVICE.to_owned(), position });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let findings = check(&Session::silent(), text).unwrap();
        findings
            .into_iter()
            .map(|finding| format!("{}: {}", finding.position.line().unwrap_or(0), finding.message))
            .collect()
    }

    #[test]
    fn a_good_script_is_good() {
        for text in [
            "let plan = sweep(#{ data: digits() }); export plan;",
            include_str!("../../scripts/quickstart.rhai"),
            include_str!("../../scripts/all-figures.rhai"),
            include_str!("../../scripts/figure03.rhai"),
            include_str!("../../scripts/sutskever.rhai"),
            include_str!("../../scripts/train-size.rhai"),
            include_str!("../../stdlib/paper.rhai"),
            "let f = #{ g: |x| x + 1 }; f.g(1); fn h(a) { a } h(2); [1].map(|x| x * 2); `${1}`; import \"a\" + 1 as b; b::c()",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_found_without_running() {
        let text = "let runs = swep(#{ lr: 1 });
let plan = sweep(#{ data: digits(), sampling: \"slpit\", bacth: 8, seed: #{ splt: 1 } });
print(undefined); print(missing + undefined);
import \"paper\" as paper;
paper::chosen_scal();
paper::two(1, 2);
import \"papre\" as other;
nowhere::f();
runs.steady(#{ last: 5, statistics: \"mean\" });
digits(1, 2, 3, 4);
sweep(#{ data: digits() });
fn f() { return 1; print(2); }
1";
        let found = found(text);
        for wanted in [
            "1: unknown function `swep`; did you mean `sweep`?",
            "2: sampling: expected \"split\", \"random\", \"fixed\", found \"slpit\"; did you mean \"split\"?",
            "2: sweep: unknown option `bacth`; did you mean `batch`?",
            "2: sweep: unknown option `splt`; did you mean `split`?",
            "2: `plan`: this plan is not used",
            "3: unknown variable `undefined`",
            "3: unknown variable `missing`",
            "5: `paper` has no function `chosen_scal`; did you mean `chosen_scale`?",
            "6: `paper::two` takes 1 argument, found 2",
            "7: import: no module `papre`",
            "8: no module `nowhere` is imported",
            "9: steady: unknown option `statistics`; did you mean `statistic`?",
            "10: `digits` takes 0 argument",
            "11: this plan is not used",
            "12: this never runs",
        ] {
            assert!(found.iter().any(|line| line.starts_with(wanted)), "{wanted}\n{found:#?}");
        }
        assert_eq!(found.len(), 15, "{found:#?}");
    }
}
