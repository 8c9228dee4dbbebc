/* SPDX-License-Identifier: MIT */
/* Sections of INFO that stand beside their commands. */
#ifndef KVI_SERVER_INFO_H
#define KVI_SERVER_INFO_H

#include "resp/text.h"
#include "server/command.h"

void kvi_info_persistence(const kvi_request_t *request, kvi_text_t *text);
/* The bytes of a keyspace, those of its index of deadlines apart from the engine's. */
size_t kvi_keyspace_split_memory(kvi_keyspace_t *keyspace, kv_engine_memory_t *memory);
void kvi_info_keyspaces(const kvi_request_t *request, kvi_text_t *text);

#endif
