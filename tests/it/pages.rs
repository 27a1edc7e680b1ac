//! Figures of several plots, and pages, which are opened in a real browser.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use kelvin::table::number;
use serde_json::Value;

use crate::browser::Browser;
use crate::support::{Lab, read_parquet, texts};

/// A steady-state table with every point at a place of its own, its figure, and a page of it all.
const SCRIPT: &str = r##"
let rows = [];
for lr in [0.01, 0.03, 0.1] {
    for batch in [16, 64] {
        for seed in 1..=2 {
            let t = lr / batch;
            let gap = 1e-5 / t + 0.05 + 0.02 * seed + batch * 1e-3;
            rows.push(#{ temperature: t, gap: gap, test_loss: gap + 10.0 * t, train_loss: 10.0 * t, lr: lr, batch: batch,
                seed: seed, seed_split: seed, seed_init: seed, seed_order: seed, run_id: `r${rows.len()}<b>`,
                test_accuracy: 0.95 - t, a_column_to_make_the_table_wide: "a text that is quite long, for a phone" });
        }
    }
}
let steady = table(rows);
steady.write("steady.parquet");
let fit = fit_gap(steady);
let one = |y| plot(steady).x("temperature").y(y).log_x();
let gap = plot(steady).x("temperature").y("gap").mean().curve(fit, "Eq. 1").curve(|t| 0.1, "a tenth").log_x();
let loss = plot(steady).x("temperature").y("test_loss").mean("batch").x_label("T").y_label("loss & more").log_x();
let shapes = plot(steady).x("temperature").y("train_loss").color("temperature").marker("seed").legend(false);
let runs = plot(steady).x("seed").y("gap").lines("temperature").no_points().facet("batch");
let all = figure([gap, loss, shapes, runs], #{columns: 2, title: "four </script> plots"});
all.save("all.svg");
all.save("all.png");
all.show();
print(all);
let p = page("Pages & <figures>");
p.text("In front.");
p.heading("The gap").figure(all, "caption <i>of</i> four").fit(fit);
p = p.verdicts(predictions(steady));
p.heading("The runs");
p.table(steady, "every run");
p.figure(plot(steady).x("temperature").y("gap").color("run_id"), "a colour per run");
p.save("page.html");
print(p);
"##;

fn made() -> Lab {
    let lab = Lab::new();
    let run = lab.script(SCRIPT);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for part in
        ["figure of 5 panels", "page of 8 parts", "loss & more", "temperature T", "─── Eq. 1", "batch 64"]
    {
        assert!(run.stdout.contains(part), "no `{part}` in\n{}", run.stdout);
    }
    lab
}

#[test]
fn figures_have_several_plots_and_pages_one_file() {
    let lab = made();
    let svg = std::fs::read_to_string(lab.path("all.svg")).unwrap();
    for part in ["four &lt;/script&gt; plots", "loss &amp; more", "Eq. 1", "a tenth", "mean of each batch"] {
        assert!(svg.contains(part), "no `{part}`");
    }
    // Batches are in one legend above the panels; the third plot has none.
    assert_eq!(svg.matches(">batch 16</text>").count(), 2, "the legend and the title of a panel");
    assert!(!svg.contains("seed 1</text>"));
    assert!(lab.path("all.png").is_file());
    let page = std::fs::read_to_string(lab.path("page.html")).unwrap();
    assert!(page.contains("caption &lt;i&gt;of&lt;/i&gt; four"));
    assert!(page.contains("r0&lt;b&gt;") && !page.contains("r0<b>"));
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

/// Places of the markers of the page's first panel.
fn markers(browser: &Browser) -> Vec<(f64, f64)> {
    let found = browser.value(
        "return [...document.querySelector('.plot').querySelectorAll('use')].map(mark => {
            const box = mark.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        })",
        Value::Null,
    );
    let place = |pair: &Value| (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap());
    found.as_array().unwrap().iter().map(place).collect()
}

