# SPDX-License-Identifier: MIT
"""Real input: records of apt, as examples/apt_dump.sh loads them into kvserver, read back byte for byte."""
import os
import random
import re
import shutil
import subprocess

import pytest

SOURCE = os.environ["KV_SOURCE"]
EXAMPLES = os.path.join(SOURCE, "examples")
SEED = int(os.environ.get("KV_TEST_SEED", "20260101"))
WORDS = ["library", "données", "数据库", "$5", "*3", "tab\there", "a:b", "#2", "x" * 3000, "\\r\\n", "'\"", "-1"]

needs_redis_cli = pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")


def run(*command, **options):
    return subprocess.run(command, capture_output=True, timeout=120, check=False, **options)


@pytest.fixture(name="port")
def server_port(tmp_path):
    program = os.environ.get("KVSERVER")
    if not program:
        pytest.skip("kvserver is not built")
    process = subprocess.Popen([program, "--port", "0"], stdout=subprocess.PIPE, cwd=tmp_path)
    try:
        ready = process.stdout.readline().decode()
        yield re.search(r"127\.0\.0\.1:(\d+)", ready).group(1)
        assert process.poll() is None, "the server has ended"
    finally:
        process.terminate()
        process.wait(60)


def sample(count):
    """Records in the format of the dump: folded fields, blank-looking lines, other alphabets, keys that repeat."""
    print(f"KV_TEST_SEED={SEED}")
    rng = random.Random(SEED)
    text = []
    for number in range(count):
        name = f"package{number if number < 10 or rng.random() < 0.95 else 0}"
        lines = [f"Package: {name}", f"Version: {number % 7}:1.{number % 3}~rc", "Architecture: amd64"]
        for _ in range(rng.randrange(6)):
            lines.append(f"{rng.choice(['Description', 'Depends', 'Tag'])}: {rng.choice(WORDS)}")
            lines += [f" {rng.choice(WORDS)}" if rng.random() < 0.8 else " ." for _ in range(rng.randrange(4))]
        text.append("\n".join(lines) + "\n" + "\n" * rng.choice([1, 1, 2]))
    return "".join(text).encode()


@needs_redis_cli
def test_sample_reads_back(port, tmp_path):
    dump = tmp_path / "dump"
    dump.write_bytes(sample(2000))
    done = run(os.path.join(EXAMPLES, "apt_dump.sh"), port, dump)
    assert done.returncode == 0, done.stderr
    assert b"errors: 0, replies: 2000\n" in done.stdout
    assert b"keys in the server: 2000\n" in done.stdout
    assert re.search(rb"\n2000 records, \d+ bytes equal; 0 wrong\n", done.stdout)


@needs_redis_cli
def test_differences_are_found(port, tmp_path):
    records = sample(300)
    dump = tmp_path / "dump"
    dump.write_bytes(records)
    assert run(os.path.join(EXAMPLES, "apt_dump.sh"), port, dump).returncode == 0
    assert run("redis-cli", "-p", port, "append", "pkg:package7:0:1.1~rc:amd64", "!").returncode == 0
    assert run("redis-cli", "-p", port, "del", "pkg:package8:1:1.2~rc:amd64").stdout in (b"1\n", b"(integer) 1\n")
    done = run(os.path.join(EXAMPLES, "verify"), "--port", port, input=records)
    assert done.returncode == 1
    assert b"298 records" in done.stdout and b"2 wrong" in done.stdout
    assert b"pkg:package7:0:1.1~rc:amd64 differs\n" in done.stderr
    assert b"pkg:package8:1:1.2~rc:amd64 is not there\n" in done.stderr


def test_requests_are_what_they_should_be():
    text = b"Package: a\nVersion: 1\nArchitecture: all\n\nPackage: a\nVersion: 1\nArchitecture: all\nX: y"
    done = run(os.path.join(EXAMPLES, "dump_to_resp"), input=text)
    first = b"*3\r\n$3\r\nSET\r\n$11\r\npkg:a:1:all\r\n$40\r\nPackage: a\nVersion: 1\nArchitecture: all\n\r\n"
    second = b"*3\r\n$3\r\nSET\r\n$13\r\npkg:a:1:all#2\r\n$44\r\nPackage: a\nVersion: 1\nArchitecture: all\nX: y\r\n"
    assert done.stdout == first + second
    assert done.stderr == b"2 records\n"


@needs_redis_cli
def test_everything_apt_knows_reads_back(port):
    dump = run("apt-cache", "dumpavail").stdout if shutil.which("apt-cache") else b""
    if not dump:
        pytest.skip("apt knows no packages")
    done = run(os.path.join(EXAMPLES, "apt_dump.sh"), port)
    assert done.returncode == 0, done.stderr
    assert re.search(rb"\n\d{4,} records, \d+ bytes equal; 0 wrong\n", done.stdout), done.stdout


def test_what_goes_wrong_is_said(tmp_path):
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    done = run(os.path.join(EXAMPLES, "apt_dump.sh"), "1", empty)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1
    assert run(os.path.join(EXAMPLES, "apt_dump.sh")).stderr.startswith(b"usage: ")
    done = run(os.path.join(EXAMPLES, "verify"), "--port", "1", input=b"Package: a\n")
    assert done.returncode == 1
    assert done.stderr == b"verify: no server at 127.0.0.1:1: Connection refused\n"
