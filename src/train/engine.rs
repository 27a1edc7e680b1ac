//! Worker threads that train stacks until there are none left.
//!
//! Workers train and report; what becomes of the reports is up to the thread that called [`resume`], so that
//! neither disks nor displays hold training up. When a run's turn comes, the caller's [`ResumeSource`] says where it
//! starts. A stack that fails is cut in two and tried again, until what fails is a run alone: that one ends
//! with its error, the others finish.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tch::Device;

use super::cohort::{cohorts, stacks};
use super::memory::{self, Memory};
use super::record::{EpochRecord, Status};
use super::snapshot::{Position, Snapshot, weights_digest};
use super::spec::RunSpec;
use super::stack::{Advance, Signal, Stack};
use super::strategy::ExecutionStrategy;
use crate::cuda;
use crate::data::{Augmentation, Dataset, ImageStore};
use crate::error::{Error, Result};
use crate::model::State;

/// Threads with this name end quietly when libtorch panics in them: the run's error tells.
pub const WORKER: &str = "kelvin-worker";

/// Time from one [`Event::Tick`] to the next.
const TICK: Duration = Duration::from_millis(50);

/// Events that may wait for the caller; then workers wait, too. Few, because a checkpoint holds weights.
const BACKLOG: usize = 32;

/// Runs that train at once on a GPU, each on its stream. Eight reach what sixteen do on ResNets of width 32; smaller ones
/// gain (`docs/benchmarks/2026-11-27-gpu.md`).
const STREAMS: usize = 16;

/// What libtorch says where a GPU has no more memory.
const OUT_OF_MEMORY: [&str; 6] = [
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "ALLOCATION_FAILED",
];

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
    /// How long an interrupted training may take to finish its step and a checkpoint before it is left behind.
    pub patience: Duration,
}

impl Settings {
    /// One worker per core on this device, without checkpoints. On a GPU as many as there may be recorded steps on streams at
    /// once, or one.
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
    /// Where the task at this position starts, which will train on this device. An error stops the training of all.
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
    /// SHA-256 of the final weights of a run that is done ([`weights_digest`]).
    pub digest: Option<String>,
    /// The final weights by their PyTorch names, if they were to be kept.
    pub weights: Option<State>,
    /// What trained it.
    pub device: Device,
}

/// What a worker tells.
enum Message {
    Event(Event),
    /// [`ResumeSource`] failed: nothing can go on.
    Broken(Error),
}

/// Runs of one cohort that train together.
struct StackJob {
    runs: Vec<usize>,
    strategy: ExecutionStrategy,
    cost: f64,
    /// Whether it was refused memory beside others: then it waits until it is alone.
    alone: bool,
}

/// A device, and its memory.
struct DeviceSlot {
    device: Device,
    memory: Memory,
}

/// Where a job that needs so many bytes goes: to a worker's own place, unless only others can ever hold it.
fn pick_device<'a>(slots: &'a [DeviceSlot], own: &'a DeviceSlot, needed: u64) -> &'a DeviceSlot {
    let roomiest = slots.iter().max_by_key(|place| place.memory.all());
    if needed <= own.memory.all() {
        return own;
    }
    roomiest.filter(|place| needed <= place.memory.all()).unwrap_or(own)
}

impl DeviceSlot {
    fn new(device: Device) -> Self {
        let memory = Memory::of(match device {
            Device::Cpu => crate::memory::available(),
            // A part of it goes to jobs that are too small to be of use.
            device => cuda::free_memory(device).map(|bytes| bytes / 20 * 19),
        });
        Self { device, memory }
    }
}

