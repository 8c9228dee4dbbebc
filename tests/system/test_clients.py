# SPDX-License-Identifier: MIT
"""The clients that people use: redis-cli, redis-benchmark, redis-py, and hiredis from C."""
import os
import shutil
import subprocess

import pytest
import redis

from kvserver import Server, encode

CLI = shutil.which("redis-cli")
BENCHMARK = shutil.which("redis-benchmark")
HIREDIS = os.environ.get("HIREDIS_CLIENT", "")


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


def run(program, server, *arguments, **options):
    return subprocess.run(
        [program, "-p", str(server.port), *arguments], capture_output=True, timeout=60, check=True, **options
    ).stdout


@pytest.mark.skipif(CLI is None, reason="redis-cli is not installed")
def test_redis_cli(server):
    assert run(CLI, server, "set", "a key", "a value") == b"OK\n"
    assert run(CLI, server, "get", "a key") == b"a value\n"
    assert run(CLI, server, "-3", "config", "get", "port") == b"port 0\n"
    assert b"redis_version:" in run(CLI, server, "info")
    assert run(CLI, server, input=b'set x 1\nincr x\nnosuch\nget x\n').split(b"\n")[:2] == [b"OK", b"2"]
    assert run(CLI, server, "-x", "set", "binary", input=bytes(range(256))) == b"OK\n"
    assert run(CLI, server, "--no-raw", "strlen", "binary") == b"(integer) 256\n"
    assert run(CLI, server, "--scan", "--pattern", "a k*") == b"a key\n"
    assert b"Sampled 3 keys" in run(CLI, server, "--bigkeys")


@pytest.mark.skipif(CLI is None, reason="redis-cli is not installed")
def test_redis_cli_pipe(server):
    requests = b"".join(encode("SET", f"pipe:{i}", "v" * (i % 300)) for i in range(20000))
    report = run(CLI, server, "--pipe", input=requests)
    assert b"errors: 0, replies: 20000" in report
    assert run(CLI, server, "strlen", "pipe:299") == b"299\n"


@pytest.mark.skipif(BENCHMARK is None, reason="redis-benchmark is not installed")
@pytest.mark.parametrize("depth", [1, 16])
def test_redis_benchmark(server, depth):
    report = run(BENCHMARK, server, "-t", "ping,set,get,incr,mset", "-n", "5000", "-P", str(depth), "-q", "-r", "1000",
                 stderr=None)
    for name in (b"PING_INLINE", b"PING_MBULK", b"SET", b"GET", b"INCR", b"MSET (10 keys)"):
        assert name + b": " in report
    assert b"WARN" not in report and b"rror" not in report


@pytest.mark.parametrize("protocol", ["plain", "pipeline"])
def test_redis_py(server, protocol):
    with redis.Redis(port=server.port) as client:
        assert client.ping()
        every = bytes(range(256))
        if protocol == "pipeline":
            with client.pipeline(transaction=False) as pipe:
                for i in range(1000):
                    pipe.set(f"py:{i}", i)
                    pipe.get(f"py:{i}")
                answers = pipe.execute()
            assert answers[1::2] == [str(i).encode() for i in range(1000)]
            return
        assert client.set(every, every) and client.get(every) == every
        assert client.set("py", 1, ex=100, nx=True) and not client.set("py", 1, nx=True)
        assert client.ttl("py") == 100 and client.incr("py") == 2 and client.incrbyfloat("py", 0.5) == 2.5
        assert client.mset({"py1": "a", "py2": "b"}) and client.mget("py1", "nothing", "py2") == [b"a", None, b"b"]
        assert client.append("py1", "bc") == 3 and client.getrange("py1", 1, 2) == b"bc"
        assert client.exists("py1", "py2", "nothing") == 2 and client.type("py1") == b"string"
        assert client.expire("py1", 50) and client.persist("py1") and client.rename("py1", "py3")
        assert set(client.scan_iter("py[23]")) == {b"py2", b"py3"}
        assert client.delete("py2", "py3") == 2
        assert client.info()["redis_mode"] == "standalone" and "db0" in client.info("keyspace")
        assert client.config_get("maxmemory") == {"maxmemory": "0"}
        assert client.client_setname("snake") and client.client_getname() in ("snake", b"snake")
        assert any(entry["name"] == "snake" for entry in client.client_list())
        assert client.command_count() > 50 and "get" in client.command()
        assert client.dbsize() > 0 and client.time()[0] > 0
        with pytest.raises(redis.ResponseError, match="unknown command"):
            client.execute_command("NOSUCH", "a")
        with pytest.raises(redis.ResponseError, match="not an integer"):
            client.incr(every)
        assert client.flushdb() and client.dbsize() == 0


def test_redis_py_keyspaces(server):
    with redis.Redis(port=server.port, db=3) as three, redis.Redis(port=server.port, db=4) as four:
        three.set("where", "three")
        assert four.get("where") is None
        assert three.move("where", 4) and four.get("where") == b"three"
        assert three.swapdb(3, 4) and three.get("where") == b"three"


@pytest.mark.skipif(not HIREDIS, reason="built without hiredis")
def test_hiredis(server):
    done = subprocess.run([HIREDIS, str(server.port)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "hiredis: all well\n"
