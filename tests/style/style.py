# SPDX-License-Identifier: MIT
"""The rules about text, over every file of the repository.

For each rule: the tree keeps it, it refuses its bad samples, it accepts its good ones.
"""
import text_rules
from tap import Tap, read, tracked_files


def main():
    tap = Tap()
    texts = {path: read(path) for path in tracked_files() if text_rules.is_text(path)}
    # File by file: what one rule has read of it, the next need not read again.
    findings = {rule.name: [] for rule in text_rules.RULES}
    for path, text in texts.items():
        for rule in text_rules.RULES:
            if rule.applies(path):
                findings[rule.name] += [f"{path}:{line}: {what}" for line, what in rule.check(path, text)]
    for rule in text_rules.RULES:
        tap.report(rule.name, findings[rule.name])
        tap.report(
            f"{rule.name}: bad samples are refused",
            [f"accepted: {p}: {t!r}" for p, t in rule.bad if not rule.check(p, t)],
        )
        tap.report(
            f"{rule.name}: good samples are accepted",
            [f"{rule.check(p, t)} for {p}: {t!r}" for p, t in rule.good if rule.check(p, t)],
        )
    tap.end()


if __name__ == "__main__":
    main()
