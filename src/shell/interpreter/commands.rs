//! The prompt's own commands: `:time`, `:vars` and so on, and questions such as `?fit_gap`.

use std::time::{Duration, Instant};

use rhai::Dynamic;

use super::evaluate::NAME;
use super::save::{self, SAVED, Saved};
use super::{Interpreter, Trouble};
use crate::error::{Error, suggestion};
use crate::script::{clear_screen, manual, page, print, tell, type_name};
use crate::table::{Cell, Table, number};

/// What a command leaves: nothing, or what to tell.
type Done = std::result::Result<(), Trouble>;

/// A command of the prompt.
pub(in crate::shell) struct PromptCommand {
    /// Its name, without the colon.
    pub name: &'static str,
    /// What follows it.
    argument: &'static str,
    /// What it does.
    doc: &'static str,
    run: fn(&mut Interpreter, &str) -> Done,
}

/// Every command, in the order of the alphabet.
pub(in crate::shell) const COMMANDS: [PromptCommand; 11] = [
    PromptCommand { name: "clear", argument: "", doc: "clears the screen", run: clear },
    PromptCommand {
        name: "doc",
        argument: "NAME",
        doc: "explains a function, option or topic, as ?NAME does",
        run: doc,
    },
    PromptCommand { name: "help", argument: "", doc: "lists these commands", run: help },
    PromptCommand { name: "history", argument: "", doc: "the inputs of this session", run: history },
    PromptCommand {
        name: "load",
        argument: "FILE",
        doc: "runs a script here, as if it had been typed",
        run: load,
    },
    PromptCommand { name: "quit", argument: "", doc: "leaves, as Ctrl-D does", run: quit },
    PromptCommand { name: "reload", argument: "", doc: "reads modules again at their next use", run: reload },
    PromptCommand {
        name: "save",
        argument: "FILE",
        doc: "writes the inputs that succeeded as a script",
        run: save,
    },
    PromptCommand {
        name: "time",
        argument: "EXPR",
        doc: "wall time, images per second and peak memory",
        run: time,
    },
    PromptCommand { name: "type", argument: "EXPR", doc: "the type of a value", run: type_of },
    PromptCommand { name: "vars", argument: "", doc: "the variables with their types and values", run: vars },
];

/// Whether an input is for the prompt itself.
pub(in crate::shell) fn is_command(input: &str) -> bool {
    input.trim_start().starts_with(':') || question(input).is_some() || is_goodbye(input)
}

/// Words by which other shells are left.
fn is_goodbye(input: &str) -> bool {
    ["exit", "quit", "exit()", "quit()"].contains(&input.trim().trim_end_matches(';'))
}

/// The name that `?name` or `name?` asks about.
fn question(input: &str) -> Option<&str> {
    let input = input.trim();
    let name = input.strip_prefix('?').or_else(|| input.strip_suffix('?'))?.trim();
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.' || c == ':');
    is_name.then_some(name)
}

/// Obeys a command.
pub(in crate::shell) fn obey(shell: &mut Interpreter, input: &str) -> Done {
    if let Some(name) = question(input).filter(|_| !input.trim_start().starts_with(':')) {
        return doc(shell, name);
    }
    if is_goodbye(input) {
        return quit(shell, "");
    }
    let input = input.trim().trim_start_matches(':');
    let (name, argument) = input.split_once(char::is_whitespace).unwrap_or((input, ""));
    let argument = argument.trim();
    let command = COMMANDS.iter().find(|command| command.name == name).ok_or_else(|| {
        let known = COMMANDS.iter().map(|command| command.name);
        Error::invalid(format!("no command :{name}; {}; :help lists them", suggestion(name, known)))
    })?;
    match (command.argument, argument) {
        ("", "") => {}
        ("", extra) => {
            return Err(Error::invalid(format!(":{name}: expected nothing after it, found {extra}")).into());
        }
        (wanted, "") => return Err(Error::invalid(format!(":{name}: expected :{name} {wanted}")).into()),
        _ => {}
    }
    (command.run)(shell, argument)
}

fn clear(_: &mut Interpreter, _: &str) -> Done {
    clear_screen(false);
    Ok(())
}

fn help(_: &mut Interpreter, _: &str) -> Done {
    for PromptCommand { name, argument, doc, .. } in &COMMANDS {
        let call = format!(":{name} {argument}");
        print(&format!("  {call:14}  {doc}"));
    }
    print("  ?NAME           explains a function, option or topic; help() lists them");
    Ok(())
}

