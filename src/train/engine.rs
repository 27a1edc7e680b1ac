//! Worker threads that train stacks until there are none left.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tch::{Device, Tensor};

use super::choice::Choice;
use super::cohort::{cohorts, stacks};
use super::record::{EpochRecord, Status};
use super::spec::RunSpec;
use super::stack::Stack;
use crate::data::{Augmentation, Dataset, ImageStore};
use crate::error::{Error, Result};

/// Threads with this name end quietly when libtorch panics in them: the run's error tells.
pub const WORKER: &str = "kelvin-worker";

/// How long an interrupted training may take to notice before it is left behind.
const PATIENCE: Duration = Duration::from_millis(500);

/// Time from one [`Event::Tick`] to the next.
const TICK: Duration = Duration::from_millis(50);

/// A run to train.
#[derive(Clone, Debug)]
pub struct Task {
    /// What to train.
    pub spec: RunSpec,
    /// How.
    pub choice: Choice,
}

/// How to train.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Stacks that train at the same time.
    pub workers: usize,
    /// Where.
    pub device: Device,
    /// Whether outcomes carry the final weights.
    pub keep_weights: bool,
}

impl Settings {
    /// One worker per core (one per GPU) on this device.
    pub fn on(device: Device) -> Self {
        let workers = if device == Device::Cpu { cores() } else { 1 };
        Self { workers, device, keep_weights: false }
    }
}

/// The cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What happens while training. `run` is a position in the tasks.
pub enum Event {
    /// A run begins.
    Began {
        /// The run.
        run: usize,
    },
    /// An epoch with metrics ended.
    Epoch {
        /// The run.
        run: usize,
        /// Its metrics.
        record: EpochRecord,
    },
    /// A run ended.
    Ended {
        /// The run.
        run: usize,
        /// How.
        outcome: Outcome,
    },
    /// Nothing; comes a few times a second, for progress displays.
    Tick {
        /// Images trained on so far, all runs together.
        images: u64,
    },
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
    /// The final weights by their PyTorch names, if they were to be kept.
    pub weights: Option<Vec<(String, Tensor)>>,
}

/// Runs of one cohort that train together.
struct Piece {
    runs: Vec<usize>,
    choice: Choice,
    cost: f64,
}

/// Everything that the workers share.
struct Shared {
    tasks: Vec<Task>,
    queue: Mutex<VecDeque<Piece>>,
    datasets: Mutex<HashMap<String, (Dataset, ImageStore)>>,
    settings: Settings,
    cancelled: AtomicBool,
    images: AtomicU64,
}

/// Trains all tasks; `on_event` is called on this thread.
///
/// A run that fails or diverges ends alone. [`Error::Interrupted`] when the user asked to stop: what was
/// reported as ended until then has ended. An error of `on_event` stops the training and is returned.
pub fn run(
    tasks: Vec<Task>,
    settings: Settings,
    on_event: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    crate::torch::initialize();
    let mut left = tasks.len();
    let pieces = pieces(&tasks, settings.workers);
    let workers = settings.workers.min(pieces.len());
    let shared = Arc::new(Shared {
        tasks,
        queue: Mutex::new(pieces.into()),
        datasets: Mutex::default(),
        settings,
        cancelled: AtomicBool::new(false),
        images: AtomicU64::new(0),
    });
    let (sender, receiver) = channel();
    for _ in 0..workers {
        let (shared, sender) = (Arc::clone(&shared), sender.clone());
        std::thread::Builder::new()
            .name(WORKER.to_owned())
            .spawn(move || work(&shared, &sender))
            .map_err(|error| Error::invalid(format!("cannot start a worker thread: {error}")))?;
    }
    drop(sender);
    let mut stop: Option<(Instant, Error)> = None;
    let tick = || Event::Tick { images: shared.images.load(Ordering::Relaxed) };
    let mut ticked = Instant::now();
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(event) => {
                left -= usize::from(matches!(event, Event::Ended { .. }));
                if stop.is_none()
                    && let Err(error) = on_event(event)
                {
                    stop = Some((Instant::now(), error));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                // Workers that were loading data notice the interrupt first.
                if stop.is_none() && left > 0 && crate::interrupt::raised() {
                    stop = Some((Instant::now(), Error::Interrupted));
                }
                break;
            }
        }
        // By the clock, because epochs may come faster than any pause.
        if stop.is_none() && ticked.elapsed() >= TICK {
            ticked = Instant::now();
            if let Err(error) = on_event(tick()) {
                stop = Some((Instant::now(), error));
            }
        }
        if stop.is_none() && crate::interrupt::raised() {
            stop = Some((Instant::now(), Error::Interrupted));
        }
        if let Some((since, _)) = &stop {
            shared.cancelled.store(true, Ordering::Relaxed);
            // A long step ends by itself; its thread then finds that it is cancelled.
            if since.elapsed() > PATIENCE {
                break;
            }
        }
    }
    if stop.is_none() {
        on_event(tick())?;
    }
    match stop {
        Some((_, error)) => Err(error),
        None if left > 0 => {
            Err(Error::invalid(format!("a worker thread died and left {left} runs untrained")))
        }
        None => Ok(()),
    }
}

