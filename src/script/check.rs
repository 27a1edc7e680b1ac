//! What can be told of a script without running it: unknown names, options and values, and plans
//! that nothing uses.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rhai::{
    AST, ASTFlags, ASTNode, Dynamic, Engine, EvalAltResult, Expr, FnCallExpr, Map, OptimizationLevel,
    ParseErrorType, Position, Scope, Stmt,
};

use super::catalogue;
use super::modules;
use super::session::Session;
use crate::error::{nearest, suggestion};
use crate::options::{Kind, Opt, Value};

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
    let script = Script::new(&engine, session, &[&ast]);
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
    /// Those of the modules that it imports, by alias; none where the module is only known when it
    /// runs.
    modules: BTreeMap<String, Option<BTreeMap<String, BTreeSet<usize>>>>,
    /// Keys that its maps may have, which may hold functions.
    keys: BTreeSet<String>,
    /// Keys that maps of its modules may have.
    lent: BTreeSet<String>,
    /// Modules that are not there.
    missing: Vec<(String, Position)>,
    /// Whether what is found refuses the script.
    is_sure: bool,
}

impl Script {
    /// Of these texts together: a script, or an input and the functions of those before it.
    fn new(engine: &Engine, session: &Rc<Session>, texts: &[&AST]) -> Self {
        let native = |info: rhai::FuncInfo| {
            let metadata = info.metadata;
            Some((info.namespace.to_string(), metadata.name.to_string(), metadata.param_types.len()))
        };
        let mut functions: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        let (mut modules, mut missing) = (BTreeMap::new(), Vec::new());
        let (mut keys, mut lent, mut seen) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (module, name, arity) in engine.collect_fn_metadata(None, native, true) {
            let functions = if module.is_empty() {
                &mut functions
            } else {
                modules.entry(module).or_insert_with(|| Some(BTreeMap::new())).get_or_insert_default()
            };
            functions.entry(name).or_default().insert(arity);
        }
        let mut look = |path: &[ASTNode]| {
            match path.last() {
                Some(ASTNode::Stmt(Stmt::Import(import, position))) => {
                    let (name, alias) = &**import;
                    let functions = match name {
                        Expr::StringConstant(name, _) => match modules::find(session, name) {
                            Ok((_, text)) => {
                                keys_of_modules(engine, session, &text, &mut seen, &mut lent);
                                engine.compile(text).ok().map(|ast| {
                                    let mut functions = BTreeMap::new();
                                    add(&mut functions, &ast);
                                    functions
                                })
                            }
                            Err(error) => {
                                missing.push((error.to_string(), *position));
                                None
                            }
                        },
                        _ => None,
                    };
                    // Functions may each import a module of their own under one name.
                    match modules.entry(alias.name.to_string()) {
                        Entry::Vacant(entry) => _ = entry.insert(functions),
                        Entry::Occupied(mut entry) if *entry.get() != functions => _ = entry.insert(None),
                        Entry::Occupied(_) => {}
                    }
                }
                node => keys_of(node, &mut keys),
            }
            true
        };
        for ast in texts {
            add(&mut functions, ast);
            ast.walk(&mut look);
        }
        Self { functions, modules, keys, lent, missing, is_sure: false }
    }

    /// Whether what is called on a value may be a function that a map holds. A key of a module's
    /// maps that is also a function's name is taken for the function, unless nothing but what is
    /// sure may be found.
    fn is_key(&self, name: &str) -> bool {
        let is_function = self.functions.contains_key(name);
        self.keys.contains(name) || (self.lent.contains(name) && (self.is_sure || !is_function))
    }

    fn is_of_lab(&self, name: &str) -> bool {
        self.modules.get("lab").is_some_and(|lab| lab.as_ref().is_some_and(|lab| lab.contains_key(name)))
    }

