# SPDX-License-Identifier: MIT
"""The rows of the server and their goals, as data, and how samples become results.

A goal is ("of", share): ours is at most share of Redis's median; ("times", factor): at least so many times
Redis's; ("at most", value) or ("at least", value). No peer's figure is written here: peers are measured in
the same run.
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
    ("expire-max", "{keys} keys due at once: longest reply to others meanwhile", "ms", ("at most", 5)),
    ("expire-p999", "the same: p99.9 of replies", "ms", None),
    ("expire-quiet", "longest reply before, with nothing to do", "ms", None),
    ("always-1", "SET, sync always, pipeline 1: thousand a second", "k/s", ("times", 2.2)),
    ("always-16", "SET, sync always, pipeline 16", "k/s", ("times", 3.1)),
    ("always-64", "SET, sync always, pipeline 64", "k/s", ("times", 4.0)),
    ("everysec-1", "SET, sync everysec, pipeline 1", "k/s", ("times", 1.3)),
    ("everysec-16", "SET, sync everysec, pipeline 16", "k/s", ("times", 3.8)),
    ("everysec-64", "SET, sync everysec, pipeline 64", "k/s", ("times", 5.0)),
    ("log-bytes", "log bytes a SET, 16+64", "B", ("at most", 94)),
    ("reload-log", "reload of {many} keys from the log", "s", ("of", 0.2)),
    ("reload-snapshot", "reload of {many} keys from a snapshot", "s", ("of", 0.2)),
    ("snapshot-memory", "snapshot under SET, pipeline 16: extra memory", "%", ("at most", 5)),
    ("snapshot-rate", "snapshot under SET, pipeline 16: throughput kept", "%", ("at least", 75)),
    ("snapshot-p999", "snapshot under SET, pipeline 16: p99.9 against before", "x", ("at most", 3)),
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
    relative = kind in ("of", "times")
    if ours is None or (relative and reference is None):
        return False
    limit = value * reference["median"] if relative else value
    return ours["median"] >= limit if kind in ("times", "at least") else ours["median"] <= limit


def goal_text(goal, unit):
    if goal is None:
        return ""
    kind, value = goal
    sign = ">=" if kind in ("times", "at least") else "<="
    return f"{sign} {value} {'of Redis' if kind == 'of' else 'times Redis' if kind == 'times' else unit}"


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
        "goal": goal_text(goal, unit),
        "met": is_met(goal, ours, reference),
    }


def judge(samples, options):
    results = [judge_row(samples, options, row) for row in ROWS if row[0] in samples.values]
    judged = [result for result in results if result["met"] is not None]
    return {"rows": results, "goals": len(judged), "met": sum(result["met"] for result in judged)}
