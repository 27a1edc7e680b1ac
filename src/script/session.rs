//! The state of a running script or prompt besides its variables.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhai::{Engine, Map, NativeCallContext};

use super::arguments::Arguments;
use super::handles::{JobHandle, TrainedRun};
use super::output::tell;
use crate::error::{Error, Result};
use crate::interrupt;
use crate::sweep::{Job, Observer, Provenance, RunOptions, Script, Silent, Stage};

/// After Ctrl-C the prompt is back within a second.
const AT_THE_PROMPT: Duration = Duration::from_millis(500);

/// Makes an observer for each training.
pub type ObserverFactory = Box<dyn Fn() -> Box<dyn Observer>>;

/// Asks the user a question that is answered with yes or no.
pub type Ask = Box<dyn Fn(&str) -> Result<bool>>;

/// Prints a line, from any thread.
pub type Notifier = Arc<dyn Fn(&str) + Send + Sync>;

/// The arguments, the script and the progress display of an engine. The engine carries it as its
/// tag.
pub struct Session {
    /// The `-D name=value` arguments.
    pub arguments: Arguments,
    script: RefCell<Option<Script>>,
    /// Where the script lies, if it is a file.
    folder: RefCell<Option<PathBuf>>,
    observer: ObserverFactory,
    problems: RefCell<Vec<String>>,
    /// The modules that were imported: what errors call them, and their texts.
    modules: RefCell<BTreeMap<String, String>>,
    interactive: Cell<bool>,
    data_dir: RefCell<Option<PathBuf>>,
    /// Folders that may be written to besides the current one.
    writable: RefCell<Vec<PathBuf>>,
    /// Whether shell lines of scripts may go into job scripts; none: not decided yet.
    shell: Cell<Option<bool>>,
    /// Asks the user, at a terminal.
    ask: RefCell<Option<Ask>>,
    /// Whether modules are to be read again.
    stale: Cell<bool>,
    jobs: RefCell<Vec<JobHandle>>,
    notifier: RefCell<Notifier>,
    last_run: RefCell<Option<TrainedRun>>,
}

impl Session {
    /// A session with these arguments, which shows training as `observer` does.
    pub fn new(arguments: Arguments, observer: ObserverFactory) -> Rc<Self> {
        Rc::new(Self {
            arguments,
            script: RefCell::default(),
            folder: RefCell::default(),
            observer,
            problems: RefCell::default(),
            modules: RefCell::default(),
            interactive: Cell::new(false),
            data_dir: RefCell::default(),
            writable: RefCell::default(),
            shell: Cell::new(None),
            ask: RefCell::default(),
            stale: Cell::new(false),
            jobs: RefCell::default(),
            notifier: RefCell::new(Arc::new(tell)),
            last_run: RefCell::default(),
        })
    }

    /// A session without arguments that shows nothing.
    pub fn silent() -> Rc<Self> {
        Self::new(Arguments::default(), Box::new(|| Box::new(Silent)))
    }

    /// The session of the engine that makes this call.
    pub(super) fn of(context: &NativeCallContext) -> Rc<Self> {
        context.tag().and_then(|tag| tag.clone().try_cast::<Rc<Self>>()).unwrap_or_else(Self::silent)
    }

    /// The session of an engine.
    pub(super) fn of_engine(engine: &Engine) -> Rc<Self> {
        engine.default_tag().clone().try_cast::<Rc<Self>>().unwrap_or_else(Self::silent)
    }

    /// Lets scripts write to these folders, too.
    pub fn set_writable(&self, folders: Vec<PathBuf>) {
        *self.writable.borrow_mut() = folders;
    }

    /// Whether scripts may write to a path: only below the current folder and those that were
    /// named.
    ///
    /// # Errors
    ///
    /// What to write instead.
    pub fn may_write(&self, path: &Path) -> Result<()> {
        let io = |error| Error::io(path, error);
        let target = real(path).map_err(io)?;
        let here = std::fs::canonicalize(".").map_err(io)?;
        let allowed = self
            .writable
            .borrow()
            .iter()
            .any(|folder| real(folder).is_ok_and(|real| target.starts_with(real)));
        if allowed || target.starts_with(here) {
            return Ok(());
        }
        let folder = target.parent().unwrap_or(&target);
        Err(Error::invalid(format!(
            "{}: expected a path below the current folder, where scripts may write; kelvin --allow-write {} lets them write there",
            path.display(),
            folder.display()
        )))
    }

    /// Lets scripts put shell lines into job scripts.
    pub fn allow_shell(&self) {
        self.shell.set(Some(true));
    }

    /// Asks through this whether scripts may put shell lines into job scripts, once.
    pub fn set_ask(&self, ask: Ask) {
        *self.ask.borrow_mut() = Some(ask);
    }

