//! Where Rust begins: boot.s calls `kernel_start` in long mode on the kernel's stack, with the low
//! 4 GiB mapped to themselves, interrupts off and no exception handlers yet.

use kernel::Loader;

core::arch::global_asm!(include_str!("boot/boot.s"), kernel_start = sym kernel_start);

/// `info` is the physical address of PVH's hvm_start_info, or of hvt_boot_info if Solo5 began this.
extern "C" fn kernel_start(info: u32, solo5: u32) -> ! {
    let loader = if solo5 == 0 { Loader::Pvh } else { Loader::Solo5 };
    // SAFETY: boot.s calls this once, as the first of all, has mapped the low 4 GiB, and says whose entry was
    // taken.
    unsafe { kernel::start(info.into(), loader) }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    kernel::fail(info)
}

/// Named by landing pads in the compiled `alloc`. They never run: a panic ends in `panic`.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    kernel::fail(&"unwinding")
}
