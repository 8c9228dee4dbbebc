/* SPDX-License-Identifier: MIT */
/* The functions behind the rows of commands.def, declared from those rows. */
#ifndef KVI_SERVER_COMMANDS_H
#define KVI_SERVER_COMMANDS_H

#include "server/command.h"

#define COMMAND(name, function, arity, flags, first, last, step, group, since, summary, arguments) \
    void function(kvi_request_t *request);
#include "server/commands.def"
#undef COMMAND

#endif
