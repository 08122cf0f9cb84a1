/* props.h - properties of a device: text into its state struct, by the class's tables.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CORE_PROPS_H
#define KILN_HW_CORE_PROPS_H

#include "hw/core/device.h"

/* Sets every property of @dev's class and its bases from @props (char * to char *) or its fallback.
 * "driver", "id" and "bus" are skipped. Refuses, by name, what no table knows (suggesting the
 * nearest name), what is required and missing, and bad values. What was set is undone by
 * props_clear(). */
bool props_apply(Device *dev, GHashTable *props, GError **err);
/* Frees strings and releases claimed objects. */
void props_clear(Device *dev);

/* The object that the first property of @kind names; NULL: none was given, or there is no such
 * property. */
void *props_object(Device *dev, PropKind kind);

const char *props_kind_name(PropKind kind);

/* Number of single-character edits between two names; for "did you mean". */
unsigned props_distance(const char *a, const char *b);

#endif
