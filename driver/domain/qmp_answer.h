/* qmp_answer.h - answers of a VMM that are lists, read without trust in their shape.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_QMP_ANSWER_H
#define KILN_DRIVER_DOMAIN_QMP_ANSWER_H

#include "driver/domain/qmp.h"

/* As qmp_execute() with the daemon's usual patience, for a command that answers with a list: NULL
 * with @err set otherwise. The list lives as long as *ret_owner, which the caller frees. */
JsonArray *qmp_execute_list(Qmp *qmp, const char *command, JsonObject *arguments,
                            JsonNode **ret_owner, GError **err);

/* Element @i, or NULL when it is no object. The list's. */
JsonObject *qmp_element(JsonArray *list, guint i);
/* A member of @object (NULL: of nothing): "" or 0 when it is missing or of another kind. */
const char *qmp_text(JsonObject *object, const char *name);
JsonObject *qmp_object(JsonObject *object, const char *name);
int64_t qmp_number(JsonObject *object, const char *name);

#endif