    fn look(&self, node: &ASTNode, findings: &mut Vec<Finding>) {
        self.call(node, findings);
        match node {
            ASTNode::Expr(Expr::MethodCall(call, _)) if self.is_key(&call.name) => {}
            ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _))
            | ASTNode::Stmt(Stmt::FnCall(call, _))
                if call.op_token.is_none() =>
            {
                let alias = call.namespace.path.first().map(|alias| format!("{}::", alias.name));
                written_options(&format!("{}{}", alias.unwrap_or_default(), call.name), call, findings);
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

    /// A call of what is no function, or with another number of arguments than it takes.
    fn call(&self, node: &ASTNode, findings: &mut Vec<Finding>) {
        // `before` is 1 where the first argument stands before the point.
        let (call, before, position) = match node {
            ASTNode::Expr(Expr::FnCall(call, position)) | ASTNode::Stmt(Stmt::FnCall(call, position)) => {
                (call, 0, *position)
            }
            // A map may hold a function.
            ASTNode::Expr(Expr::MethodCall(call, position)) if !self.is_key(&call.name) => {
                (call, 1, *position)
            }
            _ => return,
        };
        let arguments = call.args.len() + before;
        if call.op_token.is_some() {
            return;
        }
        let name = call.name.as_str();
        let mut found = |message: String| findings.push(Finding { message, position });
        if call.namespace.path.len() > 1 {
            // A module of a module.
            return;
        }
        if let Some(alias) = call.namespace.path.first() {
            match self.modules.get(alias.name.as_str()) {
                None if alias.name == "global" => {}
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
                        let more = match &*alias.name {
                            "lab" => format!("; help(\"lab::{name}\") says more"),
                            _ => String::new(),
                        };
                        found(format!(
                            "`{}::{name}` takes {}, found {arguments}{more}",
                            alias.name,
                            counts(arities)
                        ));
                    }
                    Some(_) => {}
                },
                Some(None) => {}
            }
            return;
        }
        if BUILT_IN.contains(&name) || name.starts_with(modules::CLOSURE) {
            return;
        }
        match self.functions.get(name) {
            None if before == 1 && self.is_of_lab(name) => found(format!(
                "unknown function `{name}`; it is written lab::{name}(…), with the problem as its first argument"
            )),
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
    }
}

/// The keys that a part of a script gives to maps, or may give.
fn keys_of(node: Option<&ASTNode>, keys: &mut BTreeSet<String>) {
    match node {
        Some(ASTNode::Expr(Expr::Map(map, _))) => {
            keys.extend(map.0.iter().map(|(key, _)| key.name.to_string()));
        }
        // m.f = |x| x
        Some(ASTNode::Expr(Expr::Property(property, _))) => _ = keys.insert(property.2.to_string()),
        // m["f"] = |x| x
        Some(ASTNode::Expr(Expr::StringConstant(text, _))) => _ = keys.insert(text.to_string()),
        _ => {}
    }
}

/// The keys that a module, and those that it imports, give to maps.
fn keys_of_modules(
    engine: &Engine,
    session: &Session,
    text: &str,
    seen: &mut BTreeSet<String>,
    keys: &mut BTreeSet<String>,
) {
    let mut texts = vec![text.to_owned()];
    while let Some(text) = texts.pop() {
        let Ok(ast) = engine.compile(&text) else { continue };
        ast.walk(&mut |path| {
            if let Some(ASTNode::Stmt(Stmt::Import(import, _))) = path.last()
                && let Expr::StringConstant(name, _) = &import.0
                && seen.insert(name.to_string())
            {
                texts.extend(modules::find(session, name).map(|(_, text)| text));
            }
            keys_of(path.last(), keys);
            true
        });
    }
}

/// Whether a text assigns to keys that are known only when it runs.
fn computes_keys(ast: &AST) -> bool {
    !ast.walk(&mut |path| match path.last() {
        Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => match &assignment.1.lhs {
            Expr::Index(index, ..) => {
                matches!(index.rhs, Expr::StringConstant(..) | Expr::IntegerConstant(..))
            }
            _ => true,
        },
        _ => true,
    })
}

