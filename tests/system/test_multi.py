# SPDX-License-Identifier: MIT
"""MULTI, EXEC, DISCARD, WATCH and MULTI ATOMIC over sockets, with several clients."""
import pytest

from kvserver import Error, Server, Wire, encode


@pytest.fixture(scope="module")
def server():
    with Server() as ours:
        yield ours


@pytest.fixture
def wires(server):
    with Wire(server.port) as one, Wire(server.port) as other:
        one.call("FLUSHALL")
        yield one, other


def is_error(reply, beginning):
    return isinstance(reply, Error) and str(reply).startswith(beginning)


def run(wire, *commands, begin=("MULTI",)):
    """A whole transaction in one piece; the reply of EXEC."""
    wire.send(b"".join(encode(*words) for words in [begin, *commands, ("EXEC",)]))
    assert wire.reply() == "OK"
    for _ in commands:
        assert wire.reply() == "QUEUED"
    return wire.reply()


def test_exec_answers_in_order(wires):
    one, _ = wires
    assert run(one, ("SET", "a", 1), ("INCR", "a"), ("GET", "a"), ("DEL", "a", "b"), ("GET", "a")) == ["OK", 2, b"2", 1, None]
    assert run(one) == []


def test_errors_inside_stop_nothing(wires):
    one, _ = wires
    replies = run(one, ("SET", "a", "x"), ("INCR", "a"), ("SET", "b", 2))
    assert replies[0] == "OK" and is_error(replies[1], "ERR value is not an integer") and replies[2] == "OK"
    assert one.call("MGET", "a", "b") == [b"x", b"2"]


def test_errors_while_queueing_abort(wires):
    one, _ = wires
    for wrong in (("NOSUCH",), ("GET",), ("CLIENT", "NOSUCH"), ("SHUTDOWN",)):
        one.call("MULTI")
        assert one.call("SET", "a", 1) == "QUEUED"
        assert isinstance(one.call(*wrong), Error)
        assert is_error(one.call("EXEC"), "EXECABORT Transaction discarded because of previous errors.")
        assert one.call("EXISTS", "a") == 0


def test_discard_and_misuse(wires):
    one, _ = wires
    assert is_error(one.call("EXEC"), "ERR EXEC without MULTI")
    assert is_error(one.call("DISCARD"), "ERR DISCARD without MULTI")
    assert one.call("MULTI") == "OK"
    assert is_error(one.call("MULTI"), "ERR MULTI calls can not be nested")
    assert is_error(one.call("WATCH", "a"), "ERR WATCH inside MULTI is not allowed")
    assert one.call("SET", "a", 1) == "QUEUED"
    assert one.call("DISCARD") == "OK"
    assert one.call("EXISTS", "a") == 0
    assert one.call("MULTI") == "OK"
    assert one.call("RESET") == "RESET"
    assert is_error(one.call("EXEC"), "ERR EXEC without MULTI")


TOUCHES = [
    ("SET", "w", "1"), ("SETRANGE", "w", "0", "2"), ("APPEND", "w", "x"), ("INCR", "w"), ("DEL", "w"), ("EXPIRE", "w", "100"),
    ("RENAME", "w", "v"), ("RENAME", "other", "w"), ("COPY", "other", "w", "REPLACE"), ("FLUSHALL",), ("FLUSHDB",), ("SWAPDB", "0", "1"),
    ("MOVE", "w", "3"), ("GETDEL", "w"), ("GETEX", "w", "EX", "100"), ("MSET", "w", "1", "z", "2"), ("PEXPIREAT", "w", "1"), ("GETSET", "w", "1"),
]


@pytest.mark.parametrize("touch", TOUCHES, ids=" ".join)
def test_watch_sees_a_touch(wires, touch):
    one, other = wires
    one.call("MSET", "w", "1", "other", "2")
    assert one.call("WATCH", "w") == "OK"
    assert not isinstance(other.call(*touch), Error)
    assert run(one, ("SET", "done", 1)) is None
    assert one.call("EXISTS", "done") == 0
    # The watch has ended with the failed EXEC.
    assert run(one, ("SET", "done", 1)) == ["OK"]


HARMLESS = [
    ("GET", "w"), ("SET", "v", "1"), ("PERSIST", "w"), ("EXPIRE", "w", "100", "XX"), ("SETNX", "w", "2"), ("DEL", "none"), ("TOUCH", "w"),
    ("SWAPDB", "1", "2"), ("COPY", "w", "v"), ("SETRANGE", "w", "0", ""),
]


@pytest.mark.parametrize("harmless", HARMLESS, ids=" ".join)
def test_watch_is_kept_by_what_touches_nothing(wires, harmless):
    one, other = wires
    one.call("SET", "w", "1")
    one.call("WATCH", "w")
    assert not isinstance(other.call(*harmless), Error)
    assert run(one, ("SET", "done", 1)) == ["OK"]


