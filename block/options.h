/* options.h - the options of one -blockdev object, taken one by one.
 *
 * A driver takes what it knows; what is left at the end is refused by name, so that no option is
 * dropped in silence.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_OPTIONS_H
#define KILN_BLOCK_OPTIONS_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct BlockOptions BlockOptions;

/* Nested objects become dotted keys ("cache": {"direct": true} is "cache.direct"), elements of
 * arrays have their number as key, null is the empty text. */
BlockOptions *block_options_new(JsonObject *object, GError **err);
void block_options_free(BlockOptions *opts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockOptions, block_options_free)

/* The text of @key, or NULL; the caller frees it. */
char *block_options_take(BlockOptions *opts, const char *key);

/* Sets @key to @value unless it is there. */
void block_options_default(BlockOptions *opts, const char *key, const char *value);
bool block_options_has(const BlockOptions *opts, const char *key);

/* Each leaves *ret alone when @key is absent, and fails naming key, value and what it may be. */
bool block_options_take_bool(BlockOptions *opts, const char *key, bool *ret, GError **err);
bool block_options_take_size(BlockOptions *opts, const char *key, uint64_t *ret, GError **err);
/* @names is NULL-terminated; *ret is an index into it. */
bool block_options_take_enum(BlockOptions *opts, const char *key, const char *const *names,
                             int *ret, GError **err);

/* The options below @prefix ("file" takes "file.driver" as "driver"); NULL when there are none. */
BlockOptions *block_options_take_sub(BlockOptions *opts, const char *prefix);

/* Fails if anything is left, naming one such option and @driver. */
bool block_options_finish(const BlockOptions *opts, const char *driver, GError **err);

#endif
