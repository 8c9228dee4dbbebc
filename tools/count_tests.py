# SPDX-License-Identifier: MIT
"""count_tests.py LOGBASE: reads what `meson test --logbase` left and prints what failed, then `passed failed`.

Every case of a program that speaks TAP counts; a program that dies counts as one more failure.
"""
import json
import os
import sys
from xml.etree import ElementTree

TAIL = 60
GOOD = ("OK", "EXPECTEDFAIL")


def cases_by_test(path):
    """For each test, the (name, verdict) of its cases: passed, failed or skipped."""
    found = {}
    if not os.path.exists(path):
        return found
    for suite in ElementTree.parse(path).getroot():
        cases = []
        for case in suite.findall("testcase"):
            bad = case.find("failure") is not None or case.find("error") is not None
            skipped = case.find("skipped") is not None
            cases.append((case.get("name"), "failed" if bad else "skipped" if skipped else "passed"))
        found[suite.get("name")] = cases
    return found


def verdicts(test, cases):
    found = cases.get("concordkv." + test["name"], [])
    if not found:
        if test["result"] == "SKIP":
            return [(test["name"], "skipped")]
        return [(test["name"], "passed" if test["result"] in GOOD else "failed")]
    if test["result"] not in (*GOOD, "SKIP") and all(verdict != "failed" for _, verdict in found):
        found = found + [(f"{test['result']}, exit status {test['returncode']}", "failed")]
    return found


def tail(text):
    return [line for line in text.split("\n") if line.strip() and not line.startswith("ok ")][-TAIL:]


def show_failure(test, failed):
    print(f"FAILED {test['name']}")
    for name in failed:
        print(f"  not ok {name}")
    for line in tail(test.get("stdout", "")) + tail(test.get("stderr", "")):
        print(f"  | {line}")


def main():
    base = sys.argv[1]
    cases = cases_by_test(base + ".junit.xml")
    passed, failed, skipped = 0, 0, []
    lines = []
    if os.path.exists(base + ".json"):
        with open(base + ".json", encoding="utf-8") as file:
            lines = file.readlines()
    for line in lines:
        test = json.loads(line)
        found = verdicts(test, cases)
        bad = [name for name, verdict in found if verdict == "failed"]
        passed += sum(verdict == "passed" for _, verdict in found)
        failed += len(bad)
        skipped += [f"{test['name']}: {name}" for name, verdict in found if verdict == "skipped"]
        if bad:
            show_failure(test, bad)
    for name in skipped:
        print(f"skipped {name}")
    print(passed, failed)


if __name__ == "__main__":
    main()
