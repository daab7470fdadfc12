# From the loader's 32-bit protected mode to kernel_start in long mode, with the low 4 GiB mapped
# to themselves and the vector units on. PVH: xen docs/misc/pvh.pandoc.

# XEN_ELFNOTE_PHYS32_ENTRY (18). QEMU reads a descriptor of 8 bytes from a 64-bit ELF, Xen takes
# 4 or 8; both want the descriptor 4-aligned.
.section .note.Xen, "a", @note
.balign 4
.long 4, 8, 18
.asciz "Xen"
.quad _start

.section .bss.boot_tables, "aw", @nobits
.balign 4096
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pd:   .skip 4 * 4096

.section .rodata.boot, "a"
.balign 8
# Null, 64-bit code, data: the selectors 0x08 and 0x10 stay the same in traps.rs.
boot_gdt:     .quad 0, 0x00209a0000000000, 0x0000920000000000
boot_gdt_ptr: .word 23
              .long boot_gdt
boot_mxcsr:   .long 0x1f80

.section .text.entry, "ax"
.code32
.globl _start
_start:
    cli
    cld
    mov esp, offset __stack_top
    mov ebp, ebx                    # start_info; cpuid overwrites ebx

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
    mov eax, offset long_mode
    push eax
    retf

.code64
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
    xor ebp, ebp
    call {kernel_start}
    ud2
