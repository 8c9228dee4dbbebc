# SPDX-License-Identifier: MIT
"""A small reader of C text: blanks out comments and strings, and finds function bodies.

It knows no preprocessor and no types. That is enough for text that clang-format has laid out.
"""
import functools
import re
from dataclasses import dataclass

LEXER = re.compile(
    r"""(?P<comment>/\*.*?\*/|//[^\n]*)
      | (?P<string>"(?:\\.|[^"\\\n])*")
      | (?P<char>'(?:\\.|[^'\\\n])*')""",
    re.VERBOSE | re.DOTALL,
)
CONTROL = {"if", "for", "while", "switch"}


def blank(text):
    """Blanks of the same shape, so that lines and columns stay where they are."""
    return re.sub(r"[^\n]", " ", text)


@functools.lru_cache(maxsize=4)
def without_comments(text):
    return LEXER.sub(lambda m: blank(m.group()) if m.group("comment") else m.group(), text)


@functools.lru_cache(maxsize=4)
def code_only(text):
    """Without comments; strings and characters keep their quotes and lose what is between."""

    def replace(match):
        whole = match.group()
        if match.group("comment"):
            return blank(whole)
        return whole[0] + blank(whole[1:-1]) + whole[-1]

    return LEXER.sub(replace, text)


def without_preprocessor(code):
    """Blanks out directives with their continuation lines."""
    return re.sub(
        r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", lambda m: blank(m.group()), code, flags=re.MULTILINE
    )


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def opening_of(code, closing):
    """The position of the parenthesis that the one at closing closes, or -1."""
    depth = 0
    for position in range(closing, -1, -1):
        if code[position] == ")":
            depth += 1
        elif code[position] == "(":
            depth -= 1
            if depth == 0:
                return position
    return -1


def closing_of(code, opening):
    """The position of the brace that closes the one at opening, or the end."""
    depth = 0
    for position in range(opening, len(code)):
        if code[position] == "{":
            depth += 1
        elif code[position] == "}":
            depth -= 1
            if depth == 0:
                return position
    return len(code)


def word_before(code, position):
    """Where the word begins that ends before position, blanks aside, and the word itself, or ""."""
    end = len(code[max(0, position - 200) : position].rstrip()) + max(0, position - 200)
    start = end
    while start > 0 and (code[start - 1].isalnum() or code[start - 1] == "_"):
        start -= 1
    return start, code[start:end]


@dataclass
class Function:
    name: str
    line: int
    lines: int
    parameters: int
    nesting: int
    body: str


def count_parameters(inside):
    if inside.strip() in ("", "void"):
        return 0
    depth, count = 0, 1
    for character in inside:
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            count += 1
    return count


def opens_control(code, brace):
    """Whether the brace begins the block of an if, else, for, while, do or switch."""
    before = code[:brace].rstrip()
    if word_before(before, len(before))[1] in ("else", "do"):
        return True
    if not before.endswith(")"):
        return False
    word = word_before(before, max(opening_of(before, len(before) - 1), 0))[1]
    return word in CONTROL or "foreach" in word.lower()


def nesting_of(body):
    deepest, stack = 0, []
    for position, character in enumerate(body):
        if character == "{":
            stack.append(position > 0 and opens_control(body, position))
            deepest = max(deepest, sum(stack))
        elif character == "}" and stack:
            stack.pop()
    return deepest


@functools.lru_cache(maxsize=4)
def functions(text):
    """Every function definition in the text, in order."""
    code = without_preprocessor(code_only(text))
    code = re.sub(r'extern\s+"[^"]*"\s*\{', lambda m: blank(m.group()), code)
    found, position = [], 0
    while True:
        brace = code.find("{", position)
        if brace < 0:
            return found
        end = closing_of(code, brace)
        position = end + 1
        before = code[:brace].rstrip()
        if not before.endswith(")"):
            continue
        opening = opening_of(before, len(before) - 1)
        begin, name = word_before(before, max(opening, 0))
        if not name:
            continue
        start = line_of(code, begin)
        found.append(
            Function(
                name=name,
                line=start,
                lines=line_of(code, min(end, len(code) - 1)) - start + 1,
                parameters=count_parameters(before[opening + 1 : -1]),
                nesting=nesting_of(code[brace : end + 1]),
                body=code[brace : end + 1],
            )
        )
