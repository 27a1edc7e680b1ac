//! Figures of several plots, and pages, in scripts.

use std::cell::RefCell;
use std::rc::Rc;

use rhai::plugin::*;
use rhai::{Array, Dynamic, Map};

use super::plots::{PlotHandle, save_figure, show_figure};
use crate::analysis::GapFit;
use crate::error::Error;
use crate::interrupt::leave_behind;
use crate::plot::{FIGURE_OPTIONS, Figure, Page};
use crate::script::convert::{Scripted, at, describe, given, write_to};
use crate::table::Table;

/// Verdicts that a page takes at once: all of them are shown.
const MOST_VERDICTS: usize = 1000;

/// A page; copies are the same page.
pub type PageHandle = Rc<RefCell<Page>>;

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<Figure>("Figure");
    engine.register_type_with_name::<PageHandle>("Page");
}

/// A plot or a figure as a figure; `place` says where it was found.
fn one(context: &NativeCallContext, place: &str, value: &Dynamic) -> Scripted<Figure> {
    if let Some(plot) = value.read_lock::<PlotHandle>() {
        return plot.figure(context);
    }
    value.clone().try_cast::<Figure>().ok_or_else(|| {
        let found = describe(value);
        at(
            context,
            Error::invalid(format!(
                "{place}: expected a plot such as plot(table).x(\"lr\").y(\"gap\"), or a figure, found {found}"
            )),
        )
    })
}

fn several(context: &NativeCallContext, plots: &Array, options: &Map) -> Scripted<Figure> {
    let fail = |error| at(context, error);
    let given = given("figure", FIGURE_OPTIONS, options).map_err(fail)?;
    let columns = given.given_count("columns").map_err(fail)?;
    let title = given.given_text("title").map_err(fail)?;
    if plots.is_empty() {
        return Err(fail(Error::invalid("figure: expected an array of plots, found an empty one")));
    }
    let parts = plots
        .iter()
        .enumerate()
        .map(|(index, value)| one(context, &format!("figure: plot {} of {}", index + 1, plots.len()), value))
        .collect::<Scripted<Vec<_>>>()?;
    Figure::grid(parts, columns.unwrap_or(0), title).map_err(fail)
}

/// The page itself, after a change.
fn changed(page: &mut PageHandle, change: impl FnOnce(&mut Page)) -> PageHandle {
    change(&mut page.borrow_mut());
    page.clone()
}

#[export_module]
pub mod functions {
    /// Several plots as the panels of one figure, with one legend for what they share:
    /// figure([plot1, plot2]).
    ///
    /// ```
    /// let steady = table(#{
    ///     temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13],
    ///     test_loss: [0.3, 0.26, 0.25, 0.28],
    /// });
    /// let panels = ["gap", "test_loss"].map(|y| plot(steady).x("temperature").y(y).log_x());
    /// figure(panels).save("results/demo.svg")
    /// ```
    #[rhai_fn(return_raw)]
    pub fn figure(context: NativeCallContext, plots: Array) -> Scripted<Figure> {
        several(&context, &plots, &Map::new())
    }

    /// The same with `columns` and a `title`: figure([plot1, plot2], #{columns: 2, title: "Figure
    /// 1"}).
    #[rhai_fn(name = "figure", return_raw)]
    pub fn figure_with(context: NativeCallContext, plots: Array, options: Map) -> Scripted<Figure> {
        several(&context, &plots, &options)
    }

    /// Draws a figure into a file; its ending says which kind: .svg or .png.
    ///
    /// ```
    /// let steady = table(#{ temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13] });
    /// let gap = plot(steady).x("temperature").y("gap");
    /// figure([gap, gap.log_x()]).save("results/demo.svg")
    /// ```
    #[rhai_fn(name = "save", return_raw)]
    pub fn figure_save(context: NativeCallContext, figure: &mut Figure, path: &str) -> Scripted<()> {
        save_figure(&context, figure.clone(), path)
    }

    /// Draws a figure in the terminal.
    ///
    /// ```
    /// let steady = table(#{ temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13] });
    /// let gap = plot(steady).x("temperature").y("gap");
    /// figure([gap, gap.log_x()]).show()
    /// ```
    #[rhai_fn(name = "show", return_raw)]
    pub fn figure_show(context: NativeCallContext, figure: &mut Figure) -> Scripted<()> {
        show_figure(&context, figure.clone())
    }

