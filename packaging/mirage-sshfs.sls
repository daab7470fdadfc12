# Installs the kernel in dom0 and creates the qube. In dom0, with this file and mirage-sshfs.tar.gz
# in /srv/salt/mirage-sshfs:
#
#     sudo qubesctl --show-output state.apply mirage-sshfs.mirage-sshfs
#
# Run it again with another tarball to upgrade, then restart the qube.

mirage-sshfs-kernel:
  cmd.run:
    - name: tar -xzf /srv/salt/mirage-sshfs/mirage-sshfs.tar.gz -C /var/lib/qubes/vm-kernels --no-same-owner
    - unless: tar -dzf /srv/salt/mirage-sshfs/mirage-sshfs.tar.gz -C /var/lib/qubes/vm-kernels

mirage-sshfs-qube:
  qvm.present:
    - name: mirage-sshfs
    - class: StandaloneVM
    - label: yellow
    - require:
      - cmd: mirage-sshfs-kernel

mirage-sshfs-prefs:
  qvm.prefs:
    - name: mirage-sshfs
    - virt_mode: pvh
    - kernel: mirage-sshfs
    - kernelopts: --format-if-blank
    - memory: 32
    - maxmem: 32
    - vcpus: 1
    - netvm: ''
    - audiovm: ''
    - default_dispvm: ''
    - require:
      - qvm: mirage-sshfs-qube

mirage-sshfs-features:
  qvm.features:
    - name: mirage-sshfs
    - enable:
      - qrexec
      - skip-update
    - disable:
      - gui
    - require:
      - qvm: mirage-sshfs-qube
