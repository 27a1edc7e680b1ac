//! What a kernel does with what a notebook asks.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jupyter_protocol::{
    ClearOutput, CodeMirrorMode, CommInfoReply, CompleteReply, CompleteRequest, ConnectionInfo, DisplayData,
    ErrorOutput, ExecuteInput, ExecuteReply, ExecuteRequest, ExecuteResult, ExecutionCount, HistoryEntry,
    HistoryReply, HistoryRequest, InspectReply, InspectRequest, IsCompleteReply, IsCompleteReplyStatus,
    JupyterMessage, JupyterMessageContent, KernelInfoReply, LanguageInfo, Media, MediaType, ReplyError,
    ReplyStatus, Status, Transient, UpdateDisplayData,
};

use super::request;
use super::wire::{Mouth, Outgoing, Request, Wire};
use crate::error::{Error, Result};
use crate::script::{self, Failure, Output, Shown};
use crate::shell::VERSION;
use crate::shell::interpreter::complete::{Known, complete};
use crate::shell::interpreter::syntax::{Kind, is_open, tokens};
use crate::shell::interpreter::{Interpreter, Trouble, commands};
use crate::visible::visible;

/// The version of Jupyter's messages that is spoken.
const PROTOCOL: &str = "5.4";

/// The time in which the cells arrive that were sent together with one that failed at once.
const GATHERING: Duration = Duration::from_millis(50);

/// Evaluates cells.
pub(super) struct Kernel {
    interpreter: Interpreter,
    known: Known,
    wire: Wire,
    notebook: Rc<Notebook>,
    news: Arc<News>,
    cells: usize,
    /// Whether the start-up file ran: before the first cell, below which it may speak.
    started: bool,
}

impl Kernel {
    /// Binds the sockets of a connection.
    pub fn start(connection: ConnectionInfo, interpreter: Interpreter) -> Result<Self> {
        let wire = Wire::start(connection, info())?;
        let parent = Arc::new(JupyterMessage::new(Status::idle(), None));
        let notebook = Rc::new(Notebook {
            mouth: wire.mouth.clone(),
            parent: RefCell::new(parent),
            line: RefCell::default(),
        });
        script::redirect(Some(Rc::clone(&notebook) as Rc<dyn Output>));
        interpreter.session.set_interactive();
        let known = interpreter.known();
        let news = Arc::new(News { mouth: wire.mouth.clone(), late: Mutex::default() });
        Ok(Self { interpreter, known, wire, notebook, news, cells: 0, started: false })
    }

    /// Answers until the notebook is closed.
    pub fn serve(mut self) {
        loop {
            crate::interrupt::set_waiting(true);
            let request = self.wire.requests.recv();
            crate::interrupt::set_waiting(false);
            let Ok(Request::Shell(message)) = request else { break };
            let message = Arc::new(*message);
            let behind = self.answer(&message);
            self.wire.pending.fetch_sub(1, Ordering::SeqCst);
            for request in behind {
                self.answer_behind(request, &message);
            }
            if self.wire.leaving.load(Ordering::SeqCst) {
                break;
            }
        }
        self.interpreter.session.stop_jobs();
        script::redirect(None);
        self.wire.close();
    }

    /// Answers what was asked behind a cell that failed: cells of the same client are not evaluated.
    fn answer_behind(&mut self, request: Request, failed: &JupyterMessage) {
        let Request::Shell(message) = request else { return };
        let message = Arc::new(*message);
        let is_cell = matches!(message.content, JupyterMessageContent::ExecuteRequest(_));
        if is_cell && message.header.session == failed.header.session {
            self.publish(&message, Status::busy());
            let reply = ExecuteReply { status: ReplyStatus::Aborted, ..self.executed() };
            self.send(Outgoing::Reply(Box::new(reply.as_child_of(&message))));
            self.publish(&message, Status::idle());
        } else {
            self.answer(&message);
        }
        self.wire.pending.fetch_sub(1, Ordering::SeqCst);
    }