/// The map of options that is written down in a call: its last argument.
fn written_options(name: &str, call: &FnCallExpr, findings: &mut Vec<Finding>) {
    let schema = catalogue::options_of(name);
    if let (Some(Expr::Map(map, _)), false) = (call.args.last(), schema.is_empty()) {
        options(name, schema, &map.0, findings);
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
fn options(call: &str, schema: &'static [Opt], map: &[(rhai::Ident, Expr)], findings: &mut Vec<Finding>) {
    for (key, value) in map {
        let name = key.name.as_str();
        match schema.iter().find(|opt| opt.is_called(name)) {
            Some(opt) => written_value(call, name, &opt.kind, opt.axis, value, findings),
            None => {
                let known = schema.iter().map(|opt| opt.name);
                let message = catalogue::unknown_option(call, name, known);
                findings.push(Finding { message, position: key.pos });
            }
        }
    }
}

/// What an option does not take of a value that is written down; `axis`: an array of values is
/// taken, too.
fn written_value(
    call: &str,
    name: &str,
    kind: &'static Kind,
    axis: bool,
    value: &Expr,
    findings: &mut Vec<Finding>,
) {
    let element = if axis { Some(kind) } else { kind.element() };
    match (value, element) {
        (Expr::Array(values, _), Some(element)) => {
            values.iter().for_each(|value| written_value(call, name, element, false, value, findings));
        }
        (Expr::Map(map, _), _) if !kind.keys().is_empty() => options(call, kind.keys(), &map.0, findings),
        _ => {
            let found = literal(value).and_then(|value| kind.check(name, &value).err());
            let position = value.position();
            findings.extend(found.map(|error| Finding { message: error.to_string(), position }));
        }
    }
}

/// A value that is written down, of arrays and maps only that they are some.
fn literal(value: &Expr) -> Option<Value> {
    Some(match value {
        Expr::BoolConstant(flag, _) => Value::Flag(*flag),
        Expr::IntegerConstant(integer, _) => Value::Integer(*integer),
        Expr::FloatConstant(number, _) => Value::Number(**number),
        Expr::StringConstant(text, _) => Value::Text(text.to_string()),
        Expr::Unit(_) => Value::Nothing,
        Expr::Array(..) => Value::List(Vec::new()),
        Expr::Map(..) => Value::Map(Vec::new()),
        _ => return None,
    })
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

/// Where the parts of a text stand that may not run, or not to their end.
struct Regions {
    /// What `try` catches.
    tried: Vec<(Position, Position)>,
    /// The functions with names, and whether a part that runs for certain mentions them.
    functions: Vec<(String, Position, Position, bool)>,
}

impl Regions {
    /// `called` are the functions that are called from elsewhere.
    fn of(ast: &AST, called: &BTreeSet<String>) -> Self {
        let named = |name: &str| !name.starts_with(modules::CLOSURE);
        let functions = ast.iter_fn_def().filter(|function| named(&function.name));
        let functions = functions.map(|function| {
            let body = &function.body;
            let is_called = called.contains(function.name.as_str());
            (function.name.to_string(), body.start_position(), body.end_position(), is_called)
        });
        let mut found = Self { tried: Vec::new(), functions: functions.collect() };
        let mut mentions: Vec<(String, Position)> = Vec::new();
        ast.walk(&mut |path| {
            match path.last() {
                Some(ASTNode::Stmt(Stmt::TryCatch(parts, _))) => {
                    found.tried.push((parts.body.position(), parts.body.end_position()));
                }
                Some(
                    ASTNode::Expr(Expr::FnCall(call, at) | Expr::MethodCall(call, at))
                    | ASTNode::Stmt(Stmt::FnCall(call, at)),
                ) => mentions.push((call.name.to_string(), *at)),
                // A function may be handed on by its name.
                Some(ASTNode::Expr(Expr::Variable(variable, _, at))) => {
                    mentions.push((variable.1.to_string(), *at));
                }
                Some(ASTNode::Expr(Expr::StringConstant(text, at))) => mentions.push((text.to_string(), *at)),
                _ => {}
            }
            true
        });
        loop {
            let reached: Vec<usize> = (0..found.functions.len())
                .filter(|&index| !found.functions[index].3)
                .filter(|&index| {
                    let name = &found.functions[index].0;
                    mentions.iter().any(|(other, at)| other == name && found.runs(*at))
                })
                .collect();
            if reached.is_empty() {
                return found;
            }
            reached.into_iter().for_each(|index| found.functions[index].3 = true);
        }
    }

    /// The function in whose body a place is; closures belong to what is around them.
    fn function(&self, at: Position) -> Option<&(String, Position, Position, bool)> {
        self.functions.iter().find(|(_, start, end, _)| (*start..=*end).contains(&at))
    }

    /// Whether what stands at a place runs, as far as conditions let it, and an error there ends
    /// the script.
    fn runs(&self, at: Position) -> bool {
        let is_tried = self.tried.iter().any(|(start, end)| (*start..=*end).contains(&at));
        !is_tried && self.function(at).is_none_or(|function| function.3)
    }
}

/// Whether a script looks itself whether a name is there, or makes names while it runs.
fn makes_names(ast: &AST) -> bool {
    const WORDS: [&str; 3] = ["eval", "is_def_var", "is_def_fn"];
    !ast.walk(&mut |path| match path.last() {
        Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => {
            !WORDS.contains(&call.name.as_str())
        }
        _ => true,
    })
}

/// Whether something may train: a call that does, or one of a module.
fn trains(ast: &AST) -> bool {
    const CALLS: [&str; 5] = ["train", "run", "start", "average_over", "measure"];
    !ast.walk(&mut |path| match path.last() {
        Some(
            ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _))
            | ASTNode::Stmt(Stmt::FnCall(call, _)),
        ) => !CALLS.contains(&call.name.as_str()) && call.namespace.is_empty(),
        _ => true,
    })
}

/// The variables that a text uses without having them: not declared before, in no scope, and no
/// function's name.
fn undeclared(ast: &AST, is_known: impl Fn(&str) -> bool) -> Vec<(String, Position)> {
    let mut found = Vec::new();
    ast.walk(&mut |path| {
        // The parser gives every variable that it saw declared a place.
        if let Some(ASTNode::Expr(Expr::Variable(variable, None, at))) = path.last()
            && variable.0.is_none()
            && variable.2.is_empty()
            && !is_known(&variable.1)
        {
            found.push((variable.1.to_string(), *at));
        }
        true
    });
    found
}

/// The first variable that a text uses without having it, where that ends the script for certain.
fn unknown_variable(
    ast: &AST,
    regions: &Regions,
    scope: &Scope,
    functions: &AST,
) -> Option<Box<EvalAltResult>> {
    let is_function = |name: &str| {
        [functions, ast].iter().any(|ast| ast.iter_functions().any(|function| function.name == name))
    };
    let is_outside = |name: &str| scope.contains(name) || is_function(name);
    let outside = undeclared(&ast.clone_statements_only(), is_outside);
    let inside = ast.iter_fn_def().flat_map(|function| {
        let is_it = |name: &str, arity| name == function.name.as_str() && arity == function.params.len();
        // Rhai's filter while cloning lets all through where there was none before.
        let mut own = ast.clone_functions_only();
        own.retain_functions(|_, _, name, arity| is_it(name, arity));
        // What a closure captures becomes a parameter of it after its body was parsed.
        undeclared(&own, |name| is_function(name) || function.params.iter().any(|own| own.as_str() == name))
    });
    let unknown = outside.into_iter().chain(inside).filter(|(_, at)| regions.runs(*at));
    let (name, position) = unknown.min_by_key(|(_, at)| *at)?;
    let is_outside = scope.contains(&name) || declares(ast, &name);
    Some(Box::new(match regions.function(position) {
        Some(_) if is_outside => {
            let text = format!("unknown variable `{name}`{}", super::foreign_syntax::hand_over(&name));
            EvalAltResult::ErrorRuntime(text.into(), position)
        }
        // Those of the script are in no scope yet.
        _ => match nearest(&name, declared(ast).iter().map(String::as_str)) {
            Some(near) => {
                let text = format!("unknown variable `{name}`; did you mean `{near}`?");
                EvalAltResult::ErrorRuntime(text.into(), position)
            }
            None => EvalAltResult::ErrorVariableNotFound(name, position),
        },
    }))
}

/// The modules that a text imports, and where: name, alias.
fn imports(ast: &AST) -> Vec<(String, String, Position)> {
    let mut found = Vec::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Stmt(Stmt::Import(import, position))) = path.last()
            && let Expr::StringConstant(name, _) = &import.0
        {
            found.push((name.to_string(), import.1.name.to_string(), *position));
        }
        true
    });
    found
}

