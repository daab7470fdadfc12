# make run    makes a key and a disk image when there are none, then serves the image
# make test   installs what the tests need and runs all of them
# make vm     boots the kernel in QEMU, serving the image
# make hvt    runs the kernel on Solo5's solo5-hvt
# make xen    boots the guest under a real Xen in QEMU
# make qubes  makes what Qubes OS' dom0 installs
# make mutants   breaks one thing after the other and says what no test notices (docs/testing.md)
# make bench  measures against OpenSSH's sshd; make bench-requests counts what the disk is asked
SHELL := /bin/bash
PYTHON := /usr/bin/python3
SERVER := target/release/mirage-sshfs
FAT := target/release/fat
# Programs for the tests that are in no Debian package.
CARGO_TOOLS := $(or $(CARGO_TARGET_DIR),target)/tools
PORT ?= 18022
DISK ?= disk.img

# Debian packages: a linker for Rust, then the clients and judges of the tests.
PACKAGES := gcc libc6-dev binutils python3 python3-paramiko openssh-client openssh-server sshfs \
	fuse3 rclone restic git curl lftp putty-tools python3-asyncssh rsync gvfs-backends libglib2.0-bin dbus-daemon \
	shellcheck systemd vim-tiny qemu-utils qemu-block-extra dosfstools exfatprogs mtools fdisk gdisk qemu-system-x86 procps iproute2

.PHONY: all build run test test-fresh tools fmt clippy layers supply unit clients bench clean
all: build

include kernel.mk
include xen.mk
include qubes.mk
include vm.mk
include hvt.mk

build:
	cargo build --release --locked

run: build
	@test -e mirage || $(SERVER) keygen mirage
	@test -e $(DISK) || { $(FAT) create $(DISK) && $(FAT) add $(DISK) mirage.pub; }
	$(SERVER) --disk $(DISK) --port $(PORT)

test: tools fmt clippy clippy-kernel layers supply unit build clients test-kernel test-fresh test-qubes test-guests

# Xen's machine waits more than it works: the other guests' tests beside it cost a fifth of their time.
.PHONY: test-guests
test-guests:
	$(MAKE) -j2 test-xen test-vm test-hvt

# What is missing is installed as root; otherwise this says what to type.
tools:
	@missing=; for p in $(PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ]; then \
			echo "installing the packages that the tests need, some minutes the first time:$$missing"; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
		else \
			echo "the tests need packages; type: sudo apt-get install --no-install-recommends$$missing"; exit 1; \
		fi; \
	fi
	@rustup component list --installed 2>/dev/null | grep -q clippy || { \
		echo "installing clippy and rustfmt"; rustup component add clippy rustfmt; }
	@test -x $(CARGO_TOOLS)/bin/fsx || { echo "building fsx, which the tests need, into $(CARGO_TOOLS)"; \
		cargo install fsx --version 0.3.2 --locked --quiet --root $(CARGO_TOOLS); }
	@$(PYTHON) tests/clients/newer.py >/dev/null

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --exclude kernel --exclude sunset-widened --all-targets --locked -- -D warnings
	cargo clippy --package sunset-widened --locked -- -D warnings

# Both commands of the README with an empty home of cargo.
test-fresh:
	tests/fresh.sh

layers:
	$(PYTHON) tests/layers.py
	$(PYTHON) tests/test_layers.py
	$(PYTHON) tests/test_docs.py
	$(PYTHON) tests/test_qubes_docs.py

# Licences, sources, versions and known faults of the libraries: deny.toml has the rules.
supply:
	$(PYTHON) tests/supply.py
	$(PYTHON) tests/test_supply.py

unit:
	NEWER_FSCK_EXFAT=$$($(PYTHON) tests/clients/newer.py)/fsck.exfat cargo test --workspace --exclude kernel --locked

clients: build
	$(PYTHON) tests/clients/run.py

bench: build
	$(PYTHON) bench/run.py

# Processor time beside sshd's, into docs/performance.md and its plot.
.PHONY: bench-cost
bench-cost: build
	$(PYTHON) bench/cost.py --write docs

# One client beside a crowd of strangers.
.PHONY: bench-crowd
bench-crowd: build
	$(PYTHON) bench/crowd.py

# Half an hour of new keys, killed clients and lost links; as root, in network namespaces.
SOAK_MINUTES ?= 30
.PHONY: soak-unix
soak-unix: build
	$(PYTHON) bench/soak.py --minutes $(SOAK_MINUTES)

soak: soak-unix

.PHONY: bench-requests
bench-requests:
	cargo run --release --locked --package fat --example requests

clean:
	cargo clean

# Every parser of bytes from outside, for a bounded time each.
FUZZ_SECONDS ?= 30
.PHONY: fuzz
fuzz:
	fuzz/run.sh $(FUZZ_SECONDS)

# Breaks crates, or what ONLY names in them, at one place after the other: MUTANTS="fat net" ONLY=file/lists.rs. What
# came of it is in target/mutants.
MUTANTS ?= qubes
ONLY ?=
.PHONY: mutants
mutants:
	@test -x $(CARGO_TOOLS)/bin/cargo-mutants || { echo "building cargo-mutants into $(CARGO_TOOLS)"; \
		cargo install cargo-mutants --version 27.1.0 --locked --quiet --root $(CARGO_TOOLS); }
	PATH="$(CARGO_TOOLS)/bin:$$PATH" $(PYTHON) tests/mutants/run.py --only "$(ONLY)" $(MUTANTS)
