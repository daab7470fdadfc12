//! CPU exceptions (AMD64 APM 2, 8): each prints the registers and ends the machine. They run on a
//! stack of their own, because the kernel's may be what overflowed and because compiled code keeps
//! data below its stack pointer. Devices' interrupts are off but while the CPU sleeps, and only end its sleep;
//! the timer's only count, until the loop has stood still for too long.
use crate::boot::memory;
use crate::console;
use crate::cpu::apic::TIME;
use crate::cpu::{power, watchdog};
use alloc::boxed::Box;
use core::arch::{asm, global_asm};

/// Those up to `apic::TIME`.
const VECTORS: usize = TIME as usize + 1;
/// How many of them have a stub: those of exceptions, `apic::WAKE` and `apic::SPURIOUS`; the next is TIME's.
const STUBS: usize = 34;
/// boot.s' selectors, and the task state after them.
const CODE: u16 = 0x08;
const TASK_STATE: u16 = 0x18;

// One stub of 16 bytes for each vector; an exception's leaves the vector and an error code on the
// stack.
global_asm!(
    ".balign 16",
    "trap_stubs:",
    ".set vector, 0",
    ".rept 32",
    ".balign 16",
    // The CPU pushes an error code for these itself.
    ".if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)",
    "push 0",
    ".endif",
    "push vector",
    "jmp trap_common",
    ".set vector, vector + 1",
    ".endr",
    // WAKE: the end of the interrupt is told to the local APIC.
    ".balign 16",
    "push rax",
    "mov eax, 0xfee000b0",
    "mov dword ptr [rax], 0",
    "pop rax",
    "iretq",
    // SPURIOUS.
    ".balign 16",
    "iretq",
    // TIME: the timer begins anew.
    ".balign 16",
    "push rax",
    "push rcx",
    "mov eax, 0xfee000b0",
    "mov dword ptr [rax], 0",
    "mov ecx, dword ptr [rip + {interval}]",
    "mov eax, 0xfee00380",
    "mov dword ptr [rax], ecx",
    "inc dword ptr [rip + {count}]",
    "cmp dword ptr [rip + {count}], {most}",
    "pop rcx",
    "pop rax",
    "jge 2f",
    "iretq",
    "2:",
    "push 0",
    "push {time}",
    "trap_common:",
    "push rax", "push rbx", "push rcx", "push rdx", "push rsi", "push rdi", "push rbp",
    "push r8", "push r9", "push r10", "push r11", "push r12", "push r13", "push r14", "push r15",
    "mov rax, cr2",
    "push rax",
    "mov rdi, rsp",
    "and rsp, -16",
    "cld",
    "call {trap}",
    "ud2",
    trap = sym trap,
    interval = sym watchdog::INTERVAL,
    count = sym watchdog::COUNT,
    most = const watchdog::MOST,
    time = const TIME as i32,
);

unsafe extern "C" {
    static trap_stubs: u8;
}

