//! Requests as clients send them: each is taken once, and what is missing or odd in it is no reason
//! not to answer.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jupyter_protocol::{JupyterMessage, JupyterMessageContent, UnknownMessage};
use jupyter_zmq_client::{Connection, RawMessage};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use zeromq::SocketRecv;

/// Messages that are remembered, as many as Jupyter's own kernels do.
const REMEMBERED: usize = 1 << 16;

/// Hashes of the messages that came so far: a signed message that is replayed is not answered.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Hashes>>);

#[derive(Default)]
struct Hashes {
    all: HashSet<[u8; 32]>,
    oldest_first: VecDeque<[u8; 32]>,
}

impl Seen {
    /// Whether a message comes for the first time. Its four parts are what is signed; clients give
    /// each an id of its own.
    fn is_new(&self, parts: &[impl AsRef<[u8]>]) -> bool {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.as_ref().len() as u64).to_le_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let mut hashes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !hashes.all.insert(hash) {
            return false;
        }
        hashes.oldest_first.push_back(hash);
        if hashes.oldest_first.len() > REMEMBERED
            && let Some(oldest) = hashes.oldest_first.pop_front()
        {
            hashes.all.remove(&oldest);
        }
        true
    }
}

/// The next message of a socket; none where it was signed by somebody else, came before, or does
/// not tell whom to answer.
pub(super) async fn read<S: SocketRecv>(
    connection: &mut Connection<S>,
    seen: &Seen,
) -> Option<JupyterMessage> {
    let parts = connection.socket.recv().await.ok()?;
    let raw = RawMessage::from_multipart(parts, &connection.mac).ok()?;
    // Only the first four are signed.
    let signed = raw.jparts.get(..4)?;
    if !seen.is_new(signed) {
        return None;
    }
    message(raw)
}

fn message(raw: RawMessage) -> Option<JupyterMessage> {
    let part = |at: usize| raw.jparts.get(at).and_then(|bytes| json_of(bytes)).unwrap_or_default();
    let Value::Object(mut header) = part(0) else { return None };
    for (field, usual) in [("username", ""), ("session", ""), ("version", "5.3")] {
        if !header.get(field).is_some_and(Value::is_string) {
            header.insert(field.to_owned(), usual.into());
        }
    }
    let header: jupyter_protocol::Header = serde_json::from_value(header.into()).ok()?;
    let kind = header.msg_type.clone();
    let content = raw.jparts.get(3).and_then(|bytes| json_of(bytes));
    let content = match content {
        Some(Value::Object(content)) => {
            JupyterMessageContent::from_type_and_content(&kind, usual(&kind, content).into())
                .map_err(|error| error.to_string())
        }
        _ => Err("expected content that is a JSON object".to_owned()),
    };
    Some(JupyterMessage {
        zmq_identities: raw.zmq_identities,
        parent_header: raw.jparts.get(1).and_then(|bytes| serde_json::from_slice(bytes).ok()),
        metadata: part(2),
        // What is wrong is what it then says.
        content: content.unwrap_or_else(|wrong| unreadable(kind, &wrong)),
        header,
        buffers: Vec::new(),
        channel: None,
    })
}

/// A request of which nothing is known but what is wrong with it.
fn unreadable(msg_type: String, wrong: &str) -> JupyterMessageContent {
    UnknownMessage { msg_type, content: json!({ "wrong": wrong }) }.into()
}

/// The error with which a request is answered that nothing else answers; none where it is no
/// request.
pub(super) fn refusal(message: &JupyterMessage) -> Option<JupyterMessageContent> {
    let kind = &message.header.msg_type;
    let answer = format!("{}_reply", kind.strip_suffix("_request")?);
    let wrong = match &message.content {
        JupyterMessageContent::UnknownMessage(unknown) => {
            unknown.content.get("wrong").and_then(Value::as_str)
        }
        _ => None,
    };
    let text = match wrong {
        Some(wrong) => format!("{kind}: {wrong}"),
        None => format!("{kind}: kelvin does not answer this here"),
    };
    let content = json!({ "status": "error", "ename": "Error", "evalue": text, "traceback": [] });
    Some(UnknownMessage { msg_type: answer, content }.into())
}

/// A part as JSON. Half of a surrogate pair, as clients send it that cut texts between UTF-16
/// units, is shown as what it is: no character.
fn json_of(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok().or_else(|| {
        let text = String::from_utf8_lossy(bytes);
        serde_json::from_str(&without_halves(&text)).ok()
    })
}

/// JSON without escapes of surrogates that have no partner.
fn without_halves(text: &str) -> String {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let length = match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                out += "\\ufffd";
                at += 6;
                continue;
            }
            Some(_) => 6,
            // The character behind a backslash belongs to it.
            None if c == '\\' => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
            None => c.len_utf8(),
        };
        out += &text[at..at + length];
        at += length;
    }
    out
}

