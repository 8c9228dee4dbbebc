/* SPDX-License-Identifier: MIT */
/* Sections of INFO that stand beside their commands. */
#ifndef KVI_SERVER_INFO_H
#define KVI_SERVER_INFO_H

#include "resp/text.h"
#include "server/command.h"

void kvi_info_persistence(const kvi_request_t *request, kvi_text_t *text);
void kvi_info_keyspaces(const kvi_request_t *request, kvi_text_t *text);

#endif