/// The functions of a module that a text calls.
fn called(ast: &AST, alias: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) = path.last()
            && call.namespace.path.first().is_some_and(|own| own.name.as_str() == alias)
        {
            found.insert(call.name.to_string());
        }
        true
    });
    found
}

/// Refuses what is about to run where it is certain to end with an unknown name: what was trained
/// before would be lost. `before` has the functions and imports of earlier inputs.
///
/// # Errors
///
/// As the script itself would give when it comes there.
pub fn names(engine: &Engine, scope: &Scope, before: &AST, ast: &AST) -> Result<(), Box<EvalAltResult>> {
    if makes_names(ast) {
        return Ok(());
    }
    let regions = Regions::of(ast, &BTreeSet::new());
    if let Some(unknown) = unknown_variable(ast, &regions, scope, before) {
        return Err(unknown);
    }
    if !trains(ast) && !trains(before) {
        return Ok(());
    }
    let session = Session::of_engine(engine);
    let mut script = Script::new(engine, &session, &[before, ast]);
    scope.iter().for_each(|(_, _, value)| keys_of_value(&value, 0, &mut script.keys));
    script.is_sure = true;
    let has_computed_keys = computes_keys(before) || computes_keys(ast);
    let mut findings = Vec::new();
    ast.walk(&mut |path| {
        match path.last() {
            Some(ASTNode::Expr(Expr::MethodCall(..))) if has_computed_keys => {}
            Some(node) => script.call(node, &mut findings),
            None => {}
        }
        true
    });
    findings.retain(|finding| regions.runs(finding.position));
    if let Some(Finding { message, position }) = findings.into_iter().min_by_key(|finding| finding.position) {
        return Err(Box::new(EvalAltResult::ErrorRuntime(message.into(), position)));
    }
    for (name, alias, position) in imports(ast) {
        // What is not there, or no script, is told when it is imported.
        let Ok((place, text)) = modules::find(&session, &name) else { continue };
        let Ok(module) = super::compile(engine, &Scope::new(), &text) else { continue };
        let regions = Regions::of(&module, &called(ast, &alias));
        let unknown = unknown_variable(&module, &regions, &Scope::new(), &AST::empty());
        if let Some(unknown) = unknown.filter(|_| !makes_names(&module)) {
            session.note_module(&place, &text);
            return Err(Box::new(EvalAltResult::ErrorInModule(place, unknown, position)));
        }
    }
    Ok(())
}