/// Everything that the workers share.
struct Shared {
    tasks: Vec<Task>,
    starts: Arc<dyn ResumeSource>,
    queue: Mutex<VecDeque<StackJob>>,
    /// By what they are.
    datasets: Mutex<HashMap<String, Dataset>>,
    /// Their images, by what they are and where they lie.
    stores: Mutex<HashMap<String, ImageStore>>,
    settings: Settings,
    slots: Vec<DeviceSlot>,
    cancelled: AtomicBool,
    images: AtomicU64,
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
/// A run that fails or diverges ends alone. [`Error::Interrupted`] when the user asked to stop: what was
/// reported as ended until then has ended, the others have a checkpoint at the step that they were at, unless it
/// took them longer than the settings' patience. [`Error::Interrupted`] from `on_event` does the same; another error of
/// it stops the training at once and is returned.
pub fn resume(
    tasks: Vec<Task>,
    starts: Arc<dyn ResumeSource>,
    settings: Settings,
    on_event: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    crate::torch::initialize();
    let _at_work = crate::memory::AtWork::begin();
    let mut left = tasks.len();
    let jobs = jobs(&tasks, &settings)?;
    let workers = settings.workers.min(jobs.len());
    let patience = settings.patience;
    let shared = Arc::new(Shared {
        tasks,
        starts,
        queue: Mutex::new(jobs.into()),
        datasets: Mutex::default(),
        stores: Mutex::default(),
        // A GPU that nobody works on is left alone.
        slots: settings.devices.iter().copied().take(workers).map(DeviceSlot::new).collect(),
        settings,
        cancelled: AtomicBool::new(false),
        images: AtomicU64::new(0),
    });
    let (sender, receiver) = sync_channel(BACKLOG);
    for worker in 0..workers {
        let (shared, sender, scope) = (Arc::clone(&shared), sender.clone(), crate::interrupt::scope());
        std::thread::Builder::new()
            .name(WORKER.to_owned())
            .spawn(move || {
                crate::interrupt::work_for(scope);
                work(&shared, &shared.slots[worker % shared.slots.len()], &sender);
            })
            .map_err(|error| crate::threads::refused(&error))?;
    }
    drop(sender);
    let mut interrupted: Option<Instant> = None;
    let mut failed: Option<(Instant, Error)> = None;
    // What others report meanwhile still counts.
    let mut broken: Option<(Instant, Error)> = None;
    let mut unwanted = false;
    let tick = || Event::Tick { images: shared.images.load(Ordering::Relaxed) };
    let mut ticked = Instant::now();
    loop {
        let mut handle = |event: Event| {
            left -= usize::from(matches!(event, Event::Ended { .. } | Event::Left { .. }));
            if failed.is_none() {
                match on_event(event) {
                    Ok(()) => {}
                    Err(Error::Interrupted) => unwanted = true,
                    Err(error) => failed = Some((Instant::now(), error)),
                }
            }
        };
        let mut ended = false;
        match receiver.recv_timeout(TICK) {
            Ok(message) => {
                for message in std::iter::once(message).chain(receiver.try_iter().take(BACKLOG)) {
                    match message {
                        Message::Event(event) => handle(event),
                        Message::Broken(error) => _ = broken.get_or_insert((Instant::now(), error)),
                    }
                }
                handle(Event::Flush);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => ended = true,
        }
        // By the clock, because epochs may come faster than any pause.
        if failed.is_none() && ticked.elapsed() >= TICK {
            ticked = Instant::now();
            failed = on_event(tick()).err().map(|error| (Instant::now(), error));
        }
        if interrupted.is_none() && left > 0 && (unwanted || crate::interrupt::raised()) {
            interrupted = Some(Instant::now());
            shared.cancelled.store(true, Ordering::Relaxed);
            if !ended && failed.is_none() {
                failed = on_event(Event::Stopping).err().map(|error| (Instant::now(), error));
            }
        }
        if failed.is_some() || broken.is_some() {
            shared.cancelled.store(true, Ordering::Relaxed);
        }
        // A long step ends by itself; its thread then finds that nobody listens.
        let since = failed.as_ref().or(broken.as_ref()).map(|(since, _)| *since).or(interrupted);
        if ended
            || since.is_some_and(|since| since.elapsed() > patience)
            || (interrupted.is_some() && crate::interrupt::urgent())
        {
            break;
        }
    }
    match broken.or(failed) {
        Some((_, error)) => Err(error),
        None if interrupted.is_some() => Err(Error::Interrupted),
        None if left > 0 => {
            Err(Error::invalid(format!("a worker thread died and left {left} runs untrained")))
        }
        None => on_event(tick()),
    }
}

/// Cuts tasks into stacks of runs that start at the same place, the costliest first so that workers end
/// together.
fn jobs(tasks: &[Task], settings: &Settings) -> Result<Vec<StackJob>> {
    let specs: Vec<RunSpec> = tasks.iter().map(|task| task.spec.clone()).collect();
    let mut jobs = Vec::new();
    let place = |&run: &usize| (tasks[run].position, tasks[run].strategy);
    for cohort in cohorts(&specs)?.into_iter().flat_map(|cohort| by(cohort, place)) {
        let strategy = tasks[cohort[0]].strategy;
        let mut rest = &cohort[..];
        let largest = strategy.largest(specs[cohort[0]].precision, settings.device());
        for size in stacks(cohort.len(), largest, settings.workers) {
            let (runs, others) = rest.split_at(size);
            rest = others;
            let spec = &specs[runs[0]];
            let width = spec.model.width().max(1) as f64;
            let cost = spec.steps() as f64 * spec.batch as f64 * width * width * runs.len() as f64;
            jobs.push(StackJob { runs: runs.to_vec(), strategy, cost, alone: false });
        }
    }
    jobs.sort_by(|a, b| b.cost.total_cmp(&a.cost));
    Ok(jobs)
}

/// Groups values by a key, in order of first appearance.
fn by<T, K: PartialEq>(values: Vec<T>, key: impl Fn(&T) -> K) -> Vec<Vec<T>> {
    let mut groups: Vec<(K, Vec<T>)> = Vec::new();
    for value in values {
        let own = key(&value);
        match groups.iter_mut().find(|(key, _)| *key == own) {
            Some((_, group)) => group.push(value),
            None => groups.push((own, vec![value])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Why a worker stops.
enum Stop {
    /// Training was cancelled, or nobody listens any more.
    Cancelled,
    /// Nothing can go on.
    Broken(Error),
    /// The runs that are still open cannot be trained, at least not together.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Interrupted => Self::Cancelled,
            error => Self::Failed(error),
        }
    }
}

fn work<'a>(shared: &'a Shared, home: &'a DeviceSlot, events: &SyncSender<Message>) {
    if let Err(error) = cuda::own_stream(home.device) {
        let _ = events.send(Message::Broken(error));
        return;
    }
    loop {
        let job = shared.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(job) = job else { return };
        if shared.cancelled.load(Ordering::Relaxed) {
            return;
        }
        let started = SystemTime::now();
        let mut open = job.runs.clone();
        let mut place = home;
        // It may have been elsewhere with the last one; that this can be done was seen at the start.
        let _ = cuda::own_stream(home.device);
        let result =
            catch_unwind(AssertUnwindSafe(|| train(shared, &mut place, &job, started, &mut open, events)));
        let error = match result {
            Ok(Ok(())) => continue,
            Ok(Err(Stop::Cancelled)) => return,
            Ok(Err(Stop::Broken(error))) => {
                // Whoever does not listen needs no telling.
                let _ = events.send(Message::Broken(error));
                return;
            }
            Ok(Err(Stop::Failed(error))) => error.to_string(),
            Err(panic) => crate::error::panic_message(panic.as_ref()),
        };
        let refused = OUT_OF_MEMORY.iter().any(|text| error.contains(text));
        // Some errors, of the hardware or of an address, leave a GPU useless for the rest of the process. What trained there has
        // failed; runs that were not tried must not fail with it.
        let useless = || cuda::synchronize(place.device).or_else(|_| cuda::synchronize(place.device)).err();
        if let Some(useless) = useless().filter(|_| !refused) {
            let name = crate::torch::device_name(place.device);
            for &run in &open {
                let outcome = failed(place.device, started, error.clone());
                if events.send(Message::Event(Event::Ended { run, outcome })).is_err() {
                    return;
                }
            }
            let text = format!(
                "{name} cannot be used any more ({useless}); the same sweep goes on without what trained there: {error}"
            );
            let _ = events.send(Message::Broken(Error::invalid(text)));
            return;
        }
        let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if refused && !job.alone && place.device != Device::Cpu {
            queue.push_back(StackJob { runs: open, alone: true, ..job });
            continue;
        }
        if let [run] = open[..] {
            drop(queue);
            let outcome = failed(place.device, started, error);
            if events.send(Message::Event(Event::Ended { run, outcome })).is_err() {
                return;
            }
        } else {
            let (first, second) = open.split_at(open.len() / 2);
            for half in [second, first] {
                let cost = job.cost * half.len() as f64 / job.runs.len() as f64;
                queue.push_front(StackJob { runs: half.to_vec(), cost, ..job });
            }
        }
    }
}

/// How a run ended that could not be trained.
fn failed(device: Device, started: SystemTime, error: String) -> Outcome {
    Outcome {
        status: Status::Failed,
        error: Some(error),
        started,
        ended: SystemTime::now(),
        digest: None,
        weights: None,
        device,
    }
}

/// Trains one job, at another place where this one can never hold it; removes from `open` the runs that have ended.
fn train<'a>(
    shared: &'a Shared,
    place: &mut &'a DeviceSlot,
    job: &StackJob,
    started: SystemTime,
    open: &mut Vec<usize>,
    events: &SyncSender<Message>,
) -> std::result::Result<(), Stop> {
    let send = |event| events.send(Message::Event(event)).map_err(|_| Stop::Cancelled);
    let cancelled = || shared.cancelled.load(Ordering::Relaxed);
    // What all of them need comes first: where it is missing, nothing has begun.
    let first = &shared.tasks[job.runs[0]].spec;
    let data = shared.dataset(first)?;
    // A plan of somebody else's was checked without its data.
    first.check(data.len(), data.shape())?;
    let (strategy, runs) = (job.strategy, job.runs.len());
    let needed = memory::needed(first, data.shape(), data.classes(), strategy, runs, place.device)?;
    *place = pick_device(&shared.slots, place, needed);
    let device = place.device;
    cuda::own_stream(device)?;
    let store = shared.store(first, &data, device)?;
    let needed = if job.alone { place.memory.all().max(needed) } else { needed };
    let _share = place.memory.reserve(needed, cancelled)?;
    let mut starts: Vec<(usize, Option<Snapshot>)> = Vec::new();
    for &run in &job.runs {
        if cancelled() {
            return Err(Stop::Cancelled);
        }
        let snapshot = match shared.starts.start(run, device).map_err(Stop::Broken)? {
            Start::Fresh => None,
            Start::From(snapshot) => Some(*snapshot),
            Start::Leave => {
                open.retain(|&other| other != run);
                send(Event::Left { run })?;
                continue;
            }
        };
        let position = snapshot.as_ref().map_or(Position::default(), |snapshot| snapshot.position);
        send(Event::Began { run, position })?;
        starts.push((run, snapshot));
    }
    // Nearly always one group: the jobs were cut by where runs were thought to start.
    let place = |start: &(usize, Option<Snapshot>)| start.1.as_ref().map(|snapshot| snapshot.position);
    for group in by(starts, place) {
        let (runs, snapshots): (Vec<usize>, Vec<Option<Snapshot>>) = group.into_iter().unzip();
        let specs: Vec<RunSpec> = runs.iter().map(|&run| shared.tasks[run].spec.clone()).collect();
        // The first look at the number sets it to the process's own, so look before setting this thread's.
        tch::get_num_threads();
        tch::set_num_threads(strategy.threads as i32);
        let snapshots = snapshots.into_iter().flatten().collect();
        let stack = Stack::new(specs, strategy, snapshots, &data, store.share(), device)?;
        train_stack(shared, &runs, stack, (first, device), started, open, events)?;
    }
    Ok(())
}

/// Trains runs that stack together to their end; removes from `open` those that have ended.
fn train_stack(
    shared: &Shared,
    runs: &[usize],
    mut stack: Stack,
    (spec, device): (&RunSpec, Device),
    started: SystemTime,
    open: &mut Vec<usize>,
    events: &SyncSender<Message>,
) -> std::result::Result<(), Stop> {
    let send = |event| events.send(Message::Event(event)).map_err(|_| Stop::Cancelled);
    let cancelled = || shared.cancelled.load(Ordering::Relaxed);
    let ended = |status, error, digest, weights| Outcome {
        status,
        error,
        started,
        ended: SystemTime::now(),
        digest,
        weights,
        device,
    };
    let every = shared.settings.checkpoint_every;
    let mut saved = (Instant::now(), crate::interrupt::checkpoints());
    // Between two checkpoints lies an update at least: however short the time between them, training goes on, and
    // none replaces another of the same name.
    let mut last = stack.position();
    while stack.position().epoch < spec.epochs {
        let asked = || crate::interrupt::checkpoints() != saved.1;
        let due = || every.is_some_and(|every| !every.is_zero() && saved.0.elapsed() >= every);
        let (mut updates, at) = (0, last != stack.position());
        let mut signal = |images: u64| {
            if cancelled() {
                return Signal::Stop;
            }
            if (at || updates > 0) && every.is_some() && (asked() || due()) {
                return Signal::Checkpoint;
            }
            updates += u64::from(images > 0);
            shared.images.fetch_add(images, Ordering::Relaxed);
            if crate::interrupt::scope().is_none() {
                IMAGES.fetch_add(images, Ordering::Relaxed);
            }
            Signal::Go
        };
        let advance = stack.advance(&mut signal)?;
        if let Advance::Epoch(Some(records)) = &advance {
            for (&run, record) in runs.iter().zip(records) {
                if !open.contains(&run) {
                    continue;
                }
                if record.train.loss.is_finite() && record.test.loss.is_finite() {
                    send(Event::Epoch { run, record: record.clone() })?;
                    continue;
                }
                open.retain(|&other| other != run);
                let error = format!(
                    "the loss is {} on the training set and {} on the test set after epoch {}",
                    record.train.loss, record.test.loss, record.epoch
                );
                send(Event::Ended { run, outcome: ended(Status::Diverged, Some(error), None, None) })?;
            }
        }
        if !runs.iter().any(|run| open.contains(run)) {
            return Ok(());
        }
        let paused = matches!(advance, Advance::Paused);
        let stop = cancelled();
        let finished = stack.position().epoch == spec.epochs;
        let every_epoch = every.is_some_and(|every| every.is_zero());
        let wanted = stop || paused || every_epoch || asked() || due();
        if every.is_some() && wanted && !finished && stack.position() != last {
            // Looked at first: who asks once more, while this one is written, wants another.
            let answered = crate::interrupt::checkpoints();
            let open_runs = runs.iter().enumerate().filter(|(_, run)| open.contains(run));
            let snapshots = open_runs.map(|(replica, &run)| (run, stack.snapshot(replica))).collect();
            send(Event::Checkpoint { runs: snapshots })?;
            saved = (Instant::now(), answered);
            last = stack.position();
        }
        if stop && !finished {
            return Err(Stop::Cancelled);
        }
    }
    for (replica, &run) in runs.iter().enumerate() {
        if open.contains(&run) {
            let weights = stack.state(replica);
            let digest = Some(weights_digest(&weights)?);
            let weights = shared.settings.keep_weights.then_some(weights);
            open.retain(|&other| other != run);
            send(Event::Ended { run, outcome: ended(Status::Done, None, digest, weights) })?;
        }
    }
    Ok(())
}

impl Shared {
    /// The data set of a run: loaded once, shared by all workers.
    fn dataset(&self, spec: &RunSpec) -> Result<Dataset> {
        let key = format!("{:?}", spec.data);
        let mut datasets = self.datasets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(data) = datasets.get(&key) {
            return Ok(data.clone());
        }
        let data = Dataset::open(&spec.data)?;
        datasets.insert(key, data.clone());
        Ok(data)
    }

    /// Its images on a device, shared by all workers there.
    fn store(&self, spec: &RunSpec, data: &Dataset, device: Device) -> Result<ImageStore> {
        let key = format!("{:?} {} {:?} {device:?}", spec.data, spec.augment, spec.precision.master());
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(&key) {
            return Ok(store.share());
        }
        let augmentation = if spec.augment { data.augmentation() } else { Augmentation::None };
        let store = ImageStore::new(data.images(), augmentation, device, spec.precision.master());
        // Other workers' streams read it.
        cuda::synchronize(device)?;
        let shared = store.share();
        stores.insert(key, store);
        Ok(shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What one GPU can never hold goes to another one that can; what none can stays, to fail there.
    #[test]
    fn pieces_go_where_they_fit() {
        let place = |(index, gigabytes)| DeviceSlot {
            device: Device::Cuda(index),
            memory: Memory::of(Some(gigabytes)),
        };
        let slots: Vec<DeviceSlot> = [(0, 5), (1, 10), (2, 7)].into_iter().map(place).collect();
        for (own, needed, expected) in [(0, 4, 0), (0, 6, 1), (2, 7, 2), (2, 8, 1), (0, 20, 0), (1, 10, 1)] {
            let found = pick_device(&slots, &slots[own], needed);
            assert_eq!(found.device, Device::Cuda(expected), "{needed} from {own}");
        }
        // Where nobody counts, everything stays.
        let open = [DeviceSlot { device: Device::Cuda(0), memory: Memory::of(None) }];
        assert_eq!(pick_device(&open, &open[0], 1).device, Device::Cuda(0));
    }
}
