//! The count of allocations of this process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// How many counts there are. Threads take them in turn, so that they seldom write to one cache line.
const COUNTS: usize = 64;

/// A count on a cache line of its own.
#[repr(align(128))]
#[derive(Debug)]
struct Count(AtomicU64);

static ALLOCATED: [Count; COUNTS] = [const { Count(AtomicU64::new(0)) }; COUNTS];
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Returns how many allocations all threads made. A growth in place counts as one.
pub fn allocations() -> u64 {
    ALLOCATED.iter().map(|count| count.0.load(Relaxed)).sum()
}

/// The system's allocator, which counts its calls.
#[derive(Debug)]
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count() {
    // If a thread has dropped its locals already, its last few allocations are not counted.
    let mine = MINE.try_with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Relaxed) % COUNTS);
        }
        mine.get()
    });
    if let Ok(mine) = mine {
        ALLOCATED[mine].0.fetch_add(1, Relaxed);
    }
}

#[allow(unsafe_code, reason = "an allocator cannot be written without; every call is handed on as it came")]
// SAFETY: the system's allocator does all the work, with the arguments that this one was given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as for this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as for this function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as for this function.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as for this function.
        unsafe { System.dealloc(block, layout) }
    }
}
