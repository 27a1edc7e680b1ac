//! The functions of `libtorch.cpp`, found at run time.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::error::{Error, Result};

/// The library's functions. Those that give a number give 0, or 1 where libtorch threw.
pub(super) struct Library {
    error: unsafe extern "C" fn() -> *const c_char,
    pub(super) own_stream: unsafe extern "C" fn(c_int) -> c_int,
    pub(super) synchronize: unsafe extern "C" fn() -> c_int,
    pub(super) allow_tf32: unsafe extern "C" fn(c_int) -> c_int,
    pub(super) free_memory: unsafe extern "C" fn(c_int, *mut usize) -> c_int,
    pub(super) begin: unsafe extern "C" fn(*mut *mut c_void, *mut c_void) -> c_int,
    pub(super) end: unsafe extern "C" fn(*mut c_void) -> c_int,
    pub(super) replay: unsafe extern "C" fn(*mut c_void) -> c_int,
    pub(super) free: unsafe extern "C" fn(*mut c_void),
}

/// Where the library would be.
fn path() -> Option<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("libkelvin_cuda.so"));
    std::env::var_os("KELVIN_CUDA_LIBRARY").map(PathBuf::from).or_else(beside)
}

/// Whether there is a library to load.
pub(crate) fn is_there() -> bool {
    path().is_some_and(|path| path.exists())
}

impl Library {
    /// The library, if it is there; looked for once, after CUDA was loaded.
    pub(super) fn get() -> Option<&'static Self> {
        static LIBRARY: OnceLock<Option<Library>> = OnceLock::new();
        LIBRARY.get_or_init(Self::load).as_ref()
    }

    fn load() -> Option<Self> {
        let path = path().filter(|path| path.exists())?;
        let loaded = Self::of(&path);
        if let Err(said) = &loaded {
            let text = format!(
                "kelvin: {} cannot be used: {said}; training on a GPU goes on without CUDA graphs",
                path.display()
            );
            // If nobody reads stderr, the numbers are still the same.
            let _ = writeln!(std::io::stderr(), "{}", crate::visible::visible(&text));
        }
        loaded.ok()
    }

    fn of(path: &std::path::Path) -> std::result::Result<Self, String> {
        let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|error| error.to_string())?;
        // SAFETY: the name is a C string, and the library's initialisers are libtorch's own.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        let said = || {
            // SAFETY: dlerror gives nothing, or a C string that lives until the next call.
            let said = unsafe { libc::dlerror() };
            if said.is_null() {
                return String::new();
            }
            // SAFETY: as above.
            unsafe { CStr::from_ptr(said) }.to_string_lossy().into_owned()
        };
        if handle.is_null() {
            return Err(said());
        }
        /// A function of the library.
        ///
        /// # Safety
        /// `F` is the type of a pointer to the function of this name.
        unsafe fn function<F>(handle: *mut c_void, name: &CStr) -> std::result::Result<F, String> {
            const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
            // SAFETY: the handle is open and the name a C string.
            let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
            if found.is_null() {
                return Err(format!("it has no {}; build it again: tools/cuda.sh", name.to_string_lossy()));
            }
            // SAFETY: the caller's promise, and both are pointers.
            Ok(unsafe { std::mem::transmute_copy(&found) })
        }
        // SAFETY: libtorch.cpp declares these functions with these types.
        unsafe {
            Ok(Self {
                error: function(handle, c"kelvin_error")?,
                own_stream: function(handle, c"kelvin_own_stream")?,
                synchronize: function(handle, c"kelvin_synchronize")?,
                allow_tf32: function(handle, c"kelvin_allow_tf32")?,
                free_memory: function(handle, c"kelvin_free_memory")?,
                begin: function(handle, c"kelvin_graph_begin")?,
                end: function(handle, c"kelvin_graph_end")?,
                replay: function(handle, c"kelvin_graph_replay")?,
                free: function(handle, c"kelvin_graph_free")?,
            })
        }
    }

    /// What libtorch threw, if a call's status says that it did.
    pub(super) fn check(&self, status: c_int) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the library's message is a C string that lives until the next call of this
        // thread.
        let said = unsafe { CStr::from_ptr((self.error)()) }.to_string_lossy().into_owned();
        Err(Error::Torch(crate::error::first_line(&said)))
    }
}
