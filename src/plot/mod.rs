//! Figures: what is to be drawn, and drawing it.
//!
//! A [`Chart`] says what of a table is drawn: columns and marks. Its [`Figure`] is plain data:
//! panels with axes, points and lines. [`save`] draws it into an `.svg` or `.png` file, [`svg`]
//! returns the SVG as text, and [`text`] draws it with braille dots for a terminal. All three
//! choose the axis ranges and ticks themselves. A [`Page`] holds figures, tables and verdicts in
//! one HTML file.
//!
//! Lengths are in pixels at the figure's natural size (one panel alone is 800 × 560 pixels)
//! unless a name or a comment says otherwise. PNG files have two dots per such pixel, each way.

mod chart;
mod draw;
mod drawable;
mod figure;
mod font;
mod groups;
mod keys;
mod layout;
mod legend;
mod mark;
mod marks;
mod page;
mod palette;
mod scale;
mod scene;
mod series;
mod terminal;

pub use chart::Chart;
pub use draw::{Drawn, png, save, svg};
pub use figure::{Axis, FIGURE_OPTIONS, Figure, Key, KeySample, Line, LineStyle, Panel, Points, Tint};
pub use mark::{Mark, MarkForm, MarkKind, Vertical};
pub use marks::MARKS;
pub use page::Page;
pub use series::{PanelRows, Series};
pub use terminal::text;
