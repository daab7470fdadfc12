# Puts what mounts a share into a template, and mounts the share of the qube mirage-sshfs in a qube of it. In
# dom0, with this file, mirage-mount and mirage-mount@.service in /srv/salt/mirage-sshfs:
#
#     sudo qubesctl --show-output --skip-dom0 --targets=debian-12-xfce,work state.apply mirage-sshfs.mirage-mount
#
# with the names of your template and of the qube that mounts.
{% if salt['pillar.get']('qubes:type') == 'template' %}
mirage-mount-sshfs:
  pkg.installed:
    - name: {{ 'fuse-sshfs' if grains['os_family'] == 'RedHat' else 'sshfs' }}

/usr/bin/mirage-mount:
  file.managed:
    - source: salt://mirage-sshfs/mirage-mount
    - mode: '0755'

/usr/lib/systemd/user/mirage-mount@.service:
  file.managed:
    - source: salt://mirage-sshfs/mirage-mount@.service
    - mode: '0644'
{% else %}
/home/user/.config/systemd/user/default.target.wants/mirage-mount@mirage-sshfs.service:
  file.symlink:
    - target: /usr/lib/systemd/user/mirage-mount@.service
    - makedirs: True
    - user: user
    - group: user
{% endif %}
