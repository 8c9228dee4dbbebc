# SPDX-License-Identifier: MIT
"""The rows of the server and their goals, as data, and how samples become results.

A goal is ("of", share): ours is at most share of Redis's median; or ("at most", value). No peer's
figure is written here: peers are measured in the same run.
"""
import statistics

OURS = "kvserver"
REFERENCE = "redis"

#   name            what it is                                                   unit   goal
ROWS = [
    ("get-1", "GET, pipeline 1: server CPU a request", "ns", ("of", 0.72)),
    ("set-1", "SET, pipeline 1", "ns", ("of", 0.70)),
    ("get-16", "GET, pipeline 16", "ns", ("of", 0.33)),
    ("set-16", "SET, pipeline 16", "ns", ("of", 0.31)),
    ("get-64", "GET, pipeline 64", "ns", ("of", 0.23)),
    ("set-64", "SET, pipeline 64", "ns", ("of", 0.21)),
    ("get-16-many", "GET, pipeline 16, {many} keys", "ns", ("of", 0.34)),
    ("get-64-many", "GET, pipeline 64, {many} keys", "ns", ("of", 0.24)),
    ("bytes-32", "bytes a key, 16+32, {keys} keys", "B", ("at most", 66)),
    ("bytes-32-many", "bytes a key, 16+32, {many} keys", "B", ("at most", 66)),
    ("bytes-64", "bytes a key, 16+64, {keys} keys", "B", ("at most", 98)),
    ("kept", "resident memory kept 5 s after deleting a random 90 %", "%", ("at most", 25)),
    ("flush-ms", "FLUSHALL of {many} keys: reply", "ms", ("at most", 10)),
    ("flush-kept", "resident above empty 1 s after it", "MB", ("at most", 20)),
    ("stall-p999", "loading {many} keys: p99.9 of a batch", "ms", ("at most", 2)),
    ("stall-max", "loading {many} keys: longest batch", "ms", None),
    ("load-ns", "loading {many} keys, pipeline 64: server CPU a key", "ns", ("at most", 420)),
]


class Samples:
    """Values by row and server."""

    def __init__(self):
        self.values = {}

    def add(self, row, server, value):
        self.values.setdefault(row, {}).setdefault(server.name, []).append(value)

    def summary(self, row, name):
        values = self.values.get(row, {}).get(name)
        if not values:
            return None
        return {
            "runs": len(values), "min": min(values), "median": statistics.median(values), "max": max(values),
        }


def is_met(goal, ours, reference):
    if goal is None:
        return None
    kind, value = goal
    if ours is None or (kind == "of" and reference is None):
        return False
    limit = value * reference["median"] if kind == "of" else value
    return ours["median"] <= limit


def judge_row(samples, options, row):
    name, text, unit, goal = row
    ours = samples.summary(name, OURS)
    reference = samples.summary(name, REFERENCE)
    ratio = ours["median"] / reference["median"] if ours and reference and reference["median"] > 0 else None
    return {
        "id": name,
        "work": text.format(keys=f"{options.keys:,}", many=f"{options.many_keys:,}"),
        "unit": unit,
        "ours": ours,
        "peers": {
            peer: samples.summary(name, peer)
            for peer in options.servers
            if peer != OURS and samples.summary(name, peer) is not None
        },
        "of_redis": ratio,
        "goal": "" if goal is None else f"<= {goal[1]} {'of Redis' if goal[0] == 'of' else unit}",
        "met": is_met(goal, ours, reference),
    }


def judge(samples, options):
    results = [judge_row(samples, options, row) for row in ROWS if row[0] in samples.values]
    judged = [result for result in results if result["met"] is not None]
    return {"rows": results, "goals": len(judged), "met": sum(result["met"] for result in judged)}
