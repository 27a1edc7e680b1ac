//! Draws figures into SVG and PNG files with plotters.

use std::io::Write;
use std::path::Path;

use image::ImageEncoder;
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontTransform, IntoFont, RGBColor, ShapeStyle, TextStyle};

use super::figure::Figure;
use super::font;
use super::layout::FigureLayout;
use super::palette::{Rgb, WHITE};
use super::scene::{Align, PixelPosition, Scene, Shape};
use crate::error::{Error, Result};
use crate::files;
use crate::table::escaped;

/// How many steps per pixel plotters, which knows whole numbers only, gets to place shapes.
const STEPS: f64 = 4.0;
/// How many of those steps become one dot of a PNG file, each way.
const STEPS_PER_DOT: usize = 2;
/// The most dots of a PNG file; more would need gigabytes of memory.
const MOST_DOTS: f64 = 250e6;

/// What became of a figure's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// How many positions could not be drawn: not finite, not positive on a log axis, or with
    /// only one of their two numbers.
    pub left_out: usize,
}

/// Draws a figure into a file whose name ends in `.svg` or `.png`.
///
/// Missing folders are created. The file appears, or replaces an older one, only once complete.
pub fn save(figure: &Figure, path: &Path) -> Result<Drawn> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let png = match ending.as_deref() {
        Some("svg") => false,
        Some("png") => true,
        found => {
            let found = match found {
                Some(ending) => format!("`.{ending}`"),
                None => "no ending".to_string(),
            };
            return Err(Error::invalid(format!(
                "a figure's file name must end in .svg or .png, but {} has {found}; \
                 write for example {}",
                path.display(),
                path.with_extension("svg").display(),
            )));
        }
    };
    let layout = FigureLayout::new(figure);
    crate::interrupt::check()?;
    if png {
        fits(figure, &layout, path)?;
        let picture = picture(&layout)?;
        files::write(path, |file| picture.write(file))?;
    } else {
        files::write_bytes(path, svg_text(figure, &layout).as_bytes())?;
    }
    Ok(Drawn { left_out: layout.left_out })
}

/// Draws a figure as a PNG file's bytes.
pub fn png(figure: &Figure) -> Result<Vec<u8>> {
    let layout = FigureLayout::new(figure);
    fits(figure, &layout, Path::new("figure.png"))?;
    let mut bytes = Vec::new();
    picture(&layout)?.write(&mut bytes)?;
    Ok(bytes)
}

/// An error where a figure has too many dots for a PNG file.
fn fits(figure: &Figure, layout: &FigureLayout, path: &Path) -> Result<()> {
    let dots_per_pixel = (STEPS / STEPS_PER_DOT as f64).powi(2);
    if layout.width * layout.height * dots_per_pixel <= MOST_DOTS {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "a PNG figure can hold at most {:.0} million dots, but {} panels need more; \
         use fewer panels, or write {}",
        MOST_DOTS / 1e6,
        figure.panels.len(),
        path.with_extension("svg").display(),
    )))
}

/// Draws a figure as the text of an SVG file; the same figure always gives the same text.
pub fn svg(figure: &Figure) -> String {
    svg_text(figure, &FigureLayout::new(figure))
}

fn svg_text(figure: &Figure, layout: &FigureLayout) -> String {
    let mut body = String::new();
    let size = (steps(layout.width) as u32, steps(layout.height) as u32);
    {
        let mut canvas = Canvas {
            backend: SVGBackend::with_string(&mut body, size),
            family: font::SVG_FAMILIES,
            // plotters divides the size by 1.24 and puts the baseline 0.76 em below the place.
            size_per_em: 1.24,
            baseline_per_em: 0.76,
            vector: true,
        };
        let background = background(layout.width, layout.height);
        canvas
            .paint(&background, (0.0, 0.0))
            .and_then(|()| layout.scenes.iter().try_for_each(|(corner, scene)| canvas.paint(scene, *corner)))
            .and_then(|()| canvas.backend.present().map_err(|e| e.to_string()))
            .expect("writing SVG into a string cannot fail");
    }
    // plotters writes the size in its own steps and has no title.
    let rest = body.split_once('\n').map_or("", |(_, rest)| rest);
    let rest = without_spaces_around_texts(rest);
    let title = match figure.title.as_deref().map(font::clean) {
        Some(title) if !title.trim().is_empty() => {
            format!("<title>{}</title>\n", escaped(title.trim()))
        }
        _ => String::new(),
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{}\" height=\"{}\" \
         viewBox=\"0 0 {} {}\" stroke-linejoin=\"round\">\n{title}{rest}",
        layout.width, layout.height, size.0, size.1
    )
}

