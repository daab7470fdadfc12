//! Ends a machine whose loop stands still, where a timer interrupts. What is counted is the timer's interrupts
//! and not time, so that a machine that its host paused is not taken for one that stands.
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// How many interrupts without a turn end the machine.
pub const MOST: i32 = 4;
/// Interrupts in the time that it is told of: the last turn was between two of them.
pub const STEPS: u64 = 3;

/// Interrupts since the last turn. Far below zero while the CPU sleeps, and before there is a loop.
pub static COUNT: AtomicI32 = AtomicI32::new(i32::MIN);
/// What the timer counts down from after each interrupt; 0 stops it.
pub static INTERVAL: AtomicU32 = AtomicU32::new(0);

static ASKED_TO_STAND: AtomicBool = AtomicBool::new(false);

/// The loop goes on.
pub fn turned() {
    COUNT.store(0, Ordering::Relaxed);
}

/// The CPU sleeps until `turned`.
pub fn sleeps() {
    COUNT.store(i32::MIN, Ordering::Relaxed);
}

/// For tests: the next `stand_if_asked` never returns.
pub fn ask_to_stand() {
    ASKED_TO_STAND.store(true, Ordering::Relaxed);
}

pub fn stand_if_asked() {
    while ASKED_TO_STAND.load(Ordering::Relaxed) {
        core::hint::spin_loop();
    }
}
