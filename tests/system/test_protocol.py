# SPDX-License-Identifier: MIT
"""The protocol as bytes on a socket: pieces, pipelines, sizes, faults, and everything the first server died of."""
import random
import re
import socket
import struct
import threading
import time

import pytest

from kvserver import Error, Server, encode


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


@pytest.fixture
def wire(server):
    with server.connect() as connection:
        yield connection


# ---- what the first server died of ----


def test_unknown_words_are_errors_and_the_server_lives(wire):
    unknown = "ERR unknown command 'nosuch', with args beginning with: 'a' 'b' "
    assert str(wire.call("nosuch", "a", "b")) == unknown
    assert str(wire.call("\x00\xff", "a")).startswith("ERR unknown command '', ")
    assert wire.call("ping") == "PONG"


def test_names_in_any_case(wire):
    assert [wire.call(word) for word in ("ping", "PING", "PiNg")] == ["PONG"] * 3
    assert wire.call("sEt", "case", "x") == "OK"


def test_request_split_byte_by_byte(wire):
    for byte in encode("SET", "split", "a\r\nb c") + encode("GET", "split"):
        wire.send(bytes([byte]))
    assert wire.reply() == "OK"
    assert wire.reply() == b"a\r\nb c"


def test_requests_in_random_pieces(server):
    dice = random.Random(7)
    values = [dice.randbytes(dice.choice([0, 1, 10, 100, 5000, 70000])) for _ in range(60)]
    stream = b"".join(encode("SET", f"piece{i}", v) + encode("GET", f"piece{i}") for i, v in enumerate(values))
    with server.connect() as wire:
        sender = threading.Thread(target=send_in_pieces, args=(wire, stream, dice))
        sender.start()
        for value in values:
            assert wire.reply() == "OK"
            assert wire.reply() == value
        sender.join()


def send_in_pieces(wire, stream, dice):
    at = 0
    while at < len(stream):
        size = dice.choice([1, 7, 100, 3000, 20000])
        wire.send(stream[at:at + size])
        at += size


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 16383, 16384, 16385, 65535, 65536, 65537, 1 << 20])
def test_values_around_buffer_sizes(wire, size):
    value = random.Random(size).randbytes(size)
    assert wire.call("SET", "sized", value) == "OK"
    assert wire.call("STRLEN", "sized") == size
    assert wire.call("GET", "sized") == value


def test_many_words(wire):
    pairs = [f"word{i}" for i in range(2000)]
    assert wire.call("MSET", *pairs) == "OK"
    assert wire.call("MGET", *pairs[::2]) == [word.encode() for word in pairs[1::2]]


def test_client_reset_harms_nobody(server, wire):
    for _ in range(20):
        other = server.connect()
        other.send(encode("SET", "reset", "x" * 100000) + encode("GET", "reset") * 50)
        other.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.file.close()
        other.socket.close()
    assert wire.call("PING") == "PONG"


def test_replies_hold_no_foreign_bytes(wire):
    """Old buffer tails and stack bytes of the first server came after short replies to long requests."""
    wire.call("SET", "tail", "S" * 60000)
    wire.call("GET", "tail")
    wire.send(encode("SET", "tail", "x") + encode("GET", "tail") + encode("GETRANGE", "tail", "0", "100") + encode("PING"))
    expected = b"+OK\r\n$1\r\nx\r\n$1\r\nx\r\n+PONG\r\n"
    assert wire.exactly(len(expected)) == expected


def test_any_byte_in_keys_and_values(wire):
    every = bytes(range(256))
    assert wire.call("SET", every, every + b" with blanks \r\n") == "OK"
    assert wire.call("GET", every) == every + b" with blanks \r\n"
    assert wire.call("SET", "a b", "c d") == "OK"
    assert wire.call("GET", "a b") == b"c d"


# ---- pipelines ----


def test_pipeline_of_ten_thousand(wire):
    requests = b"".join(encode("SET", f"p{i}", i) + encode("GET", f"p{i}") for i in range(5000))
    sender = threading.Thread(target=wire.send, args=(requests,))
    sender.start()
    for i in range(5000):
        assert wire.reply() == "OK"
        assert wire.reply() == str(i).encode()
    sender.join()


def test_many_connections_in_one_turn(server):
    wires = [server.connect() for _ in range(100)]
    try:
        for round_number in range(3):
            for i, wire in enumerate(wires):
                wire.send(encode("SET", f"turn{i}", f"{i}-{round_number}") + encode("GET", f"turn{i}"))
            for i, wire in enumerate(wires):
                assert wire.reply() == "OK"
                assert wire.reply() == f"{i}-{round_number}".encode()
    finally:
        for wire in wires:
            wire.close()


def test_selected_keyspaces_do_not_mix_within_a_turn(server):
    wires = [server.connect() for _ in range(16)]
    try:
        for i, wire in enumerate(wires):
            wire.send(encode("SELECT", i) + encode("SET", "mine", i))
        for wire in wires:
            assert [wire.reply(), wire.reply()] == ["OK", "OK"]
        for wire in wires:
            wire.send(encode("GET", "mine"))
        assert [wire.reply() for wire in wires] == [str(i).encode() for i in range(16)]
    finally:
        for wire in wires:
            wire.close()


