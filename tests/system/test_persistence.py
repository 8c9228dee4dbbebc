# SPDX-License-Identifier: MIT
"""What a server keeps in its directory: across ends of every kind, in snapshots, in backups, and when it may say so."""
import os
import signal
import subprocess
import time

import pytest

from kvserver import KVSERVER, Error, Server, Wire, encode


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "data")


def kill(server):
    server.process.send_signal(signal.SIGKILL)
    server.process.communicate()


def persistence(wire):
    text = wire.call("INFO", "persistence").decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def wait_for(question, seconds=60):
    end = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < end, "that takes too long"


def fill(wire, count, first=0):
    for begin in range(first, first + count, 500):
        keys = range(begin, min(begin + 500, first + count))
        wire.send(b"".join(encode("SET", f"key:{i}", f"value:{i}") for i in keys))
        assert all(wire.reply() == "OK" for _ in keys)


def test_everything_is_there_again(folder):
    with Server("--dir", folder) as server, server.connect() as wire:
        assert server.line.endswith(f"data in {folder}")
        fill(wire, 3000)
        wire.call("INCRBYFLOAT", "float", "0.1")
        wire.call("APPEND", "key:1", "more")
        wire.call("SETRANGE", "key:2", 3, "xyz")
        wire.call("RENAME", "key:3", "renamed")
        wire.call("SET", "timed", "v", "PX", 99999999)
        wire.call("KEYSPACE", "CREATE", "index", "ENGINE", "bptree", "QUOTA", "100mb", "MAX-TTL", 1000000)
        wire.call("SELECT", "index")
        wire.call("MSET", "b", 2, "a", 1, "c", 3)
        wire.call("RANGEDEL", "[b", "[b")
        wire.call("SELECT", 1)
        wire.call("SET", "one", 1)
        wire.call("SWAPDB", 1, 2)
        wire.call("MULTI", "ATOMIC")
        wire.call("SET", "atomic", 1)
        wire.call("INCR", "atomic")
        assert wire.call("EXEC") == ["OK", 2]
        deadline = wire.call("SELECT", 0) and wire.call("PEXPIRETIME", "timed")
    for _ in range(2):
        with Server("--dir", folder) as server, server.connect() as wire:
            assert wire.call("DBSIZE") == 3002
            assert wire.call("MGET", "key:0", "float", "key:1", "key:2", "key:3", "renamed") == [
                b"value:0", b"0.1", b"value:1more", b"valxyz2", None, b"value:3"]
            assert wire.call("PEXPIRETIME", "timed") == deadline
            wire.call("SELECT", "index")
            assert wire.call("RANGE", "-", "+", "WITHVALUES") == [b"a", b"1", b"c", b"3"]
            assert 0 < wire.call("PTTL", "a") <= 1000000
            wire.call("SELECT", 1)
            assert wire.call("GET", "atomic") == b"2" and wire.call("EXISTS", "one") == 0
            wire.call("SELECT", 2)
            assert wire.call("GET", "one") == b"1"
            assert persistence(wire)["loading"] == "0" and int(persistence(wire)["log_lsn"]) > 0


@pytest.mark.parametrize("sync", ["always", "everysec", "no"])
def test_killed_after_replies(folder, sync):
    """kill -9 loses nothing that the system has; always needs not even that, which the fault tests show."""
    server = Server("--dir", folder, "--sync", sync)
    with server.connect() as wire:
        fill(wire, 1000)
        if sync != "always":
            wait_for(lambda: persistence(wire)["log_written_lsn"] == persistence(wire)["log_lsn"])
        kill(server)
    with Server("--dir", folder) as again, again.connect() as wire:
        assert wire.call("DBSIZE") == 1000


