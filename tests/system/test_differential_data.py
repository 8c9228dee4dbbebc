# SPDX-License-Identifier: MIT
"""The same random data commands to redis-server and to kvserver: the replies must be the same bytes.

Left out is what may differ: the order of KEYS and SCAN (compared sorted), remaining times (compared with
a tolerance), and what depends on chance or on the allocator.
"""
import os
import random
import socket
import time

import pytest

import redisserver

COMMANDS = 12000
BATCH = 60
NOW = int(time.time())

KEYS = [b"a", b"b", b"c", b"counter", b"number", b"{tag}x", b"with blank", b"\x00\xff\r\n", b""]
WORDS = [b"", b"x", b"hello", b"a" * 44, b"a" * 45, b"\x00\x01", b"line\r\nend", b"*", b"[", b"\\", b"%s%n"]
INTEGERS = [b"0", b"1", b"-1", b"5", b"10", b"100", b"-100", b"9223372036854775807", b"-9223372036854775808",
            b"9223372036854775808", b"01", b"+1", b" 1", b"1 ", b"-0", b"1.5", b"", b"abc", b"536870912",
            b"4294967296", b"2147483648"]
# A key that lives for some milliseconds may be gone for the one and there for the other.
LASTING = [number for number in INTEGERS if number not in (b"1", b"5", b"10", b"100")]
FLOATS = [b"0.1", b"1.5", b"-2.75", b"5.0e3", b"1e-5", b"3.0", b"0x10", b"inf", b"-inf", b"nan", b" 1", b"1e400",
          b"17179869184", b"0.00000000000000001", b"1e17", b"-0.0"]
PATTERNS = [b"*", b"?", b"[a-c]", b"[^a]*", b"c*r", b"\\*", b"*[", b"", b"with?blank", b"*n*"]


def word(rng):
    return rng.choice(rng.choice([WORDS, INTEGERS, FLOATS]))


def key(rng):
    return rng.choice(KEYS)


def mixed_case(rng, name):
    return rng.choice([name, name.lower(), name.capitalize()]).encode()


def absolute_time(rng):
    """(option, time): far ahead, or past."""
    at = rng.choice([NOW + 10000 + rng.randrange(100000), rng.randrange(1, NOW - 1000)])
    return rng.choice([(b"EXAT", b"%d" % at), (b"PXAT", b"%d" % (at * 1000 + rng.randrange(1000)))])


def time_option(rng):
    kind = rng.randrange(6)
    if kind < 3:
        return list(absolute_time(rng))
    if kind == 3:
        return [rng.choice([b"EX", b"ex"]), b"%d" % rng.randrange(1000, 9000)]
    if kind == 4:
        return [rng.choice([b"EX", b"PX", b"EXAT", b"PXAT"]), rng.choice(LASTING)]
    return [rng.choice([b"EX", b"PXAT", b"KEEPTTL", b"PERSIST", b"NX", b"FOO"])]


def set_command(rng):
    command = [b"SET", key(rng), word(rng)]
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        command += rng.choice([[b"NX"], [b"XX"], [b"GET"], [b"KEEPTTL"], time_option(rng), time_option(rng)])
    return command


def getex_command(rng):
    command = [b"GETEX", key(rng)]
    for _ in range(rng.choice([0, 1, 1, 2])):
        command += rng.choice([[b"PERSIST"], time_option(rng)])
    return command


def expire_command(rng):
    option, at = absolute_time(rng)
    name = {b"EXAT": b"EXPIREAT", b"PXAT": b"PEXPIREAT"}[option]
    if rng.randrange(4) == 0:
        name, at = rng.choice([(b"EXPIRE", b"5000"), (b"PEXPIRE", b"7000000"), (b"EXPIRE", rng.choice(LASTING)),
                               (b"PEXPIRE", b"-1"), (b"PEXPIREAT", rng.choice(INTEGERS))])
    conditions = rng.choice([[], [], [b"NX"], [b"XX"], [b"GT"], [b"LT"], [b"XX", b"GT"], [b"NX", b"LT"],
                             [b"GT", b"LT"], [b"foo"]])
    return [name, key(rng), at] + conditions


