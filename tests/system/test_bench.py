# SPDX-License-Identifier: MIT
"""The benchmarks run and say what they should: in their quick form, whose figures mean nothing."""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest

BUILD = os.environ["KV_BUILD"]
SOURCE = os.environ["KV_SOURCE"]
MEMORY = os.path.join(BUILD, "bench", "bench_memory")
LOAD = os.path.join(BUILD, "bench", "kvload")
ENGINES = os.path.join(SOURCE, "bench", "engines", "bench_engines.py")
SERVER = os.path.join(SOURCE, "bench", "server", "bench_server.py")
KVSERVER = os.path.join(BUILD, "kvserver")

needs_memory = pytest.mark.skipif(not os.path.exists(MEMORY), reason="bench_memory is not built")
needs_kvserver = pytest.mark.skipif(not os.path.exists(KVSERVER), reason="kvserver is not built")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def bench_engines(*options):
    return run(sys.executable, ENGINES, "--build", BUILD, "--scale", "1000", "--runs", "1", *options)


def test_every_row_of_the_engines_is_measured():
    done = bench_engines("--markdown")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    for start in ("hash: get ", "hash: longest put", "bptree: after deleting half", "rbtree: iterate"):
        assert any(line.startswith(f"| {start}") for line in lines), start
    assert all(line.count("|") == 7 for line in lines)
    assert done.stdout.splitlines()[-1].endswith("goals met")


def test_engines_can_be_chosen():
    done = bench_engines("--engines", "hash", "--json")
    assert set(json.loads(done.stdout)) == {"hash", "mixed-keys", "large"}
    assert bench_engines("--engines", "nothing").returncode != 0


@needs_memory
def test_every_memory_row_is_measured():
    done = run(MEMORY, "--quick", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    listed = [line.split()[0] for line in run(MEMORY, "--list").stdout.splitlines()]
    assert [row["id"] for row in found["rows"]] == listed
    for row in found["rows"]:
        assert row["ours"]["runs"] == 1, row
        assert row["ours"]["min"] <= row["ours"]["median"] <= row["ours"]["max"]
    by_name = {row["id"]: row for row in found["rows"]}
    names = {peer["name"] for peer in by_name["pool-churn"]["peers"]}
    assert "malloc" in names
    assert by_name["arena-efficiency-64k"]["ours"]["median"] > 99
    assert found["goals"] >= found["met"]
    assert {"machine", "compiler", "flags", "commit"} <= set(found)


@needs_memory
def test_memory_rows_can_be_chosen():
    done = run(MEMORY, "--quick", "--rows=arena-eff,spec", "--runs=3", "--json")
    rows = json.loads(done.stdout)["rows"]
    assert {row["id"].split("-")[0] for row in rows} == {"specification", "arena"}
    assert all(row["ours"]["runs"] == 3 for row in rows)
    assert run(MEMORY, "--quick", "--rows=arena-eff", "--markdown").stdout.count("\n| ") == 3
    assert "goals met" in run(MEMORY, "--quick", "--rows=arena-eff").stdout


@needs_memory
@pytest.mark.parametrize("arguments", [["--rows=nothing"], ["--runs=0"], ["--runs=x"], ["--what"], ["extra"]])
def test_memory_refuses(arguments):
    done = run(MEMORY, *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["-P", "0"], ["-c", "x"], ["-m", "what"], ["-d", "11"], ["--proto", "x"], ["--what"], ["extra"], ["-k", "0"]],
)
def test_load_refuses(arguments):
    done = run(LOAD, *arguments)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def serve_once(listener, reply):
    """Gives every request of one connection the same reply."""
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        while connection.recv(65536):
            connection.sendall(reply)


@pytest.mark.parametrize(
    "mode, reply, complaint",
    [
        ("load", b"+NO\r\n", "wrong reply"),
        ("load", b"+OK\r\n+OK\r\n", "more replies"),
        ("load", b"-ERR what\r\n", "wrong reply"),
        ("get", b"$12\r\n000000000001\r\n", "wrong reply"),
        ("get", b"$13\r\n000000000000x\r\n", "wrong reply"),
        ("get", b"$12\r\n000000000000x\n", "wrong reply"),
    ],
)
def test_load_checks_replies(mode, reply, complaint):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_once, args=(listener, reply))
        thread.start()
        port = str(listener.getsockname()[1])
        done = run(LOAD, "-p", port, "-m", mode, "-k", "1", "-c", "1", "-P", "1", "-d", "12")
        thread.join(10)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_load_counts_misses():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_once, args=(listener, b"$-1\r\n"))
        thread.start()
        port = str(listener.getsockname()[1])
        done = run(LOAD, "-p", port, "-m", "get", "-k", "1", "-c", "1", "-P", "1", "-n", "1", "-w", "0", "--nomiss")
        thread.join(10)
    columns = run(LOAD, "--header").stdout.strip("\n").split("\t")
    figures = dict(zip(columns, done.stdout.strip("\n").split("\t")))
    assert (figures["reqs"], figures["miss"]) == ("1", "1")
    assert done.returncode == 3


@needs_memory
@needs_kvserver
def test_server_rows():
    names = "kvserver,redis" if shutil.which("redis-server") else "kvserver"
    done = run(sys.executable, SERVER, "--build", BUILD, "--servers", names, "--quick", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for row in found["rows"]:
        assert row["ours"]["runs"] == 1, row
        assert len(row["peers"]) == names.count(","), row
    assert len(found["rows"]) == 32


@pytest.mark.parametrize("arguments", [["--servers=x"], ["--phases=x"], ["--build=/nowhere"], ["--what"]])
def test_server_refuses(arguments):
    done = run(sys.executable, SERVER, *arguments)
    assert done.returncode != 0
    assert done.stdout == ""