    /// What was asked behind a cell that failed. Taken before its client hears of that, who may then ask for more.
    fn waiting(&self) -> Vec<Request> {
        let until = Instant::now() + GATHERING;
        let next = || self.wire.requests.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
        std::iter::from_fn(next).collect()
    }

    fn send(&self, message: Outgoing) {
        // The sockets are served as long as the kernel is.
        let _ = self.wire.mouth.blocking_send(message);
    }

    fn publish(&self, parent: &JupyterMessage, content: impl Into<JupyterMessageContent>) {
        self.send(Outgoing::Publish(Box::new(JupyterMessage::new(content, Some(parent)))));
    }

    /// Answers a request. Returns what waits behind a cell that failed.
    fn answer(&mut self, message: &Arc<JupyterMessage>) -> Vec<Request> {
        self.publish(message, Status::busy());
        let mut behind = Vec::new();
        let reply = match &message.content {
            JupyterMessageContent::KernelInfoRequest(_) => Some(info().as_child_of(message)),
            JupyterMessageContent::ExecuteRequest(request) => {
                self.news.begin(request, message);
                let reply = self.execute(request, message);
                self.news.end();
                if request.stop_on_error && reply.status == ReplyStatus::Error {
                    behind = self.waiting();
                }
                Some(reply.as_child_of(message))
            }
            JupyterMessageContent::CompleteRequest(request) => {
                Some(self.complete(request).as_child_of(message))
            }
            JupyterMessageContent::InspectRequest(request) => {
                Some(self.inspect(request).as_child_of(message))
            }
            JupyterMessageContent::IsCompleteRequest(request) => {
                let open = !commands::is_command(&request.code) && is_open(&request.code);
                let status =
                    if open { IsCompleteReplyStatus::Incomplete } else { IsCompleteReplyStatus::Complete };
                let indent = if open { "    ".to_owned() } else { String::new() };
                Some(IsCompleteReply { status, indent }.as_child_of(message))
            }
            JupyterMessageContent::HistoryRequest(request) => {
                Some(self.history(request).as_child_of(message))
            }
            JupyterMessageContent::CommInfoRequest(_) => {
                let none = CommInfoReply { status: ReplyStatus::Ok, comms: Default::default(), error: None };
                Some(none.as_child_of(message))
            }
            _ => request::refusal(message).map(|reply| JupyterMessage::new(reply, Some(message))),
        };
        if let Some(reply) = reply {
            self.send(Outgoing::Reply(Box::new(reply)));
        }
        self.publish(message, Status::idle());
        behind
    }

    /// A reply to a cell that succeeded.
    fn executed(&self) -> ExecuteReply {
        ExecuteReply {
            status: ReplyStatus::Ok,
            execution_count: ExecutionCount::new(self.cells),
            payload: Vec::new(),
            user_expressions: Some(Default::default()),
            error: None,
        }
    }

