# SPDX-License-Identifier: MIT
"""Documents point at what is there: files that they link to, make commands, and folders that they name."""
import os
import re

from tap import SOURCE, Tap, read, tracked_files

README_LINES_MAX = 80


def broken_links(path, text, exists):
    folder = os.path.dirname(path)
    found = []
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not re.match(r"[a-z]+:", target) and not exists(os.path.normpath(os.path.join(folder, target))):
            found.append(f"{path}: {target} is not there")
    return found


def unknown_targets(path, text, targets):
    """Commands in code: after `make at the start of a span or a line of code."""
    used = re.findall(r"(?:`|^    |&& )make((?: [a-z][\w-]*(?![\w=]))*)", text, re.M)
    words = {word for group in used for word in group.split()}
    return [f"{path}: no command `make {word}`" for word in sorted(words - targets)]


def missing_paths(path, text, exists):
    """Files and folders of the source tree that a code span names."""
    spans = re.findall(r"`((?:src|include|tests|fuzz|bench|tools|examples|docs|programs)/[\w./-]*)`", text)
    return [f"{path}: {span} is not there" for span in spans if not exists(span.rstrip("/"))]


def main():
    tap = Tap()
    rules = re.findall(r"^([a-z][a-z -]*):", read("GNUmakefile"), re.M)
    targets = {word for names in rules for word in names.split()}
    documents = {p: read(p) for p in tracked_files() if p.endswith(".md")}

    def exists(path):
        return os.path.exists(os.path.join(SOURCE, path))

    tap.report("links lead somewhere", [f for p, t in documents.items() for f in broken_links(p, t, exists)])
    tap.report("make commands exist", [f for p, t in documents.items() for f in unknown_targets(p, t, targets)])
    tap.report("files exist", [f for p, t in documents.items() for f in missing_paths(p, t, exists)])
    lines = documents["README.md"].count("\n")
    tap.report("the README is one screen", [] if lines <= README_LINES_MAX else [f"{lines} lines"])
    helped = set(re.findall(r"^([a-z][a-z-]*):.*## ", read("GNUmakefile"), re.M))
    silent = {t for t in targets - helped if t != "setup-build" and t.split("-")[0] not in helped}
    tap.report("make help knows every command", sorted(silent))

    def nothing(_):
        return False

    tap.report("a broken link is seen", [] if broken_links("a.md", "[x](y.md)", nothing) else ["missed"])
    tap.report("an unknown command is seen", [] if unknown_targets("a.md", "`make nonsense`", targets) else ["missed"])
    tap.report("a missing file is seen", [] if missing_paths("a.md", "`src/nothing.c`", nothing) else ["missed"])
    tap.end()


if __name__ == "__main__":
    main()
