/* SPDX-License-Identifier: MIT */
/* Commands about the server as a whole. */
#include <time.h>

#include "base/decimal.h"
#include "server/arguments.h"
#include "server/commands.h"
#include "server/server.h"

void kvi_cmd_dbsize(kvi_request_t *request)
{
    kvi_reply_integer(request->reply, (int64_t)kvi_keyspace_count(request->keyspace));
}

void kvi_cmd_time(kvi_request_t *request)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    char text[2][KVI_DECIMAL_BYTES_MAX + 1];
    *kvi_decimal_write(text[0], (uint64_t)now.tv_sec) = '\0';
    *kvi_decimal_write(text[1], (uint64_t)now.tv_nsec / 1000) = '\0';
    kvi_reply_array(request->reply, 2);
    kvi_reply_bulk_string(request->reply, text[0]);
    kvi_reply_bulk_string(request->reply, text[1]);
}