/// What the stubs leave on the stack, last pushed first.
#[derive(Debug)]
#[repr(C)]
struct Frame {
    cr2: u64,
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rbp: u64,
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    rbx: u64,
    rax: u64,
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

extern "C" fn trap(f: &Frame) -> ! {
    const PAGE_FAULT: u64 = 14;
    const STANDS: u64 = TIME as u64;
    let name = match f.vector {
        0 => "divide error",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        6 => "invalid opcode",
        8 => "double fault",
        12 => "stack fault",
        13 => "general protection fault",
        PAGE_FAULT if memory::stack_guard().contains(&f.cr2) => "stack overflow",
        PAGE_FAULT => "page fault",
        18 => "machine check",
        19 => "SIMD floating point",
        STANDS => "watchdog: the loop stands still",
        _ => "exception",
    };
    console::print(format_args!(
        "exception {} ({name}), error code {:#x}, address {:#x}\n\
         rip {:016x} cs  {:016x} flg {:016x} rsp {:016x} ss  {:016x}\n\
         rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}\n\
         rsi {:016x} rdi {:016x} rbp {:016x} r8  {:016x}\n\
         r9  {:016x} r10 {:016x} r11 {:016x} r12 {:016x}\n\
         r13 {:016x} r14 {:016x} r15 {:016x}\n",
        f.vector,
        f.error,
        f.cr2,
        f.rip,
        f.cs,
        f.rflags,
        f.rsp,
        f.ss,
        f.rax,
        f.rbx,
        f.rcx,
        f.rdx,
        f.rsi,
        f.rdi,
        f.rbp,
        f.r8,
        f.r9,
        f.r10,
        f.r11,
        f.r12,
        f.r13,
        f.r14,
        f.r15,
    ));
    for address in callers(f.rsp).take(12) {
        console::print(format_args!("from {address:016x}\n"));
    }
    power::fail()
}

/// What on the kernel's stack can be a return address, the last call's first.
fn callers(stack: u64) -> impl Iterator<Item = u64> {
    const WORD: u64 = 8;
    let (image, text) = (memory::image(), memory::text());
    let end = if memory::stack_guard().end <= stack && stack.is_multiple_of(WORD) {
        image.end
    } else {
        0
    };
    let words = (stack..end.saturating_sub(WORD)).step_by(WORD as usize);
    // SAFETY: from the stack's bottom to the image's end there is the kernel's own memory, mapped and aligned, and
    // the CPU writes to none of it here but this handler's stack, which is on the heap.
    let words = words.map(|address| unsafe { (address as *const u64).read_volatile() });
    words.filter(move |word| {
        // SAFETY: the same; this is the program, which nobody writes.
        let before = |n: u64| unsafe { ((word - n) as *const u8).read_volatile() };
        // A call's first byte, direct or through a register or memory (Intel SDM 2A, CALL).
        (text.start + 8..text.end).contains(word)
            && (before(5) == 0xe8 || [2, 3, 6, 7].iter().any(|&n| before(n) == 0xff))
    })
}

/// The 64-bit task state segment: only the first interrupt stack of it is used.
#[repr(C, packed(4))]
struct TaskState {
    reserved: u32,
    privilege_stacks: [u64; 3],
    reserved_1: u64,
    interrupt_stacks: [u64; 7],
    reserved_2: [u16; 5],
    io_map_base: u16,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    offset_low: u16,
    selector: u16,
    stack_table: u8,
    attributes: u8,
    offset_middle: u16,
    offset_high: u32,
    reserved: u32,
}

#[repr(C, align(16))]
struct Stack([u8; 16 << 10]);

/// The operand of LGDT and LIDT.
#[repr(C, packed(2))]
struct TablePointer {
    limit: u16,
    base: u64,
}

impl TablePointer {
    fn to<T>(table: &'static T) -> Self {
        Self { limit: (size_of::<T>() - 1) as u16, base: address(table) }
    }
}

fn address<T>(of: &T) -> u64 {
    (&raw const *of).addr() as u64
}

/// Puts the handlers in force.
pub fn init() {
    let stack = Box::leak(Box::new(Stack([0; 16 << 10])));
    let state: &TaskState = Box::leak(Box::new(TaskState {
        reserved: 0,
        privilege_stacks: [0; 3],
        reserved_1: 0,
        interrupt_stacks: [address(stack) + size_of::<Stack>() as u64, 0, 0, 0, 0, 0, 0],
        reserved_2: [0; 5],
        io_map_base: size_of::<TaskState>() as u16,
    }));
    let base = address(state);
    let segments: &[u64; 5] = Box::leak(Box::new([
        0,
        0x0020_9a00_0000_0000,
        0x0000_9200_0000_0000,
        // Available 64-bit task state, present; its base lies in three places.
        (size_of::<TaskState>() as u64 - 1)
            | (base & 0xff_ffff) << 16
            | 0x89 << 40
            | (base >> 24 & 0xff) << 56,
        base >> 32,
    ]));
    let stubs = (&raw const trap_stubs).addr();
    let gates: [Gate; VECTORS] = core::array::from_fn(|vector| {
        let stub = stubs + 16 * vector.min(STUBS);
        Gate {
            offset_low: stub as u16,
            selector: CODE,
            stack_table: 1,
            // An interrupt gate, present where there is a stub.
            attributes: if vector < STUBS || vector == usize::from(TIME) { 0x8e } else { 0 },
            offset_middle: (stub >> 16) as u16,
            offset_high: (stub as u64 >> 32) as u32,
            reserved: 0,
        }
    });
    let gates: &[Gate; VECTORS] = Box::leak(Box::new(gates));
    let (segments, gates) = (TablePointer::to(segments), TablePointer::to(gates));
    // SAFETY: both tables and what they point to are leaked, so they live for ever. The code and
    // data descriptors are those in force, so the loaded selectors stay valid; TASK_STATE selects
    // the descriptor of `state`. The gates that are present point to the stubs at
    // `trap_stubs`, of 16 bytes each but the last.
    unsafe {
        asm!("lgdt [{}]", "lidt [{}]", "ltr {:x}", in(reg) &segments, in(reg) &gates,
            in(reg) TASK_STATE, options(nostack, preserves_flags));
    }
}