/// plotters writes a text on a line of its own, and some viewers draw line ends as spaces.
fn without_spaces_around_texts(svg: &str) -> String {
    let mut joined = String::with_capacity(svg.len());
    let mut lines = svg.lines();
    while let Some(line) = lines.next() {
        joined.push_str(line);
        if line.starts_with("<text ") {
            for part in lines.by_ref().take(2) {
                joined.push_str(part);
            }
        }
        joined.push('\n');
    }
    joined
}

/// Dots of three bytes.
struct Bitmap {
    size: (u32, u32),
    dots: Vec<u8>,
}

impl Bitmap {
    /// Writes it as PNG.
    fn write(&self, to: &mut impl Write) -> Result<()> {
        let (width, height) = self.size;
        image::codecs::png::PngEncoder::new(to)
            .write_image(&self.dots, width, height, image::ExtendedColorType::Rgb8)
            .map_err(|error| Error::invalid(format!("writing PNG: {error}")))
    }
}

/// Draws each scene in fine steps and averages them to dots, which smooths all edges.
fn picture(layout: &FigureLayout) -> Result<Bitmap> {
    if !font::ready() {
        return Err(Error::invalid("the embedded font could not be read"));
    }
    let refused = |error: &dyn std::fmt::Display| Error::invalid(format!("drawing a picture: {error}"));
    let dots = |length: f64| steps(length) as usize / STEPS_PER_DOT;
    let size = (dots(layout.width), dots(layout.height));
    let mut whole = vec![u8::MAX; size.0 * size.1 * 3];
    let mut page = BitMapBackend::with_buffer(&mut whole, (size.0 as u32, size.1 as u32));
    for (corner, scene) in &layout.scenes {
        let (width, height) = (dots(scene.width), dots(scene.height));
        let fine = (width * STEPS_PER_DOT, height * STEPS_PER_DOT);
        let mut pixels = vec![u8::MAX; fine.0 * fine.1 * 3];
        let mut canvas = Canvas {
            backend: BitMapBackend::with_buffer(&mut pixels, (fine.0 as u32, fine.1 as u32)),
            family: font::EMBEDDED,
            // plotters puts the baseline half a letter height below the place.
            size_per_em: font::HEIGHT_PER_EM,
            baseline_per_em: font::HEIGHT_PER_EM / 2.0,
            vector: false,
        };
        canvas.paint(scene, (0.0, 0.0)).map_err(|error| refused(&error))?;
        drop(canvas);
        let averaged = averaged(&pixels, width, height);
        let at = (dots(corner.0) as i32, dots(corner.1) as i32);
        page.blit_bitmap(at, (width as u32, height as u32), &averaged).map_err(|error| refused(&error))?;
    }
    drop(page);
    Ok(Bitmap { size: (size.0 as u32, size.1 as u32), dots: whole })
}

/// Dots of three bytes, each the mean of a square of finer dots.
fn averaged(fine: &[u8], width: usize, height: usize) -> Vec<u8> {
    let row = width * STEPS_PER_DOT * 3;
    let count = (STEPS_PER_DOT * STEPS_PER_DOT) as u32;
    let mut dots = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let mut sum = 0;
                for dy in 0..STEPS_PER_DOT {
                    for dx in 0..STEPS_PER_DOT {
                        let column = (x * STEPS_PER_DOT + dx) * 3 + channel;
                        sum += u32::from(fine[(y * STEPS_PER_DOT + dy) * row + column]);
                    }
                }
                dots.push(((sum + count / 2) / count) as u8);
            }
        }
    }
    dots
}

fn background(width: f64, height: f64) -> Scene {
    let mut scene = Scene::new(width, height);
    scene.shapes.push(Shape::Box { from: (0.0, 0.0), to: (width, height), color: WHITE, opacity: 1.0 });
    scene
}

fn steps(length: f64) -> i32 {
    (length * STEPS).round() as i32
}

