# The freestanding kernel. Its flags hold for its own target folder only: named with --target, they
# reach neither build scripts nor the programs of the host. Lines for a debugger are stripped from what boots.
KERNEL := target/mirage-sshfs.elf
KERNEL_TARGET := x86_64-unknown-linux-gnu
KERNEL_CARGO = flags=$$(kernel/rustflags.sh) && CARGO_PROFILE_RELEASE_DEBUG=line-tables-only CARGO_ENCODED_RUSTFLAGS="$$flags" cargo
KERNEL_UNSTRIPPED = $${CARGO_TARGET_DIR:-target}/$(KERNEL_TARGET)/release/kernel
# It was 2 MiB until certificates, tokens and RSA came: what reads and verifies them takes 136 KiB, of which 50 are
# numbers of 8192 bits. The heap of the least guests is counted with an ELF of this size (kernel/src/budget.rs).
KERNEL_MAX := 2359296

.PHONY: kernel test-kernel clippy-kernel

kernel:
	@cargo fetch --quiet --locked --target $(KERNEL_TARGET)
	$(KERNEL_CARGO) build --locked --release --package kernel --target $(KERNEL_TARGET)
	@mkdir -p $(dir $(KERNEL))
	strip -o $(KERNEL) "$(KERNEL_UNSTRIPPED)"
	@size=$$(stat -c %s $(KERNEL)); echo "$(KERNEL): $$size bytes"; \
	test $$size -le $(KERNEL_MAX) || { echo "$(KERNEL) is larger than $(KERNEL_MAX) bytes" >&2; exit 1; }

# The unit tests run on the host, as an ordinary program.
test-kernel: kernel
	cargo test --locked --package kernel
	$(PYTHON) tests/kernel/boot.py $(KERNEL) "$(KERNEL_UNSTRIPPED)"

clippy-kernel:
	$(KERNEL_CARGO) clippy --locked --no-deps --release --package kernel --target $(KERNEL_TARGET) -- -D warnings
	cargo clippy --locked --no-deps --package kernel --all-targets -- -D warnings
