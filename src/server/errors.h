/* SPDX-License-Identifier: MIT */
/* The error texts of the data commands, letter by letter those of Redis 7.0: clients match on them.
 * The commonest ones are behind kvi_reply_syntax_error and kvi_reply_status_error. */
#ifndef KVI_SERVER_ERRORS_H
#define KVI_SERVER_ERRORS_H

static const char kvi_error_not_integer[] = "ERR value is not an integer or out of range";
static const char kvi_error_not_float[] = "ERR value is not a valid float";
static const char kvi_error_nan[] = "ERR increment would produce NaN or Infinity";
static const char kvi_error_decrement[] = "ERR decrement would overflow";
static const char kvi_error_offset[] = "ERR offset is out of range";
static const char kvi_error_too_long[] =
    "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
static const char kvi_error_arity_of[] = "ERR wrong number of arguments for '%s' command";
static const char kvi_error_expire_time_of[] = "ERR invalid expire time in '%s' command";
static const char kvi_error_expire_option[] = "ERR Unsupported option %.*s";
static const char kvi_error_expire_nx[] =
    "ERR NX and XX, GT or LT options at the same time are not compatible";
static const char kvi_error_expire_gt_lt[] =
    "ERR GT and LT options at the same time are not compatible";
static const char kvi_error_no_key[] = "ERR no such key";
static const char kvi_error_same_object[] = "ERR source and destination objects are the same";
static const char kvi_error_db_range[] = "ERR DB index is out of range";
static const char kvi_error_db_integer[] =
    "ERR value is out of range, value must between -2147483648 and 2147483647";
static const char kvi_error_cursor[] = "ERR invalid cursor";
static const char kvi_error_not_lfu[] =
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that "
    "when switching between policies at runtime LRU and LFU data will take some time to adjust.";
static const char kvi_error_is_lfu[] =
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when "
    "switching between policies at runtime LRU and LFU data will take some time to adjust.";
static const char kvi_error_lcs_both[] =
    "ERR If you want both the length and indexes, please just use IDX.";
static const char kvi_error_lcs_memory[] =
    "ERR Insufficient memory, failed allocating transient memory for LCS";
static const char kvi_error_lcs_limit[] =
    "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";

static const char kvi_error_misconf_of[] = "MISCONF Errors writing to the AOF file: %s";
static const char kvi_error_quota[] =
    "OOM command not allowed when used memory > quota of the keyspace.";
static const char kvi_error_inside_multi[] = "ERR Command not allowed inside a transaction";
static const char kvi_error_atomic_of[] =
    "ERR '%s' cannot be undone and is not allowed in MULTI ATOMIC";
static const char kvi_error_no_keyspace[] = "ERR the selected keyspace was dropped; SELECT another";
static const char kvi_error_memory_only[] =
    "ERR this server keeps its data in memory only; --dir gives it a directory";
static const char kvi_error_loading[] = "LOADING Redis is loading the dataset in memory";
static const char kvi_error_oom[] = "OOM command not allowed when used memory > 'maxmemory'.";

#endif