fn doc(shell: &mut Interpreter, name: &str) -> Done {
    if name.is_empty() {
        let topics = shell.value(NAME, "help()")?;
        shell.show(topics);
        return Ok(());
    }
    if let Some(text) = shell.explain(name) {
        page(text.trim_end());
        return Ok(());
    }
    let known = manual::names(&shell.engine);
    let near = crate::error::nearest(name, known.iter().map(String::as_str));
    let hint =
        near.map_or("help() lists topics and functions".to_owned(), |near| format!("did you mean `{near}`?"));
    Err(Error::invalid(format!("nothing is called `{name}`; {hint}")).into())
}

fn history(shell: &mut Interpreter, _: &str) -> Done {
    let lines: Vec<String> =
        shell.history().enumerate().map(|(at, input)| format!("{:4}  {input}", at + 1)).collect();
    page(&lines.join("\n"));
    Ok(())
}

fn load(shell: &mut Interpreter, file: &str) -> Done {
    let file = unquoted(file);
    let text = crate::script::text::read(&crate::home::expand(file))?;
    shell.evaluate(file, &text)
}

/// A file's name may be typed as a text, too.
fn unquoted(file: &str) -> &str {
    file.trim_matches(['"', '\''])
}

fn quit(shell: &mut Interpreter, _: &str) -> Done {
    shell.leaving = true;
    Ok(())
}

fn reload(shell: &mut Interpreter, _: &str) -> Done {
    shell.session.forget_modules();
    match shell.imports.len() {
        0 => print("no module is imported"),
        _ => {
            let names: Vec<&str> = shell.imports.iter().map(|import| import.alias.as_str()).collect();
            print(&format!("read again at the next input: {}", names.join(", ")));
        }
    }
    Ok(())
}

fn save(shell: &mut Interpreter, file: &str) -> Done {
    let file = unquoted(file);
    let path = &crate::home::expand(file);
    shell.session.may_write(path)?;
    let is_ours = |text: String| text.starts_with(SAVED);
    if path.exists() && !crate::door::text(path).is_ok_and(is_ours) {
        let text = format!(":save: {file} is there, and :save did not write it; expected a new file");
        return Err(Error::invalid(text).into());
    }
    let inputs: Vec<&str> = shell.typed.iter().filter_map(|input| input.script.as_deref()).collect();
    if inputs.is_empty() {
        return Err(Error::invalid(":save: no input succeeded yet").into());
    }
    let Saved { text, inputs, left_out } = save::script(shell, &inputs)?;
    // A full disk leaves the script of before.
    crate::files::write_bytes(path, text.as_bytes())?;
    let s = if inputs == 1 { "" } else { "s" };
    let left_out = match &left_out[..] {
        [] => String::new(),
        [one] => format!("; left out: {one}"),
        several => format!("; left out {}: {}", several.len(), several.join(" | ")),
    };
    print(&format!("{file}: {inputs} input{s}{left_out}"));
    Ok(())
}

fn time(shell: &mut Interpreter, expression: &str) -> Done {
    // Peaks are counted from here on, where the system lets us.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (began, images) = (Instant::now(), crate::train::engine::images_trained());
    let done = shell.evaluate(NAME, expression);
    let (time, images) = (began.elapsed(), crate::train::engine::images_trained() - images);
    let mut text = format!("wall {}", seconds(time));
    if images > 0 {
        text += &format!(", {} images/s", (images as f64 / time.as_secs_f64().max(1e-9)).round());
    }
    if let Some(peak) = peak_memory() {
        text += &format!(", peak memory {} MB", peak / 1_000_000);
    }
    tell(&text);
    done
}

fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// The most memory that this process held since the mark was last set, in bytes.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn type_of(shell: &mut Interpreter, expression: &str) -> Done {
    let value = shell.value(NAME, expression)?;
    print(&type_name(&value));
    Ok(())
}

fn vars(shell: &mut Interpreter, _: &str) -> Done {
    /// Characters of a value.
    const SHORT: usize = 60;
    let mut columns: Vec<Vec<Cell>> = vec![Vec::new(); 3];
    for (name, kind, value) in shell.variables() {
        let text = shown(shell, &value);
        let line = text.lines().next().unwrap_or_default();
        let cut: String = line.chars().take(SHORT).collect();
        let more = cut.len() < text.len();
        let value = if more { format!("{cut}…") } else { cut };
        let row = [name, kind, value].map(Cell::Text);
        columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
    }
    if columns[0].is_empty() {
        print("no variables yet");
        return Ok(());
    }
    let table = Table::from_cells(&["name", "type", "value"].map(str::to_owned), &columns)?;
    print(&table.render(crate::script::width()));
    Ok(())
}

/// A value in a line: of a table its size.
fn shown(shell: &Interpreter, value: &Dynamic) -> String {
    if let Some(table) = value.read_lock::<Table>() {
        return format!("{} rows, {} columns", number(table.len() as f64), table.columns().len());
    }
    crate::script::show(&shell.engine, value.clone())
}
