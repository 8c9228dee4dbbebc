# SPDX-License-Identifier: MIT
"""Runs pytest on the given files and prints TAP, so that the test runner counts every case.

What pytest itself says goes to standard error.
"""
import os
import sys

import pytest


class Tap:
    def __init__(self):
        self.count = 0
        self.out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def line(self, verdict, nodeid, note=""):
        self.count += 1
        name = nodeid.split("::", 1)[-1].replace("#", "\\#")
        print(f"{verdict} {self.count} - {name}{note}", file=self.out, flush=True)

    def pytest_runtest_logreport(self, report):
        if report.skipped:
            self.line("ok", report.nodeid, " # SKIP")
        elif report.failed:
            self.line("not ok", f"{report.nodeid} ({report.when})")
        elif report.when == "call":
            self.line("ok", report.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.line("not ok", f"{report.nodeid} (collection)")

    def pytest_sessionfinish(self):
        print(f"1..{self.count}", file=self.out, flush=True)


if __name__ == "__main__":
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[1:]], plugins=[Tap()]))
