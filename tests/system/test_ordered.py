# SPDX-License-Identifier: MIT
"""Ranges, prefixes and ranks against a sorted list in Python."""
import bisect
import os
import random

import pytest

from kvserver import Error, Server, Wire, encode

SEED = int(os.environ.get("KV_TEST_SEED", random.randrange(1 << 32)))
ORDERED = ["bptree", "rbtree"]


@pytest.fixture(scope="module")
def server():
    with Server() as ours:
        yield ours


@pytest.fixture(params=ORDERED)
def wire(server, request):
    with Wire(server.port) as one:
        assert one.call("KEYSPACE", "CREATE", "o", "ENGINE", request.param) == "OK"
        one.call("SELECT", "o")
        yield one
        one.call("SELECT", 0)
        assert one.call("KEYSPACE", "DROP", "o") == "OK"


def fill(wire, keys):
    wire.send(b"".join(encode("SET", key, b"v" + key) for key in keys))
    assert all(wire.reply() == "OK" for _ in keys)


def test_every_range_is_that_of_a_sorted_list(wire):
    print("seed", SEED)
    chance = random.Random(SEED)
    keys = sorted({bytes(chance.choice(b"abc\x00\xff") for _ in range(chance.randrange(7))) for _ in range(600)})
    fill(wire, chance.sample(keys, len(keys)))
    for _ in range(300):
        low, high = (chance.choice(keys + [b"b", b"zz"]) for _ in range(2))
        ends = chance.choice([b"[", b"(", b"-"]), chance.choice([b"]", b")", b"+"])
        first = 0 if ends[0] == b"-" else (bisect.bisect_left if ends[0] == b"[" else bisect.bisect_right)(keys, low)
        last = len(keys) if ends[1] == b"+" else (bisect.bisect_right if ends[1] == b"]" else bisect.bisect_left)(keys, high)
        expected = keys[first:last] if first < last else []
        start = b"-" if ends[0] == b"-" else ends[0] + low
        end = b"+" if ends[1] == b"+" else {b"]": b"[", b")": b"("}[ends[1]] + high
        assert wire.call("RANGE", start, end) == expected
        assert wire.call("RANGE", end, start, "REV") == expected[::-1]
        assert wire.call("RANGECOUNT", start, end) == len(expected)
        limit = chance.randrange(5)
        assert wire.call("RANGE", start, end, "LIMIT", limit, "VALUES") == [b"v" + key for key in expected[:limit]]
        pairs = [part for key in expected[:3] for part in (key, b"v" + key)]
        assert wire.call("RANGE", start, end, "WITHVALUES", "LIMIT", 3) == pairs
    for key in chance.sample(keys, 50):
        assert wire.call("RANK", key) == keys.index(key)
        assert wire.call("PREFIX", key[:2]) == [other for other in keys if other.startswith(key[:2])]
        place = chance.randrange(-len(keys), len(keys))
        assert wire.call("KEYAT", place) == keys[place]
    assert wire.call("KEYAT", len(keys)) is None and wire.call("KEYAT", -len(keys) - 1) is None
    assert wire.call("RANK", "no such key") is None


def test_range_deletion(wire):
    keys = [b"%04d" % i for i in range(1000)]
    fill(wire, keys)
    assert wire.call("RANGEDEL", "[0100", "(0900") == 800
    assert wire.call("DBSIZE") == 200
    assert wire.call("RANGE", "-", "+") == keys[:100] + keys[900:]
    assert wire.call("RANGEDEL", "+", "-") == 0
    assert wire.call("RANGEDEL", "-", "+") == 200
    assert wire.call("RANGE", "-", "+") == [] and wire.call("KEYAT", 0) is None


def test_paging_as_documented(wire):
    keys = [b"page:%03d" % i for i in range(95)]
    fill(wire, keys + [b"a", b"z"])
    got = wire.call("PREFIX", "page:", "LIMIT", 10)
    page = got
    while len(page) == 10:
        page = wire.call("RANGE", b"(" + page[-1], b"(page;", "LIMIT", 10)
        got += page
    assert got == keys


def test_late_keys_are_not_shown_or_counted(wire):
    fill(wire, [b"a", b"b", b"c"])
    wire.call("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        wire.call("PEXPIRE", "b", 1)
        while wire.call("RANGE", "-", "+") != [b"a", b"c"]:
            pass
        assert wire.call("RANGECOUNT", "-", "+") == 2
        assert wire.call("RANK", "c") == 1 and wire.call("KEYAT", 1) == b"c"
        assert wire.call("RANGE", "+", "-", "REV", "LIMIT", 1) == [b"c"]
    finally:
        wire.call("DEBUG", "SET-ACTIVE-EXPIRE", 1)


def test_scan_is_ordered(wire):
    keys = [b"%05d" % i for i in range(500)]
    fill(wire, random.Random(SEED).sample(keys, len(keys)))
    cursor, got = b"0", []
    while True:
        cursor, some = wire.call("SCAN", cursor, "COUNT", 50)
        got += some
        if cursor == b"0":
            break
    assert got == keys


def test_pairs_in_resp3(wire):
    fill(wire, [b"a", b"b"])
    wire.call("HELLO", 3)
    assert wire.call("RANGE", "-", "+", "WITHVALUES") == [[b"a", b"va"], [b"b", b"vb"]]


def test_ends_and_options_are_checked(wire):
    for words in (["RANGE", "a", "b"], ["RANGE", "-", ""], ["RANGECOUNT", "x", "+"], ["RANGEDEL", "[a", "b"]):
        assert str(wire.call(*words)) == "ERR min or max not valid string range item"
    for words in (["RANGE", "-", "+", "FOO"], ["RANGE", "-", "+", "LIMIT"], ["PREFIX", "a", "LIMIT"]):
        assert str(wire.call(*words)) == "ERR syntax error"
    assert "not an integer" in str(wire.call("RANGE", "-", "+", "LIMIT", "-1"))


def test_a_watched_key_in_a_deleted_range_is_touched(server, wire):
    fill(wire, [b"a", b"b", b"c"])
    with Wire(server.port) as other:
        other.call("SELECT", "o")
        for key, deleted, expected in (("b", ("[b", "(c"), None), ("c", ("-", "(c"), ["PONG"])):
            wire.call("WATCH", key)
            other.call("RANGEDEL", *deleted)
            wire.call("MULTI")
            wire.call("PING")
            assert wire.call("EXEC") == expected


@pytest.mark.parametrize("words", [
    ("RANGE", "-", "+"), ("PREFIX", "a"), ("RANGECOUNT", "-", "+"), ("RANGEDEL", "-", "+"), ("RANK", "a"), ("KEYAT", "0")], ids=" ".join)
def test_without_an_order_the_error_names_engines(server, words):
    with Wire(server.port) as wire:
        wire.call("SET", "a", 1)
        reply = wire.call(*words)
        assert isinstance(reply, Error) and "bptree" in str(reply) and "rbtree" in str(reply)
        assert wire.call("GET", "a") == b"1"