def copy_command(rng):
    command = [b"COPY", key(rng), key(rng)]
    for _ in range(rng.choice([0, 1, 2])):
        command += rng.choice([[b"REPLACE"], [b"DB", rng.choice([b"0", b"1", b"99", b"-1", b"x", b"4294967296"])],
                               [b"DB"], [b"FOO"]])
    return command


def lcs_command(rng):
    command = [b"LCS", key(rng), key(rng)]
    for _ in range(rng.choice([0, 1, 2])):
        command += rng.choice([[b"LEN"], [b"IDX"], [b"WITHMATCHLEN"], [b"MINMATCHLEN", b"2"], [b"MINMATCHLEN"]])
    return command


def scan_command(rng):
    command = [b"SCAN", rng.choice([b"0", b"0", b"0", b"x", b"-", b"1x", b" 0", b"99999999999999999999"])]
    for _ in range(rng.choice([0, 1, 2])):
        command += rng.choice([[b"MATCH", rng.choice(PATTERNS)], [b"TYPE", rng.choice([b"string", b"list"])],
                               [b"COUNT", rng.choice([b"0", b"x", b"-1"])], [b"COUNT"], [b"FOO", b"1"]])
    # Few keys: all of them come in one go.
    return command + [b"COUNT", b"100000"]


def many(name, least=1, most=4):
    return lambda rng: [name] + [key(rng) for _ in range(rng.randint(least, most))]


def with_arguments(name, *kinds):
    return lambda rng: [name] + [kind(rng) for kind in kinds]


def integer(rng):
    return rng.choice(INTEGERS)


def lasting(rng):
    return rng.choice(LASTING)


def floating(rng):
    return rng.choice(FLOATS + INTEGERS)


def offset(rng):
    return rng.choice([b"0", b"1", b"3", b"10", b"-1", b"-3", b"-100", b"100", b"x", b"9223372036854775807",
                       b"-9223372036854775808", b"536870911", b"536870912"])


def small_offset(rng):
    return rng.choice([b"0", b"1", b"5", b"50", b"-1", b"x", b"536870912", b"9223372036854775807"])


def database(rng):
    return rng.choice([b"0", b"1", b"1", b"1", b"16", b"-1", b"x", b"4294967296"])


GENERATORS = [
    (12, set_command), (6, with_arguments(b"GET", key)), (2, with_arguments(b"GETSET", key, word)),
    (2, with_arguments(b"GETDEL", key)), (4, getex_command), (2, with_arguments(b"SETNX", key, word)),
    (2, with_arguments(b"SETEX", key, lasting, word)), (2, with_arguments(b"PSETEX", key, lasting, word)),
    (2, many(b"MGET")), (2, many(b"MSET", 1, 5)), (1, many(b"MSETNX", 1, 5)),
    (4, with_arguments(b"APPEND", key, word)), (2, with_arguments(b"STRLEN", key)),
    (4, with_arguments(b"GETRANGE", key, offset, offset)), (1, with_arguments(b"SUBSTR", key, offset, offset)),
    (3, with_arguments(b"SETRANGE", key, small_offset, word)), (3, with_arguments(b"INCR", key)),
    (2, with_arguments(b"DECR", key)), (3, with_arguments(b"INCRBY", key, integer)),
    (2, with_arguments(b"DECRBY", key, integer)), (4, with_arguments(b"INCRBYFLOAT", key, floating)),
    (2, lcs_command), (2, many(b"DEL")), (1, many(b"UNLINK")), (2, many(b"EXISTS")), (1, many(b"TOUCH")),
    (2, with_arguments(b"TYPE", key)), (2, with_arguments(b"RENAME", key, key)),
    (2, with_arguments(b"RENAMENX", key, key)), (3, copy_command), (2, with_arguments(b"MOVE", key, database)),
    (1, with_arguments(b"SWAPDB", database, database)), (1, with_arguments(b"KEYS", lambda r: r.choice(PATTERNS))),
    (2, scan_command), (6, expire_command), (2, with_arguments(b"TTL", key)), (2, with_arguments(b"PTTL", key)),
    (3, with_arguments(b"EXPIRETIME", key)), (3, with_arguments(b"PEXPIRETIME", key)),
    (2, with_arguments(b"PERSIST", key)), (5, lambda r: [b"OBJECT", b"ENCODING", key(r)]),
    (1, lambda r: [b"OBJECT", b"FREQ", key(r)]), (1, lambda r: [b"OBJECT", r.choice([b"HELP", b"foo", b"ENCODING"])]),
    (1, lambda r: [r.choice([b"GET", b"SET", b"MGET", b"EXPIRE", b"SCAN", b"KEYS", b"TTL", b"MSET", b"LCS"])]),
]


