# SPDX-License-Identifier: MIT
"""What kvbench is asked for, and the goals of the engines as data.

A goal is a share of a peer's figure from the same run, or an absolute figure. Where the goal was set
against a peer that is no Debian package, the share is that goal divided by what the peer here took
when the goals were set: 1.05 x Verstable's 138 ns is 0.58 of absl's 252. No other figure of a peer is
written here.
"""

GROUPS = ["readrandom", "readgroup"]

# Keys are random bytes, or decimal: their numbers in digits, as db_bench and most applications have
# them. The goals do not say which. Random bytes have next to nothing in common, which is the harder
# case of an engine that stores common prefixes once; the goal of 43.4 bytes an entry for ascending
# keys can only have been measured with keys like decimal ones.
#   name         entries     keys      stores                              benchmarks
RUNS = [
    ("hash", 1000000, "16", ["hash", "absl", "glib", "std"],
     ["fillrandom", *GROUPS, "overwritegroup", "delete"]),
    ("bptree", 1000000, "16", ["bptree", "lmdb", "abslbtree"],
     ["fillrandom", *GROUPS, "seek", "scan100", "iterate", "deletehalf", "fillseq"]),
    ("bptree-decimal", 1000000, "16 decimal", ["bptree", "lmdb", "abslbtree"],
     ["fillrandom", *GROUPS, "scan100", "iterate", "fillseq"]),
    ("rbtree", 1000000, "16", ["rbtree", "bsdtree"], ["fillrandom", *GROUPS, "iterate"]),
    ("memtable", 1000000, "16", ["memtable", "rocksdb", "leveldb"], ["fillrandom", *GROUPS, "iterate"]),
    ("array-16", 16, "16", ["array", "vector", "flatmap"], ["readrandom"]),
    ("array-128", 128, "16", ["array", "vector", "flatmap"], ["readrandom"]),
    ("array-1000", 1000, "16", ["array", "vector", "flatmap"], ["readrandom", "readmissing"]),
    ("array-20000", 20000, "16", ["array"], ["fillrandom"]),
    ("mixed-keys", 1000000, "20-40", ["hash", "bptree"], ["fillrandom"]),
    ("large", 10000000, "16", ["hash"], ["putlatency"]),
]
ONCE = {"large", "mixed-keys", "array-20000"}  # one run says enough


class Of:
    """At most share of what the peer takes in one of its benchmarks (default: the same as ours)."""

    def __init__(self, share, peer, benchmark=None, text=None):
        self.share, self.peer, self.benchmark, self.text = share, peer, benchmark, text


class OfBetter(Of):
    """At most share of the faster one of all peers."""

    def __init__(self, share):
        super().__init__(share, None)


class Above:
    """At most so many bytes an entry above key and value."""

    def __init__(self, bytes_above):
        self.bytes_above = bytes_above


class AtMost:
    def __init__(self, limit, unit):
        self.limit, self.unit = limit, unit


class Nameless:
    """Set against a peer that has no figure here: shown, not judged."""

    def __init__(self, text):
        self.text = text