    fn execute(&mut self, request: &ExecuteRequest, message: &Arc<JupyterMessage>) -> ExecuteReply {
        if !request.silent {
            self.cells += usize::from(request.store_history);
            let execution_count = ExecutionCount::new(self.cells);
            self.publish(message, ExecuteInput { code: request.code.clone(), execution_count });
        }
        self.notebook.parent.replace(Arc::clone(message));
        let (news, started_by) = (Arc::clone(&self.news), Arc::clone(message));
        let is_attended = request.allow_stdin;
        self.interpreter.session.set_notifier(Arc::new(move |text: &str| {
            news.tell(&started_by, is_attended, text);
        }));
        if !std::mem::replace(&mut self.started, true) {
            self.interpreter.start_up();
        }
        if request.code.trim().is_empty() {
            return self.executed();
        }
        let silent = request.silent || !request.store_history;
        let mut taken = match silent {
            true => self.interpreter.take_silently(&request.code),
            false => self.interpreter.take(&request.code),
        };
        if std::mem::take(&mut self.interpreter.leaving) {
            taken = Err(
                Error::invalid("a notebook is left by closing it, or by shutting its kernel down").into()
            );
        }
        self.interpreter.refresh(&mut self.known);
        match taken {
            Ok(value) => {
                if !value.is_unit() && !request.silent {
                    let shown = script::guarded(|| Ok(script::shown(&self.interpreter.engine, value)));
                    let data = media(shown.unwrap_or_default());
                    crate::interrupt::clear();
                    self.publish(message, ExecuteResult::new(ExecutionCount::new(self.cells), data));
                }
                self.executed()
            }
            Err(trouble) => {
                let error = reply_error(&trouble);
                let ReplyError { ename, evalue, traceback } = error.clone();
                if !request.silent {
                    self.publish(message, ErrorOutput { ename, evalue, traceback });
                }
                ExecuteReply { status: ReplyStatus::Error, error: Some(Box::new(error)), ..self.executed() }
            }
        }
    }

    fn complete(&mut self, request: &CompleteRequest) -> CompleteReply {
        let before = before(&request.code, request.cursor_pos);
        let found = complete(before, &self.known);
        CompleteReply {
            matches: found.candidates,
            // Jupyter counts characters.
            cursor_start: request.code[..found.start].chars().count(),
            cursor_end: before.chars().count(),
            metadata: Default::default(),
            status: ReplyStatus::Ok,
            error: None,
        }
    }

    fn inspect(&self, request: &InspectRequest) -> InspectReply {
        let told = asked_about(&request.code, before(&request.code, request.cursor_pos).len())
            .into_iter()
            .find_map(|name| self.interpreter.explain(&name));
        InspectReply {
            found: told.is_some(),
            data: told.map_or_else(Media::default, |text| media(Shown { text, ..Shown::default() })),
            metadata: Default::default(),
            status: ReplyStatus::Ok,
            error: None,
        }
    }

    fn history(&self, request: &HistoryRequest) -> HistoryReply {
        let all = self.interpreter.history().enumerate().map(|(at, text)| (at + 1, text.to_owned()));
        let (output, most, inputs): (bool, usize, Vec<(usize, String)>) = match request {
            HistoryRequest::Tail { n, output, .. } => {
                (*output, usize::try_from(*n).unwrap_or(usize::MAX), all.collect())
            }
            HistoryRequest::Range { output, start, stop, .. } => {
                let range = usize::try_from(*start).unwrap_or(0)..usize::try_from(*stop).unwrap_or(0);
                (*output, usize::MAX, all.filter(|(line, _)| range.contains(line)).collect())
            }
            HistoryRequest::Search { output, pattern, n, unique, .. } => {
                let pattern = glob::Pattern::new(pattern).unwrap_or_default();
                let mut fits: Vec<_> = all.filter(|(_, text)| pattern.matches(text)).collect();
                if *unique {
                    // Of equal inputs the last.
                    let mut known = HashSet::new();
                    fits.reverse();
                    fits.retain(|(_, text)| known.insert(text.clone()));
                    fits.reverse();
                }
                (*output, usize::try_from(*n).unwrap_or(usize::MAX), fits)
            }
        };
        let entry = |(line, text): (usize, String)| match output {
            true => HistoryEntry::InputOutput(0, line, (text, String::new())),
            false => HistoryEntry::Input(0, line, text),
        };
        let skipped = inputs.len().saturating_sub(most);
        HistoryReply {
            history: inputs.into_iter().skip(skipped).map(entry).collect(),
            status: ReplyStatus::Ok,
            error: None,
        }
    }
}

