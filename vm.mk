# The same kernel as a virtual machine of QEMU's, with KVM where that works.
#
# make vm         boots it on the image, without root, and says how to mount it
# make test-vm    runs the system tests on it
# VM_MACHINE: q35, microvm or microvm-acpi
VM_MACHINE ?= q35

.PHONY: vm test-vm soak-vm bench-vm bench-guest

vm: build kernel
	@test -e mirage || $(SERVER) keygen mirage
	@test -e $(DISK) || { $(FAT) create $(DISK) && $(FAT) add $(DISK) mirage.pub; }
	$(PYTHON) tests/vm/serve.py $(KERNEL) $(DISK) mirage $(PORT) $(VM_MACHINE)

# Linux' exFAT driver judges volumes there; its kernels are those of the Xen rig.
test-vm: build kernel xen-tools
	$(PYTHON) -m unittest discover -s tests/vm -v

# The long forms, with 50 boots in a row on each machine, and the machines of docs/vm.md with KVM.
soak-vm: build kernel xen-tools
	VM_LONG=1 $(PYTHON) -m unittest discover -s tests/vm -v
	$(PYTHON) tests/hvt/nested.py -v

soak: soak-vm

# Boots beside Debian's kernel, and what an idle guest costs. Debian's kernel is that of the Xen rig.
bench-vm: build kernel xen-tools
	$(PYTHON) bench/vm.py

# What transfers cost the guest, beside other kernels: BESIDE="OLD.elf" names them.
bench-guest: build kernel
	$(PYTHON) bench/guest.py $(BESIDE) $(KERNEL)
