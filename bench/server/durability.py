# SPDX-License-Identifier: MIT
"""The phases about what is kept on disk: kvserver with --dir beside redis-server with an append-only file.

Folders are temporary, on the disk of TMPDIR. Nothing is snapshotted by itself meanwhile.
"""
import glob
import os
import socket
import threading
import time

import peers

COMMANDS = {
    "kvserver": lambda program, port, sync: [
        program, "--port", str(port), "--dir", "data", "--sync", sync, "--snapshot-log-bytes", "0",
    ],
    "redis": lambda _, port, sync: [
        "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no", "--appendonly",
        "no" if sync == "none" else "yes", "--appendfsync", "everysec" if sync == "none" else sync,
        "--auto-aof-rewrite-percentage", "0",
    ],
}
WAIT_SECONDS = 600


def ask(server, *words):
    """The first line of a reply, or the whole of a bulk string."""
    request = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_SECONDS) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as file:
            line = file.readline().decode().rstrip("\r\n")
            return file.read(int(line[1:])).decode() if line.startswith("$") else line


def information(server):
    lines = ask(server, "INFO", "persistence").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def start(name, options, sync):
    port = peers.free_port()
    command = [*peers.pinned(options.server_processor), *COMMANDS[name](options.kvserver, port, sync)]
    server = peers.Server(name, command, port)
    wait_until_served(server)
    return server


def wait_until_served(server):
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        try:
            if ask(server, "DBSIZE").startswith(":"):
                return
        except OSError:
            pass
        time.sleep(0.005)


def contestants(options):
    return [name for name in COMMANDS if name in options.servers and (name == "kvserver" or peers.shutil.which("redis-server"))]


def measure_sync(samples, options, load):
    """SET a second at three depths under two policies, and what a SET adds to the log."""
    for sync in ("always", "everysec"):
        servers = [start(name, options, sync) for name in contestants(options)]
        for server in servers:
            before = int(information(server)["aof_current_size"])
            load.run(server, "load", options.keys, "--pipeline", 64, "--value-bytes", 64)
            if sync == "everysec":
                samples.add("log-bytes", server, (int(information(server)["aof_current_size"]) - before) / options.keys)
        for pipeline in (1, 16, 64):
            for server in servers:
                figures = load.run(server, "set", options.keys, "--pipeline", pipeline)
                samples.add(f"{sync}-{pipeline}", server, figures["rps"] / 1000.0)
        for server in servers:
            server.stop()


def time_restart(server):
    server.end()
    begin = time.monotonic()
    server.begin()
    wait_until_served(server)
    return time.monotonic() - begin


def measure_reload(samples, options, load):
    """From the start of the process to the first reply about data, after a log and after a snapshot."""
    for name in contestants(options):
        for row, sync in (("reload-log", "everysec"), ("reload-snapshot", "none")):
            server = start(name, options, "everysec" if name == "kvserver" else sync)
            load.run(server, "load", options.many_keys, "--pipeline", 64)
            if row == "reload-snapshot":
                ask(server, "SAVE")
            samples.add(row, server, time_restart(server))
            if ask(server, "DBSIZE") != f":{options.many_keys}":
                raise SystemExit(f"bench_server: {name} has lost keys")
            server.stop()


class MemoryWatch(threading.Thread):
    """The most that a server and its children have taken, beyond what it had at first."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.first = self.taken()
        self.most = self.first
        self.over = False

    def taken(self):
        total = self.server.resident_bytes()
        for children in glob.glob(f"/proc/{self.server.pid}/task/*/children"):
            with open(children, encoding="ascii") as file:
                for child in file.read().split():
                    total += private_bytes(child)
        return total

    def run(self):
        while not self.over:
            try:
                self.most = max(self.most, self.taken())
            except OSError:
                pass
            time.sleep(0.02)


def private_bytes(pid):
    total = 0
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Private_Dirty:"):
                total += int(line.split()[1]) * 1024
    return total


def measure_snapshot(samples, options, load):
    """What BGSAVE costs those who write meanwhile."""
    for name in contestants(options):
        server = start(name, options, "everysec")
        load.run(server, "load", options.keys, "--pipeline", 64)
        before = load.run(server, "set", options.keys, "--pipeline", 16)
        watch = MemoryWatch(server)
        watch.start()
        ask(server, "BGSAVE")
        during = load.run(server, "set", options.keys, "--pipeline", 16)
        end = time.monotonic() + WAIT_SECONDS
        while information(server)["rdb_bgsave_in_progress"] == "1" and time.monotonic() < end:
            time.sleep(0.02)
        watch.over = True
        watch.join()
        samples.add("snapshot-memory", server, 100.0 * (watch.most - watch.first) / watch.first)
        samples.add("snapshot-rate", server, 100.0 * during["rps"] / before["rps"])
        samples.add("snapshot-p999", server, during["p999us"] / max(before["p999us"], 1))
        server.stop()


PHASES = {"sync": measure_sync, "reload": measure_reload, "snapshot": measure_snapshot}
