//! What workers share, and how they report.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::data::DataCache;
use super::event::Event;
use super::queue::Queue;
use super::task::{ResumeSource, Settings, Task};
use crate::error::Error;

/// Events that may wait for the caller before workers wait, too. Few, because a checkpoint holds
/// weights.
pub(super) const BACKLOG: usize = 32;

/// Images trained on since the program began, of what the user waits for.
static IMAGES: AtomicU64 = AtomicU64::new(0);

/// Images that all runs of this process have trained on so far, but for those in the background.
pub fn images_trained() -> u64 {
    IMAGES.load(Ordering::Relaxed)
}

/// What all workers share.
pub(super) struct Crew {
    pub(super) tasks: Vec<Task>,
    pub(super) starts: Arc<dyn ResumeSource>,
    pub(super) queue: Queue,
    pub(super) data: DataCache,
    pub(super) settings: Settings,
    pub(super) cancelled: AtomicBool,
    /// Images trained on so far, all runs together.
    pub(super) images: AtomicU64,
}

impl Crew {
    /// Has all workers stop as soon as they can.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Counts images trained on.
    pub(super) fn count(&self, images: u64) {
        self.images.fetch_add(images, Ordering::Relaxed);
        if crate::interrupt::scope().is_none() {
            IMAGES.fetch_add(images, Ordering::Relaxed);
        }
    }
}

/// What a worker tells.
pub(super) enum Report {
    Event(Event),
    /// Nothing can go on.
    Broken(Error),
}

/// Where a worker tells it.
#[derive(Clone)]
pub(super) struct ReportSender(SyncSender<Report>);

impl ReportSender {
    /// [`Stop::Cancelled`] where nobody listens any more.
    pub(super) fn tell(&self, event: Event) -> Result<(), Stop> {
        self.0.send(Report::Event(event)).map_err(|_| Stop::Cancelled)
    }

    pub(super) fn broken(&self, error: Error) {
        // The caller may have stopped listening.
        let _ = self.0.send(Report::Broken(error));
    }
}

/// Where workers report, and where the caller hears of it.
pub(super) fn channel() -> (ReportSender, Receiver<Report>) {
    let (sender, receiver) = sync_channel(BACKLOG);
    (ReportSender(sender), receiver)
}

/// Why a job stops before its runs have ended.
pub(super) enum Stop {
    /// Training was cancelled, or nobody listens any more.
    Cancelled,
    /// Nothing can go on.
    Broken(Error),
    /// The runs that are still open cannot be trained, at least not together.
    Failed(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Interrupted => Self::Cancelled,
            error => Self::Failed(error.to_string()),
        }
    }
}
