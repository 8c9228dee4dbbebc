# SPDX-License-Identifier: MIT
"""The phase about deadlines: all keys are due in the same millisecond, and somebody asks for another one all the time.

The longest reply while they go is what a client notices. The same is measured before, with nothing to do: what the machine
itself adds.
"""
import socket
import time

import peers

FILL_KEYS = 1000  # a write to the socket
FILL_SECONDS = 10.0  # at first, for a million keys
PROBE_SECONDS = 1.0
WAIT_SECONDS = 600


def contestants(options):
    """Those that speak RESP; memcached has no way to say how many are left."""
    return [name for name in ("kvserver", "redis") if name in options.servers]


class Line:
    """A connection that sends requests in large pieces and reads one-line replies."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_SECONDS)
        self.file = self.socket.makefile("rb")

    def ask(self, words, count=1):
        self.socket.sendall(words)
        return [self.file.readline() for _ in range(count)]

    def keys(self):
        return int(self.ask(b"DBSIZE\r\n")[0][1:])

    def close(self):
        self.file.close()
        self.socket.close()


def fill(line, keys, seconds):
    """Keys that are all due at one time, which is returned; None: it took longer than that."""
    due = int(time.time() * 1000 + seconds * 1000)
    for first in range(0, keys, FILL_KEYS):
        count = min(FILL_KEYS, keys - first)
        requests = b"".join(b"SET due:%d %064d PXAT %d\r\n" % (i, i, due) for i in range(first, first + count))
        if line.ask(requests, count) != [b"+OK\r\n"] * count:
            raise SystemExit("bench_server: SET PXAT was refused")
    in_time = due / 1000 - time.time() > PROBE_SECONDS
    return due / 1000 if in_time and line.keys() == keys else None


def probe(server, load, seconds):
    """One client, one request at a time, for keys that are not there; longest and p99.9 in ms."""
    figures = load.run(
        server, "get", 1000, "--connections", 1, "--pipeline", 1, "--seconds", f"{seconds:.2f}", "--warm-up", 0,
    )
    return figures["maxus"] / 1000.0, figures["p999us"] / 1000.0


def measure_expiry(samples, options, load):
    for name in contestants(options):
        server = peers.start(name, options.kvserver, options.server_processor)
        if server is None:
            continue
        line = Line(server)
        samples.add("expire-quiet", server, probe(server, load, PROBE_SECONDS)[0])
        seconds = PROBE_SECONDS + FILL_SECONDS * options.keys / 1_000_000
        due = None
        while due is None:
            line.ask(b"FLUSHALL\r\n")
            due = fill(line, options.keys, seconds)
            seconds *= 2
        found = [probe(server, load, due - time.time() + PROBE_SECONDS)]
        while line.keys() > 0:
            found.append(probe(server, load, PROBE_SECONDS))
        samples.add("expire-max", server, max(longest for longest, _ in found))
        samples.add("expire-p999", server, max(p999 for _, p999 in found))
        line.close()
        server.stop()
