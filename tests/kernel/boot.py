#!/usr/bin/env python3
"""Boots the kernel under plain QEMU and checks what a user would see. Needs qemu-system-x86 and
binutils, and no virtualisation.

    tests/kernel/boot.py ELF SYMBOLS

ELF is the kernel, SYMBOLS the same before it was stripped.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

from gdb import Gdb

ELF, SYMBOLS = sys.argv[1:]
QEMU = "qemu-system-x86_64"
SIZE_MAX = 2359296  # KERNEL_MAX of kernel.mk
# Seconds. A boot takes well under one; emulation on a busy machine may take many times longer.
TIME_OUT = 50
# isa-debug-exit turns the value n that the kernel writes into the exit status 2n + 1.
POWERED_OFF, RESET_OR_EXITED, FAILED = 0, 1, 3

failures = 0


def check(what, problem):
    """Prints one check; `problem` is empty when it holds."""
    global failures
    if problem:
        failures += 1
    print(f"{'FAILED' if problem else 'ok':6} {what}{': ' + problem if problem else ''}", flush=True)


def boot(machine="q35", cpu="EPYC", memory=32, command_line="", extra=(), meanwhile=None):
    """Runs the kernel; gives QEMU's exit status (None: it had to be killed) and the console."""
    command = [QEMU, "-machine", machine, "-accel", "tcg", "-cpu", cpu, "-m", str(memory),
               "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
               "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
               "-kernel", ELF, "-append", command_line, *extra]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    try:
        if meanwhile:
            meanwhile()
        output, _ = process.communicate(timeout=TIME_OUT)
        status = process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        output, status = process.communicate()[0], None
    except (OSError, RuntimeError) as error:
        process.kill()
        output, status = process.communicate()[0] + f"\ndebugger: {error}".encode(), None
    return status, output.decode(errors="replace").replace("\r\n", "\n")


def problem_of(result, wanted_status, *wanted):
    """What a boot's result lacks, with the console's end."""
    status, console = result
    missing = [line for line in wanted if line not in console]
    end = f"; the console ends with {console[-600:]!r}"
    if status is None:
        return f"did not end by itself within {TIME_OUT} s" + end
    if missing:
        return f"the console does not say {missing}" + end
    if status != wanted_status:
        return f"QEMU exited with {status} and not {wanted_status}" + end
    return ""


def check_elf():
    size = os.path.getsize(ELF)
    check(f"the ELF has {size} bytes, at most {SIZE_MAX}", "too large" if size > SIZE_MAX else "")
    headers = subprocess.run(["readelf", "-lW", ELF], check=True, capture_output=True, text=True).stdout
    loads = re.findall(r"^ +LOAD +(?:0x\w+ +){5}([RWE ]{3})", headers, re.M)
    shown = ", ".join(flags.replace(" ", "") for flags in loads)
    check(f"no segment is both writable and executable ({shown})",
          "" if loads and not any("W" in f and "E" in f for f in loads) else headers)
    check("it needs no loader", "INTERP or DYNAMIC" if re.search("INTERP|DYNAMIC", headers) else "")
    notes = subprocess.run(["readelf", "-nW", ELF], check=True, capture_output=True, text=True).stdout
    check("it has the PVH note", "" if re.search(r"Xen\s.*0x0*12\b", notes, re.S) else notes)
    offset = re.search(r"^ +NOTE +(0x\w+)", headers, re.M)
    check("the note is where Xen looks for it",
          "" if offset and int(offset[1], 16) > 0 else "no note header, or one at file offset 0")


