# SPDX-License-Identifier: MIT
"""Key commands as redis-py sends them: walks under change, other keyspaces, flushing, sizes."""
import pytest
import redis


def fill(client, count, start=0, value=b"v"):
    with client.pipeline(transaction=False) as pipe:
        for i in range(start, start + count):
            pipe.set(f"key:{i}", value)
        pipe.execute()


def test_scan_meets_what_stays_whatever_comes_and_goes(client):
    fill(client, 3000)
    seen = set()
    cursor, turn = 0, 0
    while True:
        cursor, keys = client.scan(cursor, count=100)
        seen.update(keys)
        if cursor == 0:
            break
        # The first 1,000 stay; others are deleted, and so many come that the table grows.
        client.delete(*[f"key:{1000 + turn * 40 + i}" for i in range(40)])
        fill(client, 100, start=100000 + turn * 100)
        turn += 1
    assert {b"key:%d" % i for i in range(1000)} <= seen


def test_scan_filters(client):
    fill(client, 1000)
    assert sorted(client.scan_iter(match="key:1?")) == sorted(b"key:%d" % i for i in range(10, 20))
    assert len(list(client.scan_iter(count=1))) == 1000
    assert len(list(client.scan_iter(_type="string"))) == 1000
    assert not list(client.scan_iter(_type="list"))
    assert len(client.keys("*")) == 1000
    assert sorted(client.keys("key:[5-7]")) == [b"key:5", b"key:6", b"key:7"]
    assert client.keys("nothing") == []
    with pytest.raises(redis.ResponseError, match="invalid cursor"):
        client.execute_command("SCAN", "x")


def test_rename_and_copy_carry_everything(client):
    value = bytes(range(256)) * 1000
    client.set("a", value, ex=1000)
    client.set("b", "old")
    assert client.rename("a", "b")
    assert client.get("b") == value and 0 < client.ttl("b") <= 1000
    assert client.copy("b", "c")
    assert not client.copy("b", "c")
    assert client.get("c") == value and client.get("b") == value
    assert client.renamenx("c", "b") is False
    with pytest.raises(redis.ResponseError, match="no such key"):
        client.rename("none", "b")
    with pytest.raises(redis.ResponseError, match="source and destination objects are the same"):
        client.execute_command("COPY", "b", "b")


def test_keyspaces_are_apart(server, client):
    with redis.Redis(port=server.port, db=1) as other:
        client.set("k", "zero")
        other.set("k", "one")
        assert client.move("k", 1) is False
        client.set("m", "moves", ex=1000)
        assert client.move("m", 1)
        assert other.get("m") == b"moves" and other.ttl("m") > 0
        assert client.copy("k", "copy", destination_db=1)
        assert other.get("copy") == b"zero"
        assert client.swapdb(0, 1)
        assert client.get("k") == b"one" and other.get("k") == b"zero"
        assert client.dbsize() == 3 and other.dbsize() == 1
        other.flushdb()
        assert client.dbsize() == 3 and other.dbsize() == 0


def test_random_keys_are_spread(client):
    assert client.randomkey() is None
    fill(client, 100)
    assert len({client.randomkey() for _ in range(1000)}) > 60


def test_flushall_empties_and_the_server_goes_on(client):
    fill(client, 20000, value=b"x" * 100)
    assert client.dbsize() == 20000
    assert client.flushall()
    assert client.dbsize() == 0 and client.randomkey() is None and client.keys() == []
    fill(client, 100)
    assert client.dbsize() == 100


def test_delete_most_and_read_the_rest(client):
    fill(client, 20000, value=b"x" * 50)
    with client.pipeline(transaction=False) as pipe:
        for i in range(20000):
            if i % 10 != 0:
                pipe.unlink(f"key:{i}")
        assert sum(pipe.execute()) == 18000
    assert client.dbsize() == 2000
    assert client.mget([f"key:{i}" for i in range(0, 20000, 10)]) == [b"x" * 50] * 2000


def test_object_and_memory(client):
    client.set("int", 12345)
    client.set("short", "x" * 44)
    client.set("long", "x" * 45)
    assert client.object("encoding", "int") == b"int"
    assert client.object("encoding", "short") == b"embstr"
    assert client.object("encoding", "long") == b"raw"
    assert client.object("idletime", "int") in (0, 1)
    assert client.object("encoding", "none") is None
    assert 8 < client.memory_usage("int") < 200
    client.set("large", b"x" * 100000)
    assert 100000 < client.memory_usage("large") < 120000
    assert client.memory_usage("none") is None
    assert client.type("int") == b"string" and client.type("none") == b"none"
    assert client.touch("int", "none", "long") == 2