def test_watch_of_a_missing_key(wires):
    one, other = wires
    one.call("WATCH", "missing")
    other.call("FLUSHALL")
    assert run(one, ("PING",)) == ["PONG"]
    one.call("WATCH", "missing")
    other.call("SET", "missing", 1)
    assert run(one, ("PING",)) is None


def test_watch_remembers_the_keyspace(wires):
    one, other = wires
    one.call("SELECT", 5)
    one.call("WATCH", "k")
    one.call("SELECT", 0)
    other.call("SET", "k", 1)
    assert run(one, ("PING",)) == ["PONG"]
    one.call("WATCH", "k")
    assert one.call("UNWATCH") == "OK"
    other.call("SET", "k", 2)
    assert run(one, ("PING",)) == ["PONG"]


def test_a_key_that_expires_is_touched(wires):
    one, _ = wires
    one.call("SET", "w", 1, "PX", 30)
    one.call("WATCH", "w")
    while one.call("EXISTS", "w"):
        pass
    assert run(one, ("PING",)) is None


def test_own_writes_before_multi_count_and_those_inside_do_not(wires):
    one, _ = wires
    one.call("WATCH", "w")
    one.call("SET", "w", 1)
    assert run(one, ("PING",)) is None
    one.call("WATCH", "w")
    assert run(one, ("SET", "w", 2), ("SET", "w", 3)) == ["OK", "OK"]


ATOMIC = ("MULTI", "ATOMIC")


def test_atomic_undoes_all(wires):
    one, _ = wires
    one.call("MSET", "a", 1, "s", "text", "gone", "here")
    one.call("SET", "t", "v", "PX", 9999999)
    deadline = one.call("PEXPIRETIME", "t")
    reply = run(one, ("INCR", "a"), ("DEL", "gone"), ("SET", "new", 1), ("APPEND", "s", "more"), ("PERSIST", "t"), ("RENAME", "t", "u"),
                ("INCR", "s"), begin=ATOMIC)
    assert is_error(reply, "EXECABORT Transaction undone because of its command 7: ERR value is not an integer"), reply
    assert one.call("MGET", "a", "s", "gone", "new", "t", "u") == [b"1", b"text", b"here", None, b"v", None]
    assert one.call("PEXPIRETIME", "t") == deadline


def test_atomic_keeps_all_when_all_is_well(wires):
    one, _ = wires
    assert run(one, ("SET", "a", 1), ("INCRBY", "a", 5), ("GET", "a"), begin=ATOMIC) == ["OK", 6, b"6"]
    assert one.call("GET", "a") == b"6"


def test_atomic_refuses_what_cannot_be_undone(wires):
    one, _ = wires
    assert one.call(*ATOMIC) == "OK"
    assert is_error(one.call("FLUSHALL"), "ERR 'flushall' cannot be undone")
    assert is_error(one.call("EXEC"), "EXECABORT")
    assert is_error(one.call("MULTI", "FOO"), "ERR wrong number of arguments for 'multi' command")


def test_transactions_do_not_mix(server, wires):
    """Two clients add to both counters in their transactions; nobody ever sees them differ."""
    one, other = wires
    one.call("MSET", "x", 0, "y", 0)
    batch = b"".join(encode(*words) for words in [("MULTI",), ("INCR", "x"), ("INCR", "y"), ("MGET", "x", "y"), ("EXEC",)])
    for _ in range(200):
        one.send(batch)
        other.send(batch)
        for wire in (one, other):
            assert [wire.reply() for _ in range(4)] == ["OK", "QUEUED", "QUEUED", "QUEUED"]
            x, y, both = wire.reply()
            assert x == y and both == [b"%d" % x, b"%d" % y]
    assert one.call("MGET", "x", "y") == [b"400", b"400"]


def test_a_client_that_leaves_takes_its_transaction_along(server, wires):
    one, _ = wires
    with Wire(server.port) as leaving:
        leaving.call("WATCH", "a", "b")
        leaving.call("MULTI")
        leaving.call("SET", "a", "never")
    assert one.call("SET", "b", 1) == "OK"
    assert one.call("EXISTS", "a") == 0


def test_memory_limit_while_queueing(server, wires):
    one, other = wires
    one.call("SET", "big", "x" * 1000000)
    one.call("MULTI")
    assert one.call("SET", "a", 1) == "QUEUED"
    other.call("CONFIG", "SET", "maxmemory", "1")
    try:
        assert is_error(one.call("EXEC"), "EXECABORT Transaction discarded because of: OOM")
        one.call("MULTI")
        assert is_error(one.call("GET", "a"), "OOM")
        assert one.call("DISCARD") == "OK"
    finally:
        other.call("CONFIG", "SET", "maxmemory", "0")
