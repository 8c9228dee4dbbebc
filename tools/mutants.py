#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Plants bugs in the code of the log and demands that a test fails for each.

  tools/mutants.py [--check] [--folder FOLDER] [NAME...]

Each mutant is an exact piece of code that must stand in its file exactly once, and what replaces it. --check only looks
whether all of them still fit; `make test` does that, `make mutants` does the rest. A copy of the sources is built in FOLDER
(build-test/mutants), a mutant costs one file and the tests of the log."""
import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WRITER, READER, COMMIT = "src/log/wal_writer.c", "src/log/wal_reader.c", "src/log/commit_wal.c"
FRAME, POSIX = "src/log/frame.c", "src/os/files_posix.c"
AHEAD = "src/log/read_ahead.c"
FOLDERS = {"fault": ["test_log_faults", "test_log_damage", "test_log_crash"], "unit": ["test_files_posix", "test_wal"]}

# name: [(file, code, replacement), ...]
MUTANTS = {
    "no directory sync after the rename of a new segment": [
        (WRITER, "    if (status == KV_OK) {\n        status = ops->sync_directory(writer->files);\n    }\n", ""),
    ],
    "no directory sync after the rename of a recycled segment": [
        (WRITER, "status = writer->files->ops->sync_directory(writer->files);", "status = KV_OK;"),
    ],
    "sync skipped": [
        (WRITER, "const kv_status_t status = writer->files->ops->sync(writer->file);", "const kv_status_t status = KV_OK;"),
    ],
    "sync of the file skipped in POSIX, its error swallowed": [
        (WRITER, "        const kv_status_t status = writer->files->ops->sync(writer->file);\n        if (status != KV_OK) {\n            return status;\n        }\n", "        (void)writer->files->ops->sync(writer->file);\n"),
    ],
    "error not sticky": [
        (COMMIT, "    wal->failed = true;\n", ""),
    ],
    "short write taken as success by the log": [
        (WRITER, "    return writer->files->ops->write_at(writer->file, writer->stage_at, writer->stage, size);", "    (void)writer->files->ops->write_at(writer->file, writer->stage_at, writer->stage, size);\n    return KV_OK;"),
    ],
    "short write taken as success by POSIX": [
        (POSIX, "        done += (size_t)now;\n", "        done = size;\n"),
    ],
    "no sync before rotation": [
        (WRITER, "    const kv_status_t status = kvi_wal_writer_sync(writer);\n    return status == KV_OK ? rotate_to(", "    const kv_status_t status = KV_OK;\n    return status == KV_OK ? rotate_to("),
    ],
    "header not synced before the rename": [
        (WRITER, "    if (status == KV_OK && !direct) {\n        status = writer->files->ops->sync(file);\n    }\n", "    (void)direct;\n"),
    ],
    "checksum of the header only": [
        (FRAME, "    frame->crc = kvi_crc32c(frame->crc, payload, size);\n", "    (void)frame;\n    (void)payload;\n    (void)size;\n"),
        (FRAME, "KVI_FRAME_HEADER_BYTES - 4 + frame->size) == frame->crc", "KVI_FRAME_HEADER_BYTES - 4) == frame->crc"),
    ],
    "watermark ignored, damage is a torn tail": [
        (READER, "if (frame.durable >= reader->expected) {", "if (frame.durable == UINT64_MAX) {"),
    ],
    "watermark ignored, a torn tail is damage": [
        (READER, "if (frame.durable >= reader->expected) {", "if (frame.lsn >= reader->expected) {"),
    ],
    "watermark runs ahead of the disk": [
        (WRITER, "    writer->unsynced = !writer->direct;\n", "    writer->unsynced = false;\n"),
    ],
    "damage in a sealed segment ignored": [
        (READER, '    return refuse(reader, KV_CORRUPT,\n                  reader->is_next', '    return refuse(reader, KV_OK,\n                  reader->is_next'),
    ],
    "no salt": [
        (WRITER, ".salt = (uint32_t)kvi_random_next(&writer->salts),", ".salt = 1,"),
    ],
    "the last segment of a killed process is not made durable": [
        (WRITER, "        status = writer->files->ops->sync(file);\n        writer->files->ops->close(file);\n", "        writer->files->ops->close(file);\n"),
    ],
    "read through the cache": [
        (READER, "ops->open(reader->files, reader->name, KVI_OPEN_READ | KVI_OPEN_DIRECT, &reader->file);", "ops->open(reader->files, reader->name, KVI_OPEN_READ, &reader->file);"),
    ],
    "a segment is dropped too early": [
        (WRITER, "writer->segments[1].name.first_lsn > lsn + 1", "writer->segments[1].name.first_lsn > lsn + 2"),
    ],
    "a batch is accepted without room": [
        (COMMIT, "if (queued + cost > wal->room) {", "if (cost > wal->room) {"),
    ],
    "the size of a segment is not checked": [
        (READER, "if (reader->header.bytes != reader->size && !reader->salvages) {", "if (reader->header.bytes == 0) {"),
    ],
    "the end of the window is lost when the next piece comes": [
        (READER, "    memcpy(window, reader->window + passed, kept);\n", ""),
    ],
    "an error of who reads ahead is swallowed": [
        (AHEAD, "return ahead->status == KV_OK ? KV_OK : kvi_files_fail(ahead->status, \"%s\", ahead->reason);", "return KV_OK;"),
    ],
    "counts of keys are written to the wrong place": [
        (FRAME, "        encode_counts(counts, bytes + COUNTS_OFFSET);\n", "        encode_counts(counts, bytes + COUNTS_OFFSET + 4);\n"),
    ],
    "a read does not wait for the write that it saw": [
        (COMMIT, "return executor->awaited > wal->durable ? executor->awaited : 0;", "return executor->turn_cost > 0 ? executor->awaited : 0;"),
    ],
}


def read(folder, path):
    with open(os.path.join(folder, path), encoding="utf-8") as file:
        return file.read()


def write(folder, path, text):
    with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
        file.write(text)


def misfits():
    found = []
    for name, edits in MUTANTS.items():
        for path, code, replacement in edits:
            count = read(SOURCE, path).count(code)
            if count != 1:
                found.append(f"{name}: in {path} this stands {count} times, not once:\n{code}")
            if code == replacement:
                found.append(f"{name}: changes nothing")
    return found


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def prepare(folder):
    """A copy of the tracked files, configured and built once."""
    source = os.path.join(folder, "source")
    build = os.path.join(folder, "build")
    os.makedirs(source, exist_ok=True)
    files = run("git", "-C", SOURCE, "ls-files", "-z").stdout.split("\0")
    for path in filter(None, files):
        # What is the same stays as old as it is, and what an earlier mutant left becomes new: else it is not compiled.
        target = os.path.join(source, path)
        if not os.path.exists(target) or not filecmp.cmp(os.path.join(SOURCE, path), target, shallow=False):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(os.path.join(SOURCE, path), target)
    if not os.path.exists(os.path.join(build, "build.ninja")):
        done = run("/usr/bin/meson", "setup", build, source, "--buildtype=debugoptimized", "-Dtests=enabled",
                   "-Dbenchmarks=disabled")
        if done.returncode != 0:
            sys.exit(done.stdout + done.stderr)
    return source, build


def test(build):
    """None if all tests pass, or else what failed first."""
    targets = [f"tests/{folder}/{name}" for folder, names in FOLDERS.items() for name in names]
    done = run("/usr/bin/ninja", "-C", build, *targets)
    if done.returncode != 0:
        sys.exit(f"does not build:\n{done.stdout[-3000:]}")
    for target in targets:
        try:
            done = run(os.path.join(build, target), cwd=build, timeout=100)
        except subprocess.TimeoutExpired:
            return f"{target} does not end"
        if done.returncode != 0:
            return target
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only look whether the mutants fit the code")
    parser.add_argument("--folder", default=os.path.join(SOURCE, "build-test", "mutants"))
    parser.add_argument("names", nargs="*", help="of mutants, in part")
    options = parser.parse_args()
    found = misfits()
    if options.check or found:
        print(f"{'not ok' if found else 'ok'} 1 - every mutant fits the code\n1..1")
        for finding in found:
            print("#", finding.replace("\n", "\n# "))
        sys.exit(1 if found else 0)
    source, build = prepare(options.folder)
    failure = test(build)
    if failure is not None:
        sys.exit(f"without a mutant fails {failure}")
    survivors = 0
    chosen = [n for n in MUTANTS if not options.names or any(part in n for part in options.names)]
    for name in chosen:
        begun = time.time()
        for path, code, replacement in MUTANTS[name]:
            write(source, path, read(source, path).replace(code, replacement))
        killer = test(build)
        for path, _, _ in MUTANTS[name]:
            write(source, path, read(SOURCE, path))
        survivors += killer is None
        print(f"{'SURVIVES' if killer is None else 'caught  '} {name}: {killer} ({time.time() - begun:.0f} s)", flush=True)
    print(f"{len(chosen) - survivors} caught, {survivors} survive")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
