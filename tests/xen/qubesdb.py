"""dom0's QubesDB daemon for one guest: Qubes' qubes-core-qubesdb, include/qubesdb.h and
daemon/db-cmds.c. dom0 is the vchan's server; the guest asks once for everything, and is told of each
change."""
import struct
import threading

from vchan import Vchan

PORT = 111
# u8 type, char path[64], 3 bytes of padding, u32 length of the data.
HEADER = struct.Struct("<B64s3xI")
(READ, WRITE, MULTIREAD, LIST, RM, WATCH, UNWATCH, OK, ERROR_NOENT, ERROR, RESP_READ, RESP_MULTIREAD, RESP_LIST,
 RESP_WATCH) = range(14)


def message(kind, path="", data=b""):
    return HEADER.pack(kind, path.encode(), len(data)) + data


def receive(channel):
    """A message's type, path and data, or None at the channel's end."""
    header = channel.receive(HEADER.size, 86400)
    if not header:
        return None
    kind, path, size = HEADER.unpack(header)
    return kind, path.split(b"\0")[0].decode(), channel.receive(size) if size else b""


class QubesDb:
    """Serves `keys`, str to str, from its start to `close`. `asked` counts the guest's requests for everything,
    `wrong` lists what Qubes' own daemon would not have borne."""

    def __init__(self, rig, domain, keys):
        self.rig, self.domain, self.keys = rig, domain, dict(keys)
        self.asked, self.wrong, self.answers = 0, [], []
        self.changed = threading.Condition()
        self.start()

    def start(self):
        self.channel = Vchan.server(self.rig, self.domain, f"/local/domain/0/data/vchan/{self.domain}/{PORT}")
        threading.Thread(target=self.serve, args=(self.channel,), daemon=True).start()

    def restart(self):
        """As `systemctl restart qubes-db@NAME` in dom0."""
        self.channel.close()
        self.start()

    def serve(self, channel):
        asked = False
        try:
            while got := receive(channel):
                kind, path, data = got
                with self.changed:
                    if kind == MULTIREAD and not asked:
                        asked = True
                        for key, value in sorted(self.keys.items(), reverse=True):
                            if key.startswith(path):
                                channel.send(message(RESP_MULTIREAD, key, value.encode()))
                        channel.send(message(RESP_MULTIREAD))
                        self.asked += 1
                    elif kind in (OK, ERROR):
                        self.answers.append((kind, path))
                    else:
                        self.wrong.append(got)
                        channel.close()
                    self.changed.notify_all()
        except (OSError, AssertionError) as error:
            if channel is self.channel:
                self.wrong.append(error)

    def wait_asked(self, count=1, seconds=120):
        """Until the guest has asked for everything `count` times."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.asked >= count or self.wrong, seconds) or self.wrong:
                raise AssertionError(f"QubesDB was asked {self.asked} times in {seconds} s; wrong: {self.wrong}")

    def write(self, path, value):
        """A change, as `qubesdb-write` of dom0 makes it; the guest must answer."""
        self.keys[path] = value
        self.tell(message(WRITE, path, value.encode()), path)

    def remove(self, path):
        """A path that ends in / is all below it."""
        for key in list(self.keys):
            if key == path or path.endswith("/") and key.startswith(path):
                del self.keys[key]
        self.tell(message(RM, path), path)

    def tell(self, data, path, seconds=120):
        with self.changed:
            before = len(self.answers)
            self.channel.send(data)
            if not self.changed.wait_for(lambda: (OK, path) in self.answers[before:], seconds):
                raise AssertionError(f"no answer to {path}: {self.answers[before:]}, wrong: {self.wrong}")

    def close(self):
        self.channel.close()
