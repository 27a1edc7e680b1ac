//! The one error type of the library.

use std::cell::Cell;
use std::path::{Path, PathBuf};

/// `Result` with kelvin's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong. A message says what was expected, what was found and what to
/// write instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value, option, file content or combination of them that cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// The operating system refused a file operation.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// libtorch refused an operation; usually out of memory.
    #[error("libtorch: {0}")]
    Torch(String),
    /// The user asked to stop (Ctrl-C, SIGTERM).
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// An [`Error::Invalid`] with this message.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// An [`Error::Io`] at this path.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), source }
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(first_line(&error.to_string()))
    }
}

/// What a panic said; libtorch's own errors arrive as panics too.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("panic");
    // tch unwraps: `called Result::unwrap() on an Err value: Torch("the message\nC++ trace`.
    let message = text.split_once("Torch(\"").map_or(text, |(_, message)| message);
    first_line(&message.replace("\\n", "\n"))
}

/// The first line of a message: libtorch appends a C++ back trace to its own.
pub(crate) fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

thread_local! {
    /// A panic of this thread becomes an error.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Does what may panic, and gives the panic to the caller alone: nothing is printed.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> std::thread::Result<T> {
    let before = GUARDED.replace(true);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    GUARDED.set(before);
    result
}

/// Reads a file whose reader may panic on a broken or hostile one: that too is an error, and the
/// session goes on.
pub(crate) fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(read).unwrap_or_else(|panic| {
        let path = path.display();
        // Also what a reader has not been taught is a panic, for instance integers of 128 bits.
        let said =
            panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(Error::invalid(match said.filter(|said| said.ends_with("not supported")) {
            Some(said) => {
                format!("{path}: it holds what kelvin does not read: {said}; write it as another type")
            }
            None => format!("{path}: the file is broken in a way that its reader does not expect"),
        }))
    })
}

/// Whether a panic of this thread becomes an error, so that nobody need be told of it.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Of `known` names the one nearest to `found`, if it is near enough to be a slip of the pen.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// No name that anybody mistypes is longer, and the distance takes the product of two lengths.
    const LONGEST: usize = 200;
    if found.len() > LONGEST {
        return None;
    }
    let initials =
        |name: &str| -> String { name.split('_').filter_map(|word| word.chars().next()).collect() };
    // One letter in three may be wrong; of one or two letters, none.
    let most = |name: &str| name.len().max(found.len()) / 3;
    known
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        .map(|name| {
            // `learning_rate` is meant by `lr`: a name's initials count as the name itself.
            let spelled = edit_distance(found, name);
            let abbreviated = if name.len() > 1 && initials(found) == name { 1 } else { usize::MAX };
            // `batch_size` by `batch`, where nothing is nearer.
            let begun = found.strip_prefix(name).is_some_and(|rest| rest.starts_with('_') && name.len() > 1);
            let begun = if begun { most(name) } else { usize::MAX };
            (spelled.min(abbreviated).min(begun), name)
        })
        .filter(|(distance, name)| *distance <= most(name))
        .min()
        .map(|(_, name)| name)
}

/// `; did you mean …?` for the nearest known name, else the list of them.
pub fn suggestion<'a>(found: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(found, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => {
            let names: Vec<&str> = known.into_iter().collect();
            format!("known: {}", names.join(", "))
        }
    }
}

/// Levenshtein distance with transpositions of neighbours counted as one edit.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + differs);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_panics_is_caught_and_not_told() {
        assert_eq!(caught(|| 2).ok(), Some(2));
        let panic = caught(|| {
            if is_guarded() {
                panic!("out of range")
            }
        })
        .unwrap_err();
        assert_eq!(panic_message(&*panic), "out of range");
        assert!(!is_guarded());
    }

    #[test]
    fn a_slip_finds_its_name() {
        let known = ["lr", "batch", "epochs", "optimizer", "weight_decay"];
        assert_eq!(nearest("lerning_rate", known), Some("lr"));
        assert_eq!(nearest("btach", known), Some("batch"));
        assert_eq!(nearest("epoch", known), Some("epochs"));
        assert_eq!(nearest("weigth_decay", known), Some("weight_decay"));
        assert_eq!(nearest("zebra", known), None);
        // Without a look at the product of their lengths.
        let long = "x".repeat(100_000_000);
        assert_eq!(nearest(&long, [long.as_str()]), None);
        assert_eq!(nearest("xx", [long.as_str(), "xxx"]), Some("xxx"));
    }
}
