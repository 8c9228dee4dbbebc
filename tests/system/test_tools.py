# SPDX-License-Identifier: MIT
"""What the make commands call: installing packages, counting verdicts. The system's tools are played by small scripts."""
import json
import os
import socket
import subprocess

import pytest

SOURCE = os.environ["KV_SOURCE"]
SETUP = os.path.join(SOURCE, "tools", "setup")
COUNT = os.path.join(SOURCE, "tools", "count_tests.py")

ACTORS = {
    "dpkg-query": 'shift 3; for p; do case " $ABSENT " in *" $p "*) ;; *) echo "ii  $p" ;; esac; done',
    "apt-get": 'echo "$@" >> "$CALLS"',
    "id": 'echo "$WHO"',
    "sudo": 'echo sudo >> "$CALLS"; exec "$@"',
    "systemctl": 'echo "systemctl $*" >> "$CALLS"',
    "tee": "cat > /dev/null",
    "chmod": ":",
    "rm": ":",
}


@pytest.fixture
def stage(tmp_path):
    """A folder that stands first in PATH, and a function that runs tools/setup there."""
    for name, text in ACTORS.items():
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        script.chmod(0o755)
    calls = tmp_path / "calls"
    calls.touch()

    def setup(step, absent="", who="0"):
        environment = dict(
            os.environ, PATH=f"{tmp_path}:{os.environ['PATH']}", ABSENT=absent, WHO=who, CALLS=str(calls)
        )
        done = subprocess.run([SETUP, step], env=environment, capture_output=True, text=True, check=False)
        return done, calls.read_text(encoding="utf-8")

    return setup


def test_setup_does_nothing_when_all_is_there(stage):
    done, calls = stage("benchmark")
    assert (done.returncode, done.stdout, calls) == (0, "", "")


def test_setup_installs_what_is_missing(stage):
    done, calls = stage("build", absent="meson libuv1-dev")
    assert done.returncode == 0, done.stderr
    assert calls.split("\n")[0].startswith("update")
    assert calls.rstrip().endswith("--no-install-recommends meson libuv1-dev")


def test_setup_takes_only_the_steps_up_to_its_own(stage):
    assert stage("build", absent="valgrind memcached")[1] == ""
    assert stage("test", absent="valgrind memcached")[1].rstrip().endswith("recommends valgrind")


def test_setup_does_not_enable_servers(stage):
    assert "systemctl disable --quiet memcached\n" in stage("benchmark", absent="memcached")[1]


def test_setup_asks_sudo_for_others_than_root(stage):
    done, calls = stage("build", absent="meson", who="1000")
    assert done.returncode == 0, done.stderr
    assert "sudo\nupdate" in calls


def test_setup_refuses_an_unknown_step(stage):
    done, calls = stage("everything")
    assert (done.returncode, calls) == (1, "")
    assert "usage" in done.stderr


def test_run_takes_the_next_free_port():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = holder.getsockname()[1]
        environment = dict(os.environ, PORT=str(taken), BUILD=os.environ["KV_BUILD"])
        command = [os.path.join(SOURCE, "tools", "run")]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
            said = ""
            while " ready on " not in said.split("\n")[-1]:
                line = server.stdout.readline()
                assert line, said
                said = f"{said}\n{line.rstrip()}"
            port = int(said.rsplit("ready on 127.0.0.1:", 1)[1].split(",")[0])
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"PING\r\n")
                assert client.recv(100) == b"+PONG\r\n"
            server.terminate()
            assert server.wait(timeout=60) == 0
    assert port > taken
    assert f"Port {taken} is taken: using {port}." in said
    assert f"redis-cli -p {port} set greeting hello" in said


def count(tmp_path, tests, suites=""):
    (tmp_path / "log.json").write_text("".join(json.dumps(t) + "\n" for t in tests), encoding="utf-8")
    if suites:
        (tmp_path / "log.junit.xml").write_text(f"<testsuites>{suites}</testsuites>", encoding="utf-8")
    command = ["/usr/bin/python3", COUNT, str(tmp_path / "log")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip().split("\n")


def outcome(result, name="concordkv:unit / a", status=0):
    return {"name": name, "result": result, "returncode": status, "stdout": "", "stderr": ""}


def test_a_program_without_cases_counts_once(tmp_path):
    assert count(tmp_path, [outcome("OK"), outcome("FAIL"), outcome("TIMEOUT")])[-1] == "1 2"


def test_cases_count_one_by_one(tmp_path):
    suite = '<testsuite name="concordkv.concordkv:unit / a"><testcase name="1"/><testcase name="2">'
    suite += '<failure/></testcase><testcase name="3"><skipped/></testcase></testsuite>'
    said = count(tmp_path, [outcome("FAIL", status=1)], suite)
    assert said[-1] == "1 1"
    assert "  not ok 2" in said
    assert "skipped concordkv:unit / a: 3" in said


def test_a_program_that_dies_after_its_cases_fails(tmp_path):
    suite = '<testsuite name="concordkv.concordkv:unit / a"><testcase name="1"/></testsuite>'
    assert count(tmp_path, [outcome("ERROR", status=-11)], suite)[-1] == "1 1"


def test_no_log_is_no_success(tmp_path):
    command = ["/usr/bin/python3", COUNT, str(tmp_path / "none")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0 0\n"
