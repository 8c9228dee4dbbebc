# SPDX-License-Identifier: MIT
"""Rules about the text of one file. Each has a sample that it must refuse and one that it must accept."""
import re
from dataclasses import dataclass, field
from typing import Callable

import c_source as c

LAYERS = ["base", "os", "memory", "engine", "db", "log", "embed", "resp", "server", "raft"]
# What a layer may include, where that is not simply everything above it.
UPPER = {
    "resp": {"base", "os", "memory", "resp"},
    "server": set(LAYERS) - {"embed", "raft"},
    "raft": set(LAYERS) - {"embed", "resp", "server"},
}
FUNCTION_LINES_MAX = 70
NESTING_MAX = 4
PARAMETERS_MAX = 6
FILE_LINES_MAX = 1000
COLUMNS_MAX = 100
ALLOCATORS = "malloc|calloc|realloc|free|strdup|strndup|reallocarray|aligned_alloc|posix_memalign"
RESERVED_ALLOWED = re.compile(
    r"__(attribute__|asm__|builtin_\w+|atomic_\w+|sync_\w+|has_\w+|cplusplus|GNUC\w*|clang\w*|func__|FILE__"
    r"|LINE__|VA_ARGS__|SANITIZE_\w+|STDC\w*|BYTE_ORDER__|ORDER_\w+|x86_64__|aarch64__|SSE\w*|AVX\w*"
    r"|wrap_\w+|real_\w+|asan_\w+|tsan_\w+|msan_\w+|lsan_\w+|OPTIMIZE__|typeof__|extension__|linux__|restrict|int128"
    r"|SIZEOF_\w+|m128i\w*|m256i\w*|VERSION__)"
    r"|_(Static_assert|Atomic|Alignas|Alignof|Generic|Thread_local|Noreturn|Bool|GNU_SOURCE|POSIX\w*"
    r"|SC_\w+|exit|mm\w+|CS_\w+|PC_\w+)"
)
# The places where the preprocessor decides something, each with its reason.
CONDITIONALS_ALLOWED = {
    "include/concordkv/kv_export.h": "what the compiler calls visibility",
    "include/concordkv/kv_memory.h": "KV_ARENA_OUT_OF_LINE: bindings need a real symbol",
}
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|root|home|Users)/\w")


@dataclass
class Rule:
    name: str
    applies: Callable[[str], bool]
    check: Callable[[str, str], list]
    bad: list = field(default_factory=list)  # (path, text), each of which must be refused
    good: list = field(default_factory=list)  # (path, text), each of which must be accepted


def is_c(path):
    return path.endswith((".c", ".h"))


def is_product(path):
    return is_c(path) and path.startswith(("src/", "include/", "programs/"))


def is_source(path):
    name = path.rsplit("/", 1)[-1]
    return (
        path.endswith((".c", ".h", ".cc", ".cpp", ".hpp", ".py", ".sh", ".def", ".js"))
        or name in ("meson.build", "GNUmakefile", "CMakeLists.txt")
        or (path.startswith(("tools/", ".ci/")) and "." not in name)
    )


def is_text(path):
    return is_source(path) or path.endswith((".md", ".txt", ".in"))


def check_layers(path, text):
    layer = path.split("/")[1]
    if layer not in LAYERS:
        return [(1, f"src/{layer} is no layer of the architecture")]
    allowed = UPPER.get(layer, set(LAYERS[: LAYERS.index(layer) + 1]))
    found = []
    for match in re.finditer(r'^\s*#\s*include\s+["<]([^">]+)[">]', c.without_comments(text), re.M):
        target = match.group(1).split("/")[0] if "/" in match.group(1) else layer
        if target in LAYERS and target not in allowed:
            found.append((c.line_of(text, match.start(1)), f"{layer} must not include {target}"))
    return found


def check_libraries(path, text):
    layer = path.split("/")[1]
    forbidden = {"uv.h"} if layer != "server" else set()
    if layer in ("base", "memory", "engine", "db", "resp"):
        forbidden |= {"sys/socket.h", "netinet/in.h", "pthread.h", "unistd.h", "fcntl.h", "sys/mman.h"}
    names = re.finditer(r"^\s*#\s*include\s+<([^>]+)>", text, re.M)
    return [
        (c.line_of(text, m.start(1)), f"<{m.group(1)}> does not belong into src/{layer}")
        for m in names
        if m.group(1) in forbidden
    ]


