# SPDX-License-Identifier: MIT
"""The server as a process: options, limits, slow and many clients, signals, memory that comes back."""
import os
import re
import resource
import select
import socket
import subprocess
import time

import pytest

from kvserver import KVSERVER, Error, Server, encode


def refuse(*options):
    """Runs a server that must not start; returns its one line of complaint."""
    done = subprocess.run([KVSERVER, *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done
    # Only when it listened already could it look at the directory.
    assert re.fullmatch(r"(kvserver: listening on [^\n]+ is loaded\n)?", done.stdout) and ("--dir" in options or not done.stdout)
    assert re.fullmatch(r"kvserver: [^\n]+\n", done.stderr), done.stderr
    return done.stderr


# ---- options ----


@pytest.mark.parametrize("options, words", [
    (["--nosuch"], ["--nosuch", "--help"]),
    (["--nosuch=1"], ["--nosuch"]),
    (["-x"], ["--help"]),
    (["stray"], ["stray", "--"]),
    (["--port"], ["--port", "value"]),
    (["--port", "abc"], ["--port abc", "0 to 65535"]),
    (["--port", "65536"], ["65536", "0 to 65535"]),
    (["--port", "-1"], ["-1", "0 to 65535"]),
    (["--maxmemory", "lots"], ["lots", "100mb"]),
    (["--maxmemory", "99999999999gb"], ["99999999999gb"]),
    (["--maxclients", "0"], ["--maxclients 0", "1 to"]),
    (["--protected-mode", "perhaps"], ["perhaps", "yes or no"]),
    (["--engine", "nosuch"], ["nosuch", "hash"]),
    (["--dir", "/proc/nosuch"], ["/proc/nosuch"]),
    (["--sync", "sometimes"], ["--sync", "always|everysec|no"]),
    (["--bind", "nowhere"], ["--bind nowhere"]),
    (["--bind", "0.0.0.0"], ["0.0.0.0", "--protected-mode no"]),
    (["--bind", "192.0.2.1", "--protected-mode", "no"], ["192.0.2.1"]),
    (["--config", "no/such/file"], ["no/such/file"]),
])
def test_bad_options_are_refused_in_one_line(options, words):
    complaint = refuse(*options)
    for word in words:
        assert word in complaint


def test_used_port():
    with Server() as server:
        complaint = refuse("--port", str(server.port))
        assert str(server.port) in complaint and "--port 0" in complaint


def test_help_and_version():
    done = subprocess.run([KVSERVER, "--help"], capture_output=True, text=True, timeout=60, check=True)
    for option in ("--port", "--bind", "--dir", "--sync", "--engine", "--maxmemory", "--config", "--help", "--version"):
        assert f"  {option}" in done.stdout
    assert max(len(line) for line in done.stdout.split("\n")) <= 130
    done = subprocess.run([KVSERVER, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert re.fullmatch(r"kvserver \d+\.\d+\.\d+\n", done.stdout)


def test_start_up_line_says_where_and_what():
    with Server() as server:
        assert re.fullmatch(rf"kvserver \S+ ready on 127\.0\.0\.1:{server.port}, data in memory only", server.line)


def test_config_file(tmp_path):
    path = tmp_path / "kvserver.ini"
    path.write_text("# a comment\n[server]\nmaxclients = 123\nmaxmemory = 64mb\n")
    with Server("--config", str(path), "--maxclients", "45") as server, server.connect() as wire:
        assert wire.call("CONFIG", "GET", "maxclients") == [b"maxclients", b"45"]
        assert wire.call("CONFIG", "GET", "maxmemory") == [b"maxmemory", str(64 << 20).encode()]
    for text, words in (
        ("[server]\nnosuch = 1\n", ["nosuch", "no such setting"]),
        ("[server]\nport = x\n", ["port x", "0 to 65535"]),
        ("[server]\nsync = here\n", ["sync", "always|everysec|no"]),
        ("[other]\nport = 1\n", ["[other]", "[server]"]),
        ("[server]\nnonsense\n", ["line 2"]),
    ):
        path.write_text(text)
        complaint = refuse("--config", str(path))
        assert str(path) in complaint
        for word in words:
            assert word in complaint


def test_config_get_and_set():
    with Server() as server, server.connect() as wire:
        assert wire.call("CONFIG", "SET", "maxmemory", "100mb", "maxclients", "50") == "OK"
        assert wire.call("CONFIG", "GET", "maxm*ory") == [b"maxmemory", b"104857600"]
        answer = wire.call("CONFIG", "SET", "maxclients", "60", "maxmemory", "x")
        assert str(answer) == (
            "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"
        )
        assert wire.call("CONFIG", "GET", "maxclients") == [b"maxclients", b"50"]
        assert isinstance(wire.call("CONFIG", "SET", "nosuch", "1"), Error)
        assert isinstance(wire.call("CONFIG", "SET", "port", "1"), Error)
        assert isinstance(wire.call("CONFIG", "SET", "appendonly", "yes"), Error)
        assert wire.call("CONFIG", "SET", "appendonly", "no") == "OK"
        names = wire.call("CONFIG", "GET", "*")[::2]
        assert b"port" in names and b"dir" in names


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6_loopback():
    with Server("--bind", "::1") as server:
        with socket.create_connection(("::1", server.port), timeout=60) as plain:
            plain.sendall(encode("PING"))
            assert plain.recv(100) == b"+PONG\r\n"


# ---- signals and the end ----


def test_signals_end_it_cleanly():
    for number in (2, 15):
        server = Server()
        with server.connect() as wire:
            wire.call("SET", "a", "x" * 1000000)
            wire.send(encode("GET", "a") * 100)
            server.process.send_signal(number)
            server.process.wait(20)
            assert server.process.returncode == 0
        server.stop()


def test_shutdown():
    server = Server()
    with server.connect() as wire:
        assert isinstance(wire.call("SHUTDOWN", "SAVE"), Error)
        assert str(wire.call("SHUTDOWN", "ABORT")) == "ERR No shutdown in progress."
        wire.send(encode("SHUTDOWN", "NOSAVE"))
        assert wire.ends()
    assert server.process.wait(20) == 0
    server.stop()


# ---- limits ----


def test_too_many_clients():
    with Server("--maxclients", "5") as server:
        wires = [server.connect() for _ in range(5)]
        assert [wire.call("PING") for wire in wires] == ["PONG"] * 5
        with server.connect() as extra:
            assert str(extra.reply()) == "ERR max number of clients reached"
            assert extra.ends()
        wires.pop().close()
        assert wires[0].call("PING") == "PONG"
        until(lambda: served(server))
        for wire in wires:
            wire.close()


def served(server):
    with server.connect() as wire:
        return wire.call("PING") == "PONG"


def until(condition, seconds=60.0):
    """Asks again and again; the server's own tick is what is waited for."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        select.select([], [], [], 0.01)


def test_raised_descriptor_limit():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        server = Server("--maxclients", "1000")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with server:
        wires = [server.connect() for _ in range(400)]
        assert all(wire.call("PING") == "PONG" for wire in wires)
        for wire in wires:
            wire.close()


def test_slow_reader_waits_without_taking_memory():
    with Server() as server, server.connect() as other:
        other.call("SET", "mb", "x" * (1 << 20))
        before = server.memory_kb()
        with server.connect(receive_buffer=4096) as slow:
            slow.send(encode("GET", "mb") * 1000)
            for _ in range(100):
                assert other.call("PING") == "PONG"
            assert server.memory_kb() - before < 80 * 1024
            assert len(slow.reply()) == 1 << 20
        assert other.call("PING") == "PONG"


def test_output_limit_ends_the_client():
    with Server("--output-limit", "2mb") as server, server.connect() as other:
        other.call("SET", "big", "x" * (3 << 20))
        with server.connect() as greedy:
            greedy.send(encode("GET", "big"))
            assert greedy.ends()
        assert other.call("PING") == "PONG"
        assert b"client_output_buffer_limit_disconnections:1\r\n" in other.call("INFO", "stats")


def test_memory_limit():
    with Server("--maxmemory", "8mb") as server, server.connect() as wire:
        answers = [wire.call("SET", f"k{i}", "x" * 100000) for i in range(200)]
        refused = [answer for answer in answers if answer != "OK"]
        assert refused and str(refused[0]) == "OOM command not allowed when used memory > 'maxmemory'."
        assert wire.call("GET", "k0") == b"x" * 100000
        assert wire.call("FLUSHALL") == "OK"
        assert wire.call("SET", "k", "x" * 100000) == "OK"
        assert wire.call("CONFIG", "SET", "maxmemory", "0") == "OK"
        assert all(wire.call("SET", f"k{i}", "x" * 100000) == "OK" for i in range(200))


def test_idle_connections_are_ended_when_asked():
    with Server("--timeout", "1") as server, server.connect() as wire:
        assert wire.ends()


def test_idle_connections_hold_no_buffers():
    with Server() as server:
        wires = [server.connect() for _ in range(500)]
        for wire in wires:
            wire.call("SET", "a", "x" * 5000)
        with server.connect() as other:
            lines = other.call("CLIENT", "LIST").decode().strip().split("\n")
        assert len(lines) == 501
        assert all(" qbuf=0 qbuf-free=0 " in line and " rbs=0 " in line for line in lines[:500])
        for wire in wires:
            wire.close()


# ---- memory that comes back ----


def test_flushall_is_quick_and_gives_memory_back():
    with Server() as server, server.connect() as wire:
        wire.call("SET", "warm", "x")
        empty = server.memory_kb()
        for start in range(0, 300000, 10000):
            wire.send(b"".join(encode("SET", f"key:{i}", "v" * 64) for i in range(start, start + 10000)))
            assert [wire.reply() for _ in range(10000)] == ["OK"] * 10000
        assert server.memory_kb() > empty + 20 * 1024
        before = server.processor_seconds()
        assert wire.call("FLUSHALL") == "OK"
        assert server.processor_seconds() - before < 0.25
        assert wire.call("DBSIZE") == 0
        until(lambda: server.memory_kb() < empty + 24 * 1024)


def test_late_keys_leave_by_themselves():
    with Server() as server, server.connect() as wire:
        assert wire.call("DEBUG", "SET-ACTIVE-EXPIRE", "0") == "OK"
        for i in range(100):
            wire.call("SET", f"k{i}", "v", "PX", "1")
        until(lambda: wire.call("GET", "k99") is None)
        assert wire.call("DEBUG", "SET-ACTIVE-EXPIRE", "1") == "OK"
        until(lambda: wire.call("DBSIZE") == 0)


# ---- what it says about itself ----


def test_info():
    with Server() as server, server.connect() as wire:
        wire.call("SET", "a", "1")
        wire.call("SET", "b", "1", "EX", "100")
        wire.call("GET", "a")
        wire.call("GET", "nothing")
        wire.call("NOSUCH")
        text = wire.call("INFO", "everything").decode()
        fields = dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)
        assert fields["redis_mode"] == "standalone" and fields["loading"] == "0" and fields["role"] == "master"
        assert fields["tcp_port"] == str(server.port) and fields["process_id"] == str(server.process.pid)
        assert fields["db0"] == "keys=2,expires=1,avg_ttl=0"
        assert fields["keyspace_hits"] == "1" and fields["keyspace_misses"] == "1"
        assert fields["cmdstat_set"].startswith("calls=2,usec=")
        assert fields["errorstat_ERR"] == "count=1"
        assert int(fields["used_memory"]) > 0 and int(fields["used_memory_rss"]) > 0
        assert "# Keyspace" not in wire.call("INFO", "server", "clients").decode()
        assert wire.call("CONFIG", "RESETSTAT") == "OK"
        assert b"keyspace_hits:0\r\n" in wire.call("INFO", "stats")


def test_memory_map_covers_the_data():
    with Server() as server, server.connect() as wire:
        for i in range(1000):
            wire.call("SET", f"k{i}", "x" * 100)
        lines = wire.call("MEMORY", "MAP").decode().strip().split("\n")
        assert all(re.fullmatch(r"0x[0-9a-f]+ \d+ \w+ \S+ 0x[0-9a-f]+ \d+ \d+", line) for line in lines), lines
        assert sum(int(line.split()[1]) for line in lines) > 100 * 1000


def test_nothing_is_allocated_per_request():
    """The same requests again and again leave the process as large as it was."""
    with Server() as server, server.connect() as wire:
        batch = b"".join(encode("SET", f"key:{i}", "v" * 64) + encode("GET", f"key:{i}") for i in range(1000))
        for round_number in range(60):
            wire.send(batch)
            for _ in range(2000):
                wire.reply()
            if round_number == 10:
                before = server.memory_kb()
        assert server.memory_kb() - before < 1024


def test_environment_is_not_needed():
    with Server(environment={"HOME": "", "PATH": ""}) as server, server.connect() as wire:
        assert wire.call("PING") == "PONG"
    assert os.path.exists(KVSERVER)
