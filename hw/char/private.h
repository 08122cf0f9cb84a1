/* private.h - the inside of a Chardev, for the files of the common part.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CHAR_PRIVATE_H
#define KILN_HW_CHAR_PRIVATE_H

#include "hw/char/backend.h"

typedef struct ChardevMux ChardevMux;

struct Chardev {
    Machine *machine;
    char *id;
    const ChardevBackend *backend;
    GHashTable *options; /* char * to char *, owned */
    void *state;

    /* Main thread. */
    GSource *source;
    gpointer in_tag, out_tag, watch_tag;
    GIOCondition in_events, out_events;
    int in, out, watch;
    bool in_waits; /* at its end, not read yet, and not asked for until there is room */
    bool fd_passing;
    const ChardevFrontend *frontend;
    void *frontend_opaque;
    ChardevMux *mux; /* the front ends of one with mux=on; NULL: one at most */
    int log;         /* logfile, -1 for none */
    int64_t wake_at;
    bool announced; /* the front end has heard that it is open */

    GMutex lock; /* all below */
    bool open;
    bool frontend_open;
    bool full;       /* a writer was turned away */
    uint8_t *buffer; /* ring of CHARDEV_BUFFER bytes */
    size_t head, len;
};

/* chardev.c: the main loop's source of a new chardev; and one last try to write what is buffered.
 */
void chardev_add_source(Chardev *chardev);
void chardev_flush(Chardev *chardev);

/* mux.c: the front end, whose opaque is the Chardev, that stands for the several added here. */
extern const ChardevFrontend chardev_mux_frontend;
ChardevMux *chardev_mux_new(void);
void chardev_mux_free(ChardevMux *mux);
void chardev_mux_add(ChardevMux *mux, const ChardevFrontend *frontend, void *opaque);
/* True while others are left. */
bool chardev_mux_remove(ChardevMux *mux, const void *opaque);
/* The time that stands before output, none in the middle of a line or unless asked for; returns its
 * length. Then: what was written, and whether it ended a line. With the chardev's lock. */
enum { CHARDEV_STAMP = 32 };
size_t chardev_mux_stamp(const ChardevMux *mux, char *ret);
void chardev_mux_stamped(ChardevMux *mux, bool line_ended);

#endif