    /// Whether a script may put these shell lines into a job script: scripts start no processes,
    /// and these would.
    ///
    /// # Errors
    ///
    /// What to write instead; [`Error::Interrupted`] where the user was asked.
    pub(super) fn may_run_shell(&self, lines: &str) -> Result<()> {
        if self.shell.get().is_none()
            && let Some(ask) = &*self.ask.borrow()
        {
            let shown: Vec<String> = lines.lines().map(|line| format!("  {}", line.escape_debug())).collect();
            let shown = shown.join("\n");
            let question = format!(
                "slurm: setup puts these shell lines into job scripts:\n{shown}\nmay scripts of this session do so? (y/N) "
            );
            self.shell.set(Some(ask(&question)?));
        }
        match self.shell.get() {
            Some(true) => Ok(()),
            _ => Err(Error::invalid(
                "slurm: setup holds shell lines for job scripts, which scripts run only with kelvin --allow-shell; \
                 or leave it out, .save(dir) the sweep, and send it from a shell: kelvin submit DIR --setup '…'",
            )),
        }
    }

    /// Has modules read again at their next import.
    pub fn forget_modules(&self) {
        self.stale.set(true);
    }

    /// Whether modules are to be read again; the question settles it.
    pub(super) fn take_stale(&self) -> bool {
        self.stale.take()
    }

    /// Lets jobs print through this, so that they do not garble a line that is being typed.
    pub fn set_notifier(&self, notifier: Notifier) {
        *self.notifier.borrow_mut() = notifier;
    }

    /// How jobs print.
    pub(super) fn notifier(&self) -> Notifier {
        Arc::clone(&self.notifier.borrow())
    }

    /// Notes a sweep that runs in the background.
    pub(super) fn add_job(&self, job: Job, options: Rc<Vec<Map>>) -> JobHandle {
        let mut jobs = self.jobs.borrow_mut();
        let handle = JobHandle { number: jobs.len() as i64 + 1, job: Rc::new(job), _options: options };
        jobs.push(handle.clone());
        handle
    }

    /// The number that the next job gets.
    pub(super) fn next_job(&self) -> usize {
        self.jobs.borrow().len() + 1
    }

    /// Every job of this session, in the order in which they began.
    pub(super) fn jobs(&self) -> Vec<JobHandle> {
        self.jobs.borrow().clone()
    }

    /// How many jobs train and were not asked to stop.
    pub fn running_jobs(&self) -> usize {
        let runs = |handle: &&JobHandle| !handle.job.is_over() && !handle.job.is_stopping();
        self.jobs.borrow().iter().filter(runs).count()
    }

    /// The job that trains in a folder, however the folder is written.
    pub(super) fn job_in(&self, dir: &Path) -> Option<JobHandle> {
        let place = real(dir).ok()?;
        let is_there = |handle: &JobHandle| real(handle.job.dir()).is_ok_and(|other| other == place);
        self.jobs().into_iter().find(|handle| !handle.job.is_over() && is_there(handle))
    }

    /// Refuses to run in a folder in which a job trains; a job that is stopping is waited for.
    pub(super) fn refuse_beside_a_job(&self, call: &str, dir: &str) -> Result<()> {
        let Some(other) = self.job_in(Path::new(dir)) else { return Ok(()) };
        if matches!(other.job.progress().stage, Stage::Stopping) {
            return other.job.wait().map(|_| ());
        }
        let number = other.number;
        Err(Error::invalid(format!(
            "{call}: job {number} trains in {dir} already; .wait() for it, or .stop() it; jobs() lists the jobs"
        )))
    }

    /// Waits for all jobs, and notes what went wrong with them. An interrupt stops them, with
    /// checkpoints.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Interrupted`] when the user asked to stop.
    pub fn finish_jobs(&self) -> Result<()> {
        let jobs = self.jobs();
        let waited = jobs.iter().try_for_each(|handle| {
            let progress = handle.job.wait()?;
            // SIGTERM reaches a job directly, which may be over before whoever waits for it looks
            // at the flag.
            if progress.stage == Stage::Stopped {
                interrupt::check()?;
            }
            if let Some(problem) = handle.problem(&progress) {
                self.note_problem(problem);
            }
            Ok(())
        });
        if waited.is_err() {
            self.stop_jobs();
        }
        waited
    }

