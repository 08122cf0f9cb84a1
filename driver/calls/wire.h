/* wire.h - filling the structs of driver/protocol: objects, strings, typed parameters.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CALLS_WIRE_H
#define KILN_DRIVER_CALLS_WIRE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/protocol/types.h"

/* Fills a zeroed struct with copies. @id is -1 for a domain that is not active. */
void wire_domain_set(WireDomain *wire, const char *name, const uint8_t uuid[16], int id);
void wire_network_set(WireNetwork *wire, const char *name, const uint8_t uuid[16]);
void wire_secret_set(WireSecret *wire, const uint8_t uuid[16], int usage_type,
                     const char *usage_id);
void wire_pool_set(WirePool *wire, const char *name, const uint8_t uuid[16]);
void wire_volume_set(WireVolume *wire, const char *pool, const char *name, const char *key);

/* An optional string: NULL for NULL, else a copy. */
WireOptString wire_opt_string(const char *text);
/* The text of an optional string, or NULL; borrowed. */
const char *wire_opt_text(WireOptString text);

/* Moves the elements of a GPtrArray of char * into a result's array of strings, at most @max.
 * Frees the array and the strings that did not fit. */
void wire_names_steal(GPtrArray *names, guint max, u_int *ret_len, WireString **ret_val);

/* Copies @text with its trailing NUL into a result's array of char (four bytes each on the wire:
 * security labels and models). */
void wire_chars_set(const char *text, u_int *ret_len, char **ret_val);

/* A growing list of typed parameters. Field names are copied, as are strings. */
typedef struct WireParams WireParams;
WireParams *wire_params_new(void);
void wire_params_free(WireParams *params);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WireParams, wire_params_free)
void wire_params_add_int(WireParams *params, const char *field, int value);
void wire_params_add_uint(WireParams *params, const char *field, unsigned int value);
void wire_params_add_boolean(WireParams *params, const char *field, bool value);
void wire_params_add_llong(WireParams *params, const char *field, int64_t value);
void wire_params_add_ullong(WireParams *params, const char *field, uint64_t value);
void wire_params_add_string(WireParams *params, const char *field, const char *value);
guint wire_params_count(const WireParams *params);
/* Moves the list into a result's array and frees @params. */
void wire_params_steal(WireParams *params, u_int *ret_len, WireTypedParam **ret_val);

/* The parameter named @field in a client's list, or NULL. */
const WireTypedParam *wire_params_find(const WireTypedParam *params, guint n_params,
                                       const char *field);

#endif
