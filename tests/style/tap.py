# SPDX-License-Identifier: MIT
"""Prints verdicts in the Test Anything Protocol, and lists the files of the repository."""
import os
import subprocess
import sys

SOURCE = os.environ.get("KV_SOURCE", os.getcwd())
BUILD = os.environ.get("KV_BUILD", os.path.join(SOURCE, "build"))


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def report(self, name, findings):
        """One verdict: passed if there are no findings."""
        self.count += 1
        self.failed += bool(findings)
        print(f"{'not ok' if findings else 'ok'} {self.count} - {name}", flush=True)
        for finding in findings:
            for line in str(finding).rstrip().split("\n"):
                print(f"# {line}", file=sys.stderr)

    def skip(self, name, reason):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {reason}")

    def end(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.failed else 0)


def tracked_files():
    """The files of the repository, or, in an unpacked archive, all that are not built."""
    listed = subprocess.run(
        ["git", "-C", SOURCE, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
        return sorted(n for n in names if n and os.path.isfile(os.path.join(SOURCE, n)))
    found = []
    for folder, folders, names in os.walk(SOURCE):
        folders[:] = [f for f in folders if not f.startswith(("build", ".git"))]
        found += [os.path.relpath(os.path.join(folder, n), SOURCE) for n in names]
    return sorted(found)


def read(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8", errors="replace") as file:
        return file.read()
