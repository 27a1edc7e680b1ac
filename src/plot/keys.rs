//! Which entries a legend has.

use super::figure::{Figure, Key, Panel, Sample};
use super::font;

/// The entries of a panel's legend, each once, with clean texts.
pub(super) fn of_panel(panel: &Panel) -> Vec<Key> {
    let points = panel.points.iter().filter(|points| !points.hidden);
    let points = points.map(|points| (Sample::Point(points.color, points.marker), &points.label));
    let keys = panel.keys.iter().map(|key| (key.sample, &key.label));
    let lines = panel.lines.iter().map(|line| (Sample::Line(line.style), &line.label));
    let mut found: Vec<Key> = Vec::new();
    for (sample, label) in points.chain(keys).chain(lines) {
        let key = Key { sample, label: font::clean(label).trim().to_owned() };
        if !key.label.is_empty() && !found.contains(&key) {
            found.push(key);
        }
    }
    found
}

/// The entries that several panels of a figure have, and all of panels that share their axes: one
/// legend for all of them is enough.
pub(super) fn shared(figure: &Figure) -> Vec<Key> {
    let mut seen: Vec<Key> = Vec::new();
    let mut shared: Vec<Key> = Vec::new();
    for panel in &figure.panels {
        for key in of_panel(panel) {
            let again = seen.contains(&key);
            if !again {
                seen.push(key.clone());
            }
            // The room that a legend takes within a panel would be missing from its axis alone.
            if (again || panel.y.shared.is_some()) && !shared.contains(&key) {
                shared.push(key);
            }
        }
    }
    // In the order in which they appear first.
    seen.retain(|key| shared.contains(key));
    seen
}

/// The entries of a panel that are not among the shared ones.
pub(super) fn own(panel: &Panel, shared: &[Key]) -> Vec<Key> {
    let mut keys = of_panel(panel);
    keys.retain(|key| !shared.contains(key));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::figure::{Points, Tint};

    #[test]
    fn what_panels_share_is_told_once() {
        let points = |label: &str, color: usize| Points {
            label: label.into(),
            color: Tint::Palette(color),
            ..Points::default()
        };
        let panel = |points: &[Points]| Panel { points: points.to_vec(), ..Panel::default() };
        let figure = Figure {
            panels: vec![
                panel(&[points("only here", 3), points("b", 1), points("b", 1)]),
                panel(&[points("a", 0), points("b", 1), points("only here", 4)]),
                panel(&[points("a", 0), points(" ", 5)]),
            ],
            ..Figure::default()
        };
        let labels = |keys: &[Key]| keys.iter().map(|key| key.label.clone()).collect::<Vec<_>>();
        let shared = shared(&figure);
        assert_eq!(labels(&shared), ["b", "a"]);
        assert_eq!(labels(&own(&figure.panels[0], &shared)), ["only here"]);
        assert_eq!(labels(&own(&figure.panels[2], &shared)), [""; 0]);
    }
}
