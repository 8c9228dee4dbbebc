# SPDX-License-Identifier: MIT
"""kvtool verify, stat, dump, load and repair: what goes in comes out, and damage is named with its place."""
import base64
import json
import os
import random
import re
import shutil
import subprocess

import pytest

KVTOOL = os.environ["KVTOOL"]

ENTRIES = [
    {"keyspace": "0", "key": "plain", "value": "text"},
    {"keyspace": "0", "key": "", "value": ""},
    {"keyspace": "0", "key": "quotes \" and \\ and \t\n\x00", "value": "umlauts äöü, 漢字, 😀"},
    {"keyspace": "0", "key64": "AP+A/g==", "value64": base64.b64encode(bytes(range(256))).decode()},
    {"keyspace": "0", "key": "timed", "value": "1", "deadline_ms": 4102444800000},
    {"keyspace": "0", "key": "appended", "value": "123", "form": 1},
    {"keyspace": "3", "key": "plain", "value": "another"},
    {"keyspace": "with a name", "key": "ordered", "value": "x" * 3000},
]
KEYSPACES = [
    {"keyspace": "0", "engine": "hash"},
    {"keyspace": "3", "engine": "hash"},
    {"keyspace": "with a name", "engine": "bptree", "quota": 1000000, "default_ttl_ms": 5000000000},
]