/// What the kernel says of itself.
fn info() -> KernelInfoReply {
    KernelInfoReply {
        status: ReplyStatus::Ok,
        protocol_version: PROTOCOL.to_owned(),
        implementation: "kelvin".to_owned(),
        implementation_version: env!("CARGO_PKG_VERSION").to_owned(),
        language_info: LanguageInfo {
            name: "rhai".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mimetype: Some("text/x-rhai".to_owned()),
            file_extension: Some(".rhai".to_owned()),
            // Rhai's words are nearly Rust's, which the notebooks' highlighters know.
            pygments_lexer: Some("rust".to_owned()),
            codemirror_mode: Some(CodeMirrorMode::Simple("rust".to_owned())),
            nbconvert_exporter: None,
        },
        banner: format!("kelvin {}. help() explains all.", VERSION.as_str()),
        help_links: Vec::new(),
        debugger: false,
        error: None,
    }
}

/// The code before a position that counts characters.
fn before(code: &str, position: usize) -> &str {
    code.char_indices().nth(position).map_or(code, |(at, _)| &code[..at])
}

/// The names that somebody with the cursor at a byte of the code may ask about: the one there, then those of the calls around it.
fn asked_about(code: &str, cursor: usize) -> Vec<String> {
    let words = tokens(code);
    let text = |at: usize| &code[words[at].range.clone()];
    let is_name = |at: usize| matches!(words[at].kind, Kind::Name | Kind::Keyword);
    // `paper::runs` is one name.
    let whole = |at: usize| match at >= 3 && text(at - 1) == ":" && text(at - 2) == ":" && is_name(at - 3) {
        true => format!("{}::{}", text(at - 3), text(at)),
        false => text(at).to_owned(),
    };
    let there = (0..words.len())
        .rev()
        .find(|&at| is_name(at) && words[at].range.start <= cursor && cursor <= words[at].range.end);
    let mut open = Vec::new();
    for (at, word) in words.iter().enumerate().take_while(|(_, word)| word.range.end <= cursor) {
        match word.kind {
            Kind::Open => open.push(at),
            Kind::Close => drop(open.pop()),
            _ => {}
        }
    }
    let calls =
        open.into_iter().rev().filter(|&at| at > 0 && text(at) == "(" && is_name(at - 1)).map(|at| at - 1);
    there.into_iter().chain(calls).map(whole).collect()
}

/// A value in the forms of a notebook, which takes the richest that it can show.
fn media(shown: Shown) -> Media {
    let mut forms = vec![MediaType::Plain(visible(&shown.text).into_owned())];
    forms.extend(shown.html.map(MediaType::Html));
    forms.extend(shown.svg.map(MediaType::Svg));
    forms.extend(shown.png.map(|png| MediaType::Png(BASE64_STANDARD.encode(png))));
    Media::new(forms)
}

fn reply_error(trouble: &Trouble) -> ReplyError {
    let ename = match trouble.failure {
        Failure::Interrupted => "Interrupted",
        Failure::Error => "Error",
    };
    let plain = trouble.text.uncolored();
    let plain = plain.lines().next().unwrap_or_default();
    let evalue =
        plain.strip_prefix("Error: ").or_else(|| plain.strip_prefix("error: ")).unwrap_or(plain).to_owned();
    ReplyError {
        ename: ename.to_owned(),
        evalue,
        traceback: trouble.text.as_str().lines().map(str::to_owned).collect(),
    }
}

fn stream(mouth: &Mouth, parent: &Arc<JupyterMessage>, error: bool, text: &str) {
    let message = Outgoing::Stream { parent: Arc::clone(parent), error, text: format!("{text}\n") };
    // Where the notebook is closed nobody listens.
    let _ = mouth.blocking_send(message);
}

/// What jobs say.
///
/// Who sits at a notebook sees it below the cell that started the job, at once. A program that runs
/// one cell after another, such as nbclient, says so by letting nobody be asked (`allow_stdin`),
/// and reads only what belongs to the cell that it waits for: it is told there, or where none runs
/// with the next one.
struct News {
    mouth: Mouth,
    late: Mutex<Late>,
}

