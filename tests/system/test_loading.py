# SPDX-License-Identifier: MIT
"""A server that is still loading: what it answers, and that it can be told to end.

A pipe with the name of a snapshot makes the load wait for as long as a test likes: opening it for reading waits until somebody
opens it for writing. Then it turns out to be an empty snapshot, which is passed over, and the log is loaded.
"""
import errno
import os
import signal
import stat
import time

import pytest

from kvserver import Error, Server

LOADING = "LOADING Redis is loading the dataset in memory"
KEYS = 100


class Pause:
    """A directory with data whose load waits until release."""

    def __init__(self, folder):
        self.folder = folder
        with Server("--dir", folder) as server, server.connect() as wire:
            for i in range(KEYS):
                assert wire.call("SET", f"key:{i}", i) == "OK"
        self.content = self.read()
        self.pipe = os.path.join(folder, "snap-00000000000000000001-0.snap")
        os.mkfifo(self.pipe)

    def read(self):
        """All that is in the directory, but for the lock, which names the last process."""
        content = {}
        for name in os.listdir(self.folder):
            path = os.path.join(self.folder, name)
            if name != "LOCK" and stat.S_ISREG(os.stat(path).st_mode):
                with open(path, "rb") as file:
                    content[name] = file.read()
        return content

    def release(self):
        """The load goes on. Once is enough."""
        if not os.path.exists(self.pipe):
            return
        end = time.monotonic() + 60
        while True:
            try:
                os.close(os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK))
                break
            except OSError as error:  # nobody has it open for reading yet
                assert error.errno == errno.ENXIO and time.monotonic() < end
        os.remove(self.pipe)


class Paused(Server):
    """A server on such a directory, which also a failed test can stop."""

    def __init__(self, pause):
        self.pause = pause
        super().__init__("--dir", pause.folder, loads=True)

    def stop(self):
        if self.process.poll() is None:
            self.pause.release()
        return super().stop()


@pytest.fixture(name="pause")
def fixture_pause(tmp_path):
    return Pause(str(tmp_path / "data"))


def persistence(wire):
    text = wire.call("INFO", "persistence").decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def test_requests_while_loading(pause):
    with Paused(pause) as server, server.connect() as wire:
        for words in (("GET", "key:1"), ("SET", "a", 1), ("PING",), ("DBSIZE",), ("FLUSHALL",), ("SAVE",), ("BGSAVE",),
                      ("BACKUP", "/nowhere"), ("LOG", "RESUME"), ("KEYSPACE", "LIST"), ("KEYSPACE", "CREATE", "a"),
                      ("MEMORY", "STATS"), ("WAIT", 0, 0), ("SWAPDB", 0, 1), ("RANDOMKEY",)):
            assert str(wire.call(*words)) == LOADING, words
        assert str(wire.call("GET")) == "ERR wrong number of arguments for 'get' command"
        assert "unknown command" in str(wire.call("NOSUCH"))
        told = persistence(wire)
        assert told["loading"] == "1" and told["loading_loaded_bytes"] == "0" and told["aof_enabled"] == "0"
        assert abs(int(told["loading_start_time"]) - time.time()) < 600 and "loading_eta_seconds" in told
        assert wire.call("ECHO", "there") == b"there"
        assert wire.call("CONFIG", "GET", "port") == [b"port", b"0"]
        assert wire.call("TIME") and wire.call("COMMAND", "COUNT") > 50 and wire.call("LASTSAVE") > 0
        assert wire.call("SELECT", 1) == "OK" and wire.call("SELECT", 0) == "OK"
        pause.release()
        server.wait_until_ready()
        assert persistence(wire)["loading"] == "0" and persistence(wire)["aof_enabled"] == "1"
        assert wire.call("PING") == "PONG" and wire.call("DBSIZE") == KEYS and wire.call("GET", "key:7") == b"7"


def test_transactions_while_loading(pause):
    with Paused(pause) as server, server.connect() as wire, server.connect() as watcher:
        assert wire.call("MULTI") == "OK"
        assert str(wire.call("SET", "key:1", "x")) == LOADING
        assert str(wire.call("EXEC")) == "EXECABORT Transaction discarded because of previous errors."
        # What is watched on the empty database has changed when the data are there.
        assert watcher.call("WATCH", "key:1") == "OK"
        pause.release()
        server.wait_until_ready()
        assert watcher.call("MULTI") == "OK" and watcher.call("SET", "key:1", "x") == "QUEUED"
        assert watcher.call("EXEC") is None
        assert wire.call("GET", "key:1") == b"1"


def test_settings_while_loading(pause):
    with Paused(pause) as server, server.connect() as wire:
        assert wire.call("CONFIG", "SET", "sync", "always") == "OK"
        assert wire.call("CONFIG", "SET", "maxmemory", 1) == "OK"
        assert isinstance(wire.call("CONFIG", "SET", "sync", "never"), Error)
        pause.release()
        server.wait_until_ready()
        assert wire.call("DBSIZE") == KEYS, "what was written fits, whatever the limit is now"
        assert str(wire.call("SET", "a", 1)).startswith("OOM")
        assert wire.call("CONFIG", "SET", "maxmemory", 0) == "OK" and wire.call("SET", "a", 1) == "OK"
        told = persistence(wire)
        assert told["log_sync"] == "always" and told["log_durable_lsn"] == told["log_lsn"]


def end_by_signal(server, _, number):
    server.process.send_signal(number)


def end_by_command(_, wire, *words):
    wire.send(b" ".join(words) + b"\r\n")


@pytest.mark.parametrize("end, what", [
    (end_by_signal, (signal.SIGTERM,)),
    (end_by_signal, (signal.SIGINT,)),
    (end_by_command, (b"SHUTDOWN",)),
    (end_by_command, (b"SHUTDOWN", b"NOSAVE")),
    (end_by_command, (b"SHUTDOWN", b"SAVE")),
])
def test_ends_while_loading(pause, end, what):
    """The load is not finished first: no segment of a log that begins is made, nothing else changes either."""
    with Paused(pause) as server:
        with server.connect() as wire, server.connect() as bystander:
            assert persistence(wire)["loading"] == "1" == persistence(bystander)["loading"]
            end(server, wire, *what)
            # SHUTDOWN ends its own connection first; those of others when the load has been told.
            assert bystander.ends()
        pause.release()
        assert server.process.wait(60) == 0
    assert pause.read() == pause.content
    with Server("--dir", pause.folder) as server, server.connect() as wire:
        assert wire.call("DBSIZE") == KEYS
