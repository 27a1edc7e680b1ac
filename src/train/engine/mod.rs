//! Worker threads that train stacks until there are none left.
//!
//! [`queue`] cuts tasks into jobs. Workers ([`worker`]) train them ([`job`]) and report; what
//! becomes of the reports is up to the thread that called [`resume`] ([`supervisor`]), so that
//! neither disks nor displays hold training up. When a run's turn comes, the caller's
//! [`ResumeSource`] says where it starts. A job that fails is cut in two and tried again
//! ([`failure`]), until what fails is a run alone: that one ends with its error, the others finish.

mod crew;
mod data;
mod event;
mod failure;
mod job;
mod queue;
mod supervisor;
mod task;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use self::crew::{Crew, channel};
use self::data::DataCache;
use self::queue::Queue;
use self::supervisor::Supervisor;
use self::task::FreshStart;
use self::worker::work;
use crate::error::Result;

pub use self::crew::images_trained;
pub use self::event::{Event, Outcome};
pub use self::task::{ResumeSource, Settings, Start, Task, cores};

/// Threads with this name end quietly when libtorch panics in them: the run's error tells.
pub const WORKER: &str = "kelvin-worker";

/// Trains all tasks from their beginning, as [`resume`] does.
pub fn run(
    tasks: Vec<Task>,
    settings: Settings,
    on_event: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    resume(tasks, Arc::new(FreshStart), settings, on_event)
}

/// Trains all tasks; `on_event` is called on this thread.
///
/// A run that fails or diverges ends alone.
///
/// # Errors
///
/// [`Error::Interrupted`](crate::error::Error::Interrupted) when the user asked to stop: what was
/// reported as ended until then has ended, the others have a checkpoint at the step that they were
/// at, unless it took them longer than the settings' patience. The same error from `on_event` does
/// the same; another error of it stops the training at once and is returned.
pub fn resume(
    tasks: Vec<Task>,
    starts: Arc<dyn ResumeSource>,
    settings: Settings,
    on_event: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    crate::torch::initialize();
    let _at_work = crate::memory::AtWork::begin();
    let jobs = queue::jobs(&tasks, &settings)?;
    let workers = settings.workers.min(jobs.len());
    let crew = Arc::new(Crew {
        tasks,
        starts,
        // A GPU that nobody works on is left alone.
        queue: Queue::new(jobs, settings.devices.iter().copied().take(workers)),
        data: DataCache::default(),
        settings,
        cancelled: AtomicBool::new(false),
        images: AtomicU64::new(0),
    });
    let (reporter, reports) = channel();
    for worker in 0..workers {
        let (crew, reporter) = (Arc::clone(&crew), reporter.clone());
        let scope = crate::interrupt::scope();
        std::thread::Builder::new()
            .name(WORKER.to_owned())
            .spawn(move || {
                crate::interrupt::work_for(scope);
                work(&crew, crew.queue.home(worker), &reporter);
            })
            .map_err(|error| crate::threads::refused(&error))?;
    }
    drop(reporter);
    Supervisor::new(&crew, on_event).follow(&reports)
}
