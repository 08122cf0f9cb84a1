/* qmp_dispatch.h - finds a QMP command in a table, checks its arguments, runs it, words the answer.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_QMP_DISPATCH_H
#define KILN_LAUNCHER_QMP_DISPATCH_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

typedef struct QmpSession QmpSession;

/* Runs a command with checked @args; returns its value (the caller's; NULL with @err unset is the
 * empty object), or sets @err. */
typedef JsonNode *(*QmpHandler)(QmpSession *session, JsonObject *args, GError **err);

typedef struct {
    const char *name;
    QmpHandler handler; /* NULL: refused, @arguments says why */
    /* "name:type,?optional:type,…"; types: str int bool any; NULL: none; "...": the handler checks
     */
    const char *arguments;
} QmpCommand;

typedef struct {
    const QmpCommand *commands;
    size_t n_commands;
} QmpCommandTable;

/* Answers @message. @negotiated: qmp_capabilities was run; set by it. The caller owns the result.
 */
JsonObject *qmp_dispatch(const QmpCommandTable *table, QmpSession *session, bool *negotiated,
                         JsonObject *message);

/* Runs command @name as if a client had sent it; its value as a handler gives it. Main thread. */
JsonNode *qmp_call(const QmpCommandTable *table, QmpSession *session, const char *name,
                   JsonObject *args, GError **err);

/* {"error": {"class": @class, "desc": @desc}, "id": @id}; @id may be NULL and is copied. */
JsonObject *qmp_error(const char *class, const char *desc, JsonNode *id);

#endif
