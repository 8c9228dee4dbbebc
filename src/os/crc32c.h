/* SPDX-License-Identifier: MIT */
/*
 * CRC-32C, by the processor's instruction where there is one. In src/os because only here stands
 * #if. Any thread.
 */
#ifndef KVI_OS_CRC32C_H
#define KVI_OS_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues crc, 0 at the beginning, over these bytes; so the checksum of two pieces in a row is
 * that of the whole. */
uint32_t kvi_crc32c(uint32_t crc, const void *bytes, size_t size);
/* The same by a table, for machines without the instruction and for the test that compares. */
uint32_t kvi_crc32c_portable(uint32_t crc, const void *bytes, size_t size);

#endif