def test_under_always_replies_come_with_durability(folder):
    with Server("--dir", folder, "--sync", "always") as server:
        wires = [server.connect() for _ in range(20)]
        for round_number in range(30):
            for number, wire in enumerate(wires):
                wire.send(encode("SET", f"{number}", round_number) + encode("GET", f"{number}"))
            for wire in wires:
                assert wire.reply() == "OK" and wire.reply() == b"%d" % round_number
                told = persistence(wires[0]) if wire is wires[0] else None
                assert told is None or int(told["log_durable_lsn"]) > 0
        # A reader next to writers, a closing client and a muted one are held no longer than they must.
        with server.connect() as leaving:
            leaving.send(encode("SET", "left", 1) + encode("QUIT"))
            assert leaving.reply() == "OK" and leaving.reply() == "OK" and leaving.ends()
        with server.connect() as muted:
            muted.send(encode("CLIENT", "REPLY", "OFF") + encode("SET", "muted", 1) + encode("CLIENT", "REPLY", "ON"))
            assert muted.reply() == "OK" and muted.call("GET", "muted") == b"1"
        wires[0].socket.shutdown(1)
        assert wires[0].ends()
        for wire in wires:
            wire.close()


def test_sync_changes_while_running(folder):
    with Server("--dir", folder) as server, server.connect() as wire:
        for sync in ("always", "no", "everysec", "always"):
            assert wire.call("CONFIG", "SET", "sync", sync) == "OK"
            assert wire.call("CONFIG", "GET", "sync") == [b"sync", sync.encode()]
            assert wire.call("SET", "a", sync) == "OK"
        told = persistence(wire)
        assert told["log_durable_lsn"] == told["log_lsn"]
        assert wire.call("CONFIG", "SET", "sync", "everysec") == "OK"
        assert wire.call("KEYSPACE", "CREATE", "safe", "SYNC", "always") == "OK"
        wire.call("SELECT", "safe")
        assert wire.call("SET", "a", 1) == "OK"
        told = persistence(wire)
        assert told["log_durable_lsn"] == told["log_lsn"]
        assert isinstance(wire.call("CONFIG", "SET", "sync", "sometimes"), Error)
        assert isinstance(wire.call("CONFIG", "SET", "dir", "/elsewhere"), Error)


def test_snapshots(folder):
    with Server("--dir", folder) as server, server.connect() as wire:
        fill(wire, 2000)
        before = wire.call("LASTSAVE")
        assert wire.call("BGSAVE") == "Background saving started"
        wait_for(lambda: persistence(wire)["rdb_saves"] == "1")
        fill(wire, 500, 2000)
        assert wire.call("SAVE") == "OK" and wire.call("LASTSAVE") >= before
        assert wire.call("BGREWRITEAOF") == "Background append only file rewriting started"
        wait_for(lambda: persistence(wire)["rdb_saves"] == "3")
        told = persistence(wire)
        assert told["rdb_bgsave_in_progress"] == "0" and told["rdb_last_bgsave_status"] == "ok"
        assert told["snapshot_last_entries"] == "2500"
        fill(wire, 100, 2500)
        wire.call("MULTI")
        wire.call("SET", "in", 1)
        assert wire.call("BGSAVE", "SCHEDULE") == "QUEUED"
        wire.call("SET", "in", 2)
        assert wire.call("EXEC") == ["OK", "Background saving started", "OK"]
        wait_for(lambda: persistence(wire)["rdb_saves"] == "4")
        assert "syntax" in str(wire.call("BGSAVE", "FOO"))
    assert len([name for name in os.listdir(folder) if name.startswith("snap-")]) >= 1
    with Server("--dir", folder) as server, server.connect() as wire:
        assert wire.call("DBSIZE") == 2601 and wire.call("GET", "in") == b"2"
        assert int(persistence(wire)["rdb_last_load_keys_loaded"]) == 2601


def test_a_snapshot_begins_by_itself(folder):
    with Server("--dir", folder, "--snapshot-log-bytes", "100kb") as server, server.connect() as wire:
        for _ in range(40):
            fill(wire, 500)
        wait_for(lambda: int(persistence(wire)["rdb_saves"]) > 0)
        assert wire.call("CONFIG", "SET", "snapshot-log-bytes", "0") == "OK"


