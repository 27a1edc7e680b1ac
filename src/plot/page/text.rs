//! Texts in HTML.

use crate::plot::font;
use crate::table::escaped;

/// Text for HTML, without characters that it forbids.
pub(super) fn html(text: &str) -> String {
    escaped(&font::clean(text))
}

/// The caption of a figure or table.
pub(super) fn figcaption(caption: &str, id: &str) -> String {
    format!("<figcaption id=\"{id}\">{}</figcaption>", html(caption))
}
