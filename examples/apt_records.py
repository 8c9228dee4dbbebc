# SPDX-License-Identifier: MIT
"""Records of `apt-cache dumpavail`, as bytes: paragraphs of "Field: value" lines with a blank line behind each."""


def records(lines):
    """Each record without the blank line behind it, byte for byte as it stands in the dump."""
    record = []
    for line in lines:
        if line.strip(b"\n"):
            record.append(line)
        elif record:
            yield b"".join(record)
            record = []
    if record:
        yield b"".join(record)


def field(record, name):
    """The first line of a field's value, or nothing."""
    start = name + b":"
    for line in record.split(b"\n"):
        if line.startswith(start):
            return line[len(start):].strip()
    return b""


def keyed(lines):
    """(key, record) for every record: pkg:NAME:VERSION:ARCHITECTURE, and #2, #3 behind a key that was there before."""
    seen = {}
    for record in records(lines):
        key = b":".join([b"pkg", field(record, b"Package"), field(record, b"Version"), field(record, b"Architecture")])
        seen[key] = seen.get(key, 0) + 1
        yield (key if seen[key] == 1 else b"%s#%d" % (key, seen[key])), record
