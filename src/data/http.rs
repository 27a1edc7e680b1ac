//! Reading a file from a server, from any byte on, so that Ctrl-C and a silent server are noticed.
//!
//! A thread of its own reads, because a read may block; what it read comes through a channel that
//! is polled.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ureq::http::{Response, StatusCode, header};

use crate::error::{Error, Result};

/// How long to wait for a server, and how often to ask it.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A server that sends nothing for so long is given up.
    pub silence: Duration,
    /// How often it is asked again without having sent anything meanwhile.
    pub retries: u32,
    /// The time before it is asked again.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silence: Duration::from_secs(30), retries: 3, pause: Duration::from_secs(2) }
    }
}

/// Why a file did not come.
pub(super) enum Failure {
    /// Asking again may help: a broken connection, a busy server.
    Passing(String),
    /// The server has no byte at this position.
    OutOfRange,
    /// Asking again is of no use.
    Final(Error),
}

/// Where an answer begins.
pub(super) struct Answer {
    /// The position in the file of the first byte that comes: the one asked for, or 0.
    pub start: u64,
    /// The length of the whole file, if the server says.
    pub total: Option<u64>,
    parts: Receiver<Message>,
    silence: Duration,
}

enum Message {
    Begins { start: u64, total: Option<u64> },
    Part(Vec<u8>),
    Ends,
    Fails(Failure),
}

/// Time between two looks at the interrupt flag.
const POLL: Duration = Duration::from_millis(50);

/// Bytes that are passed on at once.
const PART: usize = 1 << 16;

/// Asks for a file from byte `start` on. A server that knows no ranges sends all of it.
pub(super) fn get(address: &str, start: u64, patience: &Patience) -> std::result::Result<Answer, Failure> {
    // A few parts, no more: whoever is slow to take them slows the reading down.
    let (sender, parts) = sync_channel(4);
    let (address, silence) = (address.to_owned(), patience.silence);
    std::thread::Builder::new()
        .spawn(move || read(&address, start, silence, &sender))
        .map_err(|error| Failure::Final(crate::threads::refused(&error)))?;
    let mut answer = Answer { start: 0, total: None, parts, silence };
    match answer.next()? {
        Message::Begins { start, total } => Ok(Answer { start, total, ..answer }),
        // The thread says first where the answer begins.
        _ => Err(Failure::Passing("the server's answer has no beginning".to_owned())),
    }
}

impl Answer {
    /// The next bytes; none at the end.
    pub(super) fn part(&mut self) -> std::result::Result<Option<Vec<u8>>, Failure> {
        match self.next()? {
            Message::Part(bytes) => Ok(Some(bytes)),
            _ => Ok(None),
        }
    }

    fn next(&mut self) -> std::result::Result<Message, Failure> {
        let asked = Instant::now();
        loop {
            crate::interrupt::check().map_err(Failure::Final)?;
            match self.parts.recv_timeout(POLL) {
                Ok(Message::Fails(failure)) => return Err(failure),
                Ok(message) => return Ok(message),
                // The client has times of its own; some of what it does, as looking up a name, has
                // none.
                Err(RecvTimeoutError::Timeout) if asked.elapsed() > 2 * self.silence => {
                    return Err(Failure::Passing(silent(self.silence)));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Passing("the connection ended".to_owned()));
                }
            }
        }
    }
}

fn silent(silence: Duration) -> String {
    format!("the server sent nothing for {} s", silence.as_secs_f64())
}

/// What the thread does. Where nobody listens any more, it ends.
fn read(address: &str, start: u64, silence: Duration, to: &SyncSender<Message>) {
    let client: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("kelvin/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(silence))
        .timeout_recv_response(Some(silence))
        .timeout_per_read(Some(silence))
        .build()
        .into();
    let mut request = client.get(address);
    if start > 0 {
        request = request.header(header::RANGE, format!("bytes={start}-"));
    }
    let passing = |error: ureq::Error| match error {
        ureq::Error::Timeout(_) => Failure::Passing(silent(silence)),
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            Failure::Passing(silent(silence))
        }
        error => Failure::Passing(error.to_string()),
    };
    let mut response = match request.call() {
        Ok(response) => response,
        Err(error) => return drop(to.send(Message::Fails(passing(error)))),
    };
    match beginning(&response, start) {
        Ok((start, total)) => drop(to.send(Message::Begins { start, total })),
        Err(failure) => return drop(to.send(Message::Fails(failure))),
    }
    let mut body = response.body_mut().as_reader();
    let mut buffer = vec![0; PART];
    loop {
        let message = match body.read(&mut buffer) {
            Ok(0) => Message::Ends,
            Ok(read) => Message::Part(buffer[..read].to_vec()),
            Err(error) => Message::Fails(passing(ureq::Error::from(error))),
        };
        let goes_on = matches!(message, Message::Part(_));
        if to.send(message).is_err() || !goes_on {
            return;
        }
    }
}

/// Where an answer begins, and how long the whole file is.
fn beginning<T>(response: &Response<T>, asked: u64) -> std::result::Result<(u64, Option<u64>), Failure> {
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    match response.status() {
        StatusCode::OK => Ok((0, text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()))),
        StatusCode::PARTIAL_CONTENT => {
            // `bytes 100-199/200`
            let range = text(header::CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes "));
            let parsed = range.and_then(|range| {
                let (span, total) = range.split_once('/')?;
                Some((span.split_once('-')?.0.parse::<u64>().ok()?, total.parse().ok()))
            });
            match parsed {
                Some((start, total)) if start == asked => Ok((start, total)),
                _ => Err(Failure::Passing("the server sent another part than the one asked for".to_owned())),
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => Err(Failure::OutOfRange),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(Failure::Passing(format!("the server answers {status}")))
        }
        status => Err(Failure::Final(Error::invalid(format!("the server answers {status}")))),
    }
}

/// Waits, unless the user asks to stop.
pub(super) fn wait(time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    loop {
        crate::interrupt::check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(POLL));
    }
}
