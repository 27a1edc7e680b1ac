//! What a kernel does with what a notebook asks.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jupyter_protocol::{
    CommInfoReply, CompleteReply, CompleteRequest, ConnectionInfo, ErrorOutput, ExecuteInput, ExecuteReply,
    ExecuteRequest, ExecuteResult, ExecutionCount, InspectReply, InspectRequest, IsCompleteReply,
    IsCompleteReplyStatus, JupyterMessage, JupyterMessageContent, Media, ReplyError, ReplyStatus, Status,
};

use super::news::News;
use super::notebook::Notebook;
use super::replies::{asked_about, before, history, info, media, reply_error};
use super::request;
use super::wire::{Outgoing, Request, Wire};
use crate::error::{Error, Result};
use crate::script::{self, Output, Shown};
use crate::shell::interpreter::complete::{Known, complete};
use crate::shell::interpreter::syntax::is_open;
use crate::shell::interpreter::{Interpreter, commands};

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
        let notebook = Rc::new(Notebook::new(wire.mouth.clone(), parent));
        script::redirect(Some(Rc::clone(&notebook) as Rc<dyn Output>));
        interpreter.session.set_interactive();
        let known = interpreter.known();
        let news = Arc::new(News::new(wire.mouth.clone()));
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

    /// Answers what was asked behind a cell that failed: cells of the same client are not
    /// evaluated.
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

    /// What was asked behind a cell that failed. Taken before its client hears of that, who may
    /// then ask for more.
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
                Some(history(request, self.interpreter.history()).as_child_of(message))
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
        self.notebook.begin(message);
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
}
