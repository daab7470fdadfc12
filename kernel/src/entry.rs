//! Where Rust begins: boot.s calls `kernel_start` in long mode on the kernel's stack, with the low
//! 4 GiB mapped to themselves, interrupts off and no exception handlers yet.

core::arch::global_asm!(include_str!("boot/boot.s"), kernel_start = sym kernel_start);

/// `start_info` is the physical address of PVH's hvm_start_info.
extern "C" fn kernel_start(start_info: u32) -> ! {
    // SAFETY: boot.s calls this once, as the first of all, and has mapped the low 4 GiB.
    unsafe { kernel::start(start_info.into()) }
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
