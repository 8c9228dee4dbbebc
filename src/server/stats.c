/* SPDX-License-Identifier: MIT */
/* The server's counters and the rates made of them. */
#include "server/stats.h"

#include <string.h>

void kvi_stats_error(kvi_stats_t *stats, const char *text, size_t size)
{
    stats->error_replies++;
    size_t length = 0;
    while (length < size && length < KVI_STATS_ERROR_BYTES - 1 && text[length] != ' ' &&
           text[length] != '\r') {
        length++;
    }
    for (size_t i = 0; i < stats->error_kinds; i++) {
        kvi_error_stats_t *const row = &stats->errors[i];
        if (strlen(row->code) == length && memcmp(row->code, text, length) == 0) {
            row->count++;
            return;
        }
    }
    if (stats->error_kinds < KVI_STATS_ERRORS && length > 0) {
        kvi_error_stats_t *const row = &stats->errors[stats->error_kinds++];
        memcpy(row->code, text, length);
        row->code[length] = '\0';
        row->count = 1;
    }
}

void kvi_stats_reset(kvi_stats_t *stats)
{
    *stats = (kvi_stats_t){0};
}

static void add_sample(kvi_rate_t *rate, uint64_t count, uint64_t elapsed_ms)
{
    const uint64_t more = count - rate->last_count;
    rate->last_count = count;
    rate->per_second[rate->next] = elapsed_ms > 0 ? more * 1000 / elapsed_ms : 0;
    rate->next = (rate->next + 1) % KVI_STATS_SAMPLES;
}

void kvi_stats_tick(kvi_stats_t *stats, uint64_t elapsed_ms)
{
    add_sample(&stats->command_rate, stats->commands, elapsed_ms);
    add_sample(&stats->input_rate, stats->input_bytes, elapsed_ms);
    add_sample(&stats->output_rate, stats->output_bytes, elapsed_ms);
}

uint64_t kvi_rate_per_second(const kvi_rate_t *rate)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < KVI_STATS_SAMPLES; i++) {
        sum += rate->per_second[i];
    }
    return sum / KVI_STATS_SAMPLES;
}
