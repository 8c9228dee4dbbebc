# SPDX-License-Identifier: MIT
"""A server for the tests of a file, and redis-py's client of it, which finds it empty."""
import pytest
import redis

from kvserver import Server


@pytest.fixture(name="server", scope="module")
def fixture_server():
    with Server() as server:
        yield server


@pytest.fixture(name="client")
def fixture_client(server):
    with redis.Redis(port=server.port) as client:
        client.flushall()
        yield client