#   what                                        run       engine      benchmark         figure   goal
ROWS = [
    ("hash: get", "hash", "hash", "readrandom", "ns", Of(1.05 * 138 / 252, "absl", None, "1.05x Verstable")),
    ("hash: get in groups of 16", "hash", "hash", "readgroup", "ns",
     Of(0.36 * 138 / 252, "absl", "readrandom", "0.36x Verstable")),
    ("hash: insert with growth", "hash", "hash", "fillrandom", "ns", Nameless("0.56x hashmap.c")),
    ("hash: overwrite in groups", "hash", "hash", "overwritegroup", "ns", Nameless("0.38x Verstable")),
    ("hash: delete", "hash", "hash", "delete", "ns", Nameless("0.36x Verstable")),
    ("hash: bytes an entry, 1 M", "hash", "hash", "fillrandom", "bytes", Above(15)),
    ("hash: the same, keys of 20 to 40", "mixed-keys", "hash", "fillrandom", "bytes", Above(15)),
    ("hash: the same, 10 M", "large", "hash", "putlatency", "bytes", Above(15)),
    ("hash: longest put of 10 M, in medians", "large", "hash", "putlatency", "longest", AtMost(100, "x")),
    ("bptree: get", "bptree", "bptree", "readrandom", "ns", Of(0.5 * 644 / 794, "lmdb", None, "0.5x Masstree")),
    ("bptree: get in groups of 16", "bptree", "bptree", "readgroup", "ns",
     Of(0.18 * 644 / 794, "lmdb", "readrandom", "0.18x Masstree")),
    ("bptree: random insert", "bptree", "bptree", "fillrandom", "ns",
     Of(0.88 * 351 / 909, "lmdb", None, "0.88x Masstree")),
    ("bptree: sequential insert", "bptree", "bptree", "fillseq", "ns", Nameless("0.96x Masstree")),
    ("bptree: iterate, an entry", "bptree", "bptree", "iterate", "ns", Of(0.25, "lmdb")),
    ("bptree: scan of 100, an entry", "bptree", "bptree", "scan100", "ns", Of(0.28, "lmdb")),
    ("bptree: seek", "bptree", "bptree", "seek", "ns", Nameless("0.45x Masstree")),
    ("bptree: bytes an entry", "bptree", "bptree", "fillrandom", "bytes", Above(1)),
    ("bptree: the same, ascending keys", "bptree", "bptree", "fillseq", "bytes", Above(1)),
    ("bptree: the same, keys of 20 to 40", "mixed-keys", "bptree", "fillrandom", "bytes", Above(1)),
    ("bptree: after deleting half, to before", "bptree", "bptree", "deletehalf", "growth", AtMost(1.3, "x")),
    ("bptree, decimal keys: get", "bptree-decimal", "bptree", "readrandom", "ns",
     Of(0.5 * 644 / 794, "lmdb", None, "0.5x Masstree")),
    ("the same: get in groups of 16", "bptree-decimal", "bptree", "readgroup", "ns",
     Of(0.18 * 644 / 794, "lmdb", "readrandom", "0.18x Masstree")),
    ("the same: random insert", "bptree-decimal", "bptree", "fillrandom", "ns",
     Of(0.88 * 351 / 909, "lmdb", None, "0.88x Masstree")),
    ("the same: iterate, an entry", "bptree-decimal", "bptree", "iterate", "ns", Of(0.25, "lmdb")),
    ("the same: scan of 100, an entry", "bptree-decimal", "bptree", "scan100", "ns", Of(0.28, "lmdb")),
    ("the same: bytes an entry", "bptree-decimal", "bptree", "fillrandom", "bytes", Above(1)),
    ("the same: bytes, ascending keys", "bptree-decimal", "bptree", "fillseq", "bytes", Above(1)),
    ("rbtree: get", "rbtree", "rbtree", "readrandom", "ns", Of(0.67, "bsdtree")),
    ("rbtree: get in groups of 16", "rbtree", "rbtree", "readgroup", "ns", Of(0.18, "bsdtree", "readrandom")),
    ("rbtree: insert", "rbtree", "rbtree", "fillrandom", "ns", Of(0.7, "bsdtree")),
    ("rbtree: iterate, an entry", "rbtree", "rbtree", "iterate", "ns", Of(0.25, "bsdtree")),
    ("rbtree: bytes an entry", "rbtree", "rbtree", "fillrandom", "bytes", AtMost(66, "B")),
    ("memtable: put", "memtable", "memtable", "fillrandom", "ns",
     Of(0.18 * 1986 / 4565, "rocksdb", None, "0.18x LevelDB's class")),
    ("memtable: get", "memtable", "memtable", "readrandom", "ns",
     Of(0.13 * 2618 / 4100, "rocksdb", None, "0.13x LevelDB's class")),
    ("memtable: get in groups of 16", "memtable", "memtable", "readgroup", "ns",
     Of(0.05 * 2618 / 4100, "rocksdb", "readrandom", "0.05x LevelDB's class")),
    ("memtable: iterate, an entry", "memtable", "memtable", "iterate", "ns",
     Of(0.06 * 155 / 262, "rocksdb", None, "0.06x LevelDB's class")),
    ("memtable: bytes an entry", "memtable", "memtable", "fillrandom", "bytes", Above(9)),
    ("array: get among 16", "array-16", "array", "readrandom", "ns", OfBetter(0.8)),
    ("array: get among 128", "array-128", "array", "readrandom", "ns", OfBetter(0.8)),
    ("array: get among 1,000", "array-1000", "array", "readrandom", "ns", OfBetter(0.8)),
    ("array: bytes an entry of 20,000", "array-20000", "array", "fillrandom", "bytes", Above(11)),
]
