# SPDX-License-Identifier: MIT
"""Values of the largest size, 512 MB, on their way in and out."""
import hashlib
import threading

from kvserver import Server, encode

LARGEST = 512 << 20
PIECE = bytes(range(256)) * 4096  # 1 MB


def send_largest(wire):
    wire.send(b"*3\r\n$3\r\nSET\r\n$7\r\nlargest\r\n$%d\r\n" % LARGEST)
    for _ in range(LARGEST // len(PIECE)):
        wire.send(PIECE)
    wire.send(b"\r\n")


def test_largest_value():
    """Goes in and comes back whole while another client is served; one byte more is refused."""
    with Server() as server, server.connect(timeout=100) as wire, server.connect() as other:
        sender = threading.Thread(target=send_largest, args=(wire,))
        sender.start()
        while sender.is_alive():
            assert other.call("PING") == "PONG"
        sender.join()
        assert wire.reply() == "OK"
        assert wire.call("STRLEN", "largest") == LARGEST
        wire.send(encode("GET", "largest"))
        assert wire.line() == b"$%d" % LARGEST
        digest = hashlib.blake2b()
        for _ in range(LARGEST // len(PIECE)):
            digest.update(wire.exactly(len(PIECE)))
        assert wire.exactly(2) == b"\r\n"
        expected = hashlib.blake2b()
        for _ in range(LARGEST // len(PIECE)):
            expected.update(PIECE)
        assert digest.digest() == expected.digest()
        too_long = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
        assert str(wire.call("APPEND", "largest", "x")) == too_long
        assert wire.call("DEL", "largest") == 1
        assert other.call("PING") == "PONG"