/// The content of a request with what is missing, or cannot be meant, as it usually is.
fn usual(kind: &str, mut content: Map<String, Value>) -> Map<String, Value> {
    let flag = |content: &mut Map<String, Value>, name: &str, usual: bool| {
        if !content.get(name).is_some_and(Value::is_boolean) {
            content.insert(name.to_owned(), usual.into());
        }
    };
    // Whole numbers of any size, within what the field can hold.
    let number = |content: &mut Map<String, Value>, name: &str, usual: i64, range: (i64, i64)| {
        let given = content.get(name).and_then(Value::as_f64);
        let number = given.map_or(usual, |given| given as i64).clamp(range.0, range.1);
        content.insert(name.to_owned(), number.into());
    };
    match kind {
        "execute_request" => {
            flag(&mut content, "silent", false);
            flag(&mut content, "store_history", true);
            flag(&mut content, "allow_stdin", true);
            flag(&mut content, "stop_on_error", true);
            content.insert("user_expressions".to_owned(), json!({}));
        }
        "complete_request" | "inspect_request" => {
            let end = content.get("code").and_then(Value::as_str).map_or(0, |code| code.chars().count());
            let end = i64::try_from(end).unwrap_or(i64::MAX);
            number(&mut content, "cursor_pos", end, (0, end));
            number(&mut content, "detail_level", 0, (0, 1));
        }
        "history_request" => {
            const MOST: (i64, i64) = (i32::MIN as i64, i32::MAX as i64);
            flag(&mut content, "output", false);
            flag(&mut content, "raw", true);
            flag(&mut content, "unique", false);
            number(&mut content, "session", 0, MOST);
            number(&mut content, "start", 0, MOST);
            number(&mut content, "stop", MOST.1, MOST);
            number(&mut content, "n", MOST.1, MOST);
            if !content.get("pattern").is_some_and(Value::is_string) {
                content.insert("pattern".to_owned(), "*".into());
            }
            let kinds = ["range", "tail", "search"];
            let known = content.get("hist_access_type").and_then(Value::as_str);
            if !known.is_some_and(|kind| kinds.contains(&kind)) {
                // Of a kind that is not known there is nothing.
                content.insert("hist_access_type".to_owned(), "tail".into());
                content.insert("n".to_owned(), 0.into());
            }
        }
        "comm_info_request" if !content.get("target_name").is_some_and(Value::is_string) => {
            content.insert("target_name".to_owned(), Value::Null);
        }
        "shutdown_request" => flag(&mut content, "restart", false),
        _ => {}
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_once() {
        let seen = Seen::default();
        assert!(seen.is_new(&["a", "b"]) && seen.is_new(&["ab", ""]) && seen.is_new(&["b", "a"]));
        assert!(!seen.is_new(&["a", "b"]) && !seen.clone().is_new(&["b", "a"]));
        // Not for ever.
        for number in 0..REMEMBERED {
            assert!(seen.is_new(&[number.to_string()]));
        }
        assert!(seen.is_new(&["a", "b"]));
        assert!(!seen.is_new(&["7"]));
    }

    #[test]
    fn halves_of_surrogate_pairs_are_no_characters() {
        let read = |text: &str| json_of(text.as_bytes()).unwrap();
        assert_eq!(
            read(r#"["a\ud83d", "\ude00b", "\ud83d\ude00"]"#),
            json!(["a\u{fffd}", "\u{fffd}b", "😀"])
        );
        assert_eq!(
            read(r#"["\\ud83d", "\u00e4\ud83d\"", "\\\ud83d"]"#),
            json!(["\\ud83d", "ä\u{fffd}\"", "\\\u{fffd}"])
        );
        assert_eq!(json_of(b"[\"\xe4\"]").unwrap(), json!(["\u{fffd}"]));
        assert!(json_of(b"[").is_none() && json_of(b"[\"\\").is_none());
    }

    fn asked(kind: &str, content: Value) -> JupyterMessageContent {
        let Value::Object(content) = content else { panic!("{content}") };
        JupyterMessageContent::from_type_and_content(kind, usual(kind, content).into()).unwrap()
    }

    #[test]
    fn what_is_missing_is_as_usual() {
        use JupyterMessageContent::{CompleteRequest, ExecuteRequest, HistoryRequest, InspectRequest};
        use jupyter_protocol::HistoryRequest::{Range, Search, Tail};
        for (position, wanted) in
            [(json!(-1), 0), (json!(2), 2), (json!(1e30), 3), (Value::Null, 3), (json!("x"), 3)]
        {
            let content = json!({ "code": "äöü", "cursor_pos": position });
            let CompleteRequest(request) = asked("complete_request", content.clone()) else { panic!() };
            assert_eq!(request.cursor_pos, wanted);
            let InspectRequest(request) = asked("inspect_request", content) else { panic!() };
            assert_eq!(request.cursor_pos, wanted);
        }
        let ExecuteRequest(request) = asked("execute_request", json!({ "code": "1" })) else { panic!() };
        assert!(!request.silent && request.store_history && request.allow_stdin && request.stop_on_error);
        let history = |content| {
            let HistoryRequest(request) = asked("history_request", content) else { panic!() };
            request
        };
        assert!(matches!(history(json!({ "hist_access_type": "tail", "n": -3 })), Tail { n: -3, .. }));
        assert!(matches!(
            history(json!({ "hist_access_type": "tail", "n": 1e12 })),
            Tail { n: i32::MAX, .. }
        ));
        assert!(matches!(history(json!({ "hist_access_type": "all" })), Tail { n: 0, .. }));
        assert!(matches!(history(json!({})), Tail { n: 0, .. }));
        assert!(matches!(
            history(json!({ "hist_access_type": "range" })),
            Range { start: 0, stop: i32::MAX, .. }
        ));
        assert!(
            matches!(history(json!({ "hist_access_type": "search" })), Search { pattern, unique: false, .. } if pattern == "*")
        );
    }
}