def check_allocators(path, text):
    if path.startswith(("src/memory/", "src/os/")):
        return []
    code = c.without_preprocessor(c.code_only(text))
    called = rf"(?<![\w>.*])(?P<call>{ALLOCATORS})\s*\("
    handed_on = rf"[=,({{?:]\s*&?(?P<value>{ALLOCATORS})\s*[,;)}}:]"
    return [
        (c.line_of(code, m.end()), f"{m.group(m.lastgroup)}: use kv_store_malloc, a pool or an arena")
        for m in re.finditer(f"{called}|{handed_on}", code)
    ]


def check_conditionals(path, text):
    if path.startswith("src/os/") or path in CONDITIONALS_ALLOWED:
        return []
    code = c.without_comments(text)
    directives = list(re.finditer(r"^\s*#\s*(if|ifdef|ifndef|elif)\b\s*(.*)$", code, re.M))
    if directives and directives[0].group(1) == "ifndef" and directives[0].group(2).endswith("_H"):
        directives = directives[1:]
    return [
        (c.line_of(code, m.start(1)), f"#{m.group(1)} {m.group(2)}: only in src/os and the export header")
        for m in directives
        if (m.group(1), m.group(2).strip()) != ("ifdef", "__cplusplus")
    ]


def check_functions(path, text):
    found = []
    for function in c.functions(text):
        for value, limit, what in (
            (function.lines, FUNCTION_LINES_MAX, "lines"),
            (function.nesting, NESTING_MAX, "levels of nesting"),
            (function.parameters, PARAMETERS_MAX, "parameters"),
        ):
            if value > limit:
                found.append((function.line, f"{function.name} has {value} {what}, at most {limit}"))
    return found


def check_backward_goto(path, text):
    found = []
    for function in c.functions(text):
        for match in re.finditer(r"\bgoto\s+(\w+)\s*;", function.body):
            label = re.search(rf"^\s*{match.group(1)}\s*:", function.body, re.M)
            if label and label.start() < match.start():
                found.append((function.line, f"{function.name} goes back to {match.group(1)}"))
    return found


def check_file_length(path, text):
    lines = text.count("\n")
    return [(1, f"{lines} lines, at most {FILE_LINES_MAX}")] if lines > FILE_LINES_MAX else []


def check_spdx(path, text):
    head = "\n".join(text.split("\n")[:2])
    return [] if "SPDX-License-Identifier: MIT" in head else [(1, "no SPDX line at the top")]


def check_reserved(path, text):
    code = c.code_only(text)
    return [
        (c.line_of(code, m.start()), f"{m.group()} is a reserved name")
        for m in re.finditer(r"(?<!\w)_\w+", code)
        if not RESERVED_ALLOWED.fullmatch(m.group()) and m.group() not in ("_GNU_SOURCE",)
    ]


def macro_findings(name, parameters, body):
    for parameter in parameters:
        for use in re.finditer(rf"(?<!\w){re.escape(parameter)}(?!\w)", body):
            before, after = body[: use.start()].rstrip(), body[use.end() :].lstrip()
            if before.endswith("#") or after.startswith("##") or after.startswith("("):
                continue
            if not (before and before[-1] in "(,[{" and after and after[0] in "),]}"):
                yield f"{name}: put {parameter} into parentheses"
    flat = body
    while True:
        shorter = re.sub(r"\([^()]*\)|\{[^{}]*\}", "@", flat)
        if shorter == flat:
            break
        flat = shorter
    # clang-format puts blanks around binary operators and none behind unary ones.
    if re.search(r"[\w@] (?:[-+*/%<>|&^?]|<<|>>|&&|\|\||[=!<>]=) [\w@~!-]", flat) and ";" not in flat:
        yield f"{name}: put the whole value into parentheses"


def check_macros(path, text):
    code = c.without_comments(text)
    found = []
    for match in re.finditer(
        r"^\s*#\s*define\s+(\w+)(\([^)]*\))?((?:[^\n\\]|\\\n|\\.)*)", code, re.M
    ):
        name, parameters, body = match.groups()
        names = [p.strip() for p in (parameters or "()")[1:-1].split(",") if p.strip(" .")]
        body = c.code_only(body.replace("\\\n", " ")).strip()
        for text_found in macro_findings(name, names, body):
            found.append((c.line_of(code, match.start(1)), text_found))
    return found


