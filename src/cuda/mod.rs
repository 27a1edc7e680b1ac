//! What libtorch does on a GPU and tch cannot ask of it: streams, CUDA graphs, TF32, free memory.
//!
//! `libtorch.cpp` is a small library, `libkelvin_cuda.so` beside the program, or what
//! `KELVIN_CUDA_LIBRARY` names; `tools/cuda.sh` builds it. Without it, and without a GPU,
//! everything still runs, a launch per operation.

mod library;
mod rounding;

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use tch::Device;

use crate::error::{Error, Result};
use library::Library;

pub(crate) use library::is_there;
pub(crate) use rounding::{forbid_tf32, rounding};

/// Graphs are recorded one at a time.
static RECORDING: Mutex<()> = Mutex::new(());

thread_local! {
    /// Whether this thread has a stream of its own; nothing can be recorded on the one that all
    /// others share.
    static OWN_STREAM: Cell<bool> = const { Cell::new(false) };
}

/// Whether work on this device can be recorded, by threads with a stream of their own.
pub(crate) fn available(device: Device) -> bool {
    matches!(device, Device::Cuda(_)) && Library::get().is_some()
}

/// Whether this thread can record work on this device.
pub(crate) fn can_record(device: Device) -> bool {
    available(device) && OWN_STREAM.get()
}

/// The calling thread works on this device from now on, on a stream that no other thread has until
/// it ends, if it can.
pub(crate) fn own_stream(device: Device) -> Result<()> {
    let (Device::Cuda(index), Some(library)) = (device, Library::get()) else { return Ok(()) };
    // SAFETY: a plain call.
    library.check(unsafe { (library.own_stream)(index as c_int) })?;
    OWN_STREAM.set(true);
    Ok(())
}

/// Does some work in a thread with a stream of its own, where there is a reason to; else here.
pub(crate) fn on_own_stream<T: Send>(device: Device, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if !available(device) || OWN_STREAM.get() {
        return work();
    }
    let scope = crate::interrupt::scope();
    std::thread::scope(|threads| {
        let thread = crate::threads::start(threads, move || {
            crate::interrupt::work_for(scope);
            own_stream(device)?;
            work()
        })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Waits until what the calling thread's stream was given is done, on a GPU with the library.
pub(crate) fn synchronize(device: Device) -> Result<()> {
    match Library::get().filter(|_| device != Device::Cpu) {
        // SAFETY: a plain call.
        Some(library) => library.check(unsafe { (library.synchronize)() }),
        None => Ok(()),
    }
}

/// Bytes that are free on a GPU; none where nobody can tell.
pub(crate) fn free_memory(device: Device) -> Option<u64> {
    let (Device::Cuda(index), Some(library)) = (device, Library::get()) else { return None };
    let mut bytes = 0;
    // SAFETY: a plain call, which writes a number.
    library.check(unsafe { (library.free_memory)(index as c_int, &raw mut bytes) }).ok()?;
    Some(bytes as u64)
}

/// Recorded work.
pub(crate) struct Graph {
    library: &'static Library,
    graph: *mut c_void,
}

// SAFETY: a graph is used by one thread at a time; libtorch's graphs may be replayed by another
// thread than recorded them.
unsafe impl Send for Graph {}

impl Graph {
    /// Records what `work` launches on the calling thread's stream, which is its own
    /// ([`own_stream`]). Nothing of it runs. It shares the memory of a graph that is never replayed
    /// at the same time, if there is one.
    pub(crate) fn record(beside: Option<&Self>, work: impl FnOnce()) -> Result<Self> {
        let library = Library::get().ok_or_else(|| Error::invalid("CUDA graphs are not there"))?;
        let _one = RECORDING.lock().unwrap_or_else(PoisonError::into_inner);
        let beside = beside.map_or(std::ptr::null_mut(), |graph| graph.graph);
        // SAFETY: plain calls; the graphs are the library's until they are freed.
        unsafe {
            library.check((library.synchronize)())?;
            let mut graph = std::ptr::null_mut();
            let begun = library.check((library.begin)(&raw mut graph, beside));
            let made = Self { library, graph };
            begun?;
            // Whatever becomes of the work, the recording has to end.
            let worked = catch_unwind(AssertUnwindSafe(work));
            let ended = library.check((library.end)(graph));
            match worked {
                Ok(()) => ended.map(|()| made),
                Err(panic) => Err(Error::Torch(crate::error::panic_message(panic.as_ref()))),
            }
        }
    }

    /// Runs it.
    pub(crate) fn replay(&self) -> Result<()> {
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
