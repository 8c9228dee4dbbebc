# SPDX-License-Identifier: MIT
"""Nothing lies about: every source file is part of the build, every test is registered, every script runs."""
import os
import re
import subprocess

from tap import SOURCE, Tap, read, tracked_files

# Which meson.build must name a file, and by what part of its path.
HOMES = [
    (r"src/(.+\.c)", "src/meson.build", "'{}'"),
    (r"tests/(unit|engine|fault|system)/(test_\w+)\.(?:c|py)", "tests/{}/meson.build", "'{}'"),
    (r"tests/style/(\w+)\.py", "tests/style/meson.build", "'{}'"),
    (r"fuzz/(fuzz_\w+)\.c", "fuzz/meson.build", "'{}'"),
    (r"programs/(\w+)\.c", "meson.build", "'{}'"),
    (r"(programs/\w+/\w+\.c)", "meson.build", "'{}'"),
    (r"examples/(\w+)\.c", "examples/meson.build", "'{}'"),
]
# Modules that the style tests import.
PARTS = {"tests/style/tap.py", "tests/style/c_source.py", "tests/style/text_rules.py"}


def home_of(path):
    """(meson.build, what it must contain) or None."""
    for pattern, home, text in HOMES:
        match = re.fullmatch(pattern, path)
        if match:
            return home.format(match.group(1)), text.format(match.group(match.lastindex))
    return None


def unregistered(paths, read_file):
    found = []
    for path in paths:
        home = home_of(path)
        if home is None or path in PARTS:
            continue
        # A file name may also stand with its ending.
        names = (home[1], home[1][:-1] + os.path.splitext(path)[1] + "'")
        if not any(name in read_file(home[0]) for name in names):
            found.append(f"{path} is not in {home[0]}")
    return found


def disagreeing(version, build):
    return [] if f"version: '{version}'" in build else [f"meson.build does not say version: '{version}'"]


def broken_scripts(paths):
    found = []
    for path in paths:
        text = read(path)
        if not text.startswith("#!"):
            continue
        full = os.path.join(SOURCE, path)
        if not os.access(full, os.X_OK):
            found.append(f"{path} is not executable")
        shell = "bash" if "bash" in text.split("\n", 1)[0] else "sh"
        done = subprocess.run([shell, "-n", full], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            found.append(f"{path}: {done.stderr}")
    return found


def main():
    tap = Tap()
    paths = tracked_files()
    tap.report("every source and test is registered", unregistered(paths, read))
    scripts = [p for p in paths if p.startswith(("tools/", ".ci/")) and not p.endswith((".txt", ".py"))]
    tap.report("every script is executable and parses", broken_scripts(scripts))
    version = re.search(r'KV_VERSION_STRING "([^"]+)"', read("include/concordkv/kv_version.h")).group(1)
    tap.report("the build and the header agree on the version", disagreeing(version, read("meson.build")))
    seen = disagreeing("0.0.0", read("meson.build"))
    tap.report("another version is seen", [] if seen else ["missed"])
    sample = ["src/db/lost.c", "tests/unit/test_lost.c", "tests/system/test_lost.py", "fuzz/fuzz_lost.c"]
    seen = unregistered(sample, lambda _: "files('db/db.c', 'test_db')")
    tap.report("a file that is lost is seen", [] if len(seen) == len(sample) else seen)
    tap.end()


if __name__ == "__main__":
    main()