    /// Stops all jobs and waits for their checkpoints, for as long as an interrupted training may
    /// take.
    pub fn stop_jobs(&self) {
        let jobs = self.jobs();
        jobs.iter().for_each(|handle| handle.job.stop());
        let until = Instant::now() + RunOptions::default().patience;
        while jobs.iter().any(|handle| !handle.job.is_over()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Keeps what was trained last.
    pub(super) fn keep_run(&self, run: TrainedRun) {
        *self.last_run.borrow_mut() = Some(run);
    }

    /// What was trained last.
    pub(super) fn last_run(&self) -> Option<TrainedRun> {
        self.last_run.borrow().clone()
    }

    /// From now on a user waits for the prompt.
    pub fn set_interactive(&self) {
        self.interactive.set(true);
    }

    /// Names the folder of data sets, before what the surroundings say.
    pub fn set_data_dir(&self, folder: Option<PathBuf>) {
        *self.data_dir.borrow_mut() = folder;
    }

    /// The folder of data sets.
    pub(super) fn data_dir(&self) -> Result<PathBuf> {
        crate::data::data_dir(self.data_dir.borrow().as_deref())
    }

    /// How long an interrupted training may take to finish its step and its checkpoints.
    pub(super) fn patience(&self) -> Duration {
        if self.interactive.get() { AT_THE_PROMPT } else { RunOptions::default().patience }
    }

    /// Prints a line that is no result, where progress is shown.
    pub(super) fn tell(&self, text: &str) {
        self.observer().notify(text);
    }

    /// Notes the script that runs, for the provenance of its sweeps.
    pub fn set_script(&self, path: &str, text: &str) {
        *self.script.borrow_mut() = Some(Script::new(path, text));
    }

    /// Sets the script's folder, where its name alone does not tell it.
    pub fn set_folder(&self, folder: Option<&Path>) {
        *self.folder.borrow_mut() = folder.map(Path::to_owned);
    }

    /// The script's folder; the current one at the prompt.
    pub(super) fn folder(&self) -> PathBuf {
        let (script, folder) = (self.script.borrow(), self.folder.borrow());
        let file = script.as_ref().map(|script| Path::new(&script.path)).filter(|path| path.is_file());
        match folder.as_deref().or(file.and_then(Path::parent)) {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    /// Notes the text of a module, for errors in it.
    pub(super) fn note_module(&self, name: &str, text: &str) {
        self.modules.borrow_mut().insert(name.to_owned(), text.to_owned());
    }

    /// The modules that were imported: what errors call them, and their texts.
    pub fn modules(&self) -> BTreeMap<String, String> {
        self.modules.borrow().clone()
    }

    /// Where a sweep of this session comes from.
    pub(super) fn provenance(&self) -> Provenance {
        Provenance {
            script: self.script.borrow().clone(),
            modules: self.modules.borrow().iter().map(|(name, text)| Script::new(name, text)).collect(),
            arguments: self.arguments.given(),
            ..Provenance::here()
        }
    }

    pub(super) fn observer(&self) -> Box<dyn Observer> {
        (self.observer)()
    }

    /// Notes that something of a sweep went wrong without stopping the script.
    pub(super) fn note_problem(&self, problem: String) {
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// What went wrong without stopping the script, since the last call.
    pub fn take_problems(&self) -> Vec<String> {
        std::mem::take(&mut self.problems.borrow_mut())
    }
}

/// Where a path leads, whether or not something is there yet: links of the folders that exist are
/// followed. Where that is not certain, because a link leads nowhere or `..` follows a folder that
/// is still to be made, it is an error.
fn real(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let uncertain = |text: &str| Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, text));
    for ancestor in path.ancestors() {
        if let Ok(found) = std::fs::canonicalize(ancestor) {
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            if rest.components().any(|part| part == std::path::Component::ParentDir) {
                return uncertain("expected a path without `..` after a folder that does not exist");
            }
            return Ok(found.join(rest));
        }
        if std::fs::symlink_metadata(ancestor).is_ok() {
            return uncertain("a part of it is a link that leads nowhere; write to another file");
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_write_below_the_current_folder_only() {
        let session = Session::silent();
        for inside in ["results/a.parquet", "a", "./b/c", "src/../x", "not/yet/there"] {
            assert!(session.may_write(Path::new(inside)).is_ok(), "{inside}");
        }
        for outside in ["/etc/x", "../x", "a/../../x", "not/yet/../../../x"] {
            let error = session.may_write(Path::new(outside)).unwrap_err().to_string();
            assert!(error.contains("--allow-write") || error.contains("without `..`"), "{outside}: {error}");
        }
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("link")).unwrap();
        session.set_writable(vec![folder.path().to_owned()]);
        assert!(session.may_write(&folder.path().join("deep/er")).is_ok());
        assert!(session.may_write(&folder.path().join("link/x")).is_err());
        // What the system would follow later: links after a folder that is still to be made, and
        // those that lead nowhere yet.
        assert!(session.may_write(&folder.path().join("fresh/../link/x")).is_err());
        std::os::unix::fs::symlink("/etc/nothing-yet", folder.path().join("dangling")).unwrap();
        assert!(session.may_write(&folder.path().join("dangling")).is_err());
    }
}