/// What the page shows of a point: names and values; nothing where it shows nothing.
fn shown(browser: &Browser) -> Vec<(String, String)> {
    let found = browser.value(
        "const tip = document.getElementById('tip');
         if (tip.hidden || tip.getBoundingClientRect().width == 0) return [];
         return [...tip.querySelectorAll('dt')].map(dt => [dt.textContent, dt.nextSibling.textContent]);",
        Value::Null,
    );
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    found.as_array().unwrap().iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

/// What the page must show of the first panel's points, from the table that the script wrote.
fn rows(path: &Path) -> BTreeSet<Vec<(String, String)>> {
    let table = read_parquet(path);
    let floats = |name: &str| table.column_by_name(name).unwrap().as_primitive::<Float64Type>().clone();
    let integers = |name: &str| table.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
    let (x, y, lr) = (floats("temperature"), floats("gap"), floats("lr"));
    let (batch, seed, run) = (integers("batch"), integers("seed"), texts(&table, "run_id"));
    (0..table.num_rows())
        .map(|row| {
            [
                ("temperature T = λ/B", number(x.value(row))),
                ("generalisation gap (test − train loss)", number(y.value(row))),
                ("lr", number(lr.value(row))),
                ("batch", batch.value(row).to_string()),
                ("seed", seed.value(row).to_string()),
                ("run_id", run[row].clone()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec()
        })
        .collect()
}

/// One at a time; see `main.rs`.
mod alone {
    use super::*;

    /// The page in Chromium: it asks for nothing, fits a phone, has a dark side, and shows the
    /// table's values under the pointer, a finger and the arrow keys.
    #[test]
    fn a_page_in_a_real_browser() {
        let Some(browser) = Browser::start() else { return };
        let lab = made();
        browser.open(&lab.path("page.html"));

        for (width, height) in [(360, 640), (390, 844), (1280, 900)] {
            browser.resize(width, height);
            let wide = browser.value("return document.documentElement.scrollWidth", Value::Null);
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{wide} pixels wide on {width}");
            let letters = browser.value(
                "return Math.min(...[...document.querySelectorAll('.plot text')].map(text =>
                    text.getAttribute('font-size') * text.ownerSVGElement.clientWidth / text.ownerSVGElement.viewBox.baseVal.width))",
                Value::Null,
            );
            assert!(letters.as_f64().unwrap() > 8.5, "letters of {letters} pixels on {width}");
        }
        browser.resize(390, 844);
        let scrolls =
            "const box = document.querySelector('.scroll'); return box.scrollWidth > box.clientWidth + 100";
        assert_eq!(browser.value(scrolls, Value::Null), true, "the wide table scrolls in its own box");

        // Every marker shows its row, and each row is shown.
        let expected = rows(&lab.path("steady.parquet"));
        for width in [1280, 390] {
            browser.resize(width, 900);
            browser.value(
                "scrollTo({top: 0, behavior: 'instant'});
                document.querySelector('.plot').scrollIntoView({block: 'center', behavior: 'instant'})",
                Value::Null,
            );
            let places = markers(&browser);
            assert_eq!(places.len(), 12);
            let mut found = BTreeSet::new();
            for place in &places {
                browser.point(*place);
                let until = Instant::now() + Duration::from_secs(5);
                let mut values = shown(&browser);
                // So may the first marker of a window that was just resized.
                while values.is_empty() && Instant::now() < until {
                    std::thread::sleep(Duration::from_millis(50));
                    browser.point(*place);
                    values = shown(&browser);
                }
                found.insert(values);
                // Inside the window, and no value is broken into lines, wherever the point stands.
                let fits = || {
                    browser.value(
                        "const tip = document.getElementById('tip');
                     const box = tip.getBoundingClientRect();
                     const texts = [...tip.querySelectorAll('dd')].map(dd => {
                         const range = document.createRange();
                         range.selectNodeContents(dd);
                         return new Set([...range.getClientRects()].map(line => line.top)).size;
                     });
                     return box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight
                         && texts.every(lines => lines == 1)",
                        Value::Null,
                    ) == true
                };
                // A window that was just resized may not have been laid out yet.
                let until = Instant::now() + Duration::from_secs(5);
                while !fits() {
                    assert!(Instant::now() < until, "the values at {place:?} on {width}");
                    std::thread::sleep(Duration::from_millis(50));
                    browser.point(*place);
                }
            }
            assert_eq!(found, expected, "on {width}");
            browser.point((2.0, 2.0));
            assert!(shown(&browser).is_empty());
            browser.tap(places[0]);
            assert!(expected.contains(&shown(&browser)), "under a finger");
            browser.tap((2.0, 2.0));
            assert!(shown(&browser).is_empty());
        }

        // Home is the leftmost point, the arrow goes on to the right; Escape takes the values away.
        browser.value("document.querySelector('.over').focus({preventScroll: true})", Value::Null);
        let mut x = Vec::new();
        for key in ['\u{e011}', '\u{e014}', '\u{e014}', '\u{e014}', '\u{e014}'] {
            browser.press(key);
            x.push(shown(&browser)[0].1.parse::<f64>().unwrap());
        }
        assert!(x.is_sorted() && x[0] < x[4], "{x:?}");
        assert_eq!(x[0], 0.01 / 64.0);
        browser.press('\u{e00c}');
        assert!(shown(&browser).is_empty());

        // A column sorts up and down, numbers as numbers.
        let sort = "const head = [...document.querySelectorAll('th')].find(th => th.textContent == 'temperature');
            head.firstChild.click();
            return [...head.closest('table').tBodies[0].rows].map(row => Number(row.cells[head.cellIndex].textContent))";
        let column = || -> Vec<f64> {
            let found = browser.value(sort, Value::Null);
            found.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
        };
        assert!(column().is_sorted());
        assert!(column().iter().rev().is_sorted());

        // Light on dark and dark on light: text and paper are far apart.
        let brightness = |part: &str| -> f64 {
            let color = browser.value(
                &format!("return getComputedStyle(document.body).{part}.match(/\\d+/g).map(Number)"),
                Value::Null,
            );
            color.as_array().unwrap()[..3].iter().map(|value| value.as_f64().unwrap()).sum::<f64>() / 3.0
        };
        for dark in [false, true] {
            browser.dark(dark);
            let (paper, ink) = (brightness("backgroundColor"), brightness("color"));
            assert!((paper - ink).abs() > 150.0 && (paper < ink) == dark, "paper {paper}, ink {ink}");
        }

        // Names, titles and links lead somewhere.
        let broken = browser.value(
            "return [...document.querySelectorAll('[aria-labelledby], nav a, use')].map(one =>
                one.getAttribute('aria-labelledby') ?? one.getAttribute('href').slice(1))
                .filter(id => document.querySelectorAll('#' + id).length != 1)",
            Value::Null,
        );
        assert_eq!(broken, Value::Array(Vec::new()));
        let titles = browser.value(
            "return [...document.querySelectorAll('.plot svg')].filter(svg =>
                svg.getAttribute('role') == 'img' && svg.querySelector('title').textContent.includes(' against ')).length",
            Value::Null,
        );
        assert_eq!(titles, 6);

        let requests = browser.requests();
        let own = format!("file://{}", lab.path("page.html").display());
        assert!(requests.contains(&own), "{requests:?}");
        assert!(requests.iter().all(|url| *url == own || url.starts_with("data:")), "{requests:?}");
        assert_eq!(browser.console(), Vec::<String>::new());
    }
}