#[derive(Default)]
struct Late {
    /// The cell that a program waits for.
    running: Option<Arc<JupyterMessage>>,
    /// What was said while there was none.
    lines: Vec<String>,
}

impl News {
    fn lock(&self) -> MutexGuard<'_, Late> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cell begins.
    fn begin(&self, request: &ExecuteRequest, cell: &Arc<JupyterMessage>) {
        let mut late = self.lock();
        late.lines.drain(..).for_each(|line| stream(&self.mouth, cell, true, &line));
        late.running = (!request.allow_stdin).then(|| Arc::clone(cell));
    }

    /// It is over.
    fn end(&self) {
        self.lock().running = None;
    }

    /// A job says something, whose cell was sent by somebody who sits there, or not.
    fn tell(&self, started_by: &Arc<JupyterMessage>, is_attended: bool, text: &str) {
        let text = visible(text);
        if is_attended {
            return stream(&self.mouth, started_by, true, &text);
        }
        let mut late = self.lock();
        match &late.running {
            Some(cell) => stream(&self.mouth, cell, true, &text),
            None => late.lines.push(text.into_owned()),
        }
    }
}

/// Where a cell's output goes.
struct Notebook {
    mouth: Mouth,
    /// The request of the cell that runs.
    parent: RefCell<Arc<JupyterMessage>>,
    /// The id of the line of progress that is shown, where one is.
    line: RefCell<Option<String>>,
}

impl Notebook {
    fn publish(&self, content: impl Into<JupyterMessageContent>) {
        let message = JupyterMessage::new(content, Some(&self.parent.borrow()));
        let _ = self.mouth.blocking_send(Outgoing::Publish(Box::new(message)));
    }
}

impl Output for Notebook {
    fn print(&self, text: &str) {
        stream(&self.mouth, &self.parent.borrow(), false, text);
    }

    fn tell(&self, text: &str) {
        stream(&self.mouth, &self.parent.borrow(), true, text);
    }

    fn show(&self, shown: Shown) {
        self.publish(DisplayData::new(media(shown)));
    }

    fn clear(&self, wait: bool) {
        self.publish(ClearOutput { wait });
    }

    fn progress(&self, text: &str, last: bool) {
        let data = Media::new(vec![MediaType::Plain(text.to_owned())]);
        let shown = self.line.borrow().clone();
        match &shown {
            Some(id) => self.publish(UpdateDisplayData::new(data, id)),
            None => {
                let id = uuid::Uuid::new_v4().to_string();
                let transient = Some(Transient { display_id: Some(id.clone()) });
                self.publish(DisplayData { transient, ..DisplayData::new(data) });
                self.line.replace(Some(id));
            }
        }
        if last {
            self.line.replace(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Painted;

    #[test]
    fn the_name_at_the_cursor_is_asked_about_then_the_calls_around_it() {
        assert_eq!(asked_about("fit_gap(runs)", 3), ["fit_gap"]);
        assert_eq!(asked_about("fit_gap(runs)", 9), ["runs", "fit_gap"]);
        assert_eq!(asked_about("fit_gap(", 8), ["fit_gap"]);
        assert_eq!(asked_about("paper::runs(1)", 9), ["paper::runs"]);
        assert_eq!(asked_about("1 + 1", 2), [""; 0]);
    }

    #[test]
    fn positions_count_characters() {
        assert_eq!(before("äöü swe", 3), "äöü");
        assert_eq!(before("äöü", 9), "äöü");
    }

    #[test]
    fn an_error_s_value_is_its_message() {
        let text = "Error: unknown variable `x`\n ╭─[ <input 1>:1:1 ]";
        let error = reply_error(&Trouble { failure: Failure::Error, text: Painted::plain(text) });
        assert_eq!(error.evalue, "unknown variable `x`");
        assert_eq!(error.traceback.len(), 2);
    }
}