/// A plotters backend and how it places texts.
struct Canvas<B> {
    backend: B,
    family: FontFamily<'static>,
    /// What plotters calls the size of letters, per em.
    size_per_em: f64,
    /// How far below its place plotters puts the baseline of a text, per em.
    baseline_per_em: f64,
    /// Whether the backend draws thick lines itself; plotters' own have spikes at sharp turns.
    vector: bool,
}

impl<B: DrawingBackend> Canvas<B> {
    fn paint(&mut self, scene: &Scene, corner: PixelPosition) -> std::result::Result<(), String> {
        let at = |place: &PixelPosition| (steps(corner.0 + place.0), steps(corner.1 + place.1));
        for shape in &scene.shapes {
            let done = match shape {
                Shape::Box { from, to, color, opacity } => {
                    let style = rgb(*color).mix(*opacity).filled();
                    told(self.backend.draw_rect(at(from), at(to), &style, true))
                }
                Shape::Polygon { corners, color } => {
                    let corners = corners.iter().map(at);
                    told(self.backend.fill_polygon(corners, &rgb(*color)))
                }
                Shape::Disc { center, radius, color } => {
                    let radius = steps(*radius).max(1) as u32;
                    told(self.backend.draw_circle(at(center), radius, &rgb(*color), true))
                }
                Shape::Marker { marker, center, radius, color } => {
                    self.paint(&Scene::of_marker(*marker, *center, *radius, *color), corner)
                }
                Shape::Path { places, color, width } => {
                    let style = rgb(*color).stroke_width(steps(*width).max(1) as u32);
                    let places: Vec<_> = places.iter().map(at).collect();
                    if self.vector {
                        told(self.backend.draw_path(places, &style))
                    } else {
                        self.draw_segments(&places, &style)
                    }
                }
                Shape::Text { text, at: place, size, color, align, upwards } => {
                    let em = size * STEPS;
                    let (x, y) = at(place);
                    let up = (self.baseline_per_em * em).round() as i32;
                    let align = match align {
                        Align::Start => HPos::Left,
                        Align::Middle => HPos::Center,
                        Align::End => HPos::Right,
                    };
                    let mut letters = (self.family, em * self.size_per_em).into_font();
                    let mut place = (x, y - up);
                    if *upwards {
                        letters = letters.transform(FontTransform::Rotate270);
                        place = (x - up, y);
                    }
                    let color = rgb(*color);
                    let style = TextStyle::from(letters).color(&color).pos(Pos::new(align, VPos::Top));
                    told(self.backend.draw_text(text, &style, place))
                }
            };
            done?;
        }
        Ok(())
    }

    /// Draws a thick line as straight pieces with round joints.
    fn draw_segments(
        &mut self,
        places: &[(i32, i32)],
        style: &ShapeStyle,
    ) -> std::result::Result<(), String> {
        for pair in places.windows(2) {
            told(self.backend.draw_line(pair[0], pair[1], style))?;
        }
        let radius = style.stroke_width / 2;
        if radius > 1 && places.len() > 2 {
            for place in &places[1..places.len() - 1] {
                told(self.backend.draw_circle(*place, radius, &style.filled(), true))?;
            }
        }
        Ok(())
    }
}

/// The error's text: errors have another type in each backend.
fn told<E: std::fmt::Display>(result: std::result::Result<(), E>) -> std::result::Result<(), String> {
    result.map_err(|e| e.to_string())
}

