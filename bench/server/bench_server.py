#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""bench_server: kvserver beside redis-server and memcached, and which of the project's goals it meets.

Every server runs on a loopback port of its own, pinned to one processor; the load generator has another.
Servers take turns for every single figure, so that a disturbance hits all of them, and the whole is
repeated; the phases that write to the disk take long and run once. Processor time is the server's own,
from the kernel; memory is resident bytes above those of the empty server.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

import durability
import expiry
import peers
import report
import rows

HERE = os.path.dirname(os.path.abspath(__file__))
SETTLE_SECONDS = 5  # after a mass delete, before memory is read
FLUSH_SECONDS = 1  # after FLUSHALL, the same


class Load:
    """Runs kvload, pinned, and gives its figures as a dictionary."""

    def __init__(self, program, processor, seconds):
        self.program = program
        self.processor = processor
        self.seconds = seconds
        self.columns = self.output("--header").split("\t")

    def output(self, *arguments):
        command = [*peers.pinned(self.processor), self.program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"bench_server: {' '.join(command)}\n{done.stderr.strip()}")
        return done.stdout.strip("\n")

    def run(self, server, mode, keys, *arguments):
        line = self.output(
            "--port", server.port, "--proto", server.protocol, "--pid", server.pid, "--mode", mode,
            "--keys", keys, "--seconds", self.seconds, *arguments,
        )
        values = dict(zip(self.columns, line.split("\t")))
        return {name: number(value) for name, value in values.items()}


def number(text):
    try:
        return float(text)
    except ValueError:
        return text


def start_all(names, options):
    """One server of each kind; those that are not installed are left out."""
    started = []
    for name in names:
        server = peers.start(name, options.kvserver, options.server_processor)
        if server is not None:
            started.append(server)
    return started


def stop_all(servers):
    for server in servers:
        server.stop()


def measure_requests(samples, options, load):
    """GET and SET at three depths, all servers alive, then what a random delete leaves."""
    servers = start_all(options.servers, options)
    for server in servers:
        empty = server.resident_bytes()
        load.run(server, "load", options.keys, "--pipeline", 64, "--value-bytes", 64)
        samples.add("bytes-64", server, (server.resident_bytes() - empty) / options.keys)
        server.empty_bytes = empty
    for pipeline in (1, 16, 64):
        for mode in ("get", "set"):
            for server in servers:
                extra = ["--nomiss"] if mode == "get" else []
                figures = load.run(server, mode, options.keys, "--pipeline", pipeline, *extra)
                samples.add(f"{mode}-{pipeline}", server, figures["srv_ns"])
    measure_deletes(samples, options, load, servers)
    stop_all(servers)


def measure_deletes(samples, options, load, servers):
    full = {server.name: server.resident_bytes() - server.empty_bytes for server in servers}
    for server in servers:
        load.run(server, "del", options.keys, "--pipeline", 16)
    time.sleep(0 if options.quick else SETTLE_SECONDS)
    for server in servers:
        kept = server.resident_bytes() - server.empty_bytes
        samples.add("kept", server, 100.0 * kept / full[server.name])


def measure_small_values(samples, options, load):
    """Bytes a key with 32-byte values, for few and many keys; one server at a time."""
    for row, keys in (("bytes-32", options.keys), ("bytes-32-many", options.many_keys)):
        for name in options.servers:
            for server in start_all([name], options):
                empty = server.resident_bytes()
                load.run(server, "load", keys, "--pipeline", 64, "--value-bytes", 32)
                samples.add(row, server, (server.resident_bytes() - empty) / keys)
                server.stop()


def measure_many_keys(samples, options, load):
    """Loading many keys, reading them, and FLUSHALL; one server at a time, for their memory."""
    keys = options.many_keys
    for name in options.servers:
        for server in start_all([name], options):
            empty = server.resident_bytes()
            figures = load.run(server, "load", keys, "--pipeline", 64)
            samples.add("load-ns", server, figures["srv_ns"])
            samples.add("stall-p999", server, figures["p999us"] / 1000.0)
            samples.add("stall-max", server, figures["maxus"] / 1000.0)
            for pipeline in (16, 64):
                read = load.run(server, "get", keys, "--pipeline", pipeline, "--nomiss")
                samples.add(f"get-{pipeline}-many", server, read["srv_ns"])
            samples.add("flush-ms", server, 1000.0 * server.flush_seconds())
            time.sleep(0 if options.quick else FLUSH_SECONDS)
            samples.add("flush-kept", server, (server.resident_bytes() - empty) / 1048576.0)
            server.stop()


PHASES = {
    "requests": measure_requests,
    "small": measure_small_values,
    "many": measure_many_keys,
    "expire": expiry.measure_expiry,
    **durability.PHASES,
}


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="bench_server", description="Measures kvserver beside redis-server and memcached.",
        allow_abbrev=False,
    )
    parser.add_argument("--build", default="build", metavar="DIR", help="where kvserver and kvload were built")
    parser.add_argument("--servers", default="kvserver,redis,memcached", metavar="LIST", help="who takes part")
    parser.add_argument("--phases", default=",".join(PHASES), metavar="LIST", help="which of %(default)s")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="repetitions; default 3")
    parser.add_argument("--disk-runs", type=int, default=1, metavar="N", help="of the phases on the disk; default 1")
    parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="of each figure; default 2")
    parser.add_argument("--keys", type=int, default=1_000_000, metavar="N", help="default 1000000")
    parser.add_argument("--many-keys", type=int, default=5_000_000, metavar="N", help="default 5000000")
    parser.add_argument("--quick", action="store_true", help="small and short: shows that it works")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--verbose", action="store_true", help="say on standard error how far it is")
    parser.add_argument("--version", action="version", version="bench_server 0.1.0")
    options = parser.parse_args()
    if options.quick:
        options.keys, options.many_keys, options.seconds, options.runs = 20_000, 40_000, 0.2, 1
    options.servers = options.servers.split(",")
    options.phases = options.phases.split(",")
    for name in options.servers:
        if name not in peers.COMMANDS:
            parser.error(f"no server is called {name}")
    for name in options.phases:
        if name not in PHASES:
            parser.error(f"no phase is called {name}")
    return options


def complete_options(options):
    """Finds the programs and two processors."""
    build = os.path.abspath(options.build)  # the servers run in folders of their own
    options.kvserver = os.path.join(build, "kvserver")
    options.kvload = os.path.join(build, "bench", "kvload")
    needed = [options.kvload] + [options.kvserver] * ("kvserver" in options.servers)
    for program in needed:
        if not os.access(program, os.X_OK):
            sys.exit(f"bench_server: no {program}: build it with `make`, or name the folder with --build")
    options.load_before = os.getloadavg()[0]
    processors = sorted(os.sched_getaffinity(0))
    options.pinned = len(processors) > 1
    options.server_processor = processors[0] if options.pinned else None
    options.load_processor = processors[1] if options.pinned else None


def main():
    options = parse_arguments()
    complete_options(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    load = Load(options.kvload, options.load_processor, options.seconds)
    samples = rows.Samples()
    try:
        for run in range(options.runs):
            for name in options.phases:
                if name in durability.PHASES and run >= options.disk_runs:
                    continue
                PHASES[name](samples, options, load)
                if options.verbose:
                    print(f"{name}: run {run + 1} of {options.runs}", file=sys.stderr)
    finally:
        peers.stop_everything()
    results = rows.judge(samples, options)
    if options.json:
        print(json.dumps({**report.facts(options), **results}, indent=2))
    else:
        report.print_tables(options, results, markdown=options.markdown)


if __name__ == "__main__":
    main()
