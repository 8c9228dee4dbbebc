# SPDX-License-Identifier: MIT
"""Hundreds of requests to redis-server and to kvserver: the replies must be the same byte for byte."""
import time

import pytest

from kvserver import Server, Wire, encode
from redisserver import PROGRAM, Redis

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="redis-server is not installed")


@pytest.fixture(scope="module")
def pair():
    redis = Redis()
    try:
        with Server() as ours:
            with Wire(redis.port) as probe:
                version = probe.call("INFO", "server")
            if b"redis_version:7.0." not in version:
                pytest.skip("the texts are those of Redis 7.0")
            yield redis, ours
    finally:
        redis.stop()


def test_info_persistence_has_their_names(pair):
    names = []
    for server in pair:
        with Wire(server.port) as wire:
            lines = wire.call("INFO", "persistence").decode().splitlines()
        names.append({line.split(":")[0] for line in lines if ":" in line})
    assert names[0] - names[1] == set()


def raw_reply(wire):
    """The bytes of one reply, whatever its kind."""
    line = wire.line()
    kind, rest = line[:1], line[1:]
    data = line + b"\r\n"
    if kind in b"$=" and rest != b"-1":
        data += wire.exactly(int(rest) + 2)
    elif kind in b"*~>" and rest != b"-1":
        data += b"".join(raw_reply(wire) for _ in range(int(rest)))
    elif kind == b"%":
        data += b"".join(raw_reply(wire) for _ in range(2 * int(rest)))
    return data


STRINGS = """
SET a 1 | GET a | SET a 2 NX | GET a | SET a 3 XX | SET b 4 XX | GET b | SET a 5 GET | SET new 1 GET | SET a 6 KEEPTTL
SET a x EX 100 | TTL a | SET a y KEEPTTL | TTL a | SET a z | TTL a | SET a x PX 100000 | SET a x EXAT 99999999999
EXPIRETIME a | SET a x PXAT 99999999999999 | PEXPIRETIME a | SET a x NX XX | SET a x EX | SET a x EX 0 | SET a x EX -1
SET a x EX abc | SET a x PX 1.5 | SET a x FOO | SET a x EX 10 PX 10 | SET a x EX 10 KEEPTTL | SET a x NX GET
SET c 1 NX GET | SET a x EX 9223372036854775807 | SET a x PX 9223372036854775807 | SET a x EXAT 0 | SET
SET a | GET | GET a b | GETSET a 1 | GETSET none 1 | GETDEL a | GETDEL a | GETDEL | SETNX a 1 | SETNX a 2
SETEX a 100 v | TTL a | SETEX a 0 v | SETEX a -1 v | SETEX a x v | PSETEX a 100000 v | PSETEX a 0 v | PSETEX a x v
GETEX a | GETEX a PERSIST | TTL a | GETEX a EX 100 | TTL a | GETEX a EX 0 | GETEX a FOO | GETEX none | GETEX a EX 1 PERSIST
GETEX a EXAT 99999999999 | EXPIRETIME a | GETEX a PXAT 1 | GET a
MSET a 1 b 2 c 3 | MGET a b c d a | MSET a | MSET a 1 b | MSETNX x 1 y 2 | MSETNX y 3 z 4 | MGET x y z | MSETNX a
APPEND app hello | APPEND app world | GET app | STRLEN app | STRLEN none | APPEND app | STRLEN
GETRANGE app 0 4 | GETRANGE app -5 -1 | GETRANGE app 5 100 | GETRANGE app 7 3 | GETRANGE app -100 2 | GETRANGE none 0 1
GETRANGE app x 1 | GETRANGE app 0 y | SUBSTR app 0 3 | SUBSTR app -3 -1
SETRANGE app 5 XY | GET app | SETRANGE app 15 Z | GET app | SETRANGE none2 0 "" | EXISTS none2 | SETRANGE none2 3 a | GET none2
SETRANGE app -1 x | SETRANGE app x x | SETRANGE app 536870912 x | SETRANGE app 5 ""
SET n 10 | INCR n | DECR n | INCRBY n 5 | DECRBY n 3 | INCRBY n abc | INCRBY n 1.5 | DECRBY n abc | INCR app | GET n
SET n 9223372036854775807 | INCR n | DECR n | SET n -9223372036854775808 | DECR n | INCRBY n -1 | DECRBY n 9223372036854775807
DECRBY n -9223372036854775808 | SET n " 1" | INCR n | SET n 01 | INCR n | SET n "" | INCR n | INCR fresh | DECR fresh2
SET f 10.5 | INCRBYFLOAT f 0.1 | INCRBYFLOAT f -5 | INCRBYFLOAT f 1e3 | INCRBYFLOAT f abc | INCRBYFLOAT f inf
INCRBYFLOAT f nan | INCRBYFLOAT app 1 | INCRBYFLOAT freshf 3.0e2 | INCRBYFLOAT f 1.17 | GET f | INCRBYFLOAT f 0.00000000000000001
SET f 3.0 | INCRBYFLOAT f 0 | SET f 1e10 | INCRBYFLOAT f 1 | SET f 0 | INCRBYFLOAT f -0.0 | INCRBYFLOAT f 1e400
"""

