//! The caller's side: it hears what workers report, and ends the training.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::crew::{BACKLOG, Crew, Report};
use super::event::Event;
use crate::error::{Error, Result};

/// Time from one [`Event::Tick`] to the next.
const TICK: Duration = Duration::from_millis(50);

/// Patience where the terminal has closed: nobody waits for an answer, and a checkpoint may take
/// long on a busy disk.
const UNWATCHED: Duration = Duration::from_secs(10);

/// How far training is from its end. It only goes down this list.
enum Phase {
    /// Workers train.
    Training,
    /// The user or the caller asked for the end: workers finish their step and a checkpoint.
    Stopping { since: Instant },
    /// Something failed, and its error is what is returned: the first one, where there are several.
    Failed {
        since: Instant,
        error: Error,
        /// Whether the caller still hears of events: after a worker failed it does, because what
        /// others report meanwhile counts.
        caller_hears: bool,
    },
}

impl Phase {
    /// Begins to stop, unless training is ending already. Whether it does.
    fn stop(&mut self) -> bool {
        let is_new = matches!(self, Self::Training);
        if is_new {
            *self = Self::Stopping { since: Instant::now() };
        }
        is_new
    }

    /// A worker finds that nothing can go on.
    fn worker_failed(&mut self, error: Error) {
        if !matches!(self, Self::Failed { .. }) {
            *self = Self::Failed { since: Instant::now(), error, caller_hears: true };
        }
    }

    /// The caller cannot take an event.
    fn caller_failed(&mut self, error: Error) {
        let error = match std::mem::replace(self, Self::Training) {
            Self::Failed { error: first, .. } => first,
            _ => error,
        };
        *self = Self::Failed { since: Instant::now(), error, caller_hears: false };
    }

    fn caller_hears(&self) -> bool {
        !matches!(self, Self::Failed { caller_hears: false, .. })
    }

    /// Since when workers are to stop.
    fn since(&self) -> Option<Instant> {
        match self {
            Self::Training => None,
            Self::Stopping { since } | Self::Failed { since, .. } => Some(*since),
        }
    }
}

/// Hears reports and passes them on to the caller.
pub(super) struct Supervisor<'a> {
    crew: &'a Crew,
    on_event: &'a mut dyn FnMut(Event) -> Result<()>,
    /// Runs that have neither ended nor been left.
    left: usize,
    /// Whether the caller asked for the end.
    asked: bool,
    phase: Phase,
    ticked: Instant,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(crew: &'a Crew, on_event: &'a mut dyn FnMut(Event) -> Result<()>) -> Self {
        let left = crew.tasks.len();
        Self { crew, on_event, left, asked: false, phase: Phase::Training, ticked: Instant::now() }
    }

    /// Hears reports until all workers have ended, or until they have had their time to stop.
    pub(super) fn follow(mut self, reports: &Receiver<Report>) -> Result<()> {
        loop {
            let ended = self.hear(reports);
            // By the clock, because epochs may come faster than any pause.
            if self.ticked.elapsed() >= TICK {
                self.ticked = Instant::now();
                self.tell(self.tick());
            }
            if self.left > 0 && (self.asked || crate::interrupt::raised()) && self.phase.stop() {
                self.crew.cancel();
                if !ended {
                    self.tell(Event::Stopping);
                }
            }
            let Some(since) = self.phase.since() else {
                if ended {
                    break;
                }
                continue;
            };
            self.crew.cancel();
            // A long step ends by itself; its thread then finds that nobody listens.
            if ended || since.elapsed() > self.patience() || crate::interrupt::urgent() {
                break;
            }
        }
        match self.phase {
            Phase::Failed { error, .. } => Err(error),
            Phase::Stopping { .. } => Err(Error::Interrupted),
            Phase::Training if self.left > 0 => {
                Err(Error::invalid(format!("a worker thread died and left {} runs untrained", self.left)))
            }
            Phase::Training => {
                let tick = self.tick();
                (self.on_event)(tick)
            }
        }
    }

    /// How long workers may take to stop.
    fn patience(&self) -> Duration {
        let settings = &self.crew.settings;
        match crate::interrupt::hung_up() && settings.checkpoint_every.is_some() {
            true => settings.patience.max(UNWATCHED),
            false => settings.patience,
        }
    }

    /// Waits for reports, a [`TICK`] at most, and passes a handful of them on. Whether all workers
    /// have ended.
    fn hear(&mut self, reports: &Receiver<Report>) -> bool {
        let first = match reports.recv_timeout(TICK) {
            Ok(report) => report,
            Err(error) => return error == RecvTimeoutError::Disconnected,
        };
        for report in std::iter::once(first).chain(reports.try_iter().take(BACKLOG)) {
            match report {
                Report::Event(event) => self.tell(event),
                Report::Broken(error) => self.phase.worker_failed(error),
            }
        }
        self.tell(Event::Flush);
        false
    }

    fn tell(&mut self, event: Event) {
        self.left -= usize::from(matches!(event, Event::Ended { .. } | Event::Left { .. }));
        if !self.phase.caller_hears() {
            return;
        }
        match (self.on_event)(event) {
            Ok(()) => {}
            Err(Error::Interrupted) => self.asked = true,
            Err(error) => self.phase.caller_failed(error),
        }
    }

    fn tick(&self) -> Event {
        Event::Tick { images: self.crew.images.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(phase: Phase) -> String {
        match phase {
            Phase::Failed { error, .. } => error.to_string(),
            Phase::Training | Phase::Stopping { .. } => String::new(),
        }
    }

    #[test]
    fn the_first_error_is_returned_and_a_caller_that_failed_hears_no_more() {
        let mut phase = Phase::Training;
        assert!(phase.since().is_none() && phase.caller_hears());
        assert!(phase.stop() && !phase.stop() && phase.since().is_some());
        phase.worker_failed(Error::invalid("a worker"));
        assert!(phase.caller_hears() && !phase.stop());
        phase.caller_failed(Error::invalid("the caller"));
        assert!(!phase.caller_hears());
        phase.worker_failed(Error::invalid("another worker"));
        assert_eq!(error_of(phase), "a worker");

        let mut phase = Phase::Training;
        phase.caller_failed(Error::invalid("the caller"));
        phase.worker_failed(Error::invalid("a worker"));
        assert!(!phase.caller_hears());
        assert_eq!(error_of(phase), "the caller");
    }
}
