//! Figures on a page: each panel is a drawing of its own, so that they stand below one another on a
//! phone.
//!
//! The places and values of all points come with the figure, as data that the page's script
//! searches.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::inline::{drawing, sample};
use super::text::{figcaption, html};
use crate::plot::figure::{Figure, Key, Panel};
use crate::plot::font;
use crate::plot::keys;
use crate::plot::layout::Alone;
use crate::table::number;

/// A panel's width and height in the units of its drawing, small enough that its letters can be
/// read on a phone.
const SIZE: (f64, f64) = (520.0, 375.0);

/// A figure with its caption.
pub(super) fn html_of(figure: &Figure, caption: &str, id: &str) -> String {
    let shared = keys::shared(figure);
    let mut notes = Notes::default();
    let mut data = Vec::new();
    let mut panels = String::new();
    for (panel, alone) in figure.panels.iter().zip(Alone::each(figure, SIZE)) {
        let targets = targets(panel, &alone, &mut notes);
        let title = title(panel);
        let over = match targets.len() {
            0 => String::new(),
            count => format!(
                "<div class=\"over\" tabindex=\"0\" role=\"application\" \
                 aria-label=\"{}: {count} points, read with the arrow keys\"></div>",
                html(&title)
            ),
        };
        let _ = writeln!(
            panels,
            "<div class=\"panel\">{}<div class=\"plot\">{}{over}</div></div>",
            legend(&keys::own(panel, &shared)),
            drawing(&alone.scene, &font::clean(&title)),
        );
        data.push(json!({"x": panel.x.label, "y": panel.y.label, "points": targets}));
    }
    let above = match figure.title.as_deref().map(str::trim) {
        Some(title) if !title.is_empty() => format!("<p class=\"above\">{}</p>", html(title)),
        _ => String::new(),
    };
    // A closing tag inside the data would end the element.
    let data = json!({"notes": notes.texts, "panels": data}).to_string().replace('<', "\\u003c");
    format!(
        "<figure class=\"plots\" aria-labelledby=\"{id}\">{above}{}<div class=\"grid\" \
         style=\"--columns:{}\">\n{panels}</div>{}\n\
         <script type=\"application/json\">{data}</script></figure>\n",
        legend(&shared),
        figure.columns_used(),
        figcaption(caption, id),
    )
}

/// What a panel shows, in words.
fn title(panel: &Panel) -> String {
    let label = |text: &str| if text.trim().is_empty() { "a number".to_owned() } else { text.to_owned() };
    let shows = format!("{} against {}", label(&panel.y.label), label(&panel.x.label));
    match panel.title.as_deref() {
        Some(title) if !title.trim().is_empty() => format!("{title}: {shows}"),
        _ => shows,
    }
}

fn legend(keys: &[Key]) -> String {
    if keys.is_empty() {
        return String::new();
    }
    let entry = |key: &Key| format!("<li>{}{}</li>", sample(key), html(&key.label));
    format!("<ul class=\"keys\">{}</ul>", keys.iter().map(entry).collect::<String>())
}

/// What points are, each text once.
#[derive(Default)]
struct Notes {
    texts: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl Notes {
    fn number(&mut self, text: &str) -> usize {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), self.texts.len() - 1);
        self.texts.len() - 1
    }
}

/// Everything of a panel that can be pointed at, points before the dots of means: place from the
/// left and the top in percent, x and y as text, the number of the note.
fn targets(panel: &Panel, alone: &Alone, notes: &mut Notes) -> Vec<Value> {
    let percent = |length: f64, whole: f64| (1e4 * length / whole).round() / 100.0;
    let mut found = Vec::new();
    let mut add = |x: f64, y: f64, note: usize| {
        if let Some((left, top)) = alone.place((x, y)) {
            let at = (percent(left, SIZE.0), percent(top, SIZE.1));
            found.push(json!([at.0, at.1, number(x), number(y), note]));
        }
    };
    for points in &panel.points {
        for (index, (&x, &y)) in points.xs.iter().zip(&points.ys).enumerate() {
            let own = points.notes.get(index).map_or("", String::as_str);
            // Tables name what their rows are; other points have their group's name.
            let note = if own.is_empty() && !points.label.is_empty() {
                notes.number(&format!("\t{}", points.label))
            } else {
                notes.number(own)
            };
            add(x, y, note);
        }
    }
    for line in panel.lines.iter().filter(|line| line.style.is_mean()) {
        let label = if line.label.trim().is_empty() { "mean" } else { &line.label };
        let note = notes.number(&format!("\t{label}"));
        for (&x, &y) in line.xs.iter().zip(&line.ys) {
            add(x, y, note);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::figure::{Axis, Line, LineStyle, Points};

    #[test]
    fn points_come_with_places_values_and_what_they_are() {
        let panel = Panel {
            x: Axis { label: "T".into(), log: true, shared: None },
            points: vec![Points {
                xs: vec![0.001, -1.0, 0.01],
                ys: vec![1.0, 2.0, 1.0 / 3.0],
                notes: vec!["seed\t1".into(), "seed\t2".into(), "seed\t1".into()],
                ..Points::default()
            }],
            lines: vec![Line {
                label: "mean".into(),
                xs: vec![0.001],
                ys: vec![1.0],
                style: LineStyle::Mean,
            }],
            ..Panel::default()
        };
        let text = html_of(&Figure { panels: vec![panel], ..Figure::default() }, "caption", "p1");
        let data = text.split("json\">").nth(1).unwrap().split("</script>").next().unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["notes"], json!(["seed\t1", "seed\t2", "\tmean"]));
        let points = data["panels"][0]["points"].as_array().unwrap();
        assert_eq!(points.len(), 3, "a log axis has no place for -1");
        assert_eq!(points[1][2], "0.01");
        assert_eq!(points[1][3], "0.333333");
        assert_eq!((&points[0][4], &points[1][4], &points[2][4]), (&json!(0), &json!(0), &json!(2)));
        let place = |point: &Value, axis: usize| point[axis].as_f64().unwrap();
        assert!(place(&points[0], 0) < place(&points[1], 0), "x grows to the right");
        assert!(place(&points[0], 1) < place(&points[1], 1), "y grows upwards");
        assert!(text.contains("<figcaption id=\"p1\">caption</figcaption>"));
        assert!(text.contains("<title>a number against T</title>"));
    }
}
