/* qmp.h - the daemon's end of a guest's QMP socket.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_QMP_H
#define KILN_DRIVER_DOMAIN_QMP_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

#include "util/ioloop.h"

/* Reference-counted; any thread may execute commands, several at once. */
typedef struct Qmp Qmp;

/* Both run in the thread of the loop given to qmp_connect(), never at the same time, and must
 * not execute commands. */
typedef struct {
    /* @data is NULL when the event has none. */
    void (*event)(void *opaque, const char *name, JsonObject *data);
    /* The other side has gone, or spoke nonsense (@reason). Once, last; not after qmp_close(). */
    void (*closed)(void *opaque, const char *reason);
} QmpOps;

/* Connects to the socket at @path; reading goes on in @loop, which must outlive it. Does not wait
 * for the greeting. @opaque must live until qmp_close() has returned. */
Qmp *qmp_connect(const char *path, IoLoop *loop, const QmpOps *ops, void *opaque, GError **err);

/* Waits at most until @deadline (monotonic microseconds) for the greeting, then leaves the
 * negotiation. @cancel, which may be NULL, is asked every 50 ms and ends the wait when true (the
 * process is gone). Errors: VIR_ERR_OPERATION_TIMEOUT, VIR_ERR_INTERNAL_ERROR. */
bool qmp_handshake(Qmp *qmp, gint64 deadline, bool (*cancel)(void *opaque), void *opaque,
                   GError **err);

/* Executes @command with @arguments (taken over, may be NULL) and waits at most @seconds. The
 * "return" member as a node the caller frees. A refusal by the VMM is VIR_ERR_INTERNAL_ERROR with
 * its text; its class is not kept. */
JsonNode *qmp_execute(Qmp *qmp, const char *command, JsonObject *arguments, unsigned seconds,
                      GError **err);

/* The same, with a copy of @fd for the VMM (getfd, add-fd). */
JsonNode *qmp_execute_fd(Qmp *qmp, const char *command, JsonObject *arguments, int fd,
                         unsigned seconds, GError **err);

/* As qmp_execute() where nothing is expected back. */
bool qmp_command(Qmp *qmp, const char *command, JsonObject *arguments, unsigned seconds,
                 GError **err);

/* Sends a whole command object (its "id" is replaced), with @fd unless that is -1, and returns the
 * whole reply, refusals included. The caller unrefs. */
JsonObject *qmp_execute_raw(Qmp *qmp, JsonObject *command, int fd, unsigned seconds, GError **err);

bool qmp_is_open(Qmp *qmp);

/* Closes the socket; waiting commands fail. Returns once no callback runs any more, unless called
 * from one. */
void qmp_close(Qmp *qmp);

Qmp *qmp_ref(Qmp *qmp);
void qmp_unref(Qmp *qmp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qmp, qmp_unref)

#endif
