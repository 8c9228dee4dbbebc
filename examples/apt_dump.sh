#!/bin/sh
# SPDX-License-Identifier: MIT
# examples/apt_dump.sh PORT [FILE]: puts every package that apt knows (or the records in FILE) into the server on
# 127.0.0.1:PORT with redis-cli --pipe, and reads each record back byte for byte.
set -eu
if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: examples/apt_dump.sh PORT [FILE]" >&2
    exit 1
fi
port=$1
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ $# -eq 2 ]; then
    dump=$2
else
    dump=$folder/dump
    apt-cache dumpavail >"$dump"
fi
if [ ! -s "$dump" ]; then
    echo "apt_dump.sh: no records: run apt-get update first" >&2
    exit 1
fi

"$here/dump_to_resp" <"$dump" >"$folder/resp"
redis-cli -p "$port" --pipe <"$folder/resp"
echo "keys in the server: $(redis-cli -p "$port" dbsize)"
"$here/verify" --port "$port" <"$dump"