def check_boots():
    options = '--port 2222 --seed "correct horse" -l "*:debug"'
    start = time.monotonic()
    status, console = boot(command_line=options)
    took = time.monotonic() - start
    no_disk = "error kernel: no disk: attach a virtio disk"
    check(f"q35, 32 MiB, no devices: says so and powers itself off (in {took:.2f} s)",
          problem_of((status, console), POWERED_OFF, no_disk))
    for line in console.splitlines():
        print("      |", line)
    check("it found the memory and the command line, of which it says no secret",
          "" if re.search(r"kernel: memory: (29|30|31)\d{3} KiB", console)
          and "command line: --port 2222 --seed … -l *:debug\n" in console
          and "horse" not in console else console[:600])
    check("q35, a CPU without AVX: the same", problem_of(
        boot(cpu="qemu64,+rdrand"), POWERED_OFF, no_disk))
    check("q35, every feature QEMU has, 5 GiB: the same", problem_of(
        boot(cpu="max", memory=5120), POWERED_OFF, no_disk))
    check("microvm, 32 MiB: the same", problem_of(boot(machine="microvm"), POWERED_OFF, no_disk))
    # Without ACPI it has no switch, so the kernel ends by isa-debug-exit.
    check("microvm without ACPI: the same", problem_of(
        boot(machine="microvm,acpi=off"), RESET_OR_EXITED, no_disk))
    check("8 MiB: stops and says why", problem_of(
        boot(memory=8), FAILED, "mirage-sshfs cannot run: too little memory"))
    check("no RDRAND and no RDSEED: stops and says why", problem_of(
        boot(cpu="qemu64,-rdrand,-rdseed"), FAILED,
        "mirage-sshfs cannot run: no source of random numbers"))


def symbols():
    """The kernel's symbols and their addresses."""
    lines = subprocess.run(["nm", SYMBOLS], check=True, capture_output=True, text=True).stdout
    return {name: int(address, 16) for address, _, name in
            (line.split() for line in lines.splitlines() if len(line.split()) == 3)}


def check_crashes():
    """Makes the running kernel do what a bug would do: each must end in its exception handler."""
    known = symbols()
    where = [address for name, address in known.items() if "6kernel7machine6virtio3run" in name]
    if len(where) != 1:
        check("the kernel can be made to fail", f"{len(where)} symbols for virtio::run")
        return
    text, constants, stack = known["__text_start"], known["__rodata_start"], known["__stack_bottom"]
    for what, registers, wanted in (
            ("a call to address 0", {"rip": 0}, "(page fault), error code 0x10, address 0x0\n"),
            ("a jump into constants", {"rip": constants},
             f"(page fault), error code 0x11, address {constants:#x}\n"),
            ("a jump into the stack", {"rip": stack},
             f"(page fault), error code 0x11, address {stack:#x}\n"),
            ("a write to the program", {"rip": known["memset"], "rdi": text, "rdx": 4},
             f"(page fault), error code 0x3, address {text:#x}\n"),
            ("a write to constants", {"rip": known["memset"], "rdi": constants, "rdx": 4},
             f"(page fault), error code 0x3, address {constants:#x}\n"),
            ("a stack overflow", {"rsp": stack}, "(stack overflow)")):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "gdb")
            debuggers = []

            def meddle():
                gdb = Gdb(path, TIME_OUT)
                debuggers.append(gdb)
                gdb.run_until(where[0])
                for register, value in registers.items():
                    gdb.set(register, value)
                gdb.go_on()

            result = boot(extra=("-S", "-gdb", f"unix:{path},server=on,wait=off"), meanwhile=meddle)
            for gdb in debuggers:
                gdb.close()
        check(f"{what}: prints the registers and stops",
              problem_of(result, FAILED, wanted, "\nrip ", "\nrax "))


def main():
    for tool, package in ((QEMU, "qemu-system-x86"), ("readelf", "binutils"), ("nm", "binutils")):
        try:
            subprocess.run([tool, "--version"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            check(f"{tool} runs", f"{error}; Debian's package is {package}")
    for path in (ELF, SYMBOLS):
        if not os.path.isfile(path):
            check(f"{path} exists", "`make kernel` builds it")
    if not failures:
        check_elf()
        check_boots()
        check_crashes()
    print(f"{failures} failed" if failures else "all passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
