//! A smooth curve: a fit's, or a function's.

use std::sync::Arc;

use crate::analysis::GapFit;
use crate::plot::figure::{Line, LineStyle, Panel};
use crate::plot::mark::{Mark, MarkForm, MarkKind, Vertical};
use crate::plot::series::PanelRows;
use crate::table::number;

/// The entry of this kind.
pub static ENTRY: MarkKind = MarkKind {
    method: "curve",
    forms: &[
        (
            MarkForm::Fit(|fit| {
                Arc::new(CurveMark { label: parameters(&fit), source: CurveSource::Fit(fit) })
            }),
            "Draws a fit's curve; the legend tells its parameters.",
        ),
        (
            MarkForm::LabelledFit(|fit, label| Arc::new(CurveMark { label, source: CurveSource::Fit(fit) })),
            "Draws a fit's curve under a name of one's own.",
        ),
        (
            MarkForm::Function(|function| {
                Arc::new(CurveMark { label: String::new(), source: CurveSource::Function(function) })
            }),
            "Draws a function of the horizontal position: curve(|x| 1.0 / x).",
        ),
        (
            MarkForm::LabelledFunction(|function, label| {
                Arc::new(CurveMark { label, source: CurveSource::Function(function) })
            }),
            "Draws a function under a name: curve(|x| 1.0 / x, \"1/T\").",
        ),
    ],
    example: r#"
let steady = table(#{ temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13] });
let fit = fit_gap(steady);
plot(steady).x("temperature").y("gap").curve(fit).log_x().save("results/demo.svg")"#,
    vertical: Vertical::Any,
    repeats: true,
};

/// A curve over the range of x.
#[derive(Debug)]
struct CurveMark {
    /// The legend's text.
    label: String,
    source: CurveSource,
}

/// What gives a curve its values.
#[derive(Debug)]
enum CurveSource {
    Fit(GapFit),
    /// The number of a function that the chart's caller evaluates.
    Function(usize),
}

impl Mark for CurveMark {
    fn kind(&self) -> &'static MarkKind {
        &ENTRY
    }

    fn draw(&self, view: &PanelRows, panel: &mut Panel) {
        let xs = view.series.positions.clone();
        let ys = match &self.source {
            CurveSource::Fit(fit) => xs.iter().map(|&x| fit.predict(x)).collect(),
            CurveSource::Function(number) => view.series.functions.get(*number).cloned().unwrap_or_default(),
        };
        let before = panel.lines.iter().filter(|line| matches!(line.style, LineStyle::Curve(_))).count();
        panel.lines.push(Line { label: self.label.clone(), xs, ys, style: LineStyle::Curve(before) });
    }
}

/// The fitted parameters to two digits, as a legend has room for.
fn parameters(fit: &GapFit) -> String {
    let two = |value: f64| number(format!("{value:.1e}").parse().unwrap_or(value));
    let c = if fit.c.is_infinite() { "∞".to_owned() } else { two(fit.c) };
    format!("Eq. 1: a = {}, b = {}, c = {c}", two(fit.a), two(fit.b))
}
