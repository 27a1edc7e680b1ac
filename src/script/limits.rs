//! How deep and how large the values of a script may become.
//!
//! Rhai's own limits on sizes would walk a whole array after each change of an element. Instead the
//! variables are looked at now and then, when one of them is read: after so many reads, without
//! which nothing becomes deeper or larger, or when much was allocated since. Until it is noticed a
//! value may be deeper than the limit; the program's stack is made for that ([`STACK`]).

use std::cell::Cell;
use std::collections::HashMap;

use rhai::{Array, Blob, Dynamic, Engine, EvalAltResult, FnPtr, ImmutableString, Map, Position, Scope};

use crate::memory::allocated;

/// Bytes of stack of a thread that evaluates scripts: to drop, copy, compare and print values that
/// are deeper than the limit and not noticed yet. Only what is touched is memory.
pub const STACK: usize = 1 << 30;

/// Levels of arrays, maps and functions within one another.
const DEEPEST: u32 = 2_000;

/// Bytes of arrays, maps and texts that the variables of a script, or of one of its functions, may
/// hold.
const LARGEST: u64 = 1 << 30;

/// Reads of variables from one look at all of them to the next, at least.
const READS: u64 = 1 << 16;

/// Bytes that are allocated meanwhile, at most, where the variables hold less.
const ALLOCATED: u64 = 1 << 28;

/// Bytes that an array, a map or a key takes besides what is in it.
const BOX: u64 = 32;

/// Bytes of a text from which on it is asked whether it was counted before.
const SHARED: usize = 1 << 12;

/// When the variables are looked at next.
#[derive(Default)]
struct Next {
    /// Reads of variables that are left.
    reads: Cell<u64>,
    /// Where the count of allocated bytes is to be then.
    allocated: Cell<u64>,
}

/// Has an engine keep the limits.
pub(super) fn keep(engine: &mut Engine) {
    let next = Next::default();
    // Rhai marks the call so because it may change.
    #[allow(deprecated)]
    engine.on_var(move |_, _, context| {
        let left = next.reads.get();
        if left > 0 && allocated() <= next.allocated.get() {
            next.reads.set(left - 1);
            return Ok(None);
        }
        let extent = Extent::of(context.scope());
        // Where much is held, looking at it takes long.
        next.reads.set(READS.max(extent.values / 16));
        next.allocated.set(allocated() + ALLOCATED.max(extent.bytes / 2));
        extent.check()?;
        Ok(None)
    });
}

/// How much values hold.
#[derive(Default)]
struct Extent {
    values: u64,
    bytes: u64,
    depth: u32,
    /// Of what is held in several places: how deep it is.
    shared: HashMap<usize, u32>,
}

impl Extent {
    fn of(scope: &Scope) -> Self {
        let mut found = Self::default();
        for (_, _, value) in scope.iter_raw() {
            let depth = found.add(value, 0);
            found.depth = found.depth.max(depth);
        }
        found
    }

    /// Adds a value that stands `above` levels deep. Returns how many levels it has; not to the end
    /// where that is too many.
    fn add(&mut self, value: &Dynamic, above: u32) -> u32 {
        self.values += 1;
        self.bytes += size_of::<Dynamic>() as u64;
        if above > DEEPEST || self.bytes > LARGEST {
            return 1;
        }
        if value.is_shared() {
            // What is being changed at the moment cannot be looked at.
            let Some(inner) = value.read_lock::<Dynamic>() else { return 0 };
            let place = std::ptr::from_ref::<Dynamic>(&inner) as usize;
            if let Some(depth) = self.shared.get(&place) {
                return *depth;
            }
            // A function may hold itself.
            self.shared.insert(place, 0);
            let depth = self.add(&inner, above);
            self.shared.insert(place, depth);
            return depth;
        }
        let mut deepest = 0;
        if let Some(array) = value.read_lock::<Array>() {
            self.bytes += BOX + ((array.capacity() - array.len()) * size_of::<Dynamic>()) as u64;
            for part in array.iter() {
                deepest = self.add(part, above + 1).max(deepest);
            }
        } else if let Some(map) = value.read_lock::<Map>() {
            self.bytes += BOX;
            for (key, part) in map.iter() {
                self.bytes += key.len() as u64 + BOX;
                deepest = self.add(part, above + 1).max(deepest);
            }
        } else if let Some(function) = value.read_lock::<FnPtr>() {
            self.bytes += 2 * BOX;
            for part in function.curry() {
                deepest = self.add(part, above + 1).max(deepest);
            }
        } else {
            if let Some(text) = value.read_lock::<ImmutableString>() {
                let place = text.as_ptr() as usize;
                if text.len() < SHARED || self.shared.insert(place, 0).is_none() {
                    self.bytes += text.len() as u64;
                }
            } else if let Some(blob) = value.read_lock::<Blob>() {
                self.bytes += blob.len() as u64;
            }
            return 0;
        }
        deepest + 1
    }

    fn check(&self) -> Result<(), Box<EvalAltResult>> {
        let text = if self.depth > DEEPEST {
            format!(
                "a value is deeper than {DEEPEST} arrays, maps or functions within one another; keep what is in them side by side"
            )
        } else if self.bytes > LARGEST {
            format!(
                "the variables hold more than {} GB of arrays, maps and texts; set those that are done with to (), \
                 and keep many numbers in a table, which needs 8 bytes for each",
                LARGEST >> 30
            )
        } else {
            return Ok(());
        };
        Err(Box::new(EvalAltResult::ErrorRuntime(text.into(), Position::NONE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(script: &str) -> Extent {
        let engine = crate::script::engine(&crate::script::Session::silent());
        let mut scope = Scope::new();
        let _ = crate::script::evaluate(&engine, &mut scope, script).unwrap();
        Extent::of(&scope)
    }

    #[test]
    fn values_are_measured() {
        for (script, depth) in [
            ("let a = 1;", 0),
            ("let a = [];", 1),
            ("let a = [1, [2, [3]], #{ b: 4 }];", 3),
            ("let a = #{ b: #{ c: [] } };", 3),
            ("let a = 1; let f = || a;", 1),
            ("let a = [1]; let f = || a; let g = [|| f];", 4),
            // The deepest way counts, also where another one was seen before.
            ("let a = []; let all = [|| a]; for i in 0..5 { let f = all[i]; all.push(|| f); }", 8),
        ] {
            assert_eq!(extent(script).depth, depth, "{script}");
        }
        let long = "let s = \"\"; s.pad(100000, 'x');";
        let bytes = extent(long).bytes;
        assert!((100_000..110_000).contains(&bytes), "{bytes}");
        let shared = extent(&format!("{long} let a = []; for i in 0..100 {{ a.push(s); }}")).bytes;
        assert!(shared < 130_000, "{shared}");
    }
}
