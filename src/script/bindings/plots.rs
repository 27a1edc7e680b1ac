//! Plots in scripts.

use std::path::PathBuf;
use std::sync::Arc;

use rhai::plugin::*;
use rhai::{Dynamic, FnPtr, FuncRegistration, Map, Module};

use crate::analysis::GapFit;
use crate::interrupt::leave_behind;
use crate::plot::{self, Chart, Figure, MARKS, Mark, MarkForm};
use crate::script::convert::{Scripted, at, given, number};
use crate::script::session::Session;
use crate::script::{Painted, Shown, StandardStream, graphics, output_sink, tell};
use crate::table::Table;

/// A plot in the making.
#[derive(Clone)]
pub struct PlotHandle {
    table: Table,
    chart: Chart,
    /// The script's functions that marks draw, which they name by their number.
    functions: Vec<FnPtr>,
}

/// Names the types as scripts see them.
pub(super) fn name_types(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<PlotHandle>("Plot");
}

/// The functions of this topic: those below, and a method for each form of each kind of mark.
pub(super) fn module() -> Module {
    let mut module = exported_module!(functions);
    for kind in MARKS {
        for (index, (form, doc)) in kind.forms.iter().enumerate() {
            let example = if index == 0 { kind.example.trim() } else { "" };
            add_method(&mut module, kind.method, *form, &comment(doc, example));
        }
    }
    module
}

/// A doc comment as Rhai keeps it.
fn comment(doc: &str, example: &str) -> String {
    let lines: String = example.lines().map(|line| format!("\n/// {line}")).collect();
    if example.is_empty() { format!("/// {doc}") } else { format!("/// {doc}\n///\n/// ```{lines}\n/// ```") }
}

/// A method that adds a mark to a plot.
fn add_method(module: &mut Module, name: &'static str, form: MarkForm, comment: &str) {
    let method = |parameters: &[&str]| {
        let parameters = std::iter::once("plot: &mut PlotHandle").chain(parameters.iter().copied());
        FuncRegistration::new(name)
            .in_global_namespace()
            .with_comments([comment])
            .with_params_info(parameters.chain(["PlotHandle"]))
    };
    match form {
        MarkForm::Plain(make) => {
            let add = move |plot: &mut PlotHandle| plot.with_mark(make());
            method(&[]).set_into_module(module, add)
        }
        MarkForm::Column(make) => {
            let add = move |context: NativeCallContext, plot: &mut PlotHandle, column: &str| {
                plot.with_column(&context, column, |chart| chart.add(make(column.to_owned())))
            };
            method(&["column: &str"]).set_into_module(module, add)
        }
        MarkForm::Options(schema, make) => {
            let add = move |context: NativeCallContext, plot: &mut PlotHandle, options: Map| {
                let mark = given(name, schema, &options).and_then(|given| make(&given));
                mark.map(|mark| plot.with_mark(mark)).map_err(|error| at(&context, error))
            };
            method(&["options: Map"]).set_into_module(module, add)
        }
        MarkForm::Fit(make) => {
            let add = move |plot: &mut PlotHandle, fit: GapFit| plot.with_mark(make(fit));
            method(&["fit: GapFit"]).set_into_module(module, add)
        }
        MarkForm::LabelledFit(make) => {
            let add = move |plot: &mut PlotHandle, fit: GapFit, label: &str| {
                plot.with_mark(make(fit, label.to_owned()))
            };
            method(&["fit: GapFit", "label: &str"]).set_into_module(module, add)
        }
        MarkForm::Function(make) => {
            let add = move |plot: &mut PlotHandle, function: FnPtr| plot.with_function(function, make);
            method(&["function: FnPtr"]).set_into_module(module, add)
        }
        MarkForm::LabelledFunction(make) => {
            let add = move |plot: &mut PlotHandle, function: FnPtr, label: &str| {
                plot.with_function(function, |number| make(number, label.to_owned()))
            };
            method(&["function: FnPtr", "label: &str"]).set_into_module(module, add)
        }
    };
}

impl PlotHandle {
    fn changed(&mut self, change: impl FnOnce(&mut Chart)) -> Self {
        let mut plot = self.clone();
        change(&mut plot.chart);
        plot
    }

    /// Changed in what concerns a column, which the table must have.
    fn with_column(
        &mut self,
        context: &NativeCallContext,
        column: &str,
        change: impl FnOnce(&mut Chart),
    ) -> Scripted<Self> {
        self.table.column(column).map_err(|error| at(context, error))?;
        Ok(self.changed(change))
    }

    fn with_mark(&mut self, mark: Arc<dyn Mark>) -> Self {
        self.changed(|chart| chart.add(mark))
    }

