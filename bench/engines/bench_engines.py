# SPDX-License-Identifier: MIT
"""The engines beside their peers: runs kvbench for each group of rows and says which goals are met.

    make benchmark-engines ARGS="--runs=7 --markdown"

What kvbench is not asked for here it can be asked for itself: build-bench/kvbench --help.
"""
import argparse
import json
import os
import subprocess
import sys
import time

from rows import ONCE, ROWS, RUNS, Above, AtMost, Nameless, Of, OfBetter


class Results:
    """Figures by run, benchmark and store."""

    def __init__(self):
        self.reports = {}
        self.rows = {}

    def add(self, run, report):
        self.reports[run] = report
        for row in report["results"]:
            self.rows[run, row["benchmark"], row["store"]] = row

    def row(self, run, benchmark, store):
        return self.rows.get((run, benchmark, store))

    def peers(self, run):
        return [store["name"] for store in self.reports[run]["stores"] if not store["engine"]]


def known_stores(kvbench):
    done = subprocess.run([kvbench, "--help"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split(":", 1)[1].split()


def measure(kvbench, scale, runs, wanted, environment):
    there = known_stores(kvbench)
    results = Results()
    for name, entries, keys, stores, benchmarks in RUNS:
        stores = [store for store in stores if store in there]
        if not stores or not any(row[1] == name and row[2] in stores and row[2] in wanted for row in ROWS):
            continue
        entries = max(entries // scale, 16) if entries > 1000 else entries
        repeat = 1 if name in ONCE else runs
        print(f"{time.strftime('%H:%M:%S')} {name}: {', '.join(stores)}", file=sys.stderr)
        size, *kind = keys.split()
        done = subprocess.run([kvbench, f"--num={entries}", f"--key-size={size}", *(f"--{word}" for word in kind),
                               f"--runs={repeat}", "--json",
                               f"--engines={','.join(stores)}", f"--benchmarks={','.join(benchmarks)}"],
                              capture_output=True, text=True, check=False, env=environment)
        if done.returncode != 0:
            sys.exit(done.stderr)
        results.add(name, json.loads(done.stdout))
    return results


def per_entry(row):
    return row["bytes"]["total"] / row["entries"]


def ours(results, run, engine, benchmark, figure):
    """(min, median, max) of our figure, or None if it was not measured."""
    row = results.row(run, benchmark, engine)
    if row is None:
        return None
    if figure == "ns":
        return row["ns"]["min"], row["ns"]["median"], row["ns"]["max"]
    if figure == "longest":
        value = row["longest_ns"]["median"] / row["single_ns"]["median"]
    elif figure == "growth":
        value = per_entry(row) / per_entry(results.row(run, "fillrandom", engine))
    else:
        value = per_entry(row)
    return value, value, value


def payload(report):
    return sum(report["key_size"]) / 2 + sum(report["value_size"]) / 2


def judge(results, run, benchmark, figure, goal):
    """(ratio or None, peer, goal as text, met or None) of a row that was measured."""
    median = figure[1]
    if isinstance(goal, Nameless):
        return None, "", f"<= {goal.text}", None
    if isinstance(goal, Above):
        limit = payload(results.reports[run]) + goal.bytes_above
        return None, "", f"<= payload + {goal.bytes_above} = {limit:g} B", median <= limit
    if isinstance(goal, AtMost):
        return None, "", f"<= {goal.limit:g} {goal.unit}", median <= goal.limit
    candidates = results.peers(run) if isinstance(goal, OfBetter) else [goal.peer]
    figures = [(results.row(run, goal.benchmark or benchmark, name), name) for name in candidates]
    figures = [(row["ns"]["median"], name) for row, name in figures if row is not None]
    if not figures:
        return None, "", f"<= {goal.share:.2f}x {goal.peer}", None
    theirs, name = min(figures)
    text = f"<= {goal.share:.3g}x {name}" + (f" ({goal.text})" if goal.text else "")
    return median / theirs, name, text, median / theirs <= goal.share


def peers_text(results, run, benchmark, goal):
    other = goal.benchmark if isinstance(goal, Of) and goal.benchmark else benchmark
    found = [(name, results.row(run, other, name)) for name in results.peers(run)]
    return ", ".join(f"{name} {row['ns']['median']:.3g}" for name, row in found if row is not None)


def bytes_text(results, run, benchmark):
    found = [(name, results.row(run, benchmark, name)) for name in results.peers(run)]
    return ", ".join(f"{name} {per_entry(row):.1f}" for name, row in found if row is not None and "bytes" in row)


def table(results):
    """Lines of cells, and how many goals were met of how many that could be judged."""
    lines, met, judged = [], 0, 0
    for what, run, engine, benchmark, figure, goal in ROWS:
        if run not in results.reports:
            continue
        value = ours(results, run, engine, benchmark, figure)
        if value is None:
            continue
        ratio, peer, text, is_met = judge(results, run, benchmark, value, goal)
        unit = {"ns": "ns", "bytes": "B", "longest": "x", "growth": "x"}[figure]
        shown = (" / ".join(f"{part:.3g}" for part in value) if figure == "ns" else f"{value[1]:.4g}") + f" {unit}"
        peers = {"ns": peers_text(results, run, benchmark, goal),
                 "bytes": bytes_text(results, run, benchmark)}.get(figure, "")
        lines.append([what, peers, shown, f"{ratio:.3g}x {peer}" if ratio else "", text,
                      {None: "-", True: "met", False: "NOT"}[is_met]])
        judged += is_met is not None
        met += bool(is_met)
    return lines, met, judged


TITLES = ["work", "peers (median)", "ours: min / median / max", "of the peer", "goal", "met"]


def print_markdown(lines):
    for line in [TITLES, ["---"] * len(TITLES), *lines]:
        print("| " + " | ".join(line) + " |")


def print_text(lines):
    widths = [max(len(line[i]) for line in [TITLES, *lines]) for i in range(len(TITLES))]
    for line in [TITLES, *lines]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def print_head(results, options):
    report = next(iter(results.reports.values()))
    for key in ("machine", "cores", "compiler", "flags", "commit"):
        print(f"    {key}: {report[key]}")
    print(f"    date: {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}")
    print(f"    runs: {options.runs} of each, stores in turn; processor time of the thread")
    print(f"    load: {os.getloadavg()[0]:.1f} processors busy in the last minute, this one among them")
    if options.huge_peers:
        print("    peers: with huge pages from glibc")
    if options.scale > 1:
        print(f"    WARNING: a {options.scale}th of the entries: the figures mean nothing")
    if report["warning"]:
        print(f"    WARNING: {report['warning']}")
    print()


def main():
    parser = argparse.ArgumentParser(description="The engines beside their peers, and which goals are met.")
    parser.add_argument("--build", default="build-bench", help="where kvbench is (build-bench)")
    parser.add_argument("--runs", type=int, default=3, help="of each row (3)")
    parser.add_argument("--scale", type=int, default=1, help="divide the numbers of entries by this (1)")
    parser.add_argument("--engines", default="", help="only these, with commas (all)")
    parser.add_argument("--huge-peers", action="store_true", help="glibc gives the peers huge pages, as ours have")
    parser.add_argument("--markdown", action="store_true", help="a table for documents")
    parser.add_argument("--json", action="store_true", help="what kvbench said, by group of rows")
    options = parser.parse_args()
    wanted = options.engines.split(",") if options.engines else [row[2] for row in ROWS]
    environment = dict(os.environ)
    if options.huge_peers:
        environment["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    results = measure(os.path.join(options.build, "kvbench"), max(options.scale, 1), max(options.runs, 1), wanted,
                      environment)
    if not results.reports:
        sys.exit("none of these engines is in this build")
    if options.json:
        json.dump(results.reports, sys.stdout, indent=1)
        return
    lines, met, judged = table(results)
    print_head(results, options)
    (print_markdown if options.markdown else print_text)(lines)
    print(f"\n{met} of {judged} goals met")


if __name__ == "__main__":
    main()
