//! Verdicts on a page: what holds, what fails and what is undecided, in words and colours.

use std::fmt::Write;

use arrow::datatypes::DataType;

use super::text::html;
use crate::error::{Error, Result};
use crate::table::{Table, number};

/// The words of a verdict.
const VERDICTS: [&str; 3] = ["holds", "fails", "undecided"];

/// One verdict.
#[derive(Clone, Debug)]
pub(super) struct VerdictLine {
    prediction: String,
    verdict: String,
    metric: String,
    says: String,
    value: f64,
    low: f64,
    high: f64,
    p: f64,
}

/// The rows of a table as verdicts; only the columns `prediction` and `verdict` must be there.
pub(super) fn findings(table: &Table) -> Result<Vec<VerdictLine>> {
    let known = table.columns();
    let texts = |name: &str| match known.contains(&name) {
        true => table.strings(name),
        false => Ok(vec![String::new(); table.len()]),
    };
    let numbers = |name: &str| match table.column(name) {
        // One of nothing but nulls has no type of its own.
        Ok(column) if *column.data_type() != DataType::Null => table.floats(name),
        _ => Ok(vec![f64::NAN; table.len()]),
    };
    let (predictions, verdicts) = (table.strings("prediction")?, table.strings("verdict")?);
    if let Some(other) = verdicts.iter().find(|verdict| !VERDICTS.contains(&verdict.as_str())) {
        return Err(Error::invalid(format!(
            "verdicts: column `verdict`: expected holds, fails or undecided, found `{other}`"
        )));
    }
    let (metrics, says) = (texts("metric")?, texts("says")?);
    let (values, lows, highs, ps) = (numbers("value")?, numbers("low")?, numbers("high")?, numbers("p")?);
    let finding = |row: usize| VerdictLine {
        prediction: predictions[row].clone(),
        verdict: verdicts[row].clone(),
        metric: metrics[row].replace('_', " "),
        says: says[row].clone(),
        value: values[row],
        low: lows[row],
        high: highs[row],
        p: ps[row],
    };
    Ok((0..table.len()).map(finding).collect())
}

impl VerdictLine {
    /// The style sheet's name of the verdict.
    fn class(&self) -> &'static str {
        match self.verdict.as_str() {
            "holds" => "holds",
            "fails" => "fails",
            _ => "undecided",
        }
    }
}

/// A verdict in a word, for the list of contents.
pub(super) fn chip(finding: &VerdictLine) -> String {
    format!(
        "<span class=\"chip {}\">{} {}</span>",
        finding.class(),
        html(&finding.prediction),
        html(&finding.verdict)
    )
}

/// A number to four digits, as many as a glance takes in.
fn short(value: f64) -> String {
    number(format!("{value:.3e}").parse().unwrap_or(value))
}

/// Verdicts side by side.
pub(super) fn html_of(findings: &[VerdictLine]) -> String {
    let mut text = String::from("<ul class=\"verdicts\">\n");
    for finding in findings {
        let metric = match finding.metric.as_str() {
            "" => String::new(),
            metric => format!(" <span class=\"metric\">{}</span>", html(metric)),
        };
        let _ = write!(
            text,
            "<li class=\"{}\"><p class=\"head\"><strong>{}</strong>{metric} <span class=\"badge\">{}</span></p>",
            finding.class(),
            html(&finding.prediction),
            html(&finding.verdict),
        );
        if !finding.says.is_empty() {
            let _ = write!(text, "<p>{}</p>", html(&finding.says));
        }
        let mut numbers = String::new();
        let mut add = |name: &str, value: String| {
            let _ = write!(numbers, "<div><dt>{name}</dt><dd>{value}</dd></div>");
        };
        if !finding.value.is_nan() {
            add("value", short(finding.value));
        }
        if !finding.low.is_nan() && !finding.high.is_nan() {
            add("95 %", format!("{} to {}", short(finding.low), short(finding.high)));
        }
        if !finding.p.is_nan() {
            add("p", if finding.p < 1e-3 { "&lt; 0.001".to_owned() } else { short(finding.p) });
        }
        if !numbers.is_empty() {
            let _ = write!(text, "<dl>{numbers}</dl>");
        }
        text += "</li>\n";
    }
    text + "</ul>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Cell;

    #[test]
    fn verdicts_have_a_word_and_a_colour_and_only_numbers_that_exist() {
        let names =
            ["prediction", "metric", "verdict", "value", "low", "high", "p", "says"].map(str::to_owned);
        let text = |texts: [&str; 2]| texts.map(|text| Cell::Text(text.to_owned())).to_vec();
        let columns = [
            text(["A", "B"]),
            text(["gap", "test_loss"]),
            text(["holds", "fails"]),
            vec![Cell::Float(-0.754321), Cell::Float(0.002)],
            vec![Cell::Null, Cell::Null],
            vec![Cell::Null, Cell::Null],
            vec![Cell::Float(1e-9), Cell::Null],
            text(["the gap falls", ""]),
        ];
        let found = html_of(&findings(&Table::from_cells(&names, &columns).unwrap()).unwrap());
        assert!(
            found.contains("<li class=\"holds\">") && found.contains("<span class=\"badge\">holds</span>")
        );
        assert!(found.contains("<li class=\"fails\">") && found.contains(">test loss<"));
        assert!(
            found.contains("<dd>-0.7543</dd>") && found.contains("<dt>p</dt><dd>&lt; 0.001</dd>"),
            "{found}"
        );
        assert!(!found.contains("NaN") && !found.contains("95 %"), "{found}");
    }
}
