//! Worker threads that train stacks until there are none left.
//!
//! [`queue`] cuts tasks into jobs. Workers ([`worker`]) train and report; what becomes of the
//! reports is up to the thread that called [`resume`] ([`supervisor`]), so that neither disks nor
//! displays hold training up. When a run's turn comes, the caller's [`ResumeSource`] says where it
//! starts. A job that fails is cut in two and tried again ([`failure`]), until what fails is a run
//! alone: that one ends with its error, the others finish.

mod data;
mod failure;
mod queue;
mod supervisor;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, SystemTime};

use tch::Device;

use self::data::DataCache;
use self::queue::Queue;
use self::supervisor::Supervisor;
use self::worker::{Crew, ReportSender, work};
use super::record::{EpochRecord, Status};
use super::snapshot::{Position, Snapshot};
use super::spec::RunSpec;
use super::strategy::ExecutionStrategy;
use crate::cuda;
use crate::error::Result;
use crate::model::State;

/// Threads with this name end quietly when libtorch panics in them: the run's error tells.
pub const WORKER: &str = "kelvin-worker";

/// Events that may wait for the caller before workers wait, too. Few, because a checkpoint holds
/// weights.
const BACKLOG: usize = 32;

/// Runs that train at once on a GPU, each on its stream. Eight reach what sixteen do on ResNets of
/// width 32; smaller ones gain (`docs/speed.md`).
const STREAMS: usize = 16;

/// Images trained on since the program began, of what the user waits for.
static IMAGES: AtomicU64 = AtomicU64::new(0);

/// Images that all runs of this process have trained on so far, but for those in the background.
pub fn images_trained() -> u64 {
    IMAGES.load(Ordering::Relaxed)
}

/// A run to train.
#[derive(Clone, Debug)]
pub struct Task {
    /// What to train.
    pub spec: RunSpec,
    /// How.
    pub strategy: ExecutionStrategy,
    /// Where it is thought to start: runs of one stack start at the same place.
    pub position: Position,
}

impl Task {
    /// A run from its beginning.
    pub fn new(spec: RunSpec, strategy: ExecutionStrategy) -> Self {
        Self { spec, strategy, position: Position::default() }
    }
}

/// How to train.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Stacks that train at the same time.
    pub workers: usize,
    /// Where: workers are dealt out to these in turn. At least one; the CPU alone, or GPUs.
    pub devices: Vec<Device>,
    /// Whether outcomes carry the final weights.
    pub keep_weights: bool,
    /// Time from one checkpoint of a run to the next; zero: every epoch. None: no checkpoints.
    pub checkpoint_every: Option<Duration>,
    /// Time for an interrupted training to finish its step and a checkpoint; then its threads are
    /// abandoned.
    pub patience: Duration,
}

impl Settings {
    /// One worker per core on this device, without checkpoints. On a GPU as many as there may be
    /// recorded steps on streams at once, or one.
    pub fn on(device: Device) -> Self {
        Self::on_all(vec![device])
    }

    /// The same on each of these.
    pub fn on_all(devices: Vec<Device>) -> Self {
        let workers = |&device: &Device| match device {
            Device::Cpu => cores(),
            device if cuda::available(device) => STREAMS,
            _ => 1,
        };
        let workers = devices.iter().map(workers).sum();
        let patience = Duration::from_millis(500);
        Self { workers, devices, keep_weights: false, checkpoint_every: None, patience }
    }

    /// The first device; the others are like it.
    pub fn device(&self) -> Device {
        self.devices.first().copied().unwrap_or(Device::Cpu)
    }
}

/// The cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Where a run starts.
pub enum Start {
    /// At its beginning.
    Fresh,
    /// From here.
    From(Box<Snapshot>),
    /// Not here: it has ended meanwhile, or trains elsewhere.
    Leave,
}

/// Says where runs start, when their turn comes. Called on worker threads.
pub trait ResumeSource: Send + Sync {
    /// Where the task at this position starts, which will train on this device. An error stops the
    /// training of all.
    fn start(&self, run: usize, device: Device) -> Result<Start>;
}

/// Every run starts at its beginning.
struct FreshStart;

impl ResumeSource for FreshStart {
    fn start(&self, _run: usize, _device: Device) -> Result<Start> {
        Ok(Start::Fresh)
    }
}

/// What happens while training. `run` is a position in the tasks.
pub enum Event {
    /// A run begins, or begins again after its stack was cut in two.
    Began {
        /// The run.
        run: usize,
        /// Where it starts.
        position: Position,
    },
    /// An epoch with metrics ended.
    Epoch {
        /// The run.
        run: usize,
        /// Its metrics.
        record: EpochRecord,
    },
    /// The runs of a stack can go on from here.
    Checkpoint {
        /// Each run with its state.
        runs: Vec<(usize, Snapshot)>,
    },
    /// A run ended.
    Ended {
        /// The run.
        run: usize,
        /// How.
        outcome: Outcome,
    },
    /// A run was not trained, because [`Start::Leave`] said so.
    Left {
        /// The run.
        run: usize,
    },
    /// All events so far were given; comes after each handful of others.
    Flush,
    /// Nothing; comes a few times a second, for progress displays.
    Tick {
        /// Images trained on so far, all runs together.
        images: u64,
    },
    /// Training was asked to stop and finishes its step.
    Stopping,
}

/// How a run ended.
pub struct Outcome {
    /// Done, diverged or failed.
    pub status: Status,
    /// Why it did not end as done.
    pub error: Option<String>,
    /// When its stack began.
    pub started: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// SHA-256 of the final weights of a run that is done
    /// ([`weights_digest`](super::weights_digest)).
    pub digest: Option<String>,
    /// The final weights by their PyTorch names, if they were to be kept.
    pub weights: Option<State>,
    /// What trained it.
    pub device: Device,
}

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
    let (sender, reports) = sync_channel(BACKLOG);
    for worker in 0..workers {
        let (crew, reporter) = (Arc::clone(&crew), ReportSender(sender.clone()));
        let scope = crate::interrupt::scope();
        std::thread::Builder::new()
            .name(WORKER.to_owned())
            .spawn(move || {
                crate::interrupt::work_for(scope);
                work(&crew, crew.queue.home(worker), &reporter);
            })
            .map_err(|error| crate::threads::refused(&error))?;
    }
    drop(sender);
    Supervisor::new(&crew, on_event).follow(&reports)
}
