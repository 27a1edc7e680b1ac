//! Progress: a bar on a terminal, a line now and then elsewhere. On standard error, so that a
//! script's output stays its own.

use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use crate::error::Result;
use crate::script::{ObserverFactory, StandardStream, output_sink, tell};
use crate::sweep::{Observer, PlannedRun, Process, Silent, Work};
use crate::train::{EpochRecord, Status};
use crate::visible::visible;

/// The observers of a session.
pub(super) fn observers(quiet: bool) -> ObserverFactory {
    Box::new(move || -> Box<dyn Observer> {
        let terminal = output_sink().is_none() && StandardStream::Error.is_drawn_over();
        if quiet { Box::new(Silent) } else { Box::new(ProgressDisplay::new(terminal)) }
    })
}

/// Time between lines where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Time between lines of which one takes the other's place.
const REPLACED_INTERVAL: Duration = Duration::from_millis(500);

/// Before, the first epochs say little of the time that is left.
const EARLIEST: Duration = Duration::from_secs(5);

struct ProgressDisplay {
    terminal: bool,
    bar: ProgressBar,
    work: Work,
    runs: usize,
    epochs: u64,
    images: u64,
    started: Instant,
    last_line: Instant,
}

impl ProgressDisplay {
    fn new(terminal: bool) -> Self {
        let work = Work { runs: 0, skipped: 0, resumed: 0, epochs: 0 };
        let now = Instant::now();
        Self {
            terminal,
            bar: ProgressBar::hidden(),
            work,
            runs: 0,
            epochs: 0,
            images: 0,
            started: now,
            last_line: now,
        }
    }

    fn speed(&self) -> f64 {
        self.images as f64 / self.started.elapsed().as_secs_f64().max(1e-3)
    }

    fn left(&self) -> Option<Duration> {
        let share = self.epochs as f64 / self.work.epochs.max(1) as f64;
        let told = self.started.elapsed() >= EARLIEST;
        // More may have been done than was announced: runs taken over from another process.
        (share > 0.0 && told).then(|| self.started.elapsed().mul_f64((1.0 - share).max(0.0) / share))
    }

    fn numbers(&self) -> String {
        let left = self.left().map_or_else(|| "?".to_owned(), |left| HumanDuration(left).to_string());
        format!(
            "{}/{} runs, {} images/s, {left} left",
            self.runs,
            self.work.runs,
            HumanCount(self.speed() as u64)
        )
    }

    /// A line of progress, where there is no bar.
    fn status(&self, text: &str, last: bool) {
        match output_sink() {
            Some(output) => output.progress(&visible(text), last),
            None => tell(text),
        }
    }

    fn line(&self, text: &str) {
        if self.terminal {
            self.bar.suspend(|| tell(text));
        } else {
            tell(text);
        }
    }
}

/// `1 run`, `2 runs`.
fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

impl Observer for ProgressDisplay {
    fn start(&mut self, work: Work) {
        self.work = work;
        (self.runs, self.epochs) = (0, 0);
        self.started = Instant::now();
        self.last_line = self.started;
        if work.skipped > 0 {
            tell(&format!("{} had ended before, {} to do", count(work.skipped, "run"), work.runs));
        }
        if work.resumed > 0 {
            tell(&format!("{} from a checkpoint", count(work.resumed, "run")));
        }
        if work.runs == 0 {
            return;
        }
        if self.terminal {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} epochs, {msg}");
            self.bar = ProgressBar::new(work.epochs);
            if let Ok(style) = style {
                self.bar.set_style(style);
            }
            self.bar.set_message(self.numbers());
        } else {
            self.status(
                &format!("training {}, {}", count(work.runs, "run"), count(work.epochs as usize, "epoch")),
                false,
            );
        }
    }

    fn epoch(&mut self, _sweep: &str, _run: &PlannedRun, _record: &EpochRecord) -> Result<()> {
        self.epochs += 1;
        self.bar.set_position(self.epochs);
        Ok(())
    }

    fn ended(&mut self, run: &str, status: Status, error: Option<&str>) {
        self.runs += 1;
        if let Some(error) = error {
            self.line(&format!("{run} {}: {error}", status.name()));
        }
    }

    fn tick(&mut self, images: u64) {
        self.images = images;
        if self.terminal {
            self.bar.set_message(self.numbers());
            return;
        }
        let interval = if output_sink().is_some() { REPLACED_INTERVAL } else { PLAIN_INTERVAL };
        if self.last_line.elapsed() >= interval {
            self.last_line = Instant::now();
            self.status(&format!("{}/{} epochs, {}", self.epochs, self.work.epochs, self.numbers()), false);
        }
    }

    fn notify(&mut self, text: &str) {
        self.line(text);
    }

    fn stopping(&mut self, checkpoints: bool) {
        self.line(match checkpoints {
            true => "finishing the step and writing checkpoints (asked again, it leaves without them)",
            false => "finishing the step",
        });
    }

    fn waiting(&mut self, runs: usize, process: &Process) {
        self.line(&format!(
            "waiting for {} that other processes train (one is process {} on {}); Ctrl-C leaves them to it",
            count(runs, "run"),
            process.pid,
            process.host
        ));
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
        let time = self.started.elapsed().as_secs_f64();
        let runs = count(self.work.runs, "run");
        let text = format!(
            "{} of {runs} ended in {time:.1} s, {} images/s",
            self.runs,
            HumanCount(self.speed() as u64)
        );
        self.status(&text, true);
    }
}