def test_replies_come_before_the_end(server):
    """A client that closes its sending side still gets every answer."""
    with server.connect() as wire:
        wire.send(encode("SET", "half", "1") + encode("INCR", "half") + encode("PING"))
        wire.socket.shutdown(socket.SHUT_WR)
        assert [wire.reply(), wire.reply(), wire.reply()] == ["OK", 2, "PONG"]
        assert wire.ends()


def test_quit_ends_after_its_reply(server):
    with server.connect() as wire:
        wire.send(encode("PING") + encode("QUIT") + encode("PING"))
        assert [wire.reply(), wire.reply()] == ["PONG", "OK"]
        assert wire.ends()


def test_big_value(wire):
    value = random.Random(1).randbytes(1 << 20) * 100
    assert wire.call("SET", "big", value) == "OK"
    assert wire.call("GET", "big") == value
    assert wire.call("GETRANGE", "big", -5, -1) == value[-5:]
    assert wire.call("DEL", "big") == 1


def test_big_pipeline_of_big_replies(wire):
    """More output than any buffer: requests wait for the client, nothing is lost or reordered."""
    wire.call("SET", "mb", "m" * (1 << 20))
    requests = b"".join(encode("GETRANGE", "mb", i, -1) for i in range(100))
    wire.send(requests)
    for i in range(100):
        assert len(wire.reply()) == (1 << 20) - i
    assert wire.call("PING") == "PONG"


# ---- inline ----


@pytest.mark.parametrize("line, reply", [
    (b"PING\r\n", "PONG"),
    (b"ping\n", "PONG"),
    (b"  ECHO\t hello  \r\n", b"hello"),
    (b'ECHO "a b"\r\n', b"a b"),
    (b"ECHO 'a b'\r\n", b"a b"),
    (b'ECHO "\\x00\\xff\\n\\"q\\""\r\n', b'\x00\xff\n"q"'),
    (b"ECHO ''\r\n", b""),
    (b"\r\n\r\n \r\nPING\r\n", "PONG"),
])
def test_inline(wire, line, reply):
    wire.send(line)
    assert wire.reply() == reply


def test_inline_between_arrays(wire):
    wire.send(encode("ECHO", "1") + b"ECHO 2\r\n" + b"*0\r\n*-1\r\n" + encode("ECHO", "3") + b"ECHO '4'\r\n")
    assert [wire.reply() for _ in range(4)] == [b"1", b"2", b"3", b"4"]


# ---- faults of the protocol ----


