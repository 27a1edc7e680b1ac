//! A stack's slabs, shared out to threads.
//!
//! A lone run of a wide net leaves cores idle otherwise. Bits do not depend on which thread is
//! faster. They do depend on how many threads there are, which a plan freezes: each adds up the
//! gradients of its own slabs.

use std::panic::resume_unwind;

use super::slab::Slab;

/// Works on items in as many threads as there is scratch memory for, a contiguous part in each: the
/// first part in this thread.
pub(super) fn share<I: Send, D: Send>(
    items: impl Iterator<Item = I>,
    scratch: &mut [D],
    work: impl Fn(I, &mut D) + Sync,
) {
    let Some((first, others)) = scratch.split_first_mut() else { return };
    if others.is_empty() {
        return items.for_each(|item| work(item, first));
    }
    let mut items: Vec<I> = items.collect();
    let (count, parts, work) = (items.len(), others.len() + 1, &work);
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (index, memory) in others.iter_mut().enumerate().rev() {
            let own = items.split_off(count * (index + 1) / parts);
            let work = move || own.into_iter().for_each(|item| work(item, memory));
            // As other failures of a step are told.
            threads.push(crate::threads::start(scope, work).unwrap_or_else(|error| panic!("{error}")));
        }
        items.into_iter().for_each(|item| work(item, first));
        for thread in threads {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
}

/// Each slab's part of a buffer with so many numbers per pack.
pub(super) fn parts<'a, T>(
    buffer: &'a [T],
    slabs: &'a [Slab],
    numbers: usize,
) -> impl Iterator<Item = &'a [T]> {
    slabs.iter().map(move |slab| &buffer[slab.of(numbers)])
}

/// The same, to be written to. Slabs follow one another from the beginning on.
pub(super) fn parts_mut<'a, T>(
    buffer: &'a mut [T],
    slabs: &'a [Slab],
    numbers: usize,
) -> impl Iterator<Item = &'a mut [T]> {
    let mut rest = buffer;
    slabs.iter().map(move |slab| {
        let (own, after) = std::mem::take(&mut rest).split_at_mut(slab.packs * numbers);
        rest = after;
        own
    })
}