def generate(rng):
    weights = [weight for weight, _ in GENERATORS]
    command = rng.choices([make for _, make in GENERATORS], weights)[0](rng)
    command[0] = mixed_case(rng, command[0].decode())
    return command


class Peer:
    """A connection that keeps the bytes of each reply."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.socket.makefile("rb")

    def send(self, commands):
        out = bytearray()
        for command in commands:
            out += b"*%d\r\n" % len(command)
            for argument in command:
                out += b"$%d\r\n%s\r\n" % (len(argument), argument)
        self.socket.sendall(out)

    def reply(self):
        """(its bytes, the replies inside it)."""
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        inner = []
        if kind == b"$" and rest != b"-1":
            line += self.file.read(int(rest) + 2)
        elif kind in b"*%~" and rest != b"-1":
            inner = [self.reply() for _ in range(int(rest) * (2 if kind == b"%" else 1))]
            line += b"".join(item for item, _ in inner)
        return line, inner

    def ask(self, *command):
        self.send([command])
        return self.reply()[0]

    def close(self):
        self.file.close()
        self.socket.close()


def comparable(command, reply):
    """The reply with that taken out in which the two may differ."""
    data, inner = reply
    name = command[0].upper()
    if name == b"KEYS" and data[:1] == b"*":
        return sorted(item for item, _ in inner)
    if name == b"SCAN" and data[:1] == b"*":
        return inner[0][0], sorted(item for item, _ in inner[1][1])
    if name in TOLERANCE and data[:1] == b":":
        return int(data[1:])
    return data


# Times that depend on when a command ran, in their units: seconds or milliseconds.
TOLERANCE = {b"TTL": 60, b"PTTL": 60000, b"EXPIRETIME": 60, b"PEXPIRETIME": 60000}


def same(command, ours, theirs):
    if isinstance(ours, int) and isinstance(theirs, int) and ours > 0 and theirs > 0:
        return abs(ours - theirs) <= TOLERANCE[command[0].upper()]
    return ours == theirs


@pytest.fixture(name="redis_port", scope="module")
def fixture_redis_port():
    if redisserver.PROGRAM is None:
        pytest.skip("redis-server is not installed")
    redis = redisserver.Redis()
    yield redis.port
    redis.stop()


@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_are_the_same_bytes(server, redis_port, protocol):
    seed = int(os.environ.get("KV_TEST_SEED", time.time_ns() % 1000000))
    print(f"KV_TEST_SEED={seed}")
    rng = random.Random(seed + protocol)
    ours, theirs = Peer(server.port), Peer(redis_port)
    for peer in (ours, theirs):
        assert peer.ask(b"FLUSHALL") == b"+OK\r\n"
        if protocol == 3:
            peer.send([[b"HELLO", b"3"]])
            peer.reply()
    history = []
    for _ in range(COMMANDS // BATCH):
        batch = [generate(rng) for _ in range(BATCH)]
        ours.send(batch)
        theirs.send(batch)
        for command in batch:
            history.append(command)
            got, expected = comparable(command, ours.reply()), comparable(command, theirs.reply())
            assert same(command, got, expected), (
                f"KV_TEST_SEED={seed}, command {len(history)}: {command}\nafter {history[-8:-1]}")
    ours.close()
    theirs.close()