def run(*arguments, code=0, stdin=None):
    done = subprocess.run(
        [KVTOOL, *map(str, arguments)], capture_output=True, timeout=60, check=False, input=stdin
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stderr.count(b"\n") == (0 if code == 0 else 1), done.stderr
    return done.stdout.decode(), done.stderr.decode()


def as_text(lines):
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def as_set(text):
    return {json.dumps(json.loads(line), sort_keys=True) for line in text.splitlines()}


def entries_of(text):
    return {line for line in as_set(text) if "key" in json.loads(line) or "key64" in json.loads(line)}


def many(count):
    return [
        {"keyspace": str(i % 4), "key": f"key {i}", "value": "v" * (i % 500)} for i in range(count)
    ]


@pytest.fixture(name="data")
def make_data(tmp_path):
    folder = tmp_path / "data"
    run("load", folder, stdin=as_text(KEYSPACES + ENTRIES))
    return folder


def snapshot_of(folder):
    (name,) = [name for name in os.listdir(folder) if name.endswith(".snap")]
    return folder / name


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def contents(folder):
    """Every file but the lock, which is not part of the data."""
    result = {}
    for name in os.listdir(folder):
        if name != "LOCK":
            with open(folder / name, "rb") as file:
                result[name] = file.read()
    return result


def test_dump_is_what_was_loaded(data):
    text, _ = run("dump", data)
    assert entries_of(text) == entries_of(as_text(ENTRIES).decode())
    assert as_set(text) >= as_set(as_text(KEYSPACES).decode())


def test_dump_of_a_dump(data, tmp_path):
    run("dump", data, "--output", tmp_path / "text")
    run("load", tmp_path / "copy", tmp_path / "text")
    assert as_set(run("dump", data)[0]) == as_set(run("dump", tmp_path / "copy")[0])


def test_redis_form(data, tmp_path):
    text = subprocess.run([KVTOOL, "dump", "-f", "redis", data], capture_output=True, check=True).stdout
    assert text.startswith(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n")
    assert b"*5\r\n$3\r\nSET\r\n$5\r\ntimed\r\n$1\r\n1\r\n$4\r\nPXAT\r\n$13\r\n4102444800000\r\n" in text
    run("load", tmp_path / "copy", stdin=text)
    expected = entries_of(run("dump", data)[0])
    without_form = {line.replace(', "form": 1', "").replace('"form": 1, ', "") for line in expected}
    found = entries_of(run("dump", tmp_path / "copy")[0])
    assert {line for line in found if "with a name" not in line} == {
        line for line in without_form if "with a name" not in line
    }


def test_looking_changes_nothing(data):
    before = contents(data)
    run("dump", data)
    run("stat", data)
    run("verify", data)
    assert contents(data) == before


def test_load_adds(data):
    run("load", data, stdin=as_text([{"keyspace": "0", "key": "plain", "value": "new"}]))
    text, _ = run("dump", data)
    lines = [json.loads(line) for line in text.splitlines()]
    assert {"keyspace": "0", "key": "plain", "value": "new"} in lines
    assert len(entries_of(text)) == len(ENTRIES)


def test_stat(data):
    text, _ = run("stat", data)
    assert re.search(r"^identity: [0-9a-f]{32}$", text, re.M)
    assert re.search(r"^keyspace 0: engine hash, entries 6, with deadline 1, key bytes \d+", text, re.M)
    assert re.search(r"^keyspace with a name: engine bptree, entries 1,", text, re.M)


def test_verify(data):
    text, _ = run("verify", data)
    assert re.search(r"^snap-\d+-0\.snap: LSN \d+, 8 entries in 2 chunks, \d+ bytes: whole$", text, re.M)


def test_verify_names_the_place(data):
    path = snapshot_of(data)
    for offset in range(os.path.getsize(path) - 1, -1, -131):
        flip(path, offset)
        text, error = run("verify", data, code=2)
        place = re.search(rf"^{path.name}: DAMAGED at offset (\d+), LSN \d+: ", text, re.M)
        assert place and int(place.group(1)) <= offset
        assert "kvtool repair" in error
        flip(path, offset)
    run("verify", data)


def test_damage_is_refused_and_repaired(tmp_path):
    """As many entries as the first segment holds, so that the log has all of them beside the snapshot."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    run("load", data, stdin=as_text(many(10000)))
    path = snapshot_of(data)
    flip(path, os.path.getsize(path) // 2)
    assert entries_of(run("dump", data)[0]) == entries_of(as_text(many(10000)).decode())  # from the log
    for name in os.listdir(data):
        if name.startswith("wal-"):
            os.remove(data / name)
    before = contents(data)
    _, error = run("dump", data, code=2)
    assert path.name in error and "offset" in error and "LSN" in error and "kvtool repair" in error
    text, _ = subprocess.Popen(
        [KVTOOL, "repair", data, copy], stdout=subprocess.PIPE, text=True
    ).communicate(timeout=60)
    assert re.search(rf"^lost: {path.name} from offset \d+ to \d+: ", text, re.M)
    assert contents(data) == before
    run("verify", copy)
    saved = entries_of(run("dump", copy)[0])
    everything = entries_of(as_text(many(10000)).decode())
    assert saved < everything
    assert len(saved) > len(everything) // 2


def test_repair_of_what_is_whole(data, tmp_path):
    text, _ = run("repair", data, tmp_path / "copy")
    assert "; 0 pieces are lost" in text
    assert as_set(run("dump", data)[0]) == as_set(run("dump", tmp_path / "copy")[0])


def test_repair_without_metadata(data, tmp_path):
    os.remove(data / "meta-0")
    os.remove(data / "meta-1")
    _, error = run("dump", data, code=2)
    assert "meta-0" in error
    subprocess.run([KVTOOL, "repair", data, tmp_path / "copy"], check=False, capture_output=True)
    assert entries_of(run("dump", tmp_path / "copy")[0]) == entries_of(as_text(ENTRIES).decode())


def test_random_bytes_survive(tmp_path):
    seed = int(os.environ.get("KV_TEST_SEED", random.randrange(1 << 32)))
    print(f"# KV_TEST_SEED={seed}")
    source = random.Random(seed)
    lines = {}
    for _ in range(500):
        key, value = source.randbytes(source.randrange(6)), source.randbytes(source.randrange(40))
        lines[key] = {
            "keyspace": "0",
            "key64": base64.b64encode(key).decode(),
            "value64": base64.b64encode(value).decode(),
        }
    run("load", tmp_path / "data", stdin=as_text(lines.values()))
    found = {}
    for line in run("dump", tmp_path / "data")[0].splitlines():
        read = json.loads(line)
        if "engine" not in read:
            key = base64.b64decode(read["key64"]) if "key64" in read else read["key"].encode()
            found[key] = base64.b64decode(read["value64"]) if "value64" in read else read["value"].encode()
    assert found == {key: base64.b64decode(line["value64"]) for key, line in lines.items()}


@pytest.mark.parametrize(
    "arguments",
    [["dump"], ["verify"], ["stat"], ["repair", "x"], ["load"], ["dump", "a", "b"], ["dump", "nowhere"],
     ["verify", "nowhere"], ["stat", "nowhere"], ["repair", "nowhere", "new"], ["dump", "-f", "xml", "x"]],
)
def test_wrong_command_lines(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, error = run(*arguments, code=1)
    assert out == "" and error.startswith("kvtool: ")
    assert os.listdir(tmp_path) in ([], ["new"])


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b'{"keyspace":"0"}', b'{"keyspace":"0","key":"a","value":3}', b'{"what":"x"}',
     b'{"keyspace":"0","key64":"A","value":""}', b'{"keyspace":"0","key":"\\u12","value":""}', b"*1\r\n",
     b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nb\r\n", b"*1\r\n$4\r\nPING\r\n",
     b'{"keyspace":"0","engine":"none"}'],
)
def test_wrong_dumps(tmp_path, line):
    _, error = run("load", tmp_path / "data", stdin=line + b"\n", code=1)
    assert "standard input" in error


def test_a_directory_in_use(data):
    """A pipe that nobody reads keeps one tool busy while another asks."""
    with subprocess.Popen([KVTOOL, "load", data], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        first.stdin.write(as_text(many(3000)))
        first.stdin.flush()
        while not os.path.exists(data / "LOCK"):
            pass
        for _ in range(200):
            done = subprocess.run([KVTOOL, "dump", data], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                break
        first.stdin.close()
        first.stdout.read()
        assert first.wait(20) == 0
    assert done.returncode == 1
    assert re.search(rf"is in use by kvtool, process {first.pid}$", done.stderr.strip())


def test_temporary_leftovers_go(data):
    (data / "snap-00000000000000000001-0.tmp").write_bytes(b"half")
    shutil.copy(snapshot_of(data), data / "snap-00000000000000000000-0.snap")
    run("load", data, stdin=as_text(ENTRIES))
    names = os.listdir(data)
    assert not [name for name in names if name.endswith(".tmp")]
    assert len([name for name in names if name.endswith(".snap")]) == 1