    /// With the mark of a function of the script, which `make` makes of the function's number.
    fn with_function(&mut self, function: FnPtr, make: impl FnOnce(usize) -> Arc<dyn Mark>) -> Self {
        let mut plot = self.with_mark(make(self.functions.len()));
        plot.functions.push(function);
        plot
    }

    /// What the plot shows.
    pub(super) fn figure(&self, context: &NativeCallContext) -> Scripted<Figure> {
        let mut functions = Vec::new();
        for function in &self.functions {
            let xs = self.chart.curve_positions(&self.table).map_err(|error| at(context, error))?;
            let value = |x: f64| {
                let y: Dynamic = function.call_within_context(context, (x,))?;
                number("curve", &y).map_err(|error| at(context, error))
            };
            functions.push(xs.into_iter().map(value).collect::<Scripted<Vec<f64>>>()?);
        }
        let (chart, table) = (self.chart.clone(), self.table.clone());
        leave_behind("plot", move || chart.figure(&table, functions)).map_err(|error| at(context, error))
    }
}

/// Draws into a file, and says what could not be drawn.
pub(super) fn save_figure(context: &NativeCallContext, figure: Figure, path: &str) -> Scripted<()> {
    let path = crate::script::convert::path(path);
    let file = PathBuf::from(&path);
    let may = Session::of(context).may_write(&file);
    let draw = || leave_behind("save", move || plot::save(&figure, &file));
    let drawn = may.and_then(|()| draw()).map_err(|error| at(context, error))?;
    if drawn.left_out > 0 {
        tell(&format!(
            "{path}: {} not drawn: not finite, or not positive on a logarithmic axis",
            if drawn.left_out == 1 {
                "1 point is".to_owned()
            } else {
                format!("{} points are", drawn.left_out)
            }
        ));
    }
    Ok(())
}

/// Draws in the terminal: as a picture where it shows them, else with characters.
pub(super) fn show_figure(context: &NativeCallContext, figure: Figure) -> Scripted<()> {
    let width = crate::script::width();
    let figure = Arc::new(figure);
    let drawn = |draw: fn(&Figure, (usize, usize), bool) -> Shown, size, color| {
        let figure = Arc::clone(&figure);
        leave_behind("show", move || Ok(draw(&figure, size, color))).map_err(|error| at(context, error))
    };
    if let Some(output) = output_sink() {
        let both = |figure: &Figure, (width, height): (usize, usize), color| Shown {
            text: plot::text(figure, width, height, color),
            svg: Some(plot::svg(figure)),
            ..Shown::default()
        };
        output.show(drawn(both, (width, 20), false)?);
        return Ok(());
    }
    if let Some(protocol) = graphics::protocol() {
        let picture = Arc::clone(&figure);
        // Where no picture can be made, characters have to do.
        let png = leave_behind("show", move || Ok(plot::png(&picture).ok()));
        if let Some(png) = png.map_err(|error| at(context, error))? {
            Painted::own(protocol.inline(&png)).print();
            return Ok(());
        }
    }
    let color = StandardStream::Output.is_colored();
    let (columns, height) = if figure.panels.len() > 1 { (200, 16) } else { (100, 20) };
    let text = |figure: &Figure, (width, height): (usize, usize), color| Shown {
        text: plot::text(figure, width, height, color),
        ..Shown::default()
    };
    Painted::own(drawn(text, (width.min(columns), height), color)?.text).print();
    Ok(())
}

#[export_module]
pub mod functions {
    /// A plot of a table: plot(table).x("temperature").y("gap").save("gap.svg"). Points get a
    /// colour and a shape by `batch` unless color or marker say otherwise.
    ///
    /// ```
    /// let steady = table(#{
    ///     temperature: [1e-3, 2e-3, 4e-3, 2e-3, 4e-3, 8e-3], batch: [32, 32, 32, 16, 16, 16],
    ///     gap: [0.24, 0.2, 0.16, 0.21, 0.15, 0.13],
    /// });
    /// plot(steady).x("temperature").y("gap").log_x().save("results/demo.svg")
    /// ```
    pub fn plot(table: Table) -> PlotHandle {
        PlotHandle { table, chart: Chart::default(), functions: Vec::new() }
    }

    /// The column of horizontal positions.
    ///
    /// ```
    /// let steady = table(#{ lr: [0.05, 0.1, 0.2, 0.4], gap: [0.24, 0.2, 0.16, 0.13] });
    /// plot(steady).x("lr").y("gap").save("results/demo.svg")
    /// ```
    #[rhai_fn(return_raw)]
    pub fn x(context: NativeCallContext, plot: &mut PlotHandle, column: &str) -> Scripted<PlotHandle> {
        plot.with_column(&context, column, |chart| chart.x = column.to_owned())
    }

