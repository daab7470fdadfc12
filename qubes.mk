# What Qubes OS' dom0 installs: see docs/qubes.md.
#
# make qubes         makes target/qubes, and says whether its hashes are those of packaging/SHA256
# make qubes-hash    writes packaging/SHA256; a change of the kernel's code needs it before a release
# make test-qubes    builds the kernel again in another folder: the bytes and the hashes must be the same, and the
#                    bill of materials true
QUBES := target/qubes
QUBES_FILES := packaging/mirage-sshfs.sls packaging/30-mirage-sshfs.policy packaging/qube/mirage-mount.sls \
	packaging/qube/mirage-mount@.service
QUBES_PROGRAMS := packaging/qube/mirage-mount

.PHONY: qubes qubes-files qubes-hash test-qubes

qubes: qubes-files
	@cmp -s $(QUBES)/SHA256 packaging/SHA256 || \
		echo "these are not the hashes of packaging/SHA256: the code or the tools are others"

qubes-files: kernel
	@rm -rf $(QUBES)
	@mkdir -p $(QUBES)/mirage-sshfs
	@install -m 644 $(KERNEL) $(QUBES)/mirage-sshfs/vmlinuz
	@# Without this file Qubes adds options for Linux to kernelopts.
	@install -m 644 /dev/null $(QUBES)/mirage-sshfs/default-kernelopts-common.txt
	@# The same files give the same bytes: no times, owners or order of this machine.
	@tar -C $(QUBES) --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
		--mode=u=rwX,go=rX -c mirage-sshfs | gzip -9n > $(QUBES)/mirage-sshfs.tar.gz
	@install -m 644 $(QUBES_FILES) $(QUBES)
	@install -m 755 $(QUBES_PROGRAMS) $(QUBES)
	@# Of what the kernel is made; not in the tarball, whose bytes are the kernel's alone.
	@$(PYTHON) packaging/sbom.py $(KERNEL) > $(QUBES)/mirage-sshfs.cdx.json
	@cd $(QUBES) && sha256sum mirage-sshfs/vmlinuz mirage-sshfs.tar.gz | tee SHA256

qubes-hash: qubes-files
	@cp $(QUBES)/SHA256 packaging/SHA256

test-qubes: qubes-files
	$(PYTHON) tests/test_sbom.py
	packaging/reproduce.sh $(KERNEL) $(QUBES)/SHA256