def test_compression_changes_while_running(folder):
    with Server("--dir", folder) as server, server.connect() as wire:
        for i in range(200):
            wire.call("SET", f"key:{i}", "x" * 1000)
        sizes = {}
        for compressed in ("yes", "no", "yes"):
            assert wire.call("CONFIG", "SET", "snapshot-compression", compressed) == "OK"
            assert wire.call("SAVE") == "OK"
            sizes.setdefault(compressed, int(persistence(wire)["snapshot_last_bytes"]))
        assert sizes["no"] > 200_000 and sizes["yes"] <= sizes["no"]
        if sizes["yes"] == sizes["no"]:
            pytest.skip("built without zstd")
        assert sizes["yes"] < sizes["no"] // 4


def test_redis_names_in_info(folder):
    """With a log there are more than test_against_redis finds in a Redis that has none."""
    with Server("--dir", folder, "--sync", "always") as server, server.connect() as wire:
        fill(wire, 100)
        before = persistence(wire)
        assert wire.call("SAVE") == "OK"
        after = persistence(wire)
    for name in ("aof_base_size", "aof_pending_rewrite", "aof_buffer_length", "aof_pending_bio_fsync", "aof_delayed_fsync",
                 "aof_rewrites_consecutive_failures", "current_cow_size"):
        assert int(after[name]) >= 0, name
    assert before["rdb_changes_since_last_save"] == "100" and after["rdb_changes_since_last_save"] == "0"
    assert before["aof_rewrites"] == "0" and after["aof_rewrites"] == "1" == after["rdb_saves"]
    assert before["rdb_last_bgsave_time_sec"] == "-1" and int(after["rdb_last_bgsave_time_sec"]) >= 0
    assert before["rdb_last_cow_size"] == "0" and int(after["rdb_last_cow_size"]) > 0
    assert int(after["aof_current_size"]) >= int(after["aof_base_size"])


def test_backup_and_restoration(folder, tmp_path):
    copy = str(tmp_path / "copy")
    with Server("--dir", folder) as server, server.connect() as wire:
        fill(wire, 1000)
        assert wire.call("BACKUP", copy) == "Backup started"
        wait_for(lambda: persistence(wire)["backup_in_progress"] == "0")
        wire.call("SET", "later", 1)
        assert "database" in str(wire.call("BACKUP", copy))
        assert isinstance(wire.call("BACKUP", "/proc/nosuch/backup"), Error)
        with Server("--dir", copy) as restored, restored.connect() as other:
            assert other.call("DBSIZE") == 1000 and other.call("GET", "later") is None


def test_ends(folder):
    for words, code in ((("SHUTDOWN",), 0), (("SHUTDOWN", "NOSAVE"), 0), (("SHUTDOWN", "SAVE"), 0)):
        with Server("--dir", folder) as server, server.connect() as wire:
            wire.call("INCR", "starts")
            wire.send(encode(*words))
            assert wire.ends()
            assert server.process.wait(60) == code
    with Server("--dir", folder) as server, server.connect() as wire:
        assert wire.call("GET", "starts") == b"3"
        assert int(persistence(wire)["rdb_last_load_keys_loaded"]) == 1


def test_late_keys_stay_gone(folder):
    server = Server("--dir", folder, "--sync", "always")
    with server.connect() as wire:
        wire.call("SET", "late", 1, "PX", 20)
        wire.call("SET", "stays", 1)
        wait_for(lambda: wire.call("DBSIZE") == 1)
        kill(server)
    with Server("--dir", folder) as server, server.connect() as wire:
        assert wire.call("GET", "late") is None and wire.call("DBSIZE") == 1


