# A real Xen in QEMU, which needs no virtualisation: Debian 12's Xen and dom0, unpacked into a cache.
#
# make xen        boots the kernel as a Xen guest that serves the image, and says how to mount it
# make test-xen   runs the system tests on it, and a few on Debian 13's; with XEN=13 all on that alone. So many
#                 machines at once as XEN_MACHINES says, of 1.1 GB each: their tests mostly wait
# Qubes OS 4.2 has Xen 4.17 as Debian 12, 4.3 has 4.19; Debian 13 has 4.20.
XEN_13_TESTS := test_rig.Xen test_network.Network.test_ping test_qrexec.Sftp.test_passive
# With two at once some program of the host hung for minutes in two of three runs, and why was not found.
XEN_MACHINES ?= 1
XEN_RUN = $(PYTHON) tests/clients/run.py -j $(XEN_MACHINES) --in tests/xen
XEN_PACKAGES := qemu-system-x86 python3 gcc libc6-dev cpio dpkg apt

.PHONY: xen xen-tools test-xen

xen: build kernel xen-tools
	@test -e mirage || $(SERVER) keygen mirage
	@test -e $(DISK) || { $(FAT) create $(DISK) && $(FAT) add $(DISK) mirage.pub; }
	$(PYTHON) tests/xen/serve.py $(KERNEL) $(DISK) mirage $(PORT)

test-xen: build kernel xen-tools
	$(XEN_RUN)
	@test "$(XEN)" || { echo "the same kernel under Debian 13's Xen" && XEN=13 $(XEN_RUN) $(XEN_13_TESTS); }

xen-tools:
	@missing=; for p in $(XEN_PACKAGES); do \
		dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	test -z "$$missing" || if [ "$$(id -u)" = 0 ]; then \
		echo "installing the packages that Xen needs:$$missing"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	else \
		echo "Xen needs packages; type: sudo apt-get install --no-install-recommends$$missing"; exit 1; \
	fi

# An hour of mixed load on a guest of 32 MiB, and the long forms of the other tests.
SOAK_SECONDS ?= 3600
POWER_CUT_SECONDS ?= 1800
.PHONY: soak soak-fat soak-model
soak: soak-fat soak-model build kernel xen-tools
	XEN_LONG=1 SOAK_SECONDS=$(SOAK_SECONDS) $(PYTHON) -m unittest discover -s tests/xen -v

# Power cuts by the million.
soak-fat:
	NEWER_FSCK_EXFAT=$$($(PYTHON) tests/clients/newer.py)/fsck.exfat POWER_CUT_SECONDS=$(POWER_CUT_SECONDS) cargo test --release --locked -p fat --test power_cut

# The SFTP server against a plain tree in memory.
soak-model:
	MODEL_OPERATIONS=100000 cargo test --locked -p server --test model

# The guest beside Debian guests with OpenSSH. As root: it installs one of them into a folder.
.PHONY: bench-xen
bench-xen: XEN_PACKAGES += mmdebstrap e2fsprogs
bench-xen: build kernel xen-tools
	$(PYTHON) bench/xen.py
