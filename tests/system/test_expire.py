# SPDX-License-Identifier: MIT
"""Deadlines under a real clock: keys go by themselves, and nobody ever sees a late one."""
import time

PATIENCE = 60  # seconds until something that must happen soon counts as not happening


def wait_until(client, condition):
    """Asks again and again, as busy as the server lets us be."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        client.ping()


def test_keys_go_by_themselves(client):
    with client.pipeline(transaction=False) as pipe:
        for i in range(5000):
            pipe.set(f"key:{i}", "v", px=1 + i % 200)
        pipe.set("stays", "v")
        pipe.execute()
    wait_until(client, lambda: client.dbsize() == 1)
    assert client.get("stays") == b"v"
    assert client.info("stats")["expired_keys"] >= 5000


def test_every_removed_late_key_is_counted(client):
    client.config_resetstat()
    assert client.info("stats")["expired_keys"] == 0
    client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    try:
        client.mset({"a": "v", "b": "v", "c": "v"})
        for name in "abc":
            client.pexpire(name, 5)
        wait_until(client, lambda: client.pttl("c") == -2)
        # Reads removed them, nobody else.
        assert client.get("a") is None and client.exists("b") == 0
        assert client.info("stats")["expired_keys"] == 3
        client.execute_command("SWAPDB", 0, 9)
        client.flushall()
        assert client.info("stats")["expired_keys"] == 3
    finally:
        client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "1")
    client.set("d", "v", px=1)
    wait_until(client, lambda: client.info("stats")["expired_keys"] == 4)
    client.config_resetstat()
    assert client.info("stats")["expired_keys"] == 0


def test_a_late_key_is_never_seen(client):
    client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
    try:
        client.set("other", "v", px=30)
        client.set("late", "v", px=30)
        wait_until(client, lambda: client.pttl("late") == -2)
        # Nobody touched the other one: it is still counted, but not there.
        assert client.dbsize() == 1
        assert client.get("other") is None
        assert client.dbsize() == 0
        client.mset({f"key:{i}": "v" for i in range(300)})
        for i in range(300):
            client.pexpire(f"key:{i}", 5)
        wait_until(client, lambda: client.pttl("key:299") == -2)
        assert client.keys("*") == []
        assert client.randomkey() is None
        assert client.dbsize() == 0
    finally:
        client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "1")


def test_deadlines_count_down(client):
    client.set("k", "v", ex=100)
    first = client.pttl("k")
    assert 90000 < first <= 100000
    wait_until(client, lambda: client.pttl("k") < first)
    at = int(time.time()) + 1000
    assert client.expireat("k", at)
    assert client.execute_command("EXPIRETIME", "k") == at
    assert 990 <= client.ttl("k") <= 1000
    assert client.persist("k") and client.ttl("k") == -1
    assert not client.persist("k")


def test_conditions(client):
    client.set("k", "v")
    assert client.execute_command("EXPIRE", "k", 100, "XX") == 0
    assert client.execute_command("EXPIRE", "k", 100, "NX") == 1
    assert client.execute_command("EXPIRE", "k", 50, "GT") == 0
    assert client.execute_command("EXPIRE", "k", 200, "GT") == 1
    assert client.execute_command("EXPIRE", "k", 100, "LT") == 1
    assert 90 < client.ttl("k") <= 100


def test_a_past_deadline_deletes_at_once(client):
    for command in (("EXPIRE", "k", -1), ("PEXPIREAT", "k", 1), ("EXPIRE", "k", 0), ("GETEX", "k", "EXAT", 1)):
        client.set("k", "v")
        client.execute_command(*command)
        assert client.dbsize() == 0


def test_refreshed_deadlines_hold(client):
    client.mset({f"session:{i}": "v" for i in range(100)})
    with client.pipeline(transaction=False) as pipe:
        for turn in range(100):
            for i in range(100):
                pipe.pexpire(f"session:{i}", 3000 if turn < 99 else 1000000)
        assert all(pipe.execute())
    client.set("clock", "v", px=3100)
    wait_until(client, lambda: client.pttl("clock") == -2)
    assert client.dbsize() == 100
    assert client.info("keyspace")["db0"]["expires"] == 100
