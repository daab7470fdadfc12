#!/usr/bin/env python3
"""Comes as strangers do, from inside a network namespace.

    stranger.py silent HOST PORT RATE ADDRESS…            so many a second that say nothing, in turn from these addresses
    stranger.py slow HOST PORT ADDRESS DELAY              ssh's ProxyCommand: each piece takes so many seconds

"silent" keeps all that it opens, goes on until its standard input ends, and then says how many there were.
"""
import os
import select
import selectors
import socket
import sys
import time


def silent(host, port, rate, *addresses):
    held, begin = [], time.monotonic()
    while not select.select([0], [], [], max(0, begin + len(held) / float(rate) - time.monotonic()))[0]:
        plain = socket.socket()
        plain.setblocking(False)
        plain.bind((addresses[len(held) % len(addresses)], 0))
        plain.connect_ex((host, int(port)))
        held.append(plain)
    print(len(held))


def slow(host, port, address, delay):
    plain = socket.create_connection((host, int(port)), timeout=30, source_address=(address, 0))
    plain.setblocking(True)
    both = selectors.DefaultSelector()
    both.register(0, selectors.EVENT_READ, plain.sendall)
    both.register(plain, selectors.EVENT_READ, lambda data: os.write(1, data))
    while True:
        for key, _ in both.select():
            data = os.read(0, 65536) if key.fd == 0 else plain.recv(65536)
            if not data:
                return
            time.sleep(float(delay))
            key.data(data)


if __name__ == "__main__":
    {"silent": silent, "slow": slow}[sys.argv[1]](*sys.argv[2:])