fn rgb((r, g, b): Rgb) -> RGBColor {
    RGBColor(r, g, b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::figure::{Axis, Line, LineStyle, Panel, Points, Tint};

    fn figure() -> Figure {
        let panel = Panel {
            title: Some("one panel".into()),
            x: Axis { label: "temperature Δ".into(), log: true, shared: None },
            y: Axis { label: "gap <&>".into(), log: false, shared: None },
            points: vec![Points {
                label: "batch 32".into(),
                xs: vec![0.001, 0.01, 0.1, 0.0, -1.0, f64::NAN],
                ys: vec![0.1, 0.2, 0.4, 0.1, 0.1, 0.1],
                marker: 1,
                ..Points::default()
            }],
            lines: vec![Line {
                label: "mean".into(),
                xs: vec![0.001, 0.1],
                ys: vec![0.1, f64::INFINITY],
                style: LineStyle::Mean,
            }],
            keys: Vec::new(),
        };
        Figure { title: Some("gap & temperature".into()), panels: vec![panel, Panel::default()], columns: 0 }
    }

    #[test]
    fn svg_holds_the_texts() {
        let text = svg(&figure());
        for part in [
            "<title>gap &amp; temperature</title>",
            ">temperature Δ</text>",
            "gap &lt;&amp;&gt;",
            "batch 32",
            "mean",
            "no data",
            "font-family=\"DejaVu Sans, Arial, sans-serif\"",
        ] {
            assert!(text.contains(part), "{part} is missing");
        }
        assert!(text.trim_end().ends_with("</svg>"));
        assert!(!text.contains("NaN") && !text.contains("inf"));
        assert_eq!(text, svg(&figure()));
    }

    #[test]
    fn saves_and_counts() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["new/folder/a.svg", "b.PNG"] {
            let path = folder.path().join(name);
            let drawn = save(&figure(), &path).unwrap();
            assert_eq!(drawn.left_out, 3);
            let again = std::fs::read(&path).unwrap();
            save(&figure(), &path).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), again, "same bytes twice");
        }
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 2, "no unfinished file remains");
    }

    #[test]
    fn png_is_drawn_at_double_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("figure.png");
        save(&figure(), &path).unwrap();
        let picture = image::open(&path).unwrap().to_rgb8();
        let layout = FigureLayout::new(&figure());
        assert_eq!(f64::from(picture.width()), 2.0 * layout.width);
        assert_eq!(f64::from(picture.height()), 2.0 * layout.height);
        let (r, g, b) = crate::plot::palette::color(Tint::Palette(0));
        assert!(picture.pixels().any(|p| p.0 == [r, g, b]), "no marker");
        assert_eq!(picture.get_pixel(0, 0).0, [255, 255, 255]);
    }

    #[test]
    fn unusual_data_are_drawn() {
        let some = |xs: &[f64], ys: &[f64]| Points {
            label: "p".into(),
            xs: xs.to_vec(),
            ys: ys.to_vec(),
            color: Tint::Palette(usize::MAX),
            marker: usize::MAX,
            ..Points::default()
        };
        let data = [
            some(&[1.0], &[1.0]),
            some(&[3.0, 3.0], &[0.0, 0.0]),
            some(&[1e300, -1e300, 5.0], &[1e-300, 1.0, 1e300]),
            some(&[f64::MAX, f64::MIN_POSITIVE], &[1.0, 1.0]),
            some(&[1e9, 1e9 + 1e-3], &[7.0, 7.0 + 1e-15]),
            some(&[1.0, 2.0, 3.0], &[1.0]),
            some(&[], &[]),
        ];
        let mut figure = Figure::default();
        for points in data {
            for log in [false, true] {
                let axis = Axis { label: "\u{0}axis".into(), log, shared: None };
                figure.panels.push(Panel {
                    x: axis.clone(),
                    y: axis,
                    points: vec![points.clone()],
                    ..Panel::default()
                });
            }
        }
        let text = svg(&figure);
        assert!(!text.contains("NaN") && !text.contains("inf") && !text.contains('\u{0}'));
        // Numbers that do not fit are pinned to the largest whole number.
        assert!(!text.contains(&i32::MAX.to_string()) && !text.contains(&i32::MIN.to_string()));
        assert!(crate::plot::text(&figure, 60, 12, true).contains("p\n"));
        assert!(svg(&Figure::default()).ends_with("</svg>\n"));
    }

    #[test]
    fn errors_say_what_to_write_instead() {
        for name in ["figure.pdf", "figure"] {
            let error = save(&figure(), Path::new(name)).unwrap_err().to_string();
            assert!(error.contains(".svg or .png"), "{error}");
            assert!(error.contains("figure.svg"), "{error}");
        }
        let crowd = Figure { panels: vec![Panel::default(); 300], ..Figure::default() };
        let error = save(&crowd, Path::new("crowd.png")).unwrap_err().to_string();
        assert!(error.contains("300 panels"), "{error}");
        assert!(error.contains("crowd.svg"), "{error}");
    }

    #[test]
    fn unwritable_folders_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = save(&figure(), &file.join("a.svg")).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if *path == file));
        assert!(error.to_string().contains(&file.display().to_string()));
        let error = save(&figure(), &folder.path().join("x.svg").join("a.png"));
        assert!(error.is_ok(), "a folder may be named like a figure");
        let error = save(&figure(), &folder.path().join("x.svg")).unwrap_err();
        assert!(error.to_string().contains("x.svg"), "{error}");
    }
}