KEYS = """
MSET a 1 b 2 c 3 | DEL a | DEL a | DEL a b c d | DEL | UNLINK a | MSET a 1 b 2 | UNLINK a b none | EXISTS a | EXISTS | MSET a 1 b 2
EXISTS a b none a | TYPE a | TYPE none | TYPE | TOUCH a b none | TOUCH
RENAME a z | GET z | GET a | RENAME none x | RENAME z z | RENAME none none | RENAMENX z b | RENAMENX z q | RENAMENX none q | GET q | RENAME q
COPY q r | COPY q r | COPY q r REPLACE | GET r | COPY none r | COPY q q | COPY q r DB 1 | COPY q r DB 1 | COPY q r DB 1 REPLACE
COPY q r DB 99 | COPY q r DB x | COPY q r FOO | COPY q q DB 0 | COPY q q DB 1
MOVE q 2 | EXISTS q | MOVE none 2 | MOVE r 0 | MOVE r 99 | MOVE r x | SELECT 2 | GET q | SELECT 0 | SET q 1 | MOVE q 2 | GET q
SELECT 99 | SELECT -1 | SELECT x | SELECT | SWAPDB 0 2 | GET q | SWAPDB 0 2 | SWAPDB 0 99 | SWAPDB a 1 | SWAPDB 0 b | SWAPDB 0
EXPIRE q 100 | TTL q | PEXPIRE q 100000 | TTL q | PERSIST q | PERSIST q | TTL q | PTTL q | TTL none | PTTL none | PERSIST none
EXPIRE none 10 | EXPIRE q x | EXPIRE q 1.5 | EXPIRE q | EXPIRE q 9223372036854775807 | PEXPIRE q 9223372036854775807
EXPIRE q -9223372036854775808 | EXPIREAT q 99999999999 | EXPIRETIME q | PEXPIRETIME q | EXPIRETIME none | PEXPIRETIME none
PEXPIREAT q 99999999999999 | PEXPIRETIME q | EXPIREAT q 1 | EXISTS q | SET q 1 | EXPIRETIME q
EXPIRE q 100 XX | EXPIRE q 100 NX | EXPIRE q 100 NX | EXPIRE q 50 GT | EXPIRE q 200 GT | EXPIRE q 300 LT | EXPIRE q 100 LT | TTL q
EXPIRE q 100 NX XX | EXPIRE q 100 GT LT | EXPIRE q 100 NX GT | EXPIRE q 100 FOO | EXPIRE q 150 XX GT | PERSIST q | EXPIRE q 100 GT | EXPIRE q 100 LT
EXPIRE q -1 | EXISTS q | SET q 1 | EXPIRE q 0 | EXISTS q
FLUSHALL | MSET one 1 two 2 three 3 | DBSIZE | KEYS one | KEYS o?e | KEYS [o]ne | KEYS nothing* | KEYS | KEYS a b | SCAN 0 MATCH one COUNT 1000
SCAN 0 COUNT 0 | SCAN 0 COUNT x | SCAN x | SCAN | SCAN 0 FOO | SCAN 0 MATCH | SCAN 0 MATCH nothing TYPE string COUNT 1000 | SCAN 0 TYPE hash COUNT 1000
RANDOMKEY x
OBJECT | OBJECT FOO | OBJECT FREQ | OBJECT ENCODING none | OBJECT REFCOUNT none | OBJECT IDLETIME none | OBJECT REFCOUNT one | OBJECT FREQ one
OBJECT ENCODING one | SET s "some text" | OBJECT ENCODING s | OBJECT ENCODING | MEMORY USAGE none | MEMORY USAGE | MEMORY USAGE one SAMPLES x | MEMORY USAGE one FOO | MEMORY FOO
FLUSHDB | DBSIZE | FLUSHDB ASYNC | FLUSHDB FOO | FLUSHALL SYNC | FLUSHALL FOO | FLUSHALL SYNC x | RANDOMKEY | DBSIZE x
"""

