# SPDX-License-Identifier: MIT
"""String commands as redis-py sends them: any bytes, large values, many clients."""
import threading

import pytest
import redis

ALL_BYTES = bytes(range(256))


def test_any_bytes_in_keys_and_values(client):
    for key in (ALL_BYTES, b"", b"\r\n", b"$5\r\nhello", b"\x00" * 1000):
        for value in (ALL_BYTES * 3, b"", b"\r\n", b"*1\r\n"):
            assert client.set(key, value)
            assert client.get(key) == value
            assert client.strlen(key) == len(value)
    assert client.dbsize() == 5


def test_large_values_come_back_whole(client):
    for size in (44, 45, 4096, 65535, 65536, 1 << 20, 30 << 20):
        value = (ALL_BYTES * (size // 256 + 1))[:size]
        client.set("large", value)
        assert client.get("large") == value
        assert client.getrange("large", size - 10, -1) == value[-10:]
    client.append("large", b"tail")
    assert client.strlen("large") == (30 << 20) + 4
    assert client.getrange("large", -5, -1) == value[-1:] + b"tail"


def test_append_grows_byte_by_byte(client):
    expected = b""
    with client.pipeline(transaction=False) as pipe:
        for i in range(3000):
            pipe.append("grows", bytes([i % 256]))
            expected += bytes([i % 256])
        assert pipe.execute() == list(range(1, 3001))
    assert client.get("grows") == expected


def test_setrange_leaves_zeros(client):
    assert client.setrange("gap", 1 << 20, b"end") == (1 << 20) + 3
    assert client.get("gap") == bytes(1 << 20) + b"end"
    assert client.setrange("gap", 5, b"x") == (1 << 20) + 3
    assert client.getrange("gap", 4, 6) == b"\0x\0"


def test_strings_end_at_512_megabytes(client):
    client.set("k", "v")
    for command in (("SETRANGE", "k", 512 << 20, "x"), ("SETRANGE", "new", (1 << 63) - 1, "x")):
        with pytest.raises(redis.ResponseError, match="string exceeds maximum allowed size"):
            client.execute_command(*command)
    assert client.get("k") == b"v"
    assert client.exists("new") == 0


def test_many_keys_in_one_command(client):
    pairs = {b"key:%d" % i: b"value:%d" % i for i in range(5000)}
    assert client.mset(pairs)
    keys = list(pairs)
    assert client.mget(keys + ["none"]) == [pairs[key] for key in keys] + [None]
    assert client.msetnx({"key:0": "x", "fresh": "x"}) is False
    assert client.exists("fresh") == 0
    assert client.exists(*keys) == 5000
    assert client.delete(*keys) == 5000
    assert client.dbsize() == 0


def test_counters_of_many_clients_lose_nothing(server):
    def count():
        with redis.Redis(port=server.port) as own:
            for _ in range(20):
                with own.pipeline(transaction=False) as pipe:
                    for _ in range(50):
                        pipe.incr("counter")
                        pipe.incrbyfloat("float", 0.5)
                    pipe.execute()

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with redis.Redis(port=server.port) as own:
        assert own.get("counter") == b"8000"
        assert own.get("float") == b"4000"


def test_set_with_options(client):
    assert client.set("k", "1", nx=True) is True
    assert client.set("k", "2", nx=True) is None
    assert client.set("k", "2", xx=True, ex=100) is True
    assert client.set("k", "3", keepttl=True, get=True) == b"2"
    assert 0 < client.ttl("k") <= 100
    assert client.getex("k", persist=True) == b"3"
    assert client.ttl("k") == -1
    assert client.getdel("k") == b"3"
    assert client.getdel("k") is None
    with pytest.raises(redis.ResponseError, match="invalid expire time in 'set' command"):
        client.set("k", "v", ex=0)


def test_errors_leave_the_value_alone(client):
    client.set("text", "abc")
    for command in (("INCR", "text"), ("INCRBYFLOAT", "text", "1"), ("INCRBY", "text", "x"),
                    ("SETRANGE", "text", "-1", "x"), ("SET", "text", "x", "NX", "XX"), ("APPEND", "text")):
        with pytest.raises(redis.ResponseError):
            client.execute_command(*command)
    assert client.get("text") == b"abc"


def test_longest_common_subsequence(client):
    client.mset({"a": "ohmytext", "b": "mynewtext"})
    assert client.lcs("a", "b") == b"mytext"
    assert client.lcs("a", "b", len=True) == 6