    /// The column of vertical positions.
    ///
    /// ```
    /// let run = train(#{
    ///     data: digits().take(200), model: linear(), lr: 0.1, batch: 20, epochs: 3,
    /// });
    /// plot(run.epochs).x("epoch").y("test_loss").save("results/demo.svg")
    /// ```
    #[rhai_fn(return_raw)]
    pub fn y(context: NativeCallContext, plot: &mut PlotHandle, column: &str) -> Scripted<PlotHandle> {
        plot.with_column(&context, column, |chart| chart.y = column.to_owned())
    }

    /// The text beside the horizontal axis.
    ///
    /// ```
    /// let steady = table(#{
    ///     temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13],
    /// });
    /// plot(steady).x("temperature").y("gap").x_label("T = λ/B").save("results/demo.svg")
    /// ```
    pub fn x_label(plot: &mut PlotHandle, text: &str) -> PlotHandle {
        plot.changed(|chart| chart.x_label = Some(text.to_owned()))
    }

    /// The text beside the vertical axis.
    ///
    /// ```
    /// let steady = table(#{
    ///     temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13],
    /// });
    /// plot(steady).x("temperature").y("gap").y_label("test loss − train loss")
    ///     .save("results/demo.svg")
    /// ```
    pub fn y_label(plot: &mut PlotHandle, text: &str) -> PlotHandle {
        plot.changed(|chart| chart.y_label = Some(text.to_owned()))
    }

    /// Leaves the points out; lines, means and curves stay.
    ///
    /// ```
    /// let run = train(#{
    ///     data: digits().take(200), model: linear(), lr: 0.1, batch: 20, epochs: 3,
    /// });
    /// plot(run.epochs).x("epoch").y("gap").lines("run_id").no_points().save("results/demo.svg")
    /// ```
    pub fn no_points(plot: &mut PlotHandle) -> PlotHandle {
        plot.changed(|chart| chart.no_points = true)
    }

    /// Whether there is a legend: legend(false) leaves it out.
    ///
    /// ```
    /// let steady = table(#{
    ///     lr: [0.1, 0.2, 0.1, 0.2], batch: [8, 8, 32, 32], gap: [0.2, 0.1, 0.4, 0.3],
    /// });
    /// plot(steady).x("lr").y("gap").legend(false).save("results/demo.svg")
    /// ```
    pub fn legend(plot: &mut PlotHandle, shown: bool) -> PlotHandle {
        plot.changed(|chart| chart.no_legend = !shown)
    }

    /// The column whose values get colours.
    ///
    /// ```
    /// let steady = table(#{
    ///     lr: [0.1, 0.2, 0.1, 0.2], seed: [1, 1, 2, 2], gap: [0.24, 0.2, 0.25, 0.19],
    /// });
    /// plot(steady).x("lr").y("gap").color("seed").save("results/demo.svg")
    /// ```
    #[rhai_fn(return_raw)]
    pub fn color(context: NativeCallContext, plot: &mut PlotHandle, column: &str) -> Scripted<PlotHandle> {
        plot.with_column(&context, column, |chart| chart.color = Some(column.to_owned()))
    }

    /// The column whose values get marker shapes.
    ///
    /// ```
    /// let steady = table(#{
    ///     lr: [0.1, 0.2, 0.1, 0.2], seed: [1, 1, 2, 2], gap: [0.24, 0.2, 0.25, 0.19],
    /// });
    /// plot(steady).x("lr").y("gap").marker("seed").save("results/demo.svg")
    /// ```
    #[rhai_fn(return_raw)]
    pub fn marker(context: NativeCallContext, plot: &mut PlotHandle, column: &str) -> Scripted<PlotHandle> {
        plot.with_column(&context, column, |chart| chart.marker = Some(column.to_owned()))
    }

    /// A logarithmic horizontal axis.
    ///
    /// ```
    /// let steady = table(#{
    ///     temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13],
    /// });
    /// plot(steady).x("temperature").y("gap").log_x().save("results/demo.svg")
    /// ```
    pub fn log_x(plot: &mut PlotHandle) -> PlotHandle {
        plot.changed(|chart| chart.log_x = true)
    }

    /// A logarithmic vertical axis.
    ///
    /// ```
    /// let steady = table(#{
    ///     temperature: [1e-3, 2e-3, 4e-3, 8e-3], train_loss: [1e-3, 4e-3, 0.02, 0.1],
    /// });
    /// plot(steady).x("temperature").y("train_loss").log_x().log_y().save("results/demo.svg")
    /// ```
    pub fn log_y(plot: &mut PlotHandle) -> PlotHandle {
        plot.changed(|chart| chart.log_y = true)
    }

