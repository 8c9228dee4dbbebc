# SPDX-License-Identifier: MIT
"""Each public header compiles alone, as strict C99 and as C++, with both compilers."""
import os
import subprocess
import tempfile

from tap import SOURCE, Tap

INCLUDE = os.path.join(SOURCE, "include")
FOLDERS = ["-I", INCLUDE, "-I", os.path.join(INCLUDE, "concordkv")]
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-pedantic-errors", "-Wundef", "-Wshadow", "-Werror"]
LANGUAGES = {
    "C99": ["-x", "c", "-std=c99", "-Wstrict-prototypes"],
    "C11": ["-x", "c", "-std=c11", "-Wstrict-prototypes"],
    "C++11": ["-x", "c++", "-std=c++11"],
    "C++20": ["-x", "c++", "-std=c++20"],
}
COMPILERS = ["gcc", "clang-14"]


def compile_alone(compiler, options, text):
    """What the compiler says to a file of this text; nothing if it accepts it."""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "alone.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        command = [compiler, *options, *WARNINGS, *FOLDERS, "-c", source, "-o", "/dev/null"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return [] if done.returncode == 0 else [done.stderr]


def main():
    tap = Tap()
    headers = sorted(os.listdir(os.path.join(INCLUDE, "concordkv")))
    for compiler in COMPILERS:
        for language, options in LANGUAGES.items():
            for header in headers:
                if header.endswith(".hpp"):
                    # The C++ adapters need std::pmr.
                    if language != "C++20":
                        continue
                    options = ["-x", "c++", "-std=c++17"]
                # Twice: the include guard is part of the promise.
                text = f"#include <concordkv/{header}>\n#include <{header}>\nint main(void);\n"
                if header.endswith(".hpp"):
                    text = text.replace("void", "")
                tap.report(
                    f"{compiler} {options[-1] if header.endswith('.hpp') else language}: {header}",
                    compile_alone(compiler, options, text),
                )
        refused = compile_alone(compiler, LANGUAGES["C99"], "int f() { return 1 ? : 2; }\n")
        tap.report(f"{compiler}: what is not C99 is refused", [] if refused else ["accepted"])
        refused = compile_alone(compiler, LANGUAGES["C++11"], "char *p = (void *)0;\n")
        tap.report(f"{compiler}: what is not C++ is refused", [] if refused else ["accepted"])
    tap.end()


if __name__ == "__main__":
    main()