CONNECTION = """
PING | PING hello | PING a b | ECHO | ECHO hi | ECHO a b | ECHO "" | QUIET | nosuch | nosuch a b c | NOSUCH "with 'quotes'" | "" | "" a
SELECT 0 | SELECT 15 | SELECT 16 | SELECT 0 0 | AUTH x | AUTH default x | AUTH nobody x | AUTH a b c | AUTH | HELLO x | HELLO 1 | HELLO 5
HELLO 2 SETNAME | HELLO 2 FOO | HELLO 2 AUTH x | HELLO 2 AUTH nobody y | HELLO 2 SETNAME "a b" | RESET | RESET x
CLIENT | CLIENT FOO | CLIENT GETNAME | CLIENT SETNAME me | CLIENT GETNAME | CLIENT SETNAME "a b" | CLIENT SETNAME | CLIENT SETNAME "" | CLIENT GETNAME
CLIENT GETNAME x | CLIENT ID x | CLIENT INFO x | CLIENT LIST FOO | CLIENT LIST TYPE | CLIENT LIST TYPE foo | CLIENT LIST TYPE pubsub | CLIENT LIST ID x
CLIENT LIST ID 999999 | CLIENT KILL | CLIENT KILL foo | CLIENT KILL 1.2.3.4:5 | CLIENT KILL ID x | CLIENT KILL ID 0 | CLIENT KILL ID 999999
CLIENT KILL TYPE foo | CLIENT KILL TYPE pubsub | CLIENT KILL USER nobody | CLIENT KILL SKIPME maybe | CLIENT KILL FOO bar | CLIENT KILL ID 1 SKIPME
CLIENT KILL ADDR 1.2.3.4:5 | CLIENT KILL LADDR 1.2.3.4:5 | CLIENT NO-EVICT | CLIENT NO-EVICT on | CLIENT NO-EVICT off | CLIENT NO-EVICT x
CLIENT REPLY x | CLIENT REPLY on | CLIENT REPLY
COMMAND FOO | COMMAND COUNT x | COMMAND GETKEYS | COMMAND GETKEYS GET | COMMAND GETKEYS GET a | COMMAND GETKEYS MSET a 1 b 2 | COMMAND GETKEYS FOO a
COMMAND GETKEYS PING | COMMAND GETKEYS GET a b | COMMAND GETKEYS MGET a b c | COMMAND GETKEYS PING x | COMMAND INFO nosuch | COMMAND LIST FOO | COMMAND LIST FILTERBY FOO x
COMMAND LIST FILTERBY MODULE x | COMMAND LIST FILTERBY PATTERN incrbyf* | COMMAND DOCS nosuch
CONFIG | CONFIG FOO | CONFIG GET | CONFIG GET nosuch | CONFIG GET appendonly | CONFIG GET maxmemory | CONFIG GET save | CONFIG SET | CONFIG SET a | CONFIG SET maxmemory
CONFIG SET nosuch 1 | CONFIG SET maxmemory x | CONFIG SET maxmemory 1kb maxmemory 2kb | CONFIG SET maxclients x | CONFIG SET maxmemory 100mb
CONFIG GET maxmemory | CONFIG SET maxmemory 1gb | CONFIG GET maxmemory | CONFIG SET maxmemory 0 | CONFIG SET appendonly maybe | CONFIG SET a 1 b | CONFIG RESETSTAT x | CONFIG RESETSTAT
TIME x | DEBUG | DEBUG FOO | DEBUG JMAP | DEBUG SLEEP 0 | DEBUG SLEEP | DEBUG SET-ACTIVE-EXPIRE 1 | SHUTDOWN FOO | SHUTDOWN ABORT | SHUTDOWN ABORT NOSAVE
FUNCTION | FUNCTION FLUSH | FUNCTION FLUSH ASYNC | FUNCTION FLUSH FOO | FUNCTION FOO | SWAPDB 1 1 | MEMORY | MEMORY STATS x
INFO nosuch
"""

