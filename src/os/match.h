/* SPDX-License-Identifier: MIT */
/*
 * Which of sixteen bytes are equal to one byte, as a bit mask: bit i for byte i. One instruction
 * each to compare and to gather on x86, a short detour on ARM, plain words elsewhere. In src/os
 * because only here stands #if.
 */
#ifndef KVI_OS_MATCH_H
#define KVI_OS_MATCH_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>

static inline uint32_t kvi_os_match16(const void *bytes, uint8_t byte)
{
    const __m128i all = _mm_loadu_si128((const __m128i *)bytes);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(all, _mm_set1_epi8((char)byte)));
}

#elif defined(__aarch64__)
#include <arm_neon.h>

static inline uint32_t kvi_os_match16(const void *bytes, uint8_t byte)
{
    static const uint8_t weights[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t equal = vceqq_u8(vld1q_u8((const uint8_t *)bytes), vdupq_n_u8(byte));
    const uint8x16_t bits = vandq_u8(equal, vld1q_u8(weights));
    return (uint32_t)vaddv_u8(vget_low_u8(bits)) | (uint32_t)vaddv_u8(vget_high_u8(bits)) << 8;
}

#else

static inline uint32_t kvi_os_match16(const void *bytes, uint8_t byte)
{
    unsigned char copy[16];
    uint32_t mask = 0;
    memcpy(copy, bytes, sizeof copy);
    for (uint32_t i = 0; i < 16; i++) {
        mask |= (uint32_t)(copy[i] == byte) << i;
    }
    return mask;
}

#endif

#endif