@pytest.mark.parametrize("request_bytes, error", [
    (b"*abc\r\n", "invalid multibulk length"),
    (b"*2147483648\r\n", "invalid multibulk length"),
    (b"*1\r\n$-5\r\n", "invalid bulk length"),
    (b"*1\r\n$abc\r\n", "invalid bulk length"),
    (b"*1\r\n$536870913\r\n", "invalid bulk length"),
    (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
    (b'ECHO "open\r\n', "unbalanced quotes in request"),
    (b"x" * 70000, "too big inline request"),
    (b"*" + b"1" * 70000, "too big mbulk count string"),
    (b"*1\r\n$" + b"1" * 70000, "too big bulk count string"),
])
def test_a_fault_ends_only_its_connection(server, wire, request_bytes, error):
    with server.connect() as bad:
        bad.send(encode("PING") + request_bytes)
        assert bad.reply() == "PONG"
        assert str(bad.reply()) == "ERR Protocol error: " + error
        assert bad.ends()
    assert wire.call("PING") == "PONG"


def test_announced_lengths_take_no_memory(server, wire):
    before = server.memory_kb()
    wires = [server.connect() for _ in range(30)]
    for other in wires:
        other.send(b"*1000000\r\n$536870912\r\nabc")
    assert wire.call("PING") == "PONG"
    assert server.memory_kb() - before < 64 * 1024
    for other in wires:
        other.close()


# ---- RESP3 ----


def test_hello(server):
    with server.connect() as wire:
        greeting = wire.call("HELLO")
        assert dict(zip(greeting[::2], greeting[1::2]))[b"proto"] == 2
        greeting = wire.call("HELLO", 3, "SETNAME", "tester")
        assert greeting[b"proto"] == 3 and greeting[b"mode"] == b"standalone" and greeting[b"modules"] == []
        assert wire.call("CLIENT", "GETNAME") == b"tester"
        wire.send(encode("GET", "no such key"))
        assert wire.line() == b"_"
        wire.send(encode("CONFIG", "GET", "port"))
        assert wire.line() == b"%1"
        assert [wire.reply(), wire.reply()] == [b"port", b"0"]
        assert isinstance(wire.call("COMMAND", "DOCS", "get"), dict)
        wire.send(encode("INFO", "server"))
        assert wire.line().startswith(b"=")
        assert wire.file.read(4) == b"txt:"
    with server.connect() as wire:
        assert str(wire.call("HELLO", 4)) == "NOPROTO unsupported protocol version"
        assert str(wire.call("HELLO", 3, "AUTH", "nobody", "x")).startswith("WRONGPASS ")
        assert wire.call("HELLO", 3, "AUTH", "default", "x")[b"proto"] == 3
        assert wire.call("RESET") == "RESET"
        wire.send(encode("GET", "no such key"))
        assert wire.line() == b"$-1"


# ---- clients and the state of connections ----


def test_client_reply_modes(wire):
    wire.send(encode("CLIENT", "REPLY", "OFF") + encode("SET", "quiet", "1") + encode("NOSUCH") + encode("CLIENT", "REPLY", "ON"))
    assert wire.reply() == "OK"
    wire.send(encode("CLIENT", "REPLY", "SKIP") + encode("INCR", "quiet") + encode("GET", "quiet"))
    assert wire.reply() == b"2"


def test_client_kill(server, wire):
    victim = server.connect()
    number = victim.call("CLIENT", "ID")
    address = f"{victim.socket.getsockname()[0]}:{victim.socket.getsockname()[1]}"
    assert f"id={number} addr={address}" in wire.call("CLIENT", "LIST").decode()
    assert wire.call("CLIENT", "KILL", "ID", number) == 1
    assert victim.ends()
    assert wire.call("CLIENT", "KILL", "ID", number) == 0
    victim = server.connect()
    victim.call("PING")
    address = f"{victim.socket.getsockname()[0]}:{victim.socket.getsockname()[1]}"
    assert wire.call("CLIENT", "KILL", address) == "OK"
    assert victim.ends()
    assert str(wire.call("CLIENT", "KILL", address)) == "ERR No such client"
    with server.connect() as self_killer:
        own = self_killer.call("CLIENT", "ID")
        assert self_killer.call("CLIENT", "KILL", "ID", own, "SKIPME", "no") == 1
        assert self_killer.ends()


# The fields of Redis 7.0.15 in its order.
CLIENT_FIELDS = (
    "id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll omem"
    " tot-mem events cmd user redir resp"
)


def test_client_list_describes_the_buffer_of_its_own_request(server):
    with server.connect() as wire:
        request = encode("client", "list")
        assert len(request) == 26
        line = wire.call("client", "list").decode()
        own = next(row for row in line.splitlines() if " cmd=client|list " in row)
        fields = [field.split("=", 1) for field in own.split(" ")]
        assert " ".join(name for name, _ in fields) == CLIENT_FIELDS
        assert dict(fields)["qbuf"] == "26"
        # What came along in one piece counts as long as a part of it waits.
        wire.send(encode("PING") + request + b"*1\r\n$4\r\nPI")
        assert wire.reply() == "PONG"
        own = next(row for row in wire.reply().decode().splitlines() if " cmd=client|list " in row)
        assert f" qbuf={14 + 26 + 10} " in own
        waiting = server.connect()
        row = next(row for row in waiting.call("CLIENT", "LIST").decode().splitlines() if " cmd=client|list " in row)
        assert " qbuf=10 " in row
        waiting.close()


def test_client_names(wire):
    assert wire.call("CLIENT", "GETNAME") is None
    assert wire.call("CLIENT", "SETNAME", "blue") == "OK"
    assert isinstance(wire.call("CLIENT", "SETNAME", "two words"), Error)
    assert wire.call("CLIENT", "SETINFO", "lib-name", "test") == "OK"
    assert b" name=blue " in wire.call("CLIENT", "INFO")
    assert isinstance(wire.call("CLIENT", "SETINFO", "lib-ver", "1 2"), Error)
    assert isinstance(wire.call("CLIENT", "SETINFO", "lib-size", "1"), Error)
    assert wire.call("CLIENT", "SETNAME", "") == "OK"
    assert wire.call("CLIENT", "GETNAME") is None


def test_an_announced_length_costs_nothing():
    with Server() as own:

        def peak_kb():
            with open(f"/proc/{own.process.pid}/status", encoding="ascii") as status:
                return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1))

        senders = [own.connect() for _ in range(400)]
        for sender in senders:
            sender.send(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$536870912\r\nsome")
        with own.connect() as watcher:
            deadline = time.monotonic() + 60
            while watcher.call("CLIENT", "LIST").count(b" qbuf=38 ") < len(senders):
                assert time.monotonic() < deadline
            before = peak_kb()
            for sender in senders:
                sender.send(b"more")
            for sender in senders:
                sender.close()
            deadline = time.monotonic() + 60
            while b"connected_clients:1\r\n" not in watcher.call("INFO", "clients"):
                assert time.monotonic() < deadline
            assert peak_kb() - before < 200 << 10


@pytest.mark.parametrize("head", [b"POST / HTTP/1.1\r\n", b"PUT /x HTTP/1.1\r\nhost: 127.0.0.1:6379\r\n"])
def test_a_web_page_cannot_send_commands(server, wire, head):
    wire.call("SET", "page", "before")
    with server.connect() as browser:
        browser.send(head + b"Content-Length: 20\r\n\r\nSET page after\r\n")
        while browser.file.readline() != b"":
            pass
    assert wire.call("GET", "page") == b"before"
