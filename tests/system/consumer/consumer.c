/* SPDX-License-Identifier: MIT */
/* A program of somebody who has only what `make install` leaves. */
#include <stdio.h>
#include <string.h>

#include "kv_status.h"
#include <concordkv/kv_version.h>

int main(void)
{
    if (strcmp(kv_version(), KV_VERSION_STRING) != 0) {
        return 1;
    }
    puts(kv_status_text(KV_OK));
    return 0;
}
