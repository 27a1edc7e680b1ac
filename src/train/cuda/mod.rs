//! CUDA graphs: a whole step recorded once and replayed without the host, where the library of `graphs.cpp` is there.
//!
//! The library is `libkelvin_cuda.so` beside the program, or what `KELVIN_CUDA_LIBRARY` names. Without it, and without a
//! GPU, everything still runs, a launch per operation.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use tch::Device;

use crate::error::{Error, Result};

type Status = unsafe extern "C" fn() -> c_int;
type OfGraph = unsafe extern "C" fn(*mut c_void) -> c_int;

/// The library's functions.
struct Library {
    error: unsafe extern "C" fn() -> *const c_char,
    own_stream: unsafe extern "C" fn(c_int) -> c_int,
    synchronize: Status,
    begin: unsafe extern "C" fn(*mut *mut c_void) -> c_int,
    end: OfGraph,
    replay: OfGraph,
    free: unsafe extern "C" fn(*mut c_void),
}

/// Runs that train at once on a GPU, each on its stream: to be measured (`docs/speed.md`).
pub(super) const STREAMS: usize = 16;

/// Graphs are recorded one at a time.
static RECORDING: Mutex<()> = Mutex::new(());

impl Library {
    /// The library, if it is there; looked for once, after CUDA was loaded.
    fn get() -> Option<&'static Self> {
        static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
        LIBRARY.get_or_init(Self::load).as_ref()
    }

    fn load() -> Option<Self> {
        let beside = || Some(std::env::current_exe().ok()?.with_file_name("libkelvin_cuda.so"));
        let path = std::env::var_os("KELVIN_CUDA_LIBRARY").map(PathBuf::from).or_else(beside)?;
        if !path.exists() {
            return None;
        }
        let name = CString::new(path.to_str()?).ok()?;
        // SAFETY: the name is a C string, and the library's initialisers are libtorch's own.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        if handle.is_null() {
            // SAFETY: dlerror gives a C string or nothing.
            let said = unsafe { libc::dlerror() };
            let text = |said: *const c_char| {
                // SAFETY: dlerror's message, which is a C string until the next call.
                unsafe { CStr::from_ptr(said) }.to_string_lossy().into_owned()
            };
            let said = if said.is_null() { String::new() } else { text(said) };
            eprintln!(
                "kelvin: {} cannot be used: {said}; training goes on without CUDA graphs",
                path.display()
            );
            return None;
        }
        let symbol = |name: &CStr| {
            // SAFETY: the handle is open and the name a C string.
            let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
            (!found.is_null()).then_some(found)
        };
        // SAFETY: graphs.cpp declares these functions with these types.
        unsafe {
            Some(Self {
                error: std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const c_char>(symbol(
                    c"kelvin_error",
                )?),
                own_stream: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(c_int) -> c_int>(symbol(
                    c"kelvin_own_stream",
                )?),
                synchronize: std::mem::transmute::<*mut c_void, Status>(symbol(c"kelvin_synchronize")?),
                begin: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut *mut c_void) -> c_int>(
                    symbol(c"kelvin_graph_begin")?,
                ),
                end: std::mem::transmute::<*mut c_void, OfGraph>(symbol(c"kelvin_graph_end")?),
                replay: std::mem::transmute::<*mut c_void, OfGraph>(symbol(c"kelvin_graph_replay")?),
                free: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void)>(symbol(
                    c"kelvin_graph_free",
                )?),
            })
        }
    }

    fn check(&self, status: c_int) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the library's message is a C string that lives until the next call of this thread.
        let said = unsafe { CStr::from_ptr((self.error)()) }.to_string_lossy().into_owned();
        Err(Error::Torch(crate::error::first_line(&said)))
    }
}

/// Whether steps on this device can be recorded.
pub(super) fn available(device: Device) -> bool {
    matches!(device, Device::Cuda(_)) && Library::get().is_some()
}

/// The calling thread has a stream of its own from now on, if it can.
pub(super) fn own_stream(device: Device) -> Result<()> {
    let Device::Cuda(index) = device else { return Ok(()) };
    match Library::get() {
        // SAFETY: a plain call.
        Some(library) => library.check(unsafe { (library.own_stream)(index as c_int) }),
        None => Ok(()),
    }
}

/// Waits until what the calling thread's stream was given is done, on a GPU with the library.
pub(super) fn synchronize(device: Device) -> Result<()> {
    if device == Device::Cpu {
        return Ok(());
    }
    match Library::get() {
        // SAFETY: a plain call.
        Some(library) => library.check(unsafe { (library.synchronize)() }),
        None => Ok(()),
    }
}

/// A recorded step.
pub(super) struct Graph {
    library: &'static Library,
    graph: *mut c_void,
}

// SAFETY: a graph is used by one thread at a time; libtorch's graphs may be replayed by another thread than recorded them.
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `work` launches on the calling thread's stream, which is its own ([`own_stream`]). Nothing of it runs.
    pub(super) fn record(work: impl FnOnce()) -> Result<Self> {
        let library = Library::get().ok_or_else(|| Error::invalid("CUDA graphs are not there"))?;
        let _one = RECORDING.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: plain calls; the graph is the library's until it is freed.
        unsafe {
            library.check((library.synchronize)())?;
            let mut graph = std::ptr::null_mut();
            let begun = library.check((library.begin)(&raw mut graph));
            let made = Self { library, graph };
            begun?;
            work();
            library.check((library.end)(graph))?;
            Ok(made)
        }
    }

    /// Runs it.
    pub(super) fn replay(&self) -> Result<()> {
        // SAFETY: the graph is there as long as self.
        self.library.check(unsafe { (self.library.replay)(self.graph) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if !self.graph.is_null() {
            // SAFETY: nobody else frees it.
            unsafe { (self.library.free)(self.graph) };
        }
    }
}
