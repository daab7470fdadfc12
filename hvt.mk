# The same kernel as a guest of Solo5's hvt.
#
# make hvt        runs it on solo5-hvt, which must be installed, and on a tap interface that is up
# make test-hvt   runs the system tests on a tender of the tests' own
HVT ?= solo5-hvt
HVT_TAP ?= tap100
HVT_ARGUMENTS ?= --ipv4 10.0.0.2/24 --ipv4-gateway 10.0.0.1 --port $(PORT) --user mirage

.PHONY: hvt test-hvt soak-hvt

hvt: build kernel
	@test -e mirage || $(SERVER) keygen mirage
	@test -e $(DISK) || { $(FAT) create $(DISK) && $(FAT) add $(DISK) mirage.pub; }
	@command -v $(HVT) >/dev/null || { echo "$(HVT) is not installed; the line below is what it is for"; }
	$(HVT) --mem=32 --net:service=$(HVT_TAP) --block:storage=$(DISK) $(KERNEL) $(HVT_ARGUMENTS)

test-hvt: build kernel xen-tools
	$(PYTHON) -m unittest discover -s tests/hvt -v

# The long forms: git in a mount, little memory, more kills.
soak-hvt: build kernel xen-tools
	HVT_LONG=1 $(PYTHON) -m unittest discover -s tests/hvt -v

soak: soak-hvt
