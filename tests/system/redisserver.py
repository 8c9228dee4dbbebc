# SPDX-License-Identifier: MIT
"""A redis-server of one's own, to compare with."""
import shutil
import socket
import subprocess

PROGRAM = shutil.which("redis-server")
TRIES = 5


class Redis:
    """Starts it on a free port and waits until it answers; keeps nothing on disk."""

    def __init__(self):
        # Between the choice of a port and its use somebody else may take it.
        if not any(self.started() for _ in range(TRIES)):
            raise AssertionError("redis-server did not start")

    def started(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--enable-debug-command", "yes"], stdout=subprocess.PIPE, text=True)
        if any("eady to accept connections" in line for line in self.process.stdout):
            return True
        self.process.communicate()
        return False

    def stop(self):
        self.process.terminate()
        self.process.communicate(timeout=60)
