# SPDX-License-Identifier: MIT
"""Every C and C++ file is as clang-format leaves it (`make format`)."""
import subprocess

from tap import SOURCE, Tap, tracked_files

COMMAND = ["clang-format-14", "--dry-run", "-Werror", "--ferror-limit=1"]


def main():
    tap = Tap()
    files = [p for p in tracked_files() if p.endswith((".c", ".h", ".cc", ".cpp", ".hpp"))]
    done = subprocess.run(COMMAND + files, cwd=SOURCE, capture_output=True, text=True, check=False)
    wrong = [line for line in done.stderr.split("\n") if ": error:" in line]
    tap.report(f"the form of {len(files)} files", wrong or ([done.stderr] if done.returncode else []))
    sample = subprocess.run(
        [*COMMAND, "--assume-filename=x.c"], input="int  x ;\n", capture_output=True, text=True,
        cwd=SOURCE, check=False,
    )
    tap.report("a bad sample is refused", [] if sample.returncode else ["accepted"])
    tap.end()


if __name__ == "__main__":
    main()
