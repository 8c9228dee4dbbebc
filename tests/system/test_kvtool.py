# SPDX-License-Identifier: MIT
"""kvtool memmap: the picture of a given map to the letter, a real server's map, and every way to fail in one line."""
import json
import os
import re
import socket
import subprocess
import threading

import pytest

KVTOOL = os.environ["KVTOOL"]


class OneReply:
    """A server for one connection: reads a request and answers with the given bytes."""

    def __init__(self, reply):
        self.reply = reply
        self.request = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        connection, _ = self.listener.accept()
        with connection:
            self.request = connection.recv(4096)
            connection.sendall(self.reply)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(10)
        self.listener.close()


def run(*arguments, locale="C"):
    environment = {**os.environ, "LC_ALL": locale}
    return subprocess.run(
        [KVTOOL, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def bulk(text):
    data = text.encode()
    return b"$%d\r\n%s\r\n" % (len(data), data)


def block(address, size, kind, owner, used, object_bytes=0, owner_id=0x1000):
    return {
        "address": hex(address), "bytes": size, "kind": kind, "owner": owner, "owner_id": hex(owner_id),
        "used_bytes": used, "object_bytes": object_bytes,
    }


def show(blocks, *arguments, locale="C"):
    with OneReply(bulk(json.dumps(blocks))) as server:
        return run("memmap", "--port", str(server.port), *arguments, locale=locale)


MAP = [
    block(0x30000, 65536, "pool", "db0", 65536, 64),
    block(0x10000, 65536, "pool", "db0", 32768, 128),
    block(0x20000, 65536, "pool", "db0", 0, 64),
    block(0x50000, 131072, "large", "db0", 131072),
    block(0x70000, 4096, "arena", "log", 4096),
    block(0x71000, 4096, "arena", "log", 0),
    block(0x80000, 65536, "free", "", 0),
]


def test_picture():
    done = show(MAP)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")[1:]
    assert "\n".join(lines) == """
free: 64 KB in 1 block, 0.0 % used
  .

db0, large: 128 KB in 1 block, 100.0 % used
  ##

db0, pool: 192 KB in 3 blocks, 50.0 % used
  +.#
  class     64: 128 KB in 2 blocks, 50.0 % used
  class    128: 64 KB in 1 block, 50.0 % used

log, arena: 8 KB in 2 blocks, 50.0 % used
  +

all: 392 KB in 7 blocks, 58.2 % used
a cell is 64 KB: . empty, - to a quarter, + to a half, * to three quarters, # above
"""


def test_owners_of_one_name():
    blocks = [block(number << 16, 65536, "pool", "twin", 65536, 0, 0x2000 + number % 2) for number in range(4)]
    assert show(blocks).stdout.count("twin, pool: 128 KB in 2 blocks, 100.0 % used\n  ##\n") == 2


def test_lines_and_cells():
    assert "\n  +.\n  #\n" in show(MAP, "--width=2").stdout
    assert "db0, large: 128 KB in 1 block, 100.0 % used\n  #\n" in show(MAP, "--cell=131072").stdout


def test_shades_follow_the_locale():
    assert "\u2588\u2588" in show(MAP, locale="C.UTF-8").stdout
    assert "##" in show(MAP, "--ascii", locale="C.UTF-8").stdout


def test_json_is_what_the_server_said():
    done = show(MAP, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == MAP


def test_numbers_and_unknown_members():
    text = '[ {"address":65536,"more":null,"bytes":65536,"kind":"pool","owner":"a\\"b","used_bytes":1} ]'
    with OneReply(bulk(text)) as server:
        done = run("memmap", f"--port={server.port}")
    assert 'a"b, pool: 64 KB in 1 block, 0.0 % used\n  -\n' in done.stdout


def test_empty_map():
    assert "all: 0 KB in 0 blocks\n" in show([]).stdout


@pytest.mark.parametrize(
    "text", ["", "[", "{}", "[{}", "[{},]", '[{"bytes"}]', '[{"bytes":}]', '[{"owner":"x]', "[] []", '[{"a":"\\u12"}]']
)
def test_no_map(text):
    with OneReply(bulk(text)) as server:
        done = run("memmap", f"--port={server.port}")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and "cannot be read" in done.stderr


def test_error_reply():
    with OneReply(b"-ERR unknown command 'MEMORY'\r\n") as server:
        done = run("memmap", f"--port={server.port}")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "unknown command" in done.stderr
    assert server.request == b"*3\r\n$6\r\nMEMORY\r\n$3\r\nMAP\r\n$4\r\nJSON\r\n"


def test_lost_connection():
    with OneReply(b"$100\r\n[") as server:
        done = run("memmap", f"--port={server.port}")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_no_server():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    done = run("memmap", f"--port={port}")
    assert done.returncode == 1
    assert done.stderr == f"kvtool: no server at 127.0.0.1:{port}: Connection refused\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["map"], ["memmap", "x"], ["memmap", "--port=0"], ["memmap", "--port=x"], ["memmap", "--port"],
     ["memmap", "--cell=1"], ["memmap", "--width=0"], ["--what"]],
)
def test_wrong_command_lines(arguments):
    done = run(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_help_and_version():
    assert "memmap" in run("--help").stdout
    assert run("--version").stdout.startswith("kvtool ")


def test_map_of_a_server(tmp_path):
    program = os.environ.get("KVSERVER")
    if not program:
        pytest.skip("kvserver is not built")
    server = subprocess.Popen([program, "--port", "0"], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        port = re.search(r"127\.0\.0\.1:(\d+)", server.stdout.readline()).group(1)
        with socket.create_connection(("127.0.0.1", int(port)), timeout=60) as client:
            for number in range(3000):
                client.sendall(b"*3\r\n$3\r\nSET\r\n$6\r\n%06d\r\n$100\r\n%s\r\n" % (number, b"v" * 100))
            replies = b""
            while len(replies) < 3000 * len(b"+OK\r\n"):
                replies += client.recv(65536)
        picture = run("memmap", "--port", port)
        blocks = json.loads(run("memmap", "--port", port, "--json").stdout)
    finally:
        server.terminate()
        server.wait(20)
    assert picture.returncode == 0, picture.stderr
    assert "class" in picture.stdout and "all: " in picture.stdout
    pools = [found for found in blocks if found["kind"] == "pool"]
    assert sum(found["used_bytes"] for found in pools) >= 3000 * 106
    assert all(found["used_bytes"] <= found["bytes"] for found in blocks)
