/* SPDX-License-Identifier: MIT */
/* The keys, values and orders of kvbench's work. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "kvbench/work.h"

#define ZIPF_THETA 0.99

static uint64_t mix(uint64_t number)
{
    kvi_random_t random = {number};
    return kvi_random_next(&random);
}

/* As db_bench has it: zeros, then the number, as many digits as the key has bytes. */
static void write_decimal(uint64_t number, char *buffer, size_t size)
{
    for (size_t i = size; i > 0; i--) {
        buffer[i - 1] = (char)('0' + number % 10);
        number /= 10;
    }
}

kv_slice_t work_key(const work_t *work, uint64_t number, char *buffer)
{
    const work_options_t *const options = work->options;
    uint64_t word = mix(number);
    const uint64_t spread = options->key_bytes_max - options->key_bytes_min + 1;
    const size_t size = options->key_bytes_min + (size_t)((word >> 40) % spread);
    if (options->decimal) {
        write_decimal(number, buffer, size);
        return (kv_slice_t){buffer, size};
    }
    if (work->sequential) {
        word = __builtin_bswap64(number);
    }
    for (size_t i = 0; i < size; i += sizeof word) {
        memcpy(buffer + i, &word, sizeof word);
        word = word * UINT64_C(0x9e3779b97f4a7c15) + number;
    }
    return (kv_slice_t){buffer, size};
}

kv_slice_t work_value(const work_t *work, uint64_t number, uint64_t version)
{
    const work_options_t *const options = work->options;
    const uint64_t word = number * UINT64_C(0xbf58476d1ce4e5b9);
    const uint64_t spread = options->value_bytes_max - options->value_bytes_min + 1;
    const size_t size = options->value_bytes_min + (size_t)((word >> 40) % spread);
    return (kv_slice_t){work->values + (number + version) % WORK_VALUE_OFFSETS, size};
}

/* A shuffle of Fisher and Yates: the numbers below count in an order that is as good as any. */
uint32_t *work_order(size_t count)
{
    uint32_t *const numbers = malloc(count * sizeof *numbers);
    kvi_random_t random = {2};
    for (size_t i = 0; numbers != NULL && i < count; i++) {
        const uint32_t other = kvi_random_below(&random, (uint32_t)i + 1);
        numbers[i] = numbers[other];
        numbers[other] = (uint32_t)i;
    }
    return numbers;
}

/* ---- Zipf ---- */

static double zeta(size_t count, double theta)
{
    double sum = 0;
    for (size_t i = 1; i <= count; i++) {
        sum += pow(1 / (double)i, theta);
    }
    return sum;
}

/* The method of Gray and others, Quickly Generating Billion-Record Synthetic Databases, 1994. Ranks
 * are dealt out over the numbers by an order, so that popular keys are no neighbours. */
uint32_t *work_zipf(const uint32_t *order, size_t count)
{
    uint32_t *const numbers = malloc(count * sizeof *numbers);
    kvi_random_t random = {1};
    if (numbers == NULL) {
        return NULL;
    }
    const double n = (double)count;
    const double zeta_n = zeta(count, ZIPF_THETA);
    const double alpha = 1 / (1 - ZIPF_THETA);
    const double eta =
        (1 - pow(2 / n, 1 - ZIPF_THETA)) / (1 - zeta(count < 2 ? count : 2, ZIPF_THETA) / zeta_n);
    for (size_t i = 0; i < count; i++) {
        const double u = (double)(kvi_random_next(&random) >> 11) / 9007199254740992.0;
        const double uz = u * zeta_n;
        double rank = n * pow(eta * u - eta + 1, alpha);
        if (uz < 1 || count < 3) {
            rank = 0;
        } else if (uz < 1 + pow(0.5, ZIPF_THETA)) {
            rank = 1;
        }
        const size_t place = rank < n ? (size_t)rank : count - 1;
        numbers[i] = order[place];
    }
    return numbers;
}
