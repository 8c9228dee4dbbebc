# SPDX-License-Identifier: MIT
"""A kvserver of one's own for a test, and a plain socket that speaks RESP to it."""
import os
import re
import resource
import signal
import socket
import subprocess

KVSERVER = os.environ.get("KVSERVER", "")
LISTENING = re.compile(r"^kvserver: listening on (\S+):(\d+) while (.*) is loaded$")
READY = re.compile(r"^kvserver (\S+) ready on (\S+):(\d+), (.*)$")


class Server:
    """Starts a server on a free port, waits for its start-up line, ends it by its pid."""

    def __init__(self, *options, program=KVSERVER, environment=None, limit=None, loads=False):
        """limit: most bytes of a file, as a stand-in for a disk that is full. loads: wait only until the server listens."""
        self.progress = []
        self.process = subprocess.Popen(
            [program, "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env={**os.environ, **(environment or {})},
            preexec_fn=None if limit is None else lambda: resource.setrlimit(
                resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1])),
        )
        self.port = int(self.wait_for_line(LISTENING if loads else READY).group(2 if loads else 3))

    def wait_for_line(self, expression):
        """Reads start-up lines until one matches; those before it are kept in progress."""
        for self.line in iter(lambda: self.process.stdout.readline().rstrip("\n"), ""):
            found = expression.match(self.line)
            if found is not None:
                return found
            self.progress.append(self.line)
        self.process.kill()
        raise AssertionError(f"no such line: {self.line!r} {self.process.communicate()[1]!r}")

    def wait_until_ready(self):
        return self.wait_for_line(READY)

    def connect(self, **options):
        return Wire(self.port, **options)

    def stop(self):
        """Ends the server as systemd would and says how it ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            _, self.errors = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, self.errors = self.process.communicate()
            raise
        return self.process.returncode

    def lift_limit(self):
        """The disk has room again."""
        most = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (most, most))

    def processor_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_kb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        code = self.stop()
        if failure[0] is None:
            assert code == 0, f"the server ended with {code}: {self.errors}"
            assert self.errors == "", self.errors


class Error(Exception):
    """An error reply."""


class Wire:
    """A connection that sends bytes as they are and reads replies one at a time."""

    def __init__(self, port, timeout=60, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError(line)
        return line[:-2]

    def exactly(self, size):
        data = self.file.read(size)
        if len(data) != size:
            raise EOFError(data)
        return data

    def reply(self):
        """The next reply in Python's types; error replies are returned, not raised."""
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Error(rest.decode("latin-1"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.exactly(int(rest) + 2)[:-2]
        if kind == b"=":
            return self.exactly(int(rest) + 2)[4:-2]
        if kind in (b"*", b"~"):
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        if kind == b"%":
            return {self.reply(): self.reply() for _ in range(int(rest))}
        if kind == b"_":
            return None
        if kind == b",":
            return float(rest)
        if kind == b"#":
            return rest == b"t"
        raise AssertionError(f"not a reply: {line!r}")

    def call(self, *arguments):
        self.send(encode(*arguments))
        return self.reply()

    def ends(self):
        """Whether the server closed the connection: nothing more comes."""
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def encode(*arguments):
    """A request as clients send it."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)