    /// A figure in a line.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn figure_to_string(figure: &mut Figure) -> String {
        let s = if figure.panels.len() == 1 { "" } else { "s" };
        format!("figure of {} panel{s}; .save(path) or .show() draws it", figure.panels.len())
    }

    /// An empty page for text, figures, tables and verdicts: page("title"). Its functions add to
    /// it, and .save("page.html") writes one file that needs nothing else.
    ///
    /// ```
    /// let page = page("Digits");
    /// page.heading("The question").text("Does the gap fall with the temperature?");
    /// page.save("results/demo.html")
    /// ```
    pub fn page(title: &str) -> PageHandle {
        Rc::new(RefCell::new(Page::new(title)))
    }

    /// Begins a section of a page; the list of contents names it.
    ///
    /// ```
    /// page("Digits").heading("Data").text("1,797 digits.").heading("Results").save("results/demo.html")
    /// ```
    pub fn heading(page: &mut PageHandle, text: &str) -> PageHandle {
        changed(page, |page| page.heading(text))
    }

    /// Adds a paragraph to a page; empty lines part paragraphs.
    ///
    /// ```
    /// page("Digits").text("Plain SGD.\n\nFour seeds for each setting.").save("results/demo.html")
    /// ```
    pub fn text(page: &mut PageHandle, text: &str) -> PageHandle {
        changed(page, |page| page.text(text))
    }

    /// Adds a plot or a figure with its caption to a page. Points show their values when they are
    /// pointed at.
    #[rhai_fn(name = "figure", return_raw)]
    pub fn page_figure(
        context: NativeCallContext,
        page: &mut PageHandle,
        figure: Dynamic,
        caption: &str,
    ) -> Scripted<PageHandle> {
        let figure = one(&context, "figure", &figure)?;
        Ok(changed(page, |page| page.figure(figure, caption)))
    }

    /// Adds a table with its caption to a page. Readers can sort its columns.
    ///
    /// ```
    /// let steady = table(#{ lr: [0.05, 0.1, 0.2], batch: [32, 32, 32], gap: [0.24, 0.2, 0.16] });
    /// page("Digits").table(steady, "The gap of each setting").save("results/demo.html")
    /// ```
    #[rhai_fn(name = "table")]
    pub fn page_table(page: &mut PageHandle, table: Table, caption: &str) -> PageHandle {
        changed(page, |page| page.table(table, caption))
    }

    /// Adds verdicts to a page: the rows of predictions(steady), or of a table with the columns
    /// `prediction` and `verdict`, and where it has them `metric`, `value`, `low`, `high`, `p` and
    /// `says`.
    ///
    /// ```
    /// let runs = sweep(#{
    ///     data: digits().take(200), model: linear(), lr: [0.1, 0.2, 0.4], batch: 20, seed: 1..=3,
    ///     epochs: 10,
    /// }).run("results/demo");
    /// let verdicts = predictions(runs.steady());
    /// page("Digits").verdicts(verdicts).save("results/demo.html")
    /// ```
    #[rhai_fn(return_raw)]
    pub fn verdicts(context: NativeCallContext, page: &mut PageHandle, table: Table) -> Scripted<PageHandle> {
        if table.len() > MOST_VERDICTS {
            let message = format!("verdicts: expected at most {MOST_VERDICTS} rows, found {}", table.len());
            return Err(at(&context, Error::invalid(message)));
        }
        page.borrow_mut().verdicts(&table).map_err(|error| at(&context, error))?;
        Ok(page.clone())
    }

    /// Adds a fit with its errors to a page.
    ///
    /// ```
    /// let steady = table(#{ temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13] });
    /// page("Digits").fit(fit_gap(steady)).save("results/demo.html")
    /// ```
    pub fn fit(page: &mut PageHandle, fit: GapFit) -> PageHandle {
        changed(page, |page| page.lines(&fit.to_string()))
    }

    /// Writes a page into a file whose name ends in .html.
    #[rhai_fn(name = "save", return_raw)]
    pub fn page_save(context: NativeCallContext, page: &mut PageHandle, path: &str) -> Scripted<()> {
        let page = page.borrow().clone();
        write_to(&context, path, |path| {
            let path = path.to_owned();
            leave_behind("save", move || page.save(&path))
        })
    }

    /// A page in a line.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn page_to_string(page: &mut PageHandle) -> String {
        let parts = page.borrow().len();
        format!("page of {parts} part{}; .save(path) writes it", if parts == 1 { "" } else { "s" })
    }
}
