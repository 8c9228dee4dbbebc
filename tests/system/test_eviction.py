# SPDX-License-Identifier: MIT
"""maxmemory and its policies, quotas with eviction, and what clients' buffers have to do with it: nothing."""
import time

import pytest

from kvserver import Error, Server, Wire, encode

LIMIT = 4 << 20


@pytest.fixture(scope="module")
def server():
    with Server() as ours:
        yield ours


@pytest.fixture
def wire(server):
    with Wire(server.port) as one:
        one.call("FLUSHALL")
        one.call("CONFIG", "RESETSTAT")
        yield one
        assert one.call("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction") == "OK"
        one.call("FLUSHALL")


def told(wire, section):
    lines = wire.call("INFO", section).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def limit(wire, policy, size=LIMIT):
    assert wire.call("CONFIG", "SET", "maxmemory", size, "maxmemory-policy", policy) == "OK"


def fill(wire, count, *options, prefix="key", size=1000):
    """How many of the sets were taken."""
    wire.send(b"".join(encode("SET", f"{prefix}:{i}", "x" * size, *options) for i in range(count)))
    return sum(wire.reply() == "OK" for _ in range(count))


def test_noeviction_refuses_writes_alone(wire):
    limit(wire, "noeviction")
    taken = fill(wire, 6000)
    assert 0 < taken < 6000
    reply = wire.call("SET", "one more", "x" * 1000)
    assert str(reply) == "OOM command not allowed when used memory > 'maxmemory'."
    assert wire.call("GET", "key:0") == b"x" * 1000 and wire.call("DEL", "key:0") == 1
    assert told(wire, "stats")["evicted_keys"] == "0"


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_allkeys_take_every_write(wire, policy):
    limit(wire, policy)
    assert fill(wire, 10000) == 10000
    stats = told(wire, "stats")
    assert int(stats["evicted_keys"]) == 10000 - wire.call("DBSIZE") > 0
    assert int(told(wire, "memory")["used_memory_dataset"]) <= LIMIT
    assert told(wire, "memory")["maxmemory_policy"] == policy


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"])
def test_volatile_spares_keys_without_a_deadline(wire, policy):
    limit(wire, policy)
    assert fill(wire, 1000, prefix="stays") == 1000
    assert fill(wire, 8000, "EX", 10000, prefix="goes") == 8000
    assert all(wire.call("EXISTS", f"stays:{i}") for i in range(1000))
    assert int(told(wire, "stats")["evicted_keys"]) > 0
    refused = fill(wire, 8000, prefix="fills")
    assert refused < 8000 and wire.call("EXISTS", "stays:0") == 1


def test_volatile_ttl_takes_the_earliest(wire):
    limit(wire, "volatile-ttl")
    fill(wire, 500, "EX", 100, prefix="early")
    fill(wire, 500, "EX", 100000, prefix="late")
    count = 0
    while wire.call("EXISTS", *(f"early:{i}" for i in range(500))) == 500 and count < 100:
        fill(wire, 100, "EX", 50000, prefix=f"more{count}")
        count += 1
    assert wire.call("EXISTS", *(f"late:{i}" for i in range(500))) == 500


def test_lfu_counts(wire):
    assert "not tracked" in str(wire.call("SET", "k", 1) and wire.call("OBJECT", "FREQ", "k"))
    limit(wire, "allkeys-lfu")
    wire.call("SET", "k", 1)
    before = wire.call("OBJECT", "FREQ", "k")
    for _ in range(300):
        wire.call("GET", "k")
    assert before < wire.call("OBJECT", "FREQ", "k") <= 255
    assert "LFU" in str(wire.call("OBJECT", "IDLETIME", "k"))


def test_a_lowered_limit_is_reached_in_the_background(wire):
    fill(wire, 8000)
    limit(wire, "allkeys-random")
    deadline = time.monotonic() + 60
    while int(told(wire, "memory")["used_memory_dataset"]) > LIMIT and time.monotonic() < deadline:
        pass
    assert int(told(wire, "memory")["used_memory_dataset"]) <= LIMIT


def test_a_quota_with_eviction(wire):
    assert wire.call("KEYSPACE", "CREATE", "cache", "QUOTA", "2mb", "EVICTION", "allkeys-lru") == "OK"
    fill(wire, 500, prefix="elsewhere")
    wire.call("SELECT", "cache")
    assert fill(wire, 6000) == 6000
    info = dict(zip(*[iter(wire.call("KEYSPACE", "INFO", "cache"))] * 2))
    assert info[b"total.bytes"] <= 2 << 20 and info[b"evicted"] == 6000 - info[b"keys"] > 0
    wire.call("SELECT", 0)
    assert wire.call("DBSIZE") == 500
    assert wire.call("KEYSPACE", "DROP", "cache") == "OK"


def test_buffers_of_clients_evict_nothing(server, wire):
    limit(wire, "allkeys-random")
    fill(wire, 100)
    with Wire(server.port) as heavy:
        heavy.send(b"*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n$50000000\r\n" + b"x" * 20000000)
        for _ in range(20):
            wire.call("PING")
        assert wire.call("DBSIZE") == 100 and told(wire, "stats")["evicted_keys"] == "0"


def test_evictions_are_part_of_a_transaction(wire):
    limit(wire, "allkeys-random")
    fill(wire, 5000)
    size = wire.call("DBSIZE")
    wire.call("MULTI", "ATOMIC")
    for i in range(200):
        wire.call("SET", f"new:{i}", "y" * 1000)
    wire.call("INCR", "new:0")
    assert isinstance(wire.call("EXEC"), Error)
    assert wire.call("EXISTS", *(f"new:{i}" for i in range(200))) == 0
    assert wire.call("DBSIZE") <= size
