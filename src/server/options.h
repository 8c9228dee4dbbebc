/* SPDX-License-Identifier: MIT */
/*
 * The command line and the configuration file: GNU long options made from config.def, and an ini
 * file of the same names. What stands on the command line wins.
 */
#ifndef KVI_SERVER_OPTIONS_H
#define KVI_SERVER_OPTIONS_H

#include "server/config.h"

#define KVI_OPTIONS_MESSAGE_BYTES 512

typedef enum kvi_options_result {
    KVI_OPTIONS_RUN,
    KVI_OPTIONS_HELP,
    KVI_OPTIONS_VERSION,
    KVI_OPTIONS_WRONG /* message says in one line what is wrong and what would be right */
} kvi_options_result_t;

/* Fills config, which kvi_config_open has opened. Uses getopt_long: one thread at a time. */
kvi_options_result_t kvi_options_parse(kvi_config_t *config, int argc, char **argv,
                                       char message[KVI_OPTIONS_MESSAGE_BYTES]);
/* Calls write with each line of --help. */
void kvi_options_help(void (*write)(void *context, const char *line), void *context);

#endif
