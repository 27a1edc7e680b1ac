//! What a kernel answers, out of what a notebook asks and what the interpreter found.

use std::collections::HashSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jupyter_protocol::{
    CodeMirrorMode, HistoryEntry, HistoryReply, HistoryRequest, KernelInfoReply, LanguageInfo, Media,
    MediaType, ReplyError, ReplyStatus,
};

use crate::script::{ScriptFailure, Shown};
use crate::shell::interpreter::Trouble;
use crate::shell::interpreter::syntax::{Kind, tokens};
use crate::shell::version::VERSION;
use crate::visible::visible;

/// The version of Jupyter's messages that is spoken.
const PROTOCOL: &str = "5.4";

/// What the kernel says of itself.
pub(super) fn info() -> KernelInfoReply {
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
pub(super) fn before(code: &str, position: usize) -> &str {
    code.char_indices().nth(position).map_or(code, |(at, _)| &code[..at])
}

/// The names that somebody with the cursor at a byte of the code may ask about: the one there, then
/// those of the calls around it.
pub(super) fn asked_about(code: &str, cursor: usize) -> Vec<String> {
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
pub(super) fn media(shown: Shown) -> Media {
    let mut forms = vec![MediaType::Plain(visible(&shown.text).into_owned())];
    forms.extend(shown.html.map(MediaType::Html));
    forms.extend(shown.svg.map(MediaType::Svg));
    forms.extend(shown.png.map(|png| MediaType::Png(BASE64_STANDARD.encode(png))));
    Media::new(forms)
}

/// A failed input as a notebook shows it.
pub(super) fn reply_error(trouble: &Trouble) -> ReplyError {
    let ename = match trouble.failure {
        ScriptFailure::Interrupted => "Interrupted",
        ScriptFailure::Error => "Error",
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

/// The inputs that a notebook asks for.
pub(super) fn history<'a>(request: &HistoryRequest, inputs: impl Iterator<Item = &'a str>) -> HistoryReply {
    let all = inputs.enumerate().map(|(at, text)| (at + 1, text.to_owned()));
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
        let error = reply_error(&Trouble { failure: ScriptFailure::Error, text: Painted::plain(text) });
        assert_eq!(error.evalue, "unknown variable `x`");
        assert_eq!(error.traceback.len(), 2);
    }
}
