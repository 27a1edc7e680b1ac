//! The sockets of a kernel, on a thread of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use jupyter_protocol::{
    ConnectionInfo, InterruptReply, IoPubWelcome, JupyterMessage, JupyterMessageContent, KernelInfoReply,
    ReplyStatus, ShutdownReply, Status, Stdio, StreamContent,
};
use jupyter_zmq_client::{
    KernelControlConnection, KernelHeartbeatConnection, KernelIoPubXPubConnection, KernelShellConnection,
    KernelStdinConnection, RouterRecvConnection, RouterSendConnection, SubscriptionEvent,
    create_kernel_control_connection, create_kernel_heartbeat_connection,
    create_kernel_iopub_xpub_connection, create_kernel_shell_connection, create_kernel_stdin_connection,
};
use tokio::sync::mpsc;

use super::request::{self, Seen};

use crate::error::{Error, Result};

/// Messages that may wait to be sent. With that many waiting, senders block.
const BACKLOG: usize = 1024;

/// Characters of output that go in one message.
const CHUNK: usize = 1 << 16;

/// How long a client may take to take a message, so that one that reads no more does not hold up
/// the others; and once it has shown that it does not.
const TAKING: Duration = Duration::from_millis(500);
const STALLED: Duration = Duration::from_millis(2);

/// After something that could not be read.
const PAUSE: Duration = Duration::from_millis(20);

/// Time in which the last messages reach the clients.
const LINGER: Duration = Duration::from_millis(100);

/// What comes from the clients.
pub(super) enum Request {
    /// A message on the shell channel.
    Shell(Box<JupyterMessage>),
    /// The kernel is to end.
    Leave,
}

/// What goes to the clients.
pub(super) enum Outgoing {
    /// To the client that asked.
    Reply(Box<JupyterMessage>),
    /// To all.
    Publish(Box<JupyterMessage>),
    /// Output, of which what comes soon after each other becomes one message.
    Stream {
        /// The message whose work this is.
        parent: Arc<JupyterMessage>,
        /// Whether it goes to standard error.
        error: bool,
        /// The text.
        text: String,
    },
    /// Nothing more.
    End,
}

/// Sends messages, from any thread.
pub(super) type Mouth = mpsc::Sender<Outgoing>;

/// The way to and from the clients.
pub(super) struct Wire {
    /// What they ask.
    pub requests: Receiver<Request>,
    /// What they are told.
    pub mouth: Mouth,
    /// Requests that are not answered yet.
    pub pending: Arc<AtomicUsize>,
    /// Whether the kernel is to end, whatever was asked before.
    pub leaving: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

struct Sockets {
    heartbeat: KernelHeartbeatConnection,
    shell: KernelShellConnection,
    control: KernelControlConnection,
    // Clients connect to it, and nothing is ever asked.
    _stdin: KernelStdinConnection,
    iopub: KernelIoPubXPubConnection,
}

impl Sockets {
    async fn bind(connection: &ConnectionInfo) -> jupyter_zmq_client::Result<Self> {
        let session = uuid::Uuid::new_v4().to_string();
        Ok(Self {
            heartbeat: create_kernel_heartbeat_connection(connection).await?,
            shell: create_kernel_shell_connection(connection, &session).await?,
            control: create_kernel_control_connection(connection, &session).await?,
            _stdin: create_kernel_stdin_connection(connection, &session).await?,
            iopub: create_kernel_iopub_xpub_connection(connection, &session).await?,
        })
    }
}

impl Wire {
    /// Binds the sockets of a connection and serves them from now on. `info` is what the kernel
    /// says of itself.
    pub fn start(connection: ConnectionInfo, info: KernelInfoReply) -> Result<Self> {
        let (asked, requests) = channel();
        let (mouth, outgoing) = mpsc::channel(BACKLOG);
        let pending = Arc::new(AtomicUsize::new(0));
        let (ready, bound) = channel();
        let leaving = Arc::new(AtomicBool::new(false));
        let end = End { leaving: Arc::clone(&leaving), asked: asked.clone() };
        let told = (mouth.clone(), Arc::clone(&pending), end);
        let work = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error.to_string()))),
            };
            runtime.block_on(async move {
                match Sockets::bind(&connection).await {
                    Err(error) => drop(ready.send(Err(error.to_string()))),
                    Ok(sockets) => {
                        let _ = ready.send(Ok(()));
                        serve(sockets, info, asked, told, outgoing).await;
                    }
                }
            });
        };
        let failed = |error: String| Error::invalid(format!("the kernel cannot be reached: {error}"));
        let thread = std::thread::Builder::new()
            .name("jupyter".to_owned())
            .spawn(work)
            .map_err(|error| failed(error.to_string()))?;
        bound.recv().unwrap_or_else(|error| Err(error.to_string())).map_err(failed)?;
        Ok(Self { requests, mouth, pending, leaving, thread })
    }

    /// Sends what is still to be sent, and closes.
    pub fn close(self) {
        if self.mouth.blocking_send(Outgoing::End).is_ok() {
            // A panic there leaves nothing to be done here.
            let _ = self.thread.join();
        }
    }
}

/// Ends the kernel.
#[derive(Clone)]
struct End {
    leaving: Arc<AtomicBool>,
    asked: Sender<Request>,
}