def check_unfinished(path, text):
    return [
        (c.line_of(text, m.start()), f"{m.group()}: finish it or open an issue")
        for m in UNFINISHED.finditer(text)
    ]


def check_machine_paths(path, text):
    return [
        (c.line_of(text, m.start()), f"{m.group()}...: a path of one machine")
        for m in MACHINE_PATHS.finditer(text)
    ]


def check_sleep(path, text):
    return [
        (c.line_of(text, m.start()), f"{m.group(1)}: a test waits for an event, not for time")
        for m in re.finditer(r"\b((?:u|nano|time\.)?sleep)\s*\(", text)
    ]


def check_blanks(path, text):
    found = [
        (number, "blank at the end of the line or a tab")
        for number, line in enumerate(text.split("\n"), 1)
        if line != line.rstrip() or ("\t" in line and not path.endswith("GNUmakefile"))
    ]
    if text and not text.endswith("\n"):
        found.append((text.count("\n") + 1, "no line end at the end of the file"))
    return found


def check_columns(path, text):
    return [
        (number, f"{len(line)} columns, at most {COLUMNS_MAX}")
        for number, line in enumerate(text.split("\n"), 1)
        if len(line) > COLUMNS_MAX
    ]


def long_function(lines):
    return "static void run(void)\n{\n" + "    step();\n" * (lines - 3) + "}\n"


