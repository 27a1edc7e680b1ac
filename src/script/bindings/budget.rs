//! Rhai's own functions that make something of a given size, with a budget: a request beyond it is
//! an error, not a crash. And its `sleep`, which an interrupt ends.

use std::time::{Duration, Instant};

use rhai::plugin::*;
use rhai::{Array, Blob, Dynamic, ImmutableString};

use crate::error::{Error, Result};
use crate::interrupt;
use crate::script::convert::{Scripted, at, raise};

/// Elements that a script may ask for at once.
const MOST: usize = 100_000_000;

/// Elements that are made between two looks at the interrupt flag.
const SLICE: usize = 1 << 16;

/// The most elements, or bytes of a text, that may be asked for, where the engine has a limit of
/// its own (0: none).
pub(super) fn most(own: usize) -> usize {
    if own == 0 { MOST } else { own.min(MOST) }
}

/// A length that a script asked for, of at most `most`.
pub(super) fn length(call: &str, most: usize, asked: i64) -> Result<usize> {
    let asked = usize::try_from(asked).unwrap_or(0);
    if asked > most {
        return Err(Error::invalid(format!("{call}: expected at most {most} elements, found {asked}")));
    }
    Ok(asked)
}

/// Sleeps, unless an interrupt ends it.
fn sleep_for(context: &NativeCallContext, seconds: f64) -> Scripted<()> {
    const SLICE: Duration = Duration::from_millis(20);
    let until = Duration::try_from_secs_f64(seconds).ok().and_then(|time| Instant::now().checked_add(time));
    while !interrupt::raised() {
        let left = until.map_or(SLICE, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() || seconds.is_nan() || seconds <= 0.0 {
            return Ok(());
        }
        std::thread::sleep(left.min(SLICE));
    }
    Err(raise(Error::Interrupted, context.call_position()))
}

// Without doc comments: the functions are Rhai's, and help tells of kelvin's.
#[export_module]
pub mod functions {
    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_int(context: NativeCallContext, seconds: i64) -> Scripted<()> {
        sleep_for(&context, seconds as f64)
    }

    #[rhai_fn(name = "sleep", return_raw)]
    pub fn sleep_float(context: NativeCallContext, seconds: f64) -> Scripted<()> {
        sleep_for(&context, seconds)
    }

    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_array(context: NativeCallContext, array: &mut Array, len: i64, item: Dynamic) -> Scripted<()> {
        let len = length("pad", most(context.engine().max_array_size()), len)
            .map_err(|error| at(&context, error))?;
        let before = array.len();
        while array.len() < len {
            if let Err(error) = interrupt::check() {
                array.truncate(before);
                return Err(at(&context, error));
            }
            array.resize(len.min(array.len() + SLICE), item.clone());
        }
        Ok(())
    }

    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_blob(context: NativeCallContext, blob: &mut Blob, len: i64, item: i64) -> Scripted<()> {
        let len = length("pad", most(context.engine().max_array_size()), len)
            .map_err(|error| at(&context, error))?;
        if len > blob.len() {
            blob.resize(len, (item & 0xff) as u8);
        }
        Ok(())
    }

    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_text(
        context: NativeCallContext,
        text: &mut ImmutableString,
        len: i64,
        character: char,
    ) -> Scripted<()> {
        let len = length("pad", most(context.engine().max_string_size()), len)
            .map_err(|error| at(&context, error))?;
        let missing = len.saturating_sub(text.chars().count());
        text.make_mut().extend(std::iter::repeat_n(character, missing));
        Ok(())
    }

    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_text_with(
        context: NativeCallContext,
        text: &mut ImmutableString,
        len: i64,
        padding: &str,
    ) -> Scripted<()> {
        let len = length("pad", most(context.engine().max_string_size()), len)
            .map_err(|error| at(&context, error))?;
        let missing = len.saturating_sub(text.chars().count());
        let padding: Vec<char> = padding.chars().collect();
        if !padding.is_empty() {
            text.make_mut().extend(padding.iter().cycle().take(missing));
        }
        Ok(())
    }

    #[rhai_fn(name = "blob", return_raw)]
    pub fn blob_of(context: NativeCallContext, len: i64) -> Scripted<Blob> {
        let len = length("blob", most(context.engine().max_array_size()), len)
            .map_err(|error| at(&context, error))?;
        Ok(vec![0; len])
    }

    #[rhai_fn(name = "blob", return_raw)]
    pub fn blob_filled(context: NativeCallContext, len: i64, value: i64) -> Scripted<Blob> {
        let len = length("blob", most(context.engine().max_array_size()), len)
            .map_err(|error| at(&context, error))?;
        Ok(vec![(value & 0xff) as u8; len])
    }
}
