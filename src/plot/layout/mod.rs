//! Where everything of a figure stands: turns a figure into scenes of shapes.

mod panel;

use self::panel::{Frame, Margins, PanelPlan, smaller};
use super::drawable::{DataPosition, shows};
use super::figure::Figure;
use super::font;
use super::keys;
use super::legend::strip;
use super::palette::INK;
use super::scene::{Align, PixelPosition, Scene};

pub(super) use self::panel::MARKER;

const FIGURE_TITLE: f64 = 22.0;

/// A figure as scenes, each with its upper left corner in the whole.
pub(super) struct FigureLayout {
    /// The width of the whole in pixels.
    pub width: f64,
    /// The height of the whole in pixels.
    pub height: f64,
    /// The figure's title and its panels.
    pub scenes: Vec<(PixelPosition, Scene)>,
    /// How many positions could not be drawn.
    pub left_out: usize,
}

impl FigureLayout {
    /// Lays out a figure.
    pub fn new(figure: &Figure) -> Self {
        let columns = figure.columns_used();
        let rows = figure.panels.len().div_ceil(columns);
        let (panel_width, panel_height) = match columns {
            1 => (800.0, 560.0),
            2 => (660.0, 480.0),
            _ => (600.0, 440.0),
        };
        let width = columns as f64 * panel_width;
        let title = figure.title.as_deref().map(font::clean).unwrap_or_default();
        let top = if title.trim().is_empty() { 0.0 } else { 48.0 };
        let mut scenes = Vec::new();
        if top > 0.0 {
            scenes.push(((0.0, 0.0), title_scene(&title, width, top)));
        }
        let shared = keys::shared(figure);
        let legend = strip(&shared, width);
        let top = if shared.is_empty() { top } else { top + legend.height };
        if !shared.is_empty() {
            scenes.push(((0.0, top - legend.height), legend));
        }
        // A figure without panels still has a size.
        let height = top + rows.max(1) as f64 * panel_height;
        let plan = |panel| PanelPlan::new(panel, &keys::own(panel, &shared), (panel_width, panel_height));
        let plans: Vec<PanelPlan> = figure.panels.iter().map(plan).collect();
        let margins = Margins::around(&plans);
        for (index, plan) in plans.iter().enumerate() {
            let column = (index % columns) as f64;
            let row = (index / columns) as f64;
            let corner = (column * panel_width, top + row * panel_height);
            scenes.push((corner, plan.scene((panel_width, panel_height), margins).0));
        }
        FigureLayout {
            width,
            height,
            scenes,
            left_out: plans.iter().map(|plan| plan.drawable.left_out).sum(),
        }
    }
}

/// A panel by itself, without a legend.
pub(super) struct Alone {
    /// Its drawing.
    pub scene: Scene,
    frame: Frame,
}

impl Alone {
    /// Each panel of a figure, `size` pixels wide and high, with frames that line up.
    pub fn each(figure: &Figure, size: PixelPosition) -> Vec<Self> {
        let plans: Vec<PanelPlan> =
            figure.panels.iter().map(|panel| PanelPlan::new(panel, &[], size)).collect();
        let margins = Margins::around(&plans);
        let alone = |plan: &PanelPlan| {
            let (scene, frame) = plan.scene(size, margins);
            Self { scene, frame }
        };
        plans.iter().map(alone).collect()
    }

    /// Where a position stands in the drawing; nowhere if the axes cannot show it.
    pub fn place(&self, position: DataPosition) -> Option<PixelPosition> {
        let (x, y) = (shows(position.0, self.frame.x.log), shows(position.1, self.frame.y.log));
        (x && y).then(|| self.frame.place(position))
    }
}

fn title_scene(title: &str, width: f64, height: f64) -> Scene {
    let mut scene = Scene::new(width, height);
    let room = width - 40.0;
    let size = smaller(title, FIGURE_TITLE, room);
    let title = font::fit(title, size, room);
    let at = (width / 2.0, height - 14.0);
    scene.text(&title, at, size, INK, Align::Middle);
    scene
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::figure::{Axis, Panel, Points};
    use crate::plot::scene::Shape;

    fn panel() -> Panel {
        Panel {
            x: Axis { label: "T".into(), log: false, shared: None },
            points: vec![Points { xs: vec![1.0, 2.0, 3.0], ys: vec![1.0, 4.0, 9.0], ..Points::default() }],
            ..Panel::default()
        }
    }

    fn figure(panels: usize) -> Figure {
        Figure { title: Some("title".into()), panels: vec![panel(); panels], columns: 0 }
    }

    #[test]
    fn grids_grow_with_the_panels() {
        let sizes = |panels| {
            let layout = FigureLayout::new(&figure(panels));
            (layout.width, layout.height, layout.scenes.len())
        };
        assert_eq!(sizes(1), (800.0, 608.0, 2));
        assert_eq!(sizes(4), (1320.0, 1008.0, 5));
        assert_eq!(sizes(6), (1800.0, 928.0, 7));
        assert_eq!(sizes(0), (800.0, 608.0, 1));
    }

    #[test]
    fn panels_share_a_legend_above_them() {
        let mut figure = figure(6);
        figure.columns = 2;
        let plain = FigureLayout::new(&figure);
        for panel in &mut figure.panels {
            panel.points[0].label = "batch 32".into();
        }
        let layout = FigureLayout::new(&figure);
        assert_eq!((layout.width, layout.scenes.len()), (1320.0, 8));
        assert!(layout.height > plain.height && layout.height < plain.height + 40.0);
        let texts = layout.scenes.iter().flat_map(|(_, scene)| &scene.shapes);
        let labels = texts.filter(|shape| matches!(shape, Shape::Text { text, .. } if text == "batch 32"));
        assert_eq!(labels.count(), 1);
    }

    #[test]
    fn a_panel_alone_knows_where_its_points_stand() {
        let panels = Alone::each(&figure(2), (480.0, 350.0));
        let markers = |scene: &Scene| -> Vec<PixelPosition> {
            let center = |shape: &Shape| match shape {
                Shape::Marker { center, .. } => Some(*center),
                _ => None,
            };
            scene.shapes.iter().filter_map(center).collect()
        };
        assert_eq!(markers(&panels[1].scene)[1], panels[1].place((2.0, 4.0)).unwrap());
        assert_eq!(panels[1].place((f64::NAN, 1.0)), None);
    }

    #[test]
    fn everything_stays_inside_its_scene() {
        let long = "a very long text about Δ and λ² ".repeat(8);
        let mut figure = figure(1);
        figure.title = Some(long.clone());
        figure.panels[0].title = Some(long.clone());
        figure.panels[0].x.label = long.clone();
        figure.panels[0].y.label = long.clone();
        figure.panels[0].points[0].label = long;
        for (_, scene) in FigureLayout::new(&figure).scenes {
            for shape in &scene.shapes {
                if let Shape::Text { text, at, size, align, upwards, .. } = shape {
                    let length = font::width(text, *size);
                    let (start, end) = if *upwards { (at.1, scene.height) } else { (at.0, scene.width) };
                    let start = match align {
                        Align::Start => start,
                        Align::Middle => start - length / 2.0,
                        Align::End => start - length,
                    };
                    assert!(start >= 0.0 && start + length <= end, "{text} at {start}");
                }
            }
        }
    }
}
