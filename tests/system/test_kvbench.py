# SPDX-License-Identifier: MIT
"""kvbench: what it prints, and that it refuses what it does not know. Not how fast anything is."""
import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

EVERYWHERE = ["fillrandom", "readrandom", "readmissing", "readzipf", "readgroup", "iterate", "scan", "overwrite",
              "overwritegroup", "mixed", "deletehalf", "delete", "fillgroup", "deletegroup", "fillseq", "putlatency"]
ORDERED = ["seek", "scan100"]
ENGINES = ["convert"]


def kvbench(*options):
    return subprocess.run([os.environ["KVBENCH"], *options], capture_output=True, text=True, check=False, timeout=120)


def test_every_benchmark_has_a_result_for_every_store():
    done = kvbench("--num=500", "--runs=2", "--json", "--key-size=20-40", "--value-size=256")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["num"], report["runs"]) == (500, 2)
    assert (report["key_size"], report["value_size"]) == ([20, 40], [256, 256])
    stores = {row["name"]: row for row in report["stores"]}
    assert list(stores)[0] == "hash" and stores["hash"]["engine"] and not stores["hash"]["ordered"]
    expected = set()
    for name, store in stores.items():
        benchmarks = EVERYWHERE + ORDERED * store["ordered"] + ENGINES * store["engine"]
        expected |= {(benchmark, name) for benchmark in benchmarks}
    rows = {(row["benchmark"], row["store"]): row["ns"] for row in report["results"]}
    assert set(rows) == expected
    assert all(0 < ns["min"] <= ns["median"] <= ns["max"] for ns in rows.values())


def test_the_bytes_of_an_engine_sum_up():
    report = json.loads(kvbench("--num=1000", "--runs=1", "--json", "--engines=hash,bptree",
                                "--benchmarks=fillrandom,deletehalf,delete").stdout)
    rows = {(row["benchmark"], row["store"]): row for row in report["results"]}
    for name in ("hash", "bptree"):
        for benchmark, entries in (("fillrandom", 1000), ("deletehalf", 500)):
            row = rows[benchmark, name]
            parts = row["bytes"]
            assert row["entries"] == entries and parts["value"] == 32 * entries
            assert parts["key"] == 16 * entries or name == "bptree"
            assert parts["key"] + parts["value"] + parts["index"] + parts["slack"] == parts["total"]
        assert "bytes" not in rows["delete", name]


def test_decimal_keys_share_prefixes():
    report = json.loads(kvbench("--num=3000", "--runs=1", "--json", "--decimal", "--engines=bptree",
                                "--benchmarks=fillrandom,readrandom,readmissing,readgroup,iterate,delete").stdout)
    rows = {row["benchmark"]: row for row in report["results"]}
    assert report["decimal"] and len(rows) == 6
    assert rows["fillrandom"]["bytes"]["key"] < 3000 * 16 / 2
    done = kvbench("--decimal", "--key-size=8", "--num=60000000")
    assert done.returncode == 1 and "digits" in done.stderr


def test_readers_share_an_engine():
    report = json.loads(kvbench("--num=2000", "--runs=1", "--json", "--threads=3", "--engines=hash,bptree",
                                "--benchmarks=readrandom,readgroup,readzipf,seek,overwrite").stdout)
    assert report["threads"] == 3
    assert len(report["results"]) == 9


def test_an_engine_for_few_entries_is_left_out():
    done = kvbench("--num=30000", "--runs=1", "--benchmarks=fillrandom", "--json")
    names = {row["name"] for row in json.loads(done.stdout)["stores"]}
    assert "hash" in names and not names & {"array", "vector", "flatmap"}


def test_the_table_names_machine_build_and_commit():
    done = kvbench("--num=100", "--runs=1", "--engines=hash", "--benchmarks=readrandom,putlatency")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[:4]] == ["machine", "compiler", "commit", "work"]
    for word in ("readrandom", "longest put", "bytes an entry"):
        assert word in done.stdout


def test_help_and_version():
    assert "--benchmarks" in kvbench("--help").stdout
    assert kvbench("--version").stdout.startswith("kvbench ")


@pytest.mark.parametrize("option", ["--num=0", "--num=x", "--num=5x", "--runs=0", "--threads=0", "--key-size=4", "--key-size=20-10",
                                    "--value-size=-1", "--engines=nothing", "--benchmarks=,", "--nothing", "word"])
def test_what_makes_no_sense_is_refused_in_one_line(option):
    done = kvbench(option)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "kvbench" in done.stderr


def plot(*arguments):
    script = os.path.join(os.environ["KV_SOURCE"], "tools", "plot_bench.py")
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_a_plot_has_a_panel_for_each_benchmark(tmp_path):
    files = []
    for num in ("100", "1000", "3000"):
        path = tmp_path / f"{num}.json"
        path.write_text(kvbench("--json", "--runs=2", f"--num={num}", "--engines=hash,bptree",
                                "--benchmarks=fillrandom,readrandom,seek").stdout)
        files.append(str(path))
    output = tmp_path / "engines.svg"
    done = plot("--output", str(output), *files)
    assert done.returncode == 0, done.stderr
    root = ElementTree.parse(output).getroot()
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    for title in ("fillrandom, ns an operation", "readrandom, ns an operation", "seek, ns an operation",
                  "bytes an entry", "hash", "bptree"):
        assert title in texts
    lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
    assert len(lines) == 7  # two stores in three panels, the ordered one in the fourth
    assert all(len(line.get("points").split()) == len(files) for line in lines)
    width, height = float(root.get("width")), float(root.get("height"))
    for point in (point for line in lines for point in line.get("points").split()):
        x, y = map(float, point.split(","))
        assert 0 <= x <= width and 0 <= y <= height


def test_a_plot_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.json"
    path.write_text("{}")
    done = plot("--output", str(tmp_path / "x.svg"), str(path))
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "x.svg").exists()
