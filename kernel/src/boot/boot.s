# From the loader to kernel_start in long mode, with the low 4 GiB mapped to themselves and the vector
# units on. Two loaders know this file: PVH's (xen docs/misc/pvh.pandoc) begin at _start, in 32-bit
# protected mode, and find it by a note; Solo5's tenders begin at the ELF's entry, _solo5_start, in long mode.

# XEN_ELFNOTE_PHYS32_ENTRY (18). QEMU reads a descriptor of 8 bytes from a 64-bit ELF, Xen takes
# 4 or 8; both want the descriptor 4-aligned.
.section .note.Xen, "a", @note
.balign 4
.long 4, 8, 18
.asciz "Xen"
.quad _start

# Solo5's notes (include/elf_abi.h, include/mft_abi.h): the tender is hvt, of version 2; and the manifest,
# whose first entry is reserved, with the names that are attached by --net:service= and --block:storage=.
.section .note.solo5.abi, "a", @note
.balign 4
.long 6, 16, 0x31494241
.asciz "Solo5"
.balign 4
.long 1, 2, 0, 0

.macro device name, kind
7:  .ascii "\name"
    .zero 68 - (. - 7b)
    .long \kind
    .zero 32
.endm

.section .note.solo5.manifest, "a", @note
.balign 4
.long 6, 4 + 8 + 3 * 104, 0x3154464d
.asciz "Solo5"
.balign 4
.long 0, 1, 3
device "", 0x40000000
device "service", 2
device "storage", 1

.section .bss.boot_tables, "aw", @nobits
.balign 4096
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pd:   .skip 4 * 4096

.section .rodata.boot, "a"
.balign 8
# Null, 64-bit code, data: the selectors 0x08 and 0x10 stay the same in traps.rs. The CPU marks descriptors
# as accessed when it loads them; these are, because Solo5 lets nobody write here.
boot_gdt:     .quad 0, 0x00209b0000000000, 0x0000930000000000
boot_gdt_ptr: .word 23
              .quad boot_gdt
boot_mxcsr:   .long 0x1f80

# The same in both modes.
.macro boot_tables
    # 2048 pages of 2 MiB: present, writable.
    mov edi, offset boot_pd
    mov eax, 0x83
    mov ecx, 2048
5:  mov [edi], eax
    mov dword ptr [edi + 4], 0
    add edi, 8
    add eax, 0x200000
    dec ecx
    jnz 5b
    mov edi, offset boot_pdpt
    mov eax, offset boot_pd + 3
    mov ecx, 4
6:  mov [edi], eax
    add edi, 8
    add eax, 4096
    dec ecx
    jnz 6b
    mov dword ptr [boot_pml4], offset boot_pdpt + 3
.endm

.section .text.entry, "ax"
.code32
.globl _start
_start:
    cli
    cld
    mov esp, offset __stack_top
    mov ebp, ebx                    # start_info; cpuid overwrites ebx

    boot_tables

    mov eax, 0x620                  # CR4: PAE, OSFXSR, OSXMMEXCPT
    mov cr4, eax
    mov eax, offset boot_pml4
    mov cr3, eax
    mov ecx, 0xc0000080             # EFER: LME, NXE
    rdmsr
    or eax, 0x900
    wrmsr
    mov eax, 0x80010033             # CR0: PG, WP, NE, ET, MP, PE; EM, TS, CD, NW off
    mov cr0, eax
    lgdt [boot_gdt_ptr]
    push 0x08
    mov eax, offset from_pvh
    push eax
    retf

# rdi: hvt_boot_info. Memory is mapped to itself, SSE is on.
.code64
.globl _solo5_start
_solo5_start:
    cli
    cld
    mov esp, offset __stack_top
    mov ebp, edi
    boot_tables
    mov eax, offset boot_pml4
    mov cr3, rax
    mov ecx, 0xc0000080             # EFER: NXE
    rdmsr
    or eax, 0x800
    wrmsr
    mov eax, 0x80010033             # CR0: as above
    mov cr0, rax
    lgdt [boot_gdt_ptr]
    mov r12d, 1
    push 0x08
    lea rax, [rip + long_mode]
    push rax
    retfq

from_pvh:
    xor r12d, r12d
long_mode:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    fninit
    ldmxcsr [boot_mxcsr]

    # The ciphers look for AVX in CPUID and in XCR0: give them what the CPU has.
    mov eax, 1
    xor ecx, ecx
    cpuid
    bt ecx, 26                      # XSAVE
    jnc 4f
    mov rax, cr4
    or eax, 0x40000                 # OSXSAVE
    mov cr4, rax
    mov eax, 3                      # XCR0: x87, SSE
    bt ecx, 28                      # AVX
    jnc 3f
    or eax, 4
3:  xor ecx, ecx
    xor edx, edx
    xsetbv

4:  mov edi, ebp
    mov esi, r12d
    xor ebp, ebp
    call {kernel_start}
    ud2