    /// The column whose values get panels.
    ///
    /// ```
    /// let steady = table(#{
    ///     lr: [0.1, 0.2, 0.1, 0.2], batch: [8, 8, 32, 32], gap: [0.2, 0.1, 0.4, 0.3],
    /// });
    /// plot(steady).x("lr").y("gap").facet("batch").save("results/demo.svg")
    /// ```
    #[rhai_fn(return_raw)]
    pub fn facet(context: NativeCallContext, plot: &mut PlotHandle, column: &str) -> Scripted<PlotHandle> {
        plot.with_column(&context, column, |chart| chart.facet = Some(column.to_owned()))
    }

    /// The text above.
    ///
    /// ```
    /// let steady = table(#{
    ///     temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13],
    /// });
    /// plot(steady).x("temperature").y("gap").title("Plain SGD on the digits")
    ///     .save("results/demo.svg")
    /// ```
    pub fn title(plot: &mut PlotHandle, text: &str) -> PlotHandle {
        plot.changed(|chart| chart.title = Some(text.to_owned()))
    }

    /// Draws into a file; its ending says which kind: .svg or .png.
    ///
    /// ```
    /// let steady = table(#{
    ///     temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13],
    /// });
    /// plot(steady).x("temperature").y("gap").save("results/demo.png")
    /// ```
    #[rhai_fn(return_raw)]
    pub fn save(context: NativeCallContext, plot: &mut PlotHandle, path: &str) -> Scripted<()> {
        save_figure(&context, plot.figure(&context)?, path)
    }

    /// Draws in the terminal.
    ///
    /// ```
    /// let steady = table(#{
    ///     temperature: [1e-3, 2e-3, 4e-3, 8e-3], gap: [0.24, 0.2, 0.16, 0.13],
    /// });
    /// plot(steady).x("temperature").y("gap").show()
    /// ```
    #[rhai_fn(return_raw)]
    pub fn show(context: NativeCallContext, plot: &mut PlotHandle) -> Scripted<()> {
        show_figure(&context, plot.figure(&context)?)
    }

    /// A plot in a line.
    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn plot_to_string(plot: &mut PlotHandle) -> String {
        let (chart, rows) = (&plot.chart, plot.table.len());
        match chart.vertical().filter(|_| !chart.x.is_empty()) {
            Some(y) => {
                format!("plot of {y} against {}, {rows} rows; .save(path) or .show() draws it", chart.x)
            }
            None => format!("plot of {rows} rows; say which columns: .x(\"temperature\").y(\"gap\")"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::plot::MARKS;
    use crate::script::{Session, engine, manual};

    /// Every form of every kind of mark is a method of help, which knows its options, too.
    #[test]
    fn marks_are_methods_with_docs_and_options() {
        let engine = engine(&Session::silent());
        let methods = manual::functions(&engine);
        for kind in MARKS {
            let own = methods.iter().filter(|method| {
                method.name == kind.method && method.parameters.first().is_some_and(|of| of == "Plot")
            });
            let docs: Vec<&str> = own.map(|method| method.doc.as_str()).collect();
            assert!(kind.forms.iter().all(|(_, doc)| docs.contains(doc)), "{}: {docs:?}", kind.method);
        }
        let entry = manual::entry(&engine, "histogram").unwrap();
        for part in ["histogram(plot: Plot, options: map) -> Plot", "  bins  ", "Example:\n    let steady"] {
            assert!(entry.contains(part), "{part}: {entry}");
        }
    }

    #[test]
    fn a_histogram_has_no_column_y() {
        let engine = engine(&Session::silent());
        let plot = "plot(table(#{ gap: [0.1, 0.2, 0.4] })).x(\"gap\")";
        let said = |rest: &str| match engine.eval::<rhai::Dynamic>(&format!("{plot}{rest}")) {
            Ok(value) => value.to_string(),
            Err(error) => error.to_string(),
        };
        let shown = said(".histogram(#{ bins: 2 }).to_string()");
        assert!(shown.starts_with("plot of count against gap, 3 rows"), "{shown}");
        for (rest, wanted) in [
            (".histogram(#{ bin: 2 })", "histogram: unknown option `bin`; did you mean `bins`?"),
            (".histogram(#{ bins: 0 })", "bins: expected an integer from 1 to 1000, found the integer 0"),
            (
                ".y(\"gap\").histogram().show()",
                "histogram() has the vertical axis `count`; leave y(\"gap\") out",
            ),
            (".histogram().mean().show()", "mean() needs a column y, and histogram() has the vertical axis"),
            (".show()", "say which columns"),
        ] {
            let found = said(rest);
            assert!(found.contains(wanted), "{rest}: {found}");
        }
    }
}
