# SPDX-License-Identifier: MIT
"""kvbench: what it prints, and that it refuses what it does not know. Not how fast anything is."""
import json
import os
import subprocess

import pytest

BENCHMARKS = ["fillrandom", "readrandom", "readmissing", "readgroup", "overwrite", "overwritegroup", "iterate", "scan",
              "delete", "fillgroup", "deletegroup", "putlatency"]


def kvbench(*options):
    return subprocess.run([os.environ["KVBENCH"], *options], capture_output=True, text=True, check=False, timeout=60)


def test_every_benchmark_has_a_result_for_every_store():
    done = kvbench("--num=500", "--runs=2", "--json", "--key-size=20-40", "--value-size=256")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["num"], report["runs"]) == (500, 2)
    assert (report["key_size"], report["value_size"]) == ([20, 40], [256, 256])
    stores = [row["store"] for row in report["bytes"]]
    assert stores[0] == "hash"
    rows = {(row["benchmark"], row["store"]): row["ns"] for row in report["results"]}
    assert set(rows) == {(benchmark, store) for benchmark in BENCHMARKS for store in stores}
    assert all(0 < ns["min"] <= ns["median"] <= ns["max"] for ns in rows.values())


def test_the_bytes_of_an_engine_sum_up():
    report = json.loads(kvbench("--num=1000", "--runs=1", "--json", "--engines=hash", "--benchmarks=fillrandom").stdout)
    row = report["bytes"][0]
    assert (row["key"], row["value"]) == (16 * 1000, 32 * 1000)
    assert row["key"] + row["value"] + row["index"] + row["slack"] == row["total"]


def test_the_table_names_machine_build_and_commit():
    done = kvbench("--num=100", "--runs=1", "--engines=hash", "--benchmarks=readrandom,putlatency")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[:4]] == ["machine", "compiler", "commit", "work"]
    for word in ("readrandom", "longest put", "bytes an entry"):
        assert word in done.stdout


def test_help_and_version():
    assert "--benchmarks" in kvbench("--help").stdout
    assert kvbench("--version").stdout.startswith("kvbench ")


@pytest.mark.parametrize("option", ["--num=0", "--num=x", "--num=5x", "--runs=0", "--key-size=4", "--key-size=20-10",
                                    "--value-size=-1", "--engines=nothing", "--benchmarks=,", "--nothing", "word"])
def test_what_makes_no_sense_is_refused_in_one_line(option):
    done = kvbench(option)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "kvbench" in done.stderr
