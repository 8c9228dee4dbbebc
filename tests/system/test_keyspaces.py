# SPDX-License-Identifier: MIT
"""Keyspaces with names: created, selected, changed, dropped, told about."""
import time

import pytest

from kvserver import Error, Server, Wire


@pytest.fixture(scope="module")
def server():
    with Server() as ours:
        yield ours


@pytest.fixture
def wire(server):
    with Wire(server.port) as one:
        one.call("HELLO", 3)
        yield one
        one.call("SELECT", 0)
        for name in one.call("KEYSPACE", "LIST"):
            if not name.isdigit():
                assert one.call("KEYSPACE", "DROP", name) == "OK"
        one.call("FLUSHALL")


def error(reply):
    assert isinstance(reply, Error), reply
    return str(reply)


def info(wire, name):
    return wire.call("KEYSPACE", "INFO", name)


def text(wire, section):
    lines = wire.call("INFO", section).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def test_create_select_drop(wire):
    assert wire.call("KEYSPACE", "CREATE", "sessions", "ENGINE", "bptree", "QUOTA", "10mb", "DEFAULT-TTL", "100000") == "OK"
    assert wire.call("KEYSPACE", "LIST")[-1] == b"sessions" and len(wire.call("KEYSPACE", "LIST")) == 17
    assert wire.call("SELECT", "sessions") == "OK"
    assert wire.call("SET", "k", "v") == "OK"
    assert 0 < wire.call("PTTL", "k") <= 100000
    told = info(wire, "sessions")
    assert told[b"engine"] == b"bptree" and told[b"quota"] == 10 << 20 and told[b"keys"] == 1 and told[b"default-ttl"] == 100000
    parts = [told[field + b".bytes"] for field in (b"key", b"value", b"index", b"expiry", b"slack")]
    assert told[b"expiry.bytes"] > 0
    assert sum(parts) == told[b"total.bytes"] > 0
    assert wire.call("SELECT", 0) == "OK"
    assert wire.call("EXISTS", "k") == 0
    assert wire.call("COPY", "k", "k2", "DB", "sessions") == 0
    assert wire.call("KEYSPACE", "DROP", "sessions") == "OK"
    assert error(info(wire, "sessions")) == "ERR no such keyspace"


def test_wrong_requests_are_refused(wire):
    assert "exists already" in error(wire.call("KEYSPACE", "CREATE", "a") and wire.call("KEYSPACE", "CREATE", "a"))
    assert "number" in error(wire.call("KEYSPACE", "CREATE", "77"))
    assert "blanks" in error(wire.call("KEYSPACE", "CREATE", "a b"))
    assert "blanks" in error(wire.call("KEYSPACE", "CREATE", ""))
    assert "hash" in error(wire.call("KEYSPACE", "CREATE", "b", "ENGINE", "nosuch"))
    assert "allkeys-lru" in error(wire.call("KEYSPACE", "CREATE", "b", "EVICTION", "nosuch"))
    assert "everysec" in error(wire.call("KEYSPACE", "CREATE", "b", "SYNC", "nosuch"))
    assert "10" in error(wire.call("KEYSPACE", "CREATE", "b", "QUOTA", "much"))
    assert "syntax" in error(wire.call("KEYSPACE", "CREATE", "b", "QUOTA"))
    assert "syntax" in error(wire.call("KEYSPACE", "CREATE", "b", "NOSUCH", "1"))
    assert "always there" in error(wire.call("KEYSPACE", "DROP", "0"))
    assert error(wire.call("KEYSPACE", "DROP", "nosuch")) == "ERR no such keyspace"
    assert error(wire.call("KEYSPACE", "SET", "nosuch", "QUOTA", "0")) == "ERR no such keyspace"
    assert [name for name in wire.call("KEYSPACE", "LIST") if not name.isdigit()] == [b"a"]