RULES = [
    Rule(
        "layers",
        lambda p: is_c(p) and p.startswith("src/"),
        check_layers,
        bad=[
            ("src/base/x.c", '#include "memory/block.h"\n'),
            ("src/log/x.c", '#include "resp/reply.h"\n'),
            ("src/resp/x.c", '#include "db/db.h"\n'),
            ("src/server/x.c", '#include "raft/raft.h"\n'),
            ("src/raft/x.c", '#include "server/loop.h"\n'),
            ("src/misc/x.c", "int x;\n"),
        ],
        good=[
            ("src/server/x.c", '#include "db/db.h"\n#include "resp/reply.h"\n#include "loop.h"\n'),
            ("src/base/x.c", '/* #include "db/db.h" */\n#include <concordkv/kv_status.h>\n'),
        ],
    ),
    Rule(
        "headers of the system belong to few layers",
        lambda p: is_c(p) and p.startswith("src/"),
        check_libraries,
        bad=[("src/db/x.c", "#include <unistd.h>\n"), ("src/resp/x.h", "#include <uv.h>\n")],
        good=[("src/server/x.c", "#include <uv.h>\n"), ("src/os/x.c", "#include <unistd.h>\n")],
    ),
    Rule(
        "no bare malloc family",
        lambda p: is_c(p) and p.startswith("src/"),
        check_allocators,
        bad=[
            ("src/db/x.c", "static void *f(void)\n{\n    return malloc(1);\n}\n"),
            ("src/db/x.c", "static hooks_t hooks = {strdup, kv_store_free};\n"),
            ("src/db/x.c", "static hooks_t hooks = {0, .release = &free};\n"),
        ],
        good=[
            ("src/memory/x.c", "static void f(void *p)\n{\n    free(p);\n}\n"),
            ("src/db/x.c", "/* malloc() */ static void f(size_t free)\n{\n    pool->free(free + 1);\n}\n"),
        ],
    ),
    Rule(
        "#if only where the system differs",
        is_product,
        check_conditionals,
        bad=[("src/db/x.c", "#if defined(FAST)\n#endif\n"), ("programs/x.c", "#ifdef __linux__\n#endif\n")],
        good=[
            ("src/os/x.c", "#if defined(__linux__)\n#endif\n"),
            ("src/db/x.h", "#ifndef KVI_X_H\n#define KVI_X_H\n#ifdef __cplusplus\n#endif\n#endif\n"),
        ],
    ),
    Rule(
        "functions are short and shallow",
        is_c,
        check_functions,
        bad=[
            ("x.c", long_function(FUNCTION_LINES_MAX + 1)),
            ("x.c", "int f(int a, int b, int c, int d, int e, int f, int g)\n{\n    return a;\n}\n"),
            ("x.c", "void f(void)\n{\n" + "    if (a) {\n" * 5 + "    }\n" * 5 + "}\n"),
        ],
        good=[
            ("x.c", long_function(FUNCTION_LINES_MAX)),
            ("x.c", "void f(void)\n{\n    for (;;) {\n        t x = {{{{{0}}}}};\n        g((t){{1}});\n    }\n}\n"),
            ("x.c", "static const t x[] = {\n" + "    {1},\n" * 100 + "};\n"),
        ],
    ),
    Rule(
        "goto goes forward",
        is_c,
        check_backward_goto,
        bad=[("x.c", "void f(void)\n{\nagain:\n    g();\n    goto again;\n}\n")],
        good=[("x.c", "void f(void)\n{\n    goto end;\nend:\n    g();\n}\n")],
    ),
    Rule(
        "files are short",
        is_source,
        check_file_length,
        bad=[("x.c", "int x;\n" * (FILE_LINES_MAX + 1))],
        good=[("x.c", "int x;\n" * FILE_LINES_MAX)],
    ),
    Rule(
        "an SPDX line at the top",
        is_source,
        check_spdx,
        bad=[("x.c", "int x;\n"), ("tools/x", "#!/bin/sh\nset -e\n")],
        good=[("tools/x", "#!/bin/sh\n# SPDX-License-Identifier: MIT\n")],
    ),
    Rule(
        "no reserved names",
        is_c,
        check_reserved,
        bad=[("x.c", "static int _count;\n"), ("x.h", "#define __X_H\n")],
        good=[("x.c", '_Static_assert(sizeof(int) == 4, "_x"); __attribute__((cold)) int a_b; /* _x */\n')],
    ),
    Rule(
        "macro arguments and values in parentheses",
        is_c,
        check_macros,
        bad=[
            ("x.c", "#define TWICE(a) (2 * a)\n"),
            ("x.c", "#define SUM(a, b) (a) + (b)\n"),
            ("x.c", "#define SIZE 1 << 4\n"),
        ],
        good=[
            ("x.c", "#define TWICE(a) (2 * (a))\n#define NAME(n) #n\n#define ROW(n, t) {KV_##n, t},\n"),
            ("x.c", "#define LIST(X) X(a, 1) \\\n    X(b, 2)\n#define SIZE ((size_t)1 << 4)\n"),
            ("x.c", "#define NEGATIVE -1\n#define free(p) kv_free((p))\n"),
        ],
    ),
    Rule(
        "nothing unfinished",
        is_text,
        check_unfinished,
        bad=[("x.md", "TO" + "DO later\n"), ("x.c", "/* FIX" + "ME */\n")],
        good=[("x.c", 'char name[] = "kv-XXXXXX";\n')],
    ),
    Rule(
        "no path of one machine",
        is_text,
        check_machine_paths,
        bad=[("docs/x.md", "see /ho" + "me/me/notes\n"), ("x.c", "/* /wo" + "rk/shared */\n")],
        good=[("docs/x.md", "https://example.org/home/page and /usr/bin/python3\n")],
    ),
    Rule(
        "tests do not sleep",
        lambda p: p.startswith("tests/") and p.endswith((".c", ".h", ".py")) and "/style/" not in p,
        check_sleep,
        bad=[("tests/x.c", "void f(void)\n{\n    usleep(10);\n}\n"), ("tests/x.py", "time.sleep(1)\n")],
        good=[("tests/x.py", "client.debug_sleep()\n")],
    ),
    Rule(
        "no blanks at line ends",
        is_text,
        check_blanks,
        bad=[("x.c", "int x; \n"), ("x.c", "int x;"), ("x.c", "\tint x;\n")],
        good=[("x.c", "int x;\n"), ("GNUmakefile", "all:\n\tninja\n")],
    ),
    Rule(
        f"at most {COLUMNS_MAX} columns",
        is_c,
        check_columns,
        bad=[("x.c", "x" * (COLUMNS_MAX + 1) + "\n")],
        good=[("x.c", "x" * COLUMNS_MAX + "\n")],
    ),
]
