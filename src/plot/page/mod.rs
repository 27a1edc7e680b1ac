//! Pages: text, figures, tables and verdicts in one HTML file that needs nothing else.
//!
//! The file asks for nothing from outside, which its content security policy makes sure of. Its
//! style sheet and its script (`assets/page.css`, `assets/page.js`) stand inside it. Everything
//! that comes from data is escaped.

mod inline;
mod plots;
mod tables;
mod text;
mod verdicts;

use std::fmt::Write;
use std::path::Path;

use self::text::html;
use self::verdicts::VerdictLine;
use super::figure::Figure;
use crate::error::{Error, Result};
use crate::table::Table;

const STYLE: &str = include_str!("../assets/page.css");
const SCRIPT: &str = include_str!("../assets/page.js");

/// A page in the making: its parts in their order.
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    parts: Vec<PagePart>,
}

#[derive(Clone, Debug)]
enum PagePart {
    Heading(String),
    Text(String),
    Lines(String),
    Figure(Figure, String),
    Table(Table, String),
    Verdicts(Vec<VerdictLine>),
}

impl Page {
    /// An empty page.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), parts: Vec::new() }
    }

    /// How many parts the page has.
    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Whether the page has nothing but its title.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Begins a section, which the list of contents names.
    pub fn heading(&mut self, text: &str) {
        self.parts.push(PagePart::Heading(text.to_owned()));
    }

    /// Adds paragraphs; empty lines part them.
    pub fn text(&mut self, text: &str) {
        self.parts.push(PagePart::Text(text.to_owned()));
    }

    /// Adds a text whose lines stay as they are, with the first one in front: a fit.
    pub fn lines(&mut self, text: &str) {
        self.parts.push(PagePart::Lines(text.to_owned()));
    }

    /// Adds a figure, whose points show their values when they are pointed at.
    pub fn figure(&mut self, figure: Figure, caption: &str) {
        self.parts.push(PagePart::Figure(figure, caption.to_owned()));
    }

    /// Adds a table, whose columns can be sorted.
    pub fn table(&mut self, table: Table, caption: &str) {
        self.parts.push(PagePart::Table(table, caption.to_owned()));
    }

    /// Adds verdicts, one for each row: the columns `prediction` and `verdict` (holds, fails or
    /// undecided), and where there are any `metric`, `value`, `low`, `high`, `p` and `says`.
    pub fn verdicts(&mut self, table: &Table) -> Result<()> {
        self.parts.push(PagePart::Verdicts(verdicts::findings(table)?));
        Ok(())
    }

    /// Writes the page into a file whose name ends in `.html`. The file appears, or replaces an
    /// older one, only once complete.
    pub fn save(&self, path: &Path) -> Result<()> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        if !matches!(ending.as_deref(), Some("html" | "htm")) {
            return Err(Error::invalid(format!(
                "a page's file name must end in .html, but {} does not; write for example {}",
                path.display(),
                path.with_extension("html").display()
            )));
        }
        crate::files::write_bytes(path, self.html().as_bytes())
    }

    /// The page as the text of an HTML file; the same page always gives the same text.
    pub fn html(&self) -> String {
        let title = html(&self.title);
        let mut body = String::new();
        // What stands before the first heading introduces the page; the contents come after its
        // first texts.
        let texts = self.parts.iter().take_while(|part| matches!(part, PagePart::Text(_))).count();
        for part in &self.parts[..texts] {
            write_part(&mut body, part, "");
        }
        body += &self.contents();
        let mut section = 0;
        for (number, part) in self.parts.iter().enumerate().skip(texts) {
            if let PagePart::Heading(text) = part {
                section += 1;
                body += if section > 1 { "</section>\n" } else { "" };
                let _ = writeln!(
                    body,
                    "<section aria-labelledby=\"s{section}\"><h2 id=\"s{section}\">{}</h2>",
                    html(text)
                );
            } else {
                write_part(&mut body, part, &format!("p{number}"));
            }
        }
        body += if section > 0 { "</section>\n" } else { "" };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
             script-src 'unsafe-inline'; img-src data:\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"generator\" content=\"kelvin {version}\">\n<link rel=\"icon\" href=\"data:,\">\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{symbols}\n\
             <header><h1>{title}</h1></header>\n<main>\n{body}</main>\n\
             <footer>Made with kelvin {version}.</footer>\n<div id=\"tip\" role=\"status\" hidden></div>\n\
             <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
            version = env!("CARGO_PKG_VERSION"),
            symbols = inline::symbols(),
        )
    }

    /// The list of contents: each section with the verdicts in it.
    fn contents(&self) -> String {
        let mut sections: Vec<(&str, String)> = Vec::new();
        for part in &self.parts {
            match (part, sections.last_mut()) {
                (PagePart::Heading(text), _) => sections.push((text, String::new())),
                (PagePart::Verdicts(findings), Some((_, chips))) => {
                    chips.extend(findings.iter().map(verdicts::chip));
                }
                _ => {}
            }
        }
        if sections.len() < 2 {
            return String::new();
        }
        let mut list = String::new();
        for (number, (text, chips)) in sections.iter().enumerate() {
            let _ = writeln!(
                list,
                "<li><a href=\"#s{}\">{}</a><span class=\"chips\">{chips}</span></li>",
                number + 1,
                html(text)
            );
        }
        format!(
            "<nav aria-labelledby=\"contents\"><h2 id=\"contents\">Contents</h2>\n<ol>\n{list}</ol></nav>\n"
        )
    }
}

