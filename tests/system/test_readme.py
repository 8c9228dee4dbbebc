# SPDX-License-Identifier: MIT
"""The program in the README compiles as it stands there, with everybody's warnings, and does what it says."""
import os
import re
import subprocess

BUILD = os.environ["KV_BUILD"]
SOURCE = os.environ["KV_SOURCE"]


def test_embed(tmp_path):
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
        blocks = re.findall(r"^```c\n(.*?)^```", file.read(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    source = tmp_path / "embed.c"
    source.write_text(blocks[0], encoding="utf-8")
    program = tmp_path / "embed"
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", str(source), "-o", str(program)]
    command += ["-I", os.path.join(SOURCE, "include"), "-L", BUILD, "-lkvstore", f"-Wl,-rpath,{BUILD}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout == "hello\n"