/// Cuts tasks into stacks, the costliest first so that workers end together.
fn pieces(tasks: &[Task], workers: usize) -> Vec<Piece> {
    let specs: Vec<RunSpec> = tasks.iter().map(|task| task.spec.clone()).collect();
    let mut pieces = Vec::new();
    for cohort in cohorts(&specs) {
        let choice = tasks[cohort[0]].choice;
        let mut rest = &cohort[..];
        for size in stacks(cohort.len(), choice.stack, workers) {
            let (runs, others) = rest.split_at(size);
            rest = others;
            let spec = &specs[runs[0]];
            let width = spec.model.width().max(1) as f64;
            let cost = spec.steps() as f64 * spec.batch as f64 * width * width * runs.len() as f64;
            pieces.push(Piece { runs: runs.to_vec(), choice, cost });
        }
    }
    pieces.sort_by(|a, b| b.cost.total_cmp(&a.cost));
    pieces
}

fn work(shared: &Shared, events: &Sender<Event>) {
    loop {
        let piece = shared.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(piece) = piece else { return };
        if shared.cancelled.load(Ordering::Relaxed) {
            return;
        }
        let started = SystemTime::now();
        let mut open = piece.runs.clone();
        let result = catch_unwind(AssertUnwindSafe(|| train(shared, &piece, started, &mut open, events)));
        let error = match result {
            Ok(Ok(())) => continue,
            Ok(Err(Error::Interrupted)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic_message(panic.as_ref()),
        };
        for run in open {
            let outcome = Outcome {
                status: Status::Failed,
                error: Some(error.clone()),
                started,
                ended: SystemTime::now(),
                weights: None,
            };
            if events.send(Event::Ended { run, outcome }).is_err() {
                return;
            }
        }
    }
}

/// What a panic said; libtorch's own errors arrive as panics too.
fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("panic");
    // tch unwraps: `called Result::unwrap() on an Err value: Torch("the message\nC++ trace`.
    let message = text.split_once("Torch(\"").map_or(text, |(_, message)| message);
    crate::error::first_line(&message.replace("\\n", "\n"))
}

/// Trains one stack; removes from `open` the runs that have ended.
fn train(
    shared: &Shared,
    piece: &Piece,
    started: SystemTime,
    open: &mut Vec<usize>,
    events: &Sender<Event>,
) -> Result<()> {
    let device = shared.settings.device;
    // The first look at the number sets it to the process's own, so look before setting this thread's.
    tch::get_num_threads();
    tch::set_num_threads(piece.choice.threads as i32);
    let mut specs: Vec<RunSpec> = piece.runs.iter().map(|&run| shared.tasks[run].spec.clone()).collect();
    if piece.choice.stack > 1 && specs.len() == 1 {
        specs.push(specs[0].clone());
    }
    let (data, store) = shared.dataset(&specs[0])?;
    let mut stack = Stack::new(&specs, piece.runs.len(), &data, store, device)?;
    let send = |event| events.send(event).map_err(|_| Error::Interrupted);
    for &run in &piece.runs {
        send(Event::Began { run })?;
    }
    let ended =
        |status, error, weights| Outcome { status, error, started, ended: SystemTime::now(), weights };
    for _ in 0..specs[0].epochs {
        let mut poll = |images: u64| {
            shared.images.fetch_add(images, Ordering::Relaxed);
            if shared.cancelled.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
        };
        let Some(records) = stack.train_epoch(&mut poll)? else { continue };
        for (&run, record) in piece.runs.iter().zip(records) {
            if !open.contains(&run) {
                continue;
            }
            if record.train.loss.is_finite() && record.test.loss.is_finite() {
                send(Event::Epoch { run, record })?;
                continue;
            }
            open.retain(|&other| other != run);
            let error = format!(
                "the loss is {} on the training set and {} on the test set after epoch {}",
                record.train.loss, record.test.loss, record.epoch
            );
            send(Event::Ended { run, outcome: ended(Status::Diverged, Some(error), None) })?;
        }
        if open.is_empty() {
            return Ok(());
        }
    }
    for (replica, &run) in piece.runs.iter().enumerate() {
        if open.contains(&run) {
            open.retain(|&other| other != run);
            let weights = shared.settings.keep_weights.then(|| stack.weights().state(replica as i64));
            send(Event::Ended { run, outcome: ended(Status::Done, None, weights) })?;
        }
    }
    Ok(())
}

impl Shared {
    /// The data set of a run, with its images on the device: loaded once, shared by all workers.
    fn dataset(&self, spec: &RunSpec) -> Result<(Dataset, ImageStore)> {
        let key = format!("{:?} {} {:?}", spec.data, spec.augment, spec.precision.master());
        let mut datasets = self.datasets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((data, store)) = datasets.get(&key) {
            return Ok((data.clone(), store.share()));
        }
        let data = Dataset::open(&spec.data)?;
        let augmentation = if spec.augment { data.augmentation() } else { Augmentation::None };
        let store =
            ImageStore::new(data.images(), augmentation, self.settings.device, spec.precision.master());
        let shared = (data.clone(), store.share());
        datasets.insert(key, (data, store));
        Ok(shared)
    }
}
