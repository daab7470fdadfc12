//! The instructions that have no safe form in `core`: time stamps, random numbers, stopping.
pub mod apic;
pub mod clock;
pub mod keyboard;
pub mod mem;
pub mod pci;
pub mod port;
pub mod power;
pub mod rtc;
pub mod watchdog;

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count, _rdrand64_step, _rdseed64_step, _rdtsc};
use core::sync::atomic::{AtomicU8, Ordering};
use drivers::solo5::Hypercalls;

/// What this machine is, where that decides what may be touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Host {
    /// A PC, as QEMU, Firecracker and cloud-hypervisor make one.
    Pc,
    Xen,
    /// No port but those of the tender, no interrupts, and no stopping of the CPU.
    Solo5,
}

static HOST: AtomicU8 = AtomicU8::new(Host::Pc as u8);

/// Says what this machine is, before anything else is touched.
pub fn set_host(host: Host) {
    HOST.store(host as u8, Ordering::Relaxed);
}

pub fn host() -> Host {
    match HOST.load(Ordering::Relaxed) {
        host if host == Host::Xen as u8 => Host::Xen,
        host if host == Host::Solo5 as u8 => Host::Solo5,
        _ => Host::Pc,
    }
}

/// The calls of Solo5's tender, if there is one.
pub fn tender() -> Option<Hypercalls> {
    // SAFETY: `set_host` said that this is Solo5; boot.s mapped memory to itself, and `boot::solo5` leaves out
    // the last page.
    (host() == Host::Solo5).then(|| unsafe { Hypercalls::new() })
}

/// Counts up at a constant rate on every CPU that this kernel runs on.
pub fn time_stamp() -> u64 {
    // SAFETY: every x86-64 CPU has RDTSC, and only CR4.TSD, which boot.s leaves off, forbids it.
    unsafe { _rdtsc() }
}

/// Where the CPU takes random numbers from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomInstructions {
    rdrand: bool,
    rdseed: bool,
}

impl RandomInstructions {
    /// None when the CPU has neither.
    pub fn detect() -> Option<Self> {
        // Intel SDM 2A, CPUID: leaf 1 ECX bit 30 and leaf 7 EBX bit 18.
        let rdrand = __cpuid(1).ecx & (1 << 30) != 0;
        let rdseed = __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & (1 << 18) != 0;
        (rdrand || rdseed).then_some(Self { rdrand, rdseed })
    }

    pub fn names(self) -> &'static str {
        match (self.rdseed, self.rdrand) {
            (true, true) => "RDSEED and RDRAND",
            (true, false) => "RDSEED",
            (false, _) => "RDRAND",
        }
    }

    /// 64 bits from RDSEED, or from RDRAND where the CPU has no other or RDSEED runs dry.
    pub fn next(self) -> Option<u64> {
        // Intel's advice is ten tries for RDRAND; RDSEED may be empty for longer.
        const TRIES: u32 = 100;
        for try_rdseed in [true, false] {
            for _ in 0..TRIES {
                let mut value = 0;
                let filled = match try_rdseed {
                    // SAFETY: `detect`, the only way to a `Self`, saw RDSEED in CPUID.
                    true if self.rdseed => unsafe { _rdseed64_step(&mut value) },
                    // SAFETY: `detect`, the only way to a `Self`, saw RDRAND in CPUID.
                    false if self.rdrand => unsafe { _rdrand64_step(&mut value) },
                    _ => break,
                };
                // AMD family 15h and 16h after a suspend: success, and all ones for ever.
                if filled == 1 && value != u64::MAX && value != 0 {
                    return Some(value);
                }
            }
        }
        None
    }
}

/// Stops the CPU for good. With interrupts off, Xen ends the domain here.
pub fn halt() -> ! {
    loop {
        // SAFETY: HLT touches neither memory nor registers.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}

/// Resets the machine: an exception without handlers is a triple fault.
pub fn triple_fault() -> ! {
    let no_table = [0u16; 5];
    // SAFETY: the operand is a valid pseudo-descriptor of 10 bytes; no code runs after UD2, which
    // finds no handler in the empty table.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) &no_table, options(noreturn)) }
}

/// The CPUID base of Xen's leaves, when Xen is under us (xen/include/public/arch-x86/cpuid.h).
pub fn xen_leaves() -> Option<u32> {
    hypervisor_leaves(b"XenVMMXenVMM")
}

/// The CPUID base of KVM's leaves (Linux' Documentation/virt/kvm/x86/cpuid.rst).
pub fn kvm_leaves() -> Option<u32> {
    hypervisor_leaves(b"KVMKVMKVM\0\0\0")
}

/// Whether QEMU emulates this CPU.
pub fn is_emulated() -> bool {
    hypervisor_leaves(b"TCGTCGTCGTCG").is_some()
}

fn hypervisor_leaves(signature: &[u8; 12]) -> Option<u32> {
    (0x4000_0000..0x4001_0000).step_by(0x100).find(|&base| {
        let leaf = __cpuid(base);
        [leaf.ebx, leaf.ecx, leaf.edx].map(u32::to_le_bytes).as_flattened() == signature
    })
}

/// Writes a model-specific register.
///
/// # Safety
/// The CPU has the register, and the value makes nothing write to memory that is in use.
pub unsafe fn write_msr(register: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    // SAFETY: this is ring 0; the rest is the caller's promise. The hypervisor may write to memory
    // that the compiler knows, hence no `nomem`.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") low, in("edx") high,
            options(nostack, preserves_flags));
    }
}
