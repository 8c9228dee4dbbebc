# SPDX-License-Identifier: MIT
"""Servers as processes: start on a free loopback port, ask, stop by the pid that was started."""
import shutil
import socket
import subprocess
import sys
import tempfile
import time

START_SECONDS = 20

COMMANDS = {
    "kvserver": lambda program, port: [program, "--port", str(port)],
    "redis": lambda _, port: [
        "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
        "--daemonize", "no",
    ],
    "memcached": lambda _, port: [
        "memcached", "-p", str(port), "-l", "127.0.0.1", "-U", "0", "-t", "1", "-m", "8192", "-u", "nobody",
    ],
}
PROTOCOLS = {"memcached": "mcm"}
FLUSH = {"resp": (b"*1\r\n$8\r\nFLUSHALL\r\n", b"+OK\r\n"), "mcm": (b"flush_all\r\n", b"OK\r\n")}
HELLO = {"resp": (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"), "mcm": (b"mn\r\n", b"MN\r\n")}

_running = []


def pinned(processor):
    return [] if processor is None else ["taskset", "-c", str(processor)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, name, command, port):
        self.name = name
        self.port = port
        self.protocol = PROTOCOLS.get(name, "resp")
        self.empty_bytes = 0
        self.folder = tempfile.TemporaryDirectory(prefix="bench_server-")
        self.command = command
        self.begin()
        _running.append(self)

    def begin(self):
        self.process = subprocess.Popen(
            self.command, cwd=self.folder.name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.pid = self.process.pid  # taskset becomes the server

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ask(self, request, answer):
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(request)
            got = b""
            while len(got) < len(answer):
                part = connection.recv(4096)
                if not part:
                    break
                got += part
        if got != answer:
            raise OSError(f"{self.name} answers {got!r}, not {answer!r}")

    def wait(self):
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.ask(*HELLO[self.protocol])
                return
            except OSError as error:
                if time.monotonic() > end or self.process.poll() is not None:
                    sys.exit(f"bench_server: {self.name} does not start: {error}")
                time.sleep(0.02)

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def flush_seconds(self):
        """From sending FLUSHALL to its reply, connecting not counted."""
        request, answer = FLUSH[self.protocol]
        with socket.create_connection(("127.0.0.1", self.port), timeout=120) as connection:
            start = time.monotonic()
            connection.sendall(request)
            got = connection.recv(4096)
            seconds = time.monotonic() - start
        if got != answer:
            sys.exit(f"bench_server: {self.name} answers {got!r} to a flush")
        return seconds

    def stop(self):
        if self in _running:
            _running.remove(self)
            self.end()
            self.folder.cleanup()


def start(name, kvserver, processor):
    """A running server, or None if it is not installed."""
    port = free_port()
    command = COMMANDS[name](kvserver, port)
    if shutil.which(command[0]) is None:
        return None
    server = Server(name, [*pinned(processor), *command], port)
    server.wait()
    return server


def stop_everything():
    for server in list(_running):
        server.stop()