def test_attributes_change_while_in_use(wire):
    wire.call("KEYSPACE", "CREATE", "a")
    assert wire.call("KEYSPACE", "SET", "a", "QUOTA", "64mb", "EVICTION", "allkeys-lru", "SYNC", "no", "MAX-TTL", "5000") == "OK"
    told = info(wire, "a")
    assert (told[b"quota"], told[b"eviction"], told[b"sync"], told[b"max-ttl"]) == (64 << 20, b"allkeys-lru", b"no", 5000)
    wire.call("SELECT", "a")
    wire.call("SET", "k", "v", "EX", 1000)
    assert 0 < wire.call("PTTL", "k") <= 5000
    assert wire.call("KEYSPACE", "SET", "a", "MAX-TTL", "0", "EVICTION", "default") == "OK"
    wire.call("SET", "k", "v", "EX", 1000)
    assert wire.call("PTTL", "k") > 5000


def test_a_quota_refuses_writes_and_nothing_else(wire):
    wire.call("KEYSPACE", "CREATE", "small", "QUOTA", "1mb")
    wire.call("SELECT", "small")
    refusal = None
    for i in range(4000):
        reply = wire.call("SET", f"key:{i}", "x" * 1000)
        if isinstance(reply, Error):
            refusal = str(reply)
            break
    assert refusal is not None and refusal.startswith("OOM command not allowed")
    assert info(wire, "small")[b"total.bytes"] <= 1 << 20
    assert wire.call("GET", "key:0") == b"x" * 1000
    wire.call("SELECT", 0)
    assert wire.call("SET", "elsewhere", "x" * 100000) == "OK"


def test_a_dropped_keyspace_is_nobody_elses(server, wire):
    wire.call("KEYSPACE", "CREATE", "a")
    with Wire(server.port) as other:
        other.call("SELECT", "a")
        other.call("SET", "k", 1)
        other.call("MULTI")
        other.call("GET", "k")
        assert wire.call("KEYSPACE", "DROP", "a") == "OK"
        wire.call("KEYSPACE", "CREATE", "b")
        assert "was dropped" in error(other.call("EXEC")[0])
        assert "was dropped" in error(other.call("SET", "k", 2))
        assert "was dropped" in error(other.call("SCAN", 0))
        assert other.call("PING") == "PONG"
        assert other.call("SELECT", "b") == "OK" and other.call("DBSIZE") == 0


@pytest.mark.parametrize("engines", [("hash", "bptree"), ("bptree", "rbtree")])
def test_conversion_while_it_is_used(wire, engines):
    """Reads of all kinds go on and do not make it begin again."""
    old, new = engines
    wire.call("KEYSPACE", "CREATE", "a", "ENGINE", old)
    wire.call("SELECT", "a")
    count = 30000
    wire.call("MSET", *(text for i in range(count) for text in (f"{i:06}", i)))
    assert wire.call("KEYSPACE", "SET", "a", "ENGINE", new) == "OK"
    deadline = time.monotonic() + 60
    while info(wire, "a")[b"engine"] != new.encode():
        assert time.monotonic() < deadline
        wire.call("SET", f"{count:06}", count)
        count += 1
        if old == "bptree":
            assert wire.call("RANGE", "-", "+", "LIMIT", 2) == [b"000000", b"000001"]
            assert wire.call("RANK", "002999") == 2999
            assert wire.call("KEYAT", -1) == f"{count - 1:06}".encode()
            assert wire.call("RANGECOUNT", "-", "+") == count
    assert wire.call("DBSIZE") == count
    assert wire.call("RANGE", "-", "+", "LIMIT", 2) == [b"000000", b"000001"]
    assert wire.call("GET", "002999") == b"2999"


def test_info_tells_of_each(wire):
    wire.call("KEYSPACE", "CREATE", "a:b,c", "ENGINE", "bptree")
    wire.call("SET", "k", "v")
    told = text(wire, "keyspaces")
    assert "keys=1," in told["keyspace0"] and told["keyspace0"].endswith(",name=0")
    assert "engine=bptree" in told["keyspace16"] and told["keyspace16"].endswith(",name=a:b,c")
    assert wire.call("KEYSPACE", "HELP")[0].startswith("KEYSPACE")
