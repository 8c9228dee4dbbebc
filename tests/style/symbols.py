# SPDX-License-Identifier: MIT
"""What the libraries show to others: exported names, names in the archive, and mutable globals."""
import os
import re
import subprocess
import tempfile

from tap import BUILD, SOURCE, Tap

# Objects that may hold mutable globals: the default pool and the block source behind kv_store_malloc.
STATEFUL = ("src_memory_", "src_os_")
SANITIZERS = re.compile(r"^(__|_GLOBAL__|__odr_asan|asan\.|tsan\.)")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def exported(library):
    lines = run("nm", "-D", "--defined-only", library).split("\n")
    return {line.split()[-1].split("@")[0] for line in lines if line.strip()}


def global_definitions(archive):
    """Every external symbol the archive defines, with repetitions; weak ones are made to be repeated."""
    lines = run("nm", "-g", "--defined-only", archive).split("\n")
    rows = [line.split() for line in lines if len(line.split()) == 3]
    return [row[2] for row in rows if row[1] not in "WVwvui"]


def mutable_objects(archive):
    """(object file, symbol) of everything in a writable section that stays writable after loading."""
    found, member = [], ""
    for line in run("objdump", "-t", archive).split("\n"):
        if line.endswith(":     file format elf64-x86-64") or ":     file format" in line:
            member = line.split(":")[0]
        row = re.match(r"^[0-9a-f]+ .{6}([O ]) (\S+)\t[0-9a-f]+\s+(?:\.hidden )?(\S+)$", line)
        if row and row.group(1) == "O" and re.match(r"\.(data|bss|tdata|tbss)", row.group(2)):
            if not row.group(2).startswith(".data.rel.ro"):
                found.append((member, row.group(3)))
    return found


def foreign(names):
    return sorted(n for n in names if not n.startswith("kv_") and not SANITIZERS.match(n))


def repeated(names):
    return sorted({n for n in names if names.count(n) > 1 and not SANITIZERS.match(n)})


def unexpected_state(objects):
    return [
        f"{member}: {symbol}"
        for member, symbol in objects
        if not os.path.basename(member).startswith(STATEFUL)
        and not SANITIZERS.match(symbol)
    ]


def declared():
    """Every function that a public header promises."""
    names, folder = set(), os.path.join(SOURCE, "include", "concordkv")
    for header in os.listdir(folder):
        if header.endswith(".h"):
            with open(os.path.join(folder, header), encoding="utf-8") as file:
                text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)
            names |= set(re.findall(r"^KV_API\b[^;{]*?\b(kv_\w+)\s*\(", text, flags=re.MULTILINE))
    return names


def built(folder, text):
    """A shared library, and an archive that holds the same object twice, made of a bad sample."""
    source = os.path.join(folder, "sample.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    objects = [os.path.join(folder, f"{n}.o") for n in ("one", "two")]
    for name in objects:
        run("gcc", "-fPIC", "-c", source, "-o", name)
    library, archive = os.path.join(folder, "sample.so"), os.path.join(folder, "sample.a")
    run("gcc", "-shared", objects[0], "-o", library)
    run("ar", "rcs", archive, *objects)
    return library, archive


def main():
    tap = Tap()
    library, archive = (os.path.join(BUILD, n) for n in ("libkvstore.so", "libkvstore.a"))
    names = exported(library)
    tap.report("libkvstore.so exports kv_* only", foreign(names))
    tap.report("libkvstore.so has what the headers promise", sorted(declared() - names))
    definitions = global_definitions(archive)
    tap.report(
        "libkvstore.a defines kv_* and kvi_* only",
        [n for n in foreign(definitions) if not n.startswith("kvi_")],
    )
    tap.report("libkvstore.a defines nothing twice", repeated(definitions))
    tap.report("no mutable globals outside src/memory and src/os", unexpected_state(mutable_objects(archive)))
    soname = re.search(r"SONAME\s+(\S+)", run("objdump", "-p", library))
    tap.report("libkvstore.so has a soname", [] if soname and soname.group(1) == "libkvstore.so.0" else [soname])

    with tempfile.TemporaryDirectory() as folder:
        library, archive = built(folder, "int stray = 1;\nint kv_x(void) { return stray; }\n")
        tap.report("a stray export is seen", [] if foreign(exported(library)) == ["stray"] else ["missed"])
        twice = repeated(global_definitions(archive))
        tap.report("a repeated definition is seen", [] if twice == ["kv_x", "stray"] else [twice])
        state = unexpected_state(mutable_objects(archive))
        tap.report("a mutable global is seen", [] if len(state) == 2 else [state])
    tap.end()


if __name__ == "__main__":
    main()