TRANSACTIONS = """
EXEC | DISCARD | MULTI x | WATCH | UNWATCH | UNWATCH x | EXEC x | DISCARD x | MULTI | EXEC | MULTI | MULTI | SET a 1 | GET a | WATCH a | INCR a | EXEC
MULTI | SET s x | INCR s | GET s | SET s | EXEC | GET s | MULTI | NOSUCH a | SET s y | EXEC | GET s | MULTI | SET s y | DISCARD | GET s
MULTI | SET s x | INCR s | SET t 1 | EXEC | WATCH a | SET a 2 | MULTI | GET a | EXEC | WATCH a | MULTI | SET a 3 | EXEC | WATCH a b | UNWATCH | SET a 1 | MULTI | PING | EXEC
WATCH none | FLUSHALL | MULTI | PING | EXEC | SET w 1 | WATCH w | FLUSHALL | MULTI | PING | EXEC | SET w 1 | WATCH w | SWAPDB 0 1 | MULTI | PING | EXEC | SWAPDB 0 1
SET w 1 | WATCH w | SET w 1 | MULTI | PING | EXEC | WATCH w | EXPIRE w 100 | MULTI | PING | EXEC | WATCH w | PERSIST w | MULTI | PING | EXEC | WATCH w | PERSIST w | MULTI | PING | EXEC
MULTI | SELECT 1 | SET in 1 | SELECT 0 | EXEC | EXISTS in | MULTI | ECHO a | ECHO "" | MGET a b c | CLIENT GETNAME | CONFIG GET maxmemory | EXEC
MULTI | SHUTDOWN | EXEC | MULTI | SAVE | EXEC | MULTI | GET | EXEC | MULTI | CLIENT FOO | EXEC | MULTI | CONFIG SET nosuch 1 | EXEC | MULTI | RESET | EXEC | MULTI | UNWATCH | FLUSHALL | EXEC
CONFIG SET maxmemory-policy nosuch | CONFIG SET maxmemory-policy allkeys-lfu | CONFIG GET maxmemory-policy | SET f 1 | OBJECT FREQ none | OBJECT IDLETIME f
CONFIG SET maxmemory-policy noeviction | SET f 1 | OBJECT IDLETIME f | OBJECT FREQ f | WAIT x 1 | WAIT 0 x | WAIT 0 -1 | WAIT 0 0 | WAIT | BGSAVE FOO | LASTSAVE x | SAVE x
"""


def split_words(text):
    """Words of a request as redis-cli would read them: only double quotes matter here."""
    words = []
    while text:
        if text[0] == '"':
            word, text = text[1:].split('"', 1)
        else:
            word, _, text = text.partition(" ")
        words.append(word)
        text = text.lstrip()
    return words


def requests(script):
    for line in script.strip().split("\n"):
        yield from (part.strip() for part in line.split(" | "))


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", ["STRINGS", "KEYS", "CONNECTION", "TRANSACTIONS"])
def test_replies_are_those_of_redis(pair, name, protocol):
    redis, ours = pair
    differences = []
    with Wire(redis.port) as theirs, Wire(ours.port) as mine:
        for wire in (theirs, mine):
            wire.call("FLUSHALL")
            wire.call("HELLO", protocol)
        for request in requests(globals()[name]):
            words = split_words(request)
            replies = []
            for wire in (theirs, mine):
                wire.send(encode(*words))
                replies.append(raw_reply(wire))
            if replies[0] != replies[1]:
                differences.append(f"{request}\n  redis    {replies[0]!r}\n  kvserver {replies[1]!r}")
            if request == "RESET":
                for wire in (theirs, mine):
                    wire.call("HELLO", protocol)
    assert not differences, "\n" + "\n".join(differences)


FAULTS = [
    b"*abc\r\n", b"*2147483648\r\n", b"*1\r\n$-1\r\n", b"*1\r\n$abc\r\n", b"*1\r\n$536870913\r\n", b"*1\r\nPING\r\n",
    b'ECHO "open\r\n', b"ECHO 'open\r\n", b'ECHO "a"b\r\n', b"*1\r\n:1\r\n", b"x" * 80000, b"*" + b"1" * 80000,
]


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_faults_are_answered_as_by_redis(pair, number):
    replies = []
    for server in pair:
        with Wire(server.port) as wire:
            wire.send(encode("PING") + FAULTS[number])
            data = b""
            try:
                while piece := wire.socket.recv(4096):
                    data += piece
            except ConnectionResetError:
                pass
            replies.append(data)
    assert replies[0] == replies[1]


INLINE = [
    b"PING\r\n", b"ping\n", b"  ECHO   x \r\n", b'ECHO "a\\x41\\n\\r\\t\\a\\b\\q"\r\n', b"ECHO 'a\\'b\\n'\r\n",
    b'ECHO a"b"\r\n', b'ECHO ""\r\n', b"ECHO \xff\xfe\r\n", b"\r\nPING\r\n", b"ECHO a\tb\r\n", b"*0\r\nPING\r\n",
]


@pytest.mark.parametrize("number", range(len(INLINE)))
def test_inline_requests_are_read_as_by_redis(pair, number):
    replies = []
    for server in pair:
        with Wire(server.port) as wire:
            wire.send(INLINE[number])
            replies.append(raw_reply(wire))
    assert replies[0] == replies[1]


def test_late_keys_are_gone_in_both(pair):
    for server in pair:
        with Wire(server.port) as wire:
            wire.call("SET", "late", "x", "PX", "20")
            end = time.monotonic() + 60
            while wire.call("EXISTS", "late") == 1:
                assert time.monotonic() < end
            assert wire.call("TTL", "late") == -2 and wire.call("GET", "late") is None