/// Writes a part; `id` is a name of its own for what needs one.
fn write_part(page: &mut String, part: &PagePart, id: &str) {
    match part {
        PagePart::Heading(_) => {}
        PagePart::Text(text) => {
            let mut paragraphs: Vec<Vec<&str>> = vec![Vec::new()];
            for line in text.lines() {
                match paragraphs.last_mut() {
                    Some(last) if !line.trim().is_empty() => last.push(line.trim()),
                    _ => paragraphs.push(Vec::new()),
                }
            }
            for paragraph in paragraphs.iter().filter(|lines| !lines.is_empty()) {
                let _ = writeln!(page, "<p>{}</p>", html(&paragraph.join(" ")));
            }
        }
        PagePart::Lines(text) => {
            let mut lines = text.lines().map(|line| html(line.trim())).filter(|line| !line.is_empty());
            let first = lines.next().unwrap_or_default();
            let rest: String = lines.map(|line| format!("<li>{line}</li>")).collect();
            let _ = writeln!(page, "<div class=\"lines\"><p>{first}</p><ul>{rest}</ul></div>");
        }
        PagePart::Figure(figure, caption) => page.push_str(&plots::html_of(figure, caption, id)),
        PagePart::Table(table, caption) => page.push_str(&tables::html_of(table, caption, id)),
        PagePart::Verdicts(findings) => page.push_str(&verdicts::html_of(findings)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::figure::{Axis, Panel, Points, Tint};
    use crate::table::Cell;

    const HOSTILE: &str = "</script><img src=x onerror=alert(1)>&\"'\u{0}";

    fn cells(names: &[&str], columns: &[Vec<Cell>]) -> Table {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Table::from_cells(&names, columns).unwrap()
    }

    fn panel(points: usize, label: &str) -> Panel {
        let values: Vec<f64> = (0..points).map(|number| 1e-4 * (1.0 + number as f64).sqrt()).collect();
        let groups = (0..10).map(|group| Points {
            label: format!("{label} {group}"),
            xs: values.iter().skip(group).step_by(10).copied().collect(),
            ys: values.iter().skip(group).step_by(10).map(|x| (7.0 * x).sin()).collect(),
            color: Tint::Palette(group),
            marker: group,
            notes: (0..points)
                .skip(group)
                .step_by(10)
                .map(|number| {
                    format!("lr\t0.0125\nbatch\t{label}\nseed\t{number}\nrun_id\tr0123456789abcdef{number}")
                })
                .collect(),
            hidden: false,
        });
        Panel {
            title: Some(label.to_owned()),
            x: Axis { label: format!("temperature {label}"), log: true, shared: None },
            y: Axis { label: label.to_owned(), log: false, shared: None },
            points: groups.collect(),
            ..Panel::default()
        }
    }

    #[test]
    fn nothing_from_data_becomes_markup() {
        let mut page = Page::new(HOSTILE);
        page.heading(HOSTILE);
        page.heading(HOSTILE);
        page.text(HOSTILE);
        page.lines(HOSTILE);
        let figure = Figure { title: Some(HOSTILE.into()), panels: vec![panel(20, HOSTILE); 2], columns: 2 };
        page.figure(figure, HOSTILE);
        let text = vec![Cell::Text(HOSTILE.into())];
        page.table(cells(&[HOSTILE], std::slice::from_ref(&text)), HOSTILE);
        page.verdicts(&cells(
            &["prediction", "verdict", "metric", "says"],
            &[text.clone(), vec![Cell::Text("holds".into())], text.clone(), text],
        ))
        .unwrap();
        let html = page.html();
        assert!(!html.contains("<img") && !html.contains('\u{0}'));
        assert!(html.contains("&lt;img src=x onerror=alert(1)&gt;&amp;&quot;"));
        // The figure's data and the page's own script.
        assert_eq!(html.matches("<script").count(), html.matches("</script").count());
        assert_eq!(html.matches("<script").count(), 2);
    }

    #[test]
    fn contents_name_the_sections_and_their_verdicts() {
        let mut page = Page::new("a page");
        page.text("first\nparagraph\n\n\nsecond");
        let text = |text: &str| vec![Cell::Text(text.to_owned())];
        let verdicts = cells(&["prediction", "verdict"], &[text("B"), text("holds")]);
        for name in ["one", "two"] {
            page.heading(name);
            page.verdicts(&verdicts).unwrap();
        }
        let html = page.html();
        assert!(html.contains("<p>first paragraph</p>\n<p>second</p>\n<nav"), "{html}");
        assert!(
            html.contains("<a href=\"#s2\">two</a><span class=\"chips\"><span class=\"chip holds\">B holds</span></span></li>"),
            "{html}"
        );
        assert!(html.contains("<h2 id=\"s2\">two</h2>"));
        assert_eq!(html.matches("<section").count(), html.matches("</section>").count());
        assert!(!html.contains("http:") && !html.contains("https:"));
        assert_eq!(html, page.html());

        let error =
            page.verdicts(&cells(&["prediction", "verdit"], &[text("B"), text("holds")])).unwrap_err();
        assert!(error.to_string().contains("did you mean `verdit`?"), "{error}");
    }

    #[test]
    fn twelve_figures_of_six_panels_are_small() {
        let mut page = Page::new("figures");
        for number in 0..12 {
            page.heading(&format!("figure {number}"));
            page.figure(Figure { title: None, panels: vec![panel(300, "gap"); 6], columns: 2 }, "a caption");
        }
        let size = page.html().len();
        assert!(size > 12 * 6 * 300 * 20 && size < 4_000_000, "{size} bytes");
    }

    #[test]
    fn a_page_is_html_and_appears_whole() {
        let folder = tempfile::tempdir().unwrap();
        let page = Page::new("a page");
        let error = page.save(&folder.path().join("page.pdf")).unwrap_err().to_string();
        assert!(error.contains(".html") && error.contains("page.html"), "{error}");
        let path = folder.path().join("new/page.html");
        page.save(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), page.html());
        assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
    }
}
