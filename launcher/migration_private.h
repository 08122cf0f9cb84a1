/* migration_private.h - one saving or loading of a guest, shared by the two sides of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_MIGRATION_PRIVATE_H
#define KILN_LAUNCHER_MIGRATION_PRIVATE_H

#include "launcher/migration.h"
#include "launcher/state.h"
#include "launcher/state_ram.h"

typedef enum {
    MIGRATION_ACTIVE,
    MIGRATION_CANCELLING,
    MIGRATION_CANCELLED,
    MIGRATION_COMPLETED,
    MIGRATION_FAILED
} MigrationStatus;

struct Migration {
    Vm *vm;
    int fd;
    bool incoming, fatal;
    bool was_running; /* outgoing: to be set going after a failure; incoming: as it was saved */
    bool resume;
    bool hands_over; /* outgoing: another kiln-vmm reads it, and takes the images as well */
    bool live;       /* outgoing: the guest runs while its memory is sent */
    VmState before;  /* outgoing */
    MigrationStatus status;
    gint64 begun, ended, stopped; /* us; stopped 0: the guest runs */
    GThread *thread;              /* NULL: it has ended */
    gint cancel;                  /* atomic */
    State *state;                 /* the thread's while there is one, as is error */
    GError *error;
    StateRamProgress progress;
    uint64_t bytes; /* atomic: in the stream so far */

    /* A guest that runs is sent in rounds. Between two the thread asks the main thread what has
     * been written meanwhile, and waits for the answer in the next five. */
    GMutex lock;
    GCond answered;
    bool asked;        /* guarded by lock */
    bool last;         /* the guest stands still now: this round is the last */
    uint64_t **pages;  /* bitmaps by stretch, as guest_memory_log_take() fills them */
    size_t n_pages;    /* of those */
    uint64_t rate;     /* atomic: bytes a second in the latest round */
    uint64_t rounds;   /* atomic: begun */
    uint64_t expected; /* atomic: ms that the guest would stand still for if it stopped now */
    gint64 paced_from; /* us: the thread's, with the next */
    uint64_t paced_bytes;
};

void migration_set_status(Migration *m, MigrationStatus status);
/* Waits for the thread and closes the descriptor. */
void migration_finish_thread(Migration *m);
/* Makes the guest's migration anew; the one before, which is over, is forgotten. */
Migration *migration_begin(Vm *vm, int fd, bool incoming);
/* migration_send.c: the thread does not wait for an answer any more. */
void migration_wake(Migration *m);

#endif