/// Whether the statements of a text declare a variable.
fn declares(ast: &AST, name: &str) -> bool {
    declared(ast).contains(name)
}

/// The variables that the statements of a text declare.
fn declared(ast: &AST) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    ast.clone_statements_only().walk(&mut |path| {
        if let Some(ASTNode::Stmt(Stmt::Var(variable, ..))) = path.last() {
            found.insert(variable.0.name.to_string());
        }
        true
    });
    found
}

/// The keys of the maps in a value, as far as anybody writes calls of what they hold.
fn keys_of_value(value: &Dynamic, depth: usize, keys: &mut BTreeSet<String>) {
    const DEEPEST: usize = 8;
    if depth > DEEPEST {
        return;
    }
    if let Some(map) = value.read_lock::<Map>() {
        for (key, value) in map.iter() {
            keys.insert(key.to_string());
            keys_of_value(value, depth + 1, keys);
        }
    } else if let Some(array) = value.read_lock::<rhai::Array>() {
        array.iter().for_each(|value| keys_of_value(value, depth + 1, keys));
    }
}

/// The names of the arguments that a script and the modules that it imports read; none where that
/// cannot be told before it runs.
pub fn arguments(session: &Rc<Session>, text: &str) -> Option<BTreeSet<String>> {
    let engine = super::engine(session);
    let (mut names, mut seen, mut texts) = (BTreeSet::new(), BTreeSet::new(), vec![text.to_owned()]);
    while let Some(text) = texts.pop() {
        let ast = engine.compile(&text).ok()?;
        let told = ast.walk(&mut |path| match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => {
                match (call.name.as_str(), call.args.first()) {
                    ("arg", Some(Expr::StringConstant(name, _))) => _ = names.insert(name.to_string()),
                    ("arg" | "eval", _) => return false,
                    _ => {}
                }
                true
            }
            // Handed on, or called by its name.
            Some(ASTNode::Expr(Expr::StringConstant(text, _))) => text != "arg",
            Some(ASTNode::Expr(Expr::MethodCall(call, _))) => call.name != "arg",
            Some(ASTNode::Stmt(Stmt::Import(import, _))) => match &import.0 {
                Expr::StringConstant(name, _) => {
                    // What is not there is told when it is imported.
                    if let Ok((place, text)) = modules::find(session, name)
                        && seen.insert(place)
                    {
                        texts.push(text);
                    }
                    true
                }
                _ => false,
            },
            _ => true,
        });
        if !told {
            return None;
        }
    }
    Some(names)
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
runs.run(\"a\", #{ jobs: 0, device: \"cpu\", checkpoint_every: -1, extend: 1, retry: [\"failed\"] });
train(#{ lr: [0.1, \"0.2\", -0.1], batch: 2.5, seed: 1..=4, sampling: [\"split\", \"al\"], measure: [\"noise\"] });
train(#{ epochs: |run| 3, lr: runs, measure: #{ every: 0 }, seed: #{ split: [1, 2.5] }, data: \"digits\" });
runs.join(runs, #{ on: [\"a\", 1], how: \"inne\" });
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
            "13: jobs: expected an integer ≥ 1, found the integer 0",
            "13: checkpoint_every: expected a number ≥ 0, found the integer -1",
            "13: extend: expected true or false, found the integer 1",
            "13: retry: expected \"failed\", found an array",
            "14: lr: expected a number, found the text \"0.2\"; write 0.2 without quotes",
            "14: lr: expected a number > 0, found the number -0.1",
            "14: batch: expected an integer ≥ 1, found the number 2.5",
            "14: sampling: expected \"split\", \"random\", \"fixed\", found \"al\"",
            "14: measure: expected \"gradient\", \"hessian\", \"spectrum\", found \"noise\"",
            "15: every: expected an integer from 1",
            "15: split: expected an integer, found the number 2.5",
            "15: data: expected a data set such as digits(), found the text \"digits\"",
            "16: on: expected the name of a column, found the integer 1",
            "16: how: expected \"inner\", \"left\", \"right\", \"full\", \"semi\", \"anti\", found \"inne\"",
        ] {
            assert!(found.iter().any(|line| line.starts_with(wanted)), "{wanted}\n{found:#?}");
        }
        assert_eq!(found.len(), 29, "{found:#?}");
    }
}
