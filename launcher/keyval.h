/* keyval.h - QEMU's "key=value,list" and JSON option arguments as JsonObjects, and typed access to
 * them with messages that name the option, the key and the value.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_KEYVAL_H
#define KILN_LAUNCHER_KEYVAL_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Reads @text: an object of JSON when it begins with '{', else "key=value,…" with ",," for a comma
 * inside a value. A first word without '=' is the value of @implied_key (when not NULL), any other
 * such word is a switch: "word" is word=on, "nowait" and "nodelay" are wait=off and delay=off.
 * A key given again replaces the value, but hostfwd, guestfwd and value collect theirs, joined by
 * newlines.
 * @what names the option in messages ("-device"). The caller owns the result; NULL with @err. */
JsonObject *keyval_parse(const char *what, const char *text, const char *implied_key, GError **err);

/* Refuses the first member of @obj that is not in @legal (NULL-terminated), with the nearest one.
 */
bool keyval_check(const char *what, JsonObject *obj, const char *const *legal, GError **err);

/* The member as text, NULL when absent or not a string. Owned by @obj. */
const char *keyval_text(JsonObject *obj, const char *key);

/* These leave *ret alone when @key is absent, and refuse what is not of the kind or outside the
 * limits. Text and JSON numbers or booleans are both understood. Sizes take the suffixes B K M G T
 * P; a bare number counts in @unit bytes. */
bool keyval_bool(const char *what, JsonObject *obj, const char *key, bool *ret, GError **err);
bool keyval_uint(const char *what, JsonObject *obj, const char *key, uint64_t min, uint64_t max,
                 uint64_t *ret, GError **err);
bool keyval_size(const char *what, JsonObject *obj, const char *key, uint64_t unit, uint64_t *ret,
                 GError **err);

/* Index of the member's value in @names, *ret left alone when absent. */
bool keyval_enum(const char *what, JsonObject *obj, const char *key, const char *const *names,
                 int *ret, GError **err);

/* The members as a table of char * to char * (both owned by it), as device_new() and others take
 * properties: numbers in decimal, booleans "on" and "off". An array of strings, or of objects with
 * one string "str", becomes its elements joined by newlines. Refuses deeper nesting by name. */
GHashTable *keyval_table(const char *what, JsonObject *obj, GError **err);

/* "text" with every comma doubled, so that keyval_parse() gives it back. The caller frees. */
char *keyval_escape(const char *text);

/* The word of @words (NULL-terminated) that @word was probably meant to be, or NULL. */
const char *keyval_nearest(const char *word, const char *const *words);

#endif
