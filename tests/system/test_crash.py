# SPDX-License-Identifier: MIT
"""kill -9 again and again: what a client was told to be safe is there after every start, and nothing else is.

An oracle counts what the server has acknowledged. Each client owns some keys and writes numbers that only rise, some
of them in transactions of two keys; after a start its keys must show the last acknowledged number, or a later one that
was under way when the server died, and the two keys of a transaction must agree.

KV_CRASH_ROUNDS sets the number of rounds (30).
"""
import os
import random
import shutil
import threading

import redis

from kvserver import Server

ROUNDS = int(os.environ.get("KV_CRASH_ROUNDS", "30"))
CLIENTS = 4
KEYS = 40
KILL_AFTER = 0.25  # seconds, at most


class Writer(threading.Thread):
    """Writes rising numbers to its keys until the server is gone."""

    def __init__(self, number, port, oracle, seed):
        super().__init__()
        self.number = number
        self.oracle = oracle  # key -> (acknowledged, sent)
        self.random = random.Random(seed)
        self.acknowledged = 0
        self.client = redis.Redis(port=port, socket_timeout=60)

    def key(self, place):
        return f"client {self.number} key {place}"

    def send(self, places, number):
        """All of these keys in one pipeline; a pair is a transaction. Acknowledged together."""
        with self.client.pipeline(transaction=len(places) == 2) as pipeline:
            for place in places:
                self.oracle[self.key(place)][1] = number
                if self.random.random() < 0.1:
                    pipeline.set(self.key(place), number, ex=100000)
                else:
                    pipeline.set(self.key(place), number)
            pipeline.execute()
        for place in places:
            self.oracle[self.key(place)][0] = number
        self.acknowledged += len(places)

    def run(self):
        number = max(sent for _, sent in self.oracle.values()) + 1
        try:
            while True:
                if self.random.random() < 0.3:
                    pair = self.random.randrange(KEYS // 2)
                    self.send([2 * pair, 2 * pair + 1], number)
                else:
                    self.send([2 * self.random.randrange(KEYS // 2) for _ in range(8)], number)
                number += 1
        except (redis.ConnectionError, redis.TimeoutError, OSError):
            pass
        finally:
            self.client.close()


def check(port, oracles):
    client = redis.Redis(port=port, socket_timeout=60)
    for oracle in oracles:
        values = client.mget(list(oracle))
        for (key, (acknowledged, sent)), value in zip(oracle.items(), values):
            found = int(value) if value is not None else 0
            assert acknowledged <= found <= sent, f"{key}: {found}, not {acknowledged} to {sent}"
            oracle[key] = [found, sent]
    total = client.dbsize()
    assert total == sum(1 for oracle in oracles for found, _ in oracle.values() if found > 0)
    client.close()


def check_pairs(oracles, before):
    """The second key of a pair is written in transactions only: the first is never behind it."""
    for number, oracle in enumerate(oracles):
        for pair in range(KEYS // 2):
            first = oracle[f"client {number} key {2 * pair}"][0]
            second = oracle[f"client {number} key {2 * pair + 1}"][0]
            assert first >= second, f"half a transaction: {first} and {second}, before {before}"


def begin_snapshot(port):
    with redis.Redis(port=port, socket_timeout=60) as client:
        try:
            client.bgsave()
        except redis.ResponseError as error:  # one has begun by itself
            assert "in progress" in str(error)


def test_kill(tmp_path):
    seed = int(os.environ.get("KV_TEST_SEED", random.randrange(1 << 32)))
    print(f"# KV_TEST_SEED={seed}")
    source = random.Random(seed)
    folder = tmp_path / "data"
    oracles = [{f"client {n} key {k}": [0, 0] for k in range(KEYS)} for n in range(CLIENTS)]
    acknowledged = 0
    options = ["--dir", str(folder), "--sync", "always"]
    for current in range(ROUNDS):
        server = Server(*options)
        try:
            check(server.port, oracles)
            check_pairs(oracles, current)
            writers = [Writer(n, server.port, oracles[n], source.random()) for n in range(CLIENTS)]
            for writer in writers:
                writer.start()
            if source.random() < 0.5:
                begin_snapshot(server.port)
            # Not a wait for something to happen: the moment of death is what varies.
            threading.Event().wait(source.random() * KILL_AFTER)
            server.process.kill()
            for writer in writers:
                writer.join(90)
                acknowledged += writer.acknowledged
        finally:
            server.process.kill()
            server.process.communicate()
    server = Server(*options)
    try:
        check(server.port, oracles)
    finally:
        assert server.stop() == 0
    print(f"# {ROUNDS} rounds, {acknowledged} acknowledged")
    assert acknowledged > ROUNDS * CLIENTS
    shutil.rmtree(folder)
