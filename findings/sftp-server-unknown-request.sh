#!/usr/bin/env bash
# OpenSSH 9.2p1's sftp-server (Debian 12): a request of a type that it does not know, such as LINK (21) of version 6
# of SFTP, gets no answer at all, while an EXTENDED request with an unknown name is answered with OP_UNSUPPORTED.
#
# One would guess that every request is answered, since version 3 (draft-ietf-secsh-filexfer-02, section 7) has
# OP_UNSUPPORTED for what a server does not implement. A client that tries a newer request and waits for its answer
# waits for ever; it must decide by the version in VERSION, or ask by EXTENDED.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
chmod 755 .
apt-get download -qq openssh-sftp-server=1:9.2p1-2+deb12u10 2>/dev/null
dpkg-deb -x openssh-sftp-server_*.deb .

cat >ask.py <<'PY'
import struct, subprocess, sys, time

server = subprocess.Popen(["usr/lib/openssh/sftp-server", "-e", "-l", "ERROR"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def string(text):
    return struct.pack(">I", len(text)) + text


def ask(kind, number, body):
    server.stdin.write(string(struct.pack(">BI", kind, number) + body))
    server.stdin.flush()


def answer():
    length = struct.unpack(">I", server.stdout.read(4))[0]
    return struct.unpack(">BI", server.stdout.read(length)[:5])


INIT, REALPATH, LINK, EXTENDED, STATUS, NAME = 1, 16, 21, 200, 101, 104
ask(INIT, 3, b"")
answer()
ask(EXTENDED, 1, string(b"nobody@example.org"))
print("unknown extension: packet %d for request %d" % answer())
# Answers come in the order of the requests: REALPATH's comes next, so LINK's is left out and not late.
ask(LINK, 2, string(b"new") + string(b"old") + b"\1")
time.sleep(1)
ask(REALPATH, 3, string(b"."))
kind, number = answer()
print("LINK, then REALPATH: packet %d for request %d" % (kind, number))
server.stdin.close()
sys.exit((kind, number) != (NAME, 3) or server.stdout.read() != b"")
PY
timeout 20 python3 ask.py 2>said || { echo "changed: LINK is answered"; exit 1; }
cat said
grep -q 'Unknown message 21' said || { echo "changed: it says something else"; exit 1; }