impl End {
    fn now(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        crate::interrupt::raise();
        // Nothing receives it only when the kernel is about to end.
        let _ = self.asked.send(Request::Leave);
    }
}

async fn serve(
    sockets: Sockets,
    info: KernelInfoReply,
    asked: Sender<Request>,
    (mouth, pending, end): (Mouth, Arc<AtomicUsize>, End),
    outgoing: mpsc::Receiver<Outgoing>,
) {
    let Sockets { mut heartbeat, shell, control, _stdin, iopub } = sockets;
    let (replies, questions) = shell.split();
    tokio::spawn(async move {
        loop {
            if heartbeat.single_heartbeat().await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    });
    let seen = Seen::default();
    tokio::spawn(listen(questions, asked, pending, seen.clone()));
    tokio::spawn(obey(control, info, mouth, end.clone(), seen));
    tokio::spawn(follow_parent(end));
    speak(iopub, replies, outgoing).await;
    tokio::time::sleep(LINGER).await;
}

/// Hands on what is asked on the shell channel.
async fn listen(
    mut questions: RouterRecvConnection,
    asked: Sender<Request>,
    pending: Arc<AtomicUsize>,
    seen: Seen,
) {
    loop {
        match request::read(&mut questions, &seen).await {
            Some(message) => {
                // Interrupts that came while nothing was to be done are not for this.
                if pending.fetch_add(1, Ordering::SeqCst) == 0 {
                    crate::interrupt::clear();
                }
                if asked.send(Request::Shell(Box::new(message))).is_err() {
                    return;
                }
            }
            None => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Does what is asked on the control channel, whatever is evaluated meanwhile.
async fn obey(
    mut control: KernelControlConnection,
    info: KernelInfoReply,
    mouth: Mouth,
    end: End,
    seen: Seen,
) {
    loop {
        let Some(message) = request::read(&mut control, &seen).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Control requests must not wait for slow readers: without room the message is dropped.
        let publish =
            |status: Status| drop(mouth.try_send(Outgoing::Publish(Box::new(status.as_child_of(&message)))));
        publish(Status::busy());
        let mut leave = false;
        let reply = match &message.content {
            JupyterMessageContent::KernelInfoRequest(_) => Some(info.as_child_of(&message)),
            JupyterMessageContent::InterruptRequest(_) => {
                crate::interrupt::raise();
                Some(InterruptReply::new().as_child_of(&message))
            }
            JupyterMessageContent::ShutdownRequest(request) => {
                leave = true;
                let reply = ShutdownReply { restart: request.restart, status: ReplyStatus::Ok, error: None };
                Some(reply.as_child_of(&message))
            }
            _ => request::refusal(&message).map(|reply| JupyterMessage::new(reply, Some(&message))),
        };
        if let Some(reply) = reply {
            // A client that has gone is no reason to stop.
            let _ = tokio::time::timeout(TAKING, control.send(reply)).await;
        }
        publish(Status::idle());
        if leave {
            end.now();
        }
    }
}

/// Ends the kernel when the process that started it is gone, where that process asked for it.
async fn follow_parent(end: End) {
    let parent = std::env::var("JPY_PARENT_PID").ok().and_then(|pid| pid.parse::<libc::pid_t>().ok());
    // SAFETY: the call has no conditions.
    let here = || unsafe { libc::getppid() };
    if parent != Some(here()) {
        return;
    }
    while parent == Some(here()) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    end.now();
}

/// Sends until the end.
async fn speak(
    mut iopub: KernelIoPubXPubConnection,
    mut replies: RouterSendConnection,
    mut outgoing: mpsc::Receiver<Outgoing>,
) {
    let (mut next, mut patience) = (None, TAKING);
    loop {
        let message = match next.take() {
            Some(message) => message,
            None => tokio::select! {
                message = outgoing.recv() => message.unwrap_or(Outgoing::End),
                event = iopub.recv_subscription() => {
                    match event {
                        Ok(SubscriptionEvent::Subscribe(topic)) => {
                            Outgoing::Publish(Box::new(IoPubWelcome::new(topic).into()))
                        }
                        Ok(SubscriptionEvent::Unsubscribe(_)) => continue,
                        Err(_) => {
                            tokio::time::sleep(PAUSE).await;
                            continue;
                        }
                    }
                }
            },
        };
        let published = match message {
            Outgoing::End => return,
            Outgoing::Reply(message) => {
                // A client that has gone is no reason to stop.
                let _ = tokio::time::timeout(TAKING, replies.send(*message)).await;
                continue;
            }
            Outgoing::Publish(message) => *message,
            Outgoing::Stream { parent, error, mut text } => {
                while text.len() < CHUNK {
                    match outgoing.try_recv() {
                        Ok(Outgoing::Stream { parent: same, error: also, text: more })
                            if Arc::ptr_eq(&same, &parent) && also == error =>
                        {
                            text += &more;
                        }
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                let name = if error { Stdio::Stderr } else { Stdio::Stdout };
                StreamContent { name, text }.as_child_of(&parent)
            }
        };
        let taken = tokio::time::timeout(patience, iopub.send(published)).await;
        patience = if taken.is_ok() { TAKING } else { STALLED };
    }
}