def refusal(*options):
    done = subprocess.run([KVSERVER, "--port", "0", *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and done.stdout.count("ready") == 0
    assert done.stderr.startswith("kvserver: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_refusals_are_one_line(folder, tmp_path):
    with Server("--dir", folder) as server, server.connect() as wire:
        fill(wire, 10)
        assert "in use" in refusal("--dir", folder)
        assert str(server.process.pid) in refusal("--dir", folder)
    (tmp_path / "file").write_text("no directory", encoding="ascii")
    assert str(tmp_path / "file") in refusal("--dir", str(tmp_path / "file"))
    assert "/proc" in refusal("--dir", "/proc/nosuch")
    for name in os.listdir(folder):
        if name.startswith("meta-"):
            with open(os.path.join(folder, name), "r+b") as file:
                data = bytearray(file.read())
                data[40] ^= 1
                file.seek(0)
                file.write(data)
    assert "meta" in refusal("--dir", folder)


def test_damage_is_refused_with_the_ways_on(folder):
    with Server("--dir", folder, "--sync", "always") as server, server.connect() as wire:
        for i in range(50):
            wire.call("SET", f"key:{i}", "x" * 100)
    log = next(name for name in os.listdir(folder) if name.startswith("wal-"))
    with open(os.path.join(folder, log), "r+b") as file:
        file.seek(6000)
        byte = file.read(1)
        file.seek(6000)
        file.write(bytes([byte[0] ^ 1]))
    complaint = refusal("--dir", folder)
    assert log in complaint and "repair" in complaint


def test_memory_only_says_so():
    with Server() as server, server.connect() as wire:
        for words in (("SAVE",), ("BGSAVE",), ("BGREWRITEAOF",), ("BACKUP", "/tmp/x"), ("LOG", "RESUME"), ("SHUTDOWN", "SAVE")):
            assert "--dir" in str(wire.call(*words)), words
        assert wire.call("LASTSAVE") > 0
        assert wire.call("WAIT", 1, 0) == 0
        assert "negative" in str(wire.call("WAIT", 1, -1))


def test_a_full_disk_refuses_writes_and_loses_nothing(folder):
    """A limit on the size of files stands in for a full disk: it ends the log's way to new segments."""
    server = Server("--dir", folder, "--sync", "always", limit=6 << 20)
    with server.connect() as wire:
        value = "x" * 10000
        written = 0
        refused = None
        for i in range(2000):
            try:
                reply = wire.call("SET", f"key:{i}", value)
            except (EOFError, ConnectionError):
                break
            if isinstance(reply, Error):
                refused = str(reply)
                break
            written += 1
        assert written > 0
        with server.connect() as other:
            if refused is None:
                wait_for(lambda: isinstance(other.call("SET", "a", 1), Error))
                refused = str(other.call("SET", "a", 1))
            assert refused.startswith("MISCONF"), refused
            assert other.call("GET", "key:0") == value.encode()
            assert persistence(other)["aof_last_write_status"] == "err"
            assert persistence(other)["log_reason"] != ""
    server.stop()
    with Server("--dir", folder) as again, again.connect() as wire:
        assert wire.call("DBSIZE") >= written
        for i in range(written):
            assert wire.call("GET", f"key:{i}") == value.encode()


def test_writes_go_on_when_a_full_disk_has_room_again(folder):
    with Server("--dir", folder, "--sync", "always", limit=6 << 20) as server, server.connect() as wire:
        value = "x" * 10000
        written = 0
        while written < 2000 and wire.call("SET", f"key:{written}", value) == "OK":
            written += 1
        assert 0 < written < 2000
        refused = str(wire.call("SET", f"key:{written}", value))
        assert refused.startswith("MISCONF") and "the disk is full" in refused, refused
        assert wire.call("GET", f"key:{written}") is None
        server.lift_limit()
        assert "the disk is full" in str(wire.call("SET", f"key:{written}", value)), "not before the command"
        assert wire.call("LOG", "RESUME") == "OK"
        for i in range(written, written + 500):
            assert wire.call("SET", f"key:{i}", value) == "OK"
        assert persistence(wire)["aof_last_write_status"] == "ok"
    with Server("--dir", folder) as again, again.connect() as wire:
        assert wire.call("DBSIZE") == written + 500
