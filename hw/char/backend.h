/* backend.h - what a back end of a character device is, and what the common part gives it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CHAR_BACKEND_H
#define KILN_HW_CHAR_BACKEND_H

#include "hw/char/chardev.h"

enum {
    CHARDEV_BUFFER = 64 << 10, /* bytes of output kept while the other end is slow */
    CHARDEV_WRITE = 32 << 10,  /* most bytes of one system call: a datagram takes as many */
    CHARDEV_MAX_FDS = 16,      /* descriptors in one message */
};

typedef struct {
    const char *name; /* "pty" */
    const char *help;
    const char *const *options; /* names of its options beyond id, backend and logfile */
    size_t state_size;
    /* Sets up @chardev from its options; in the main thread. */
    bool (*open)(Chardev *chardev, GError **err);
    /* Undoes open, also a partial one; descriptors given to chardev_set_fds() are closed by the
     * caller. */
    void (*close)(Chardev *chardev);
    /* The other end went away (end of file, hang-up, error); the connection's descriptors are
     * closed unless @keeps_fds. */
    void (*hung_up)(Chardev *chardev);
    /* A descriptor given to chardev_watch() is readable, or the time given to chardev_wake_at() has
     * come. */
    void (*wake)(Chardev *chardev);
    char *(*filename)(Chardev *chardev);
    /* Takes output where there is no descriptor for it. Main thread. */
    void (*output)(Chardev *chardev, const uint8_t *data, size_t len);
    /* Optional, main thread. Takes what is not data out of input, as telnet_decode() does; writes
     * output in place of write(2). */
    size_t (*decode)(Chardev *chardev, uint8_t *data, size_t len, size_t *ret_used,
                     bool *ret_break);
    ssize_t (*write)(Chardev *chardev, int fd, const uint8_t *data, size_t len);
    bool keeps_fds;
    /* The end of the input leaves the output open: hung_up alone says what becomes of both. Never
     * closed in between, for what is written then would be lost. */
    bool keeps_output;
} ChardevBackend;

extern const ChardevBackend chardev_pty, chardev_file, chardev_null, chardev_stdio, chardev_socket,
    chardev_udp, chardev_pipe, chardev_ringbuf;

void *chardev_state(Chardev *chardev);
Machine *chardev_machine(Chardev *chardev);

/* Options; NULL, or the fallback, when not given. Numbers and booleans refuse bad text by name. */
const char *chardev_option(Chardev *chardev, const char *name);
bool chardev_option_bool(Chardev *chardev, const char *name, bool fallback, bool *ret,
                         GError **err);
bool chardev_option_number(Chardev *chardev, const char *name, int64_t fallback, int64_t min,
                           int64_t max, int64_t *ret, GError **err);
/* A port by its number is one that there can be; names are for the resolver, which takes a number
 * too large for another. */
bool chardev_check_port(Chardev *chardev, const char *port, GError **err);
/* "chardev 'ID': …"; returns false. */
bool chardev_error(Chardev *chardev, GError **err, int code, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* The connection's descriptors; either may be -1, both may be the same. They become the chardev's
 * and are made non-blocking. @poll_output false: writing never waits (a file). Main thread. */
void chardev_set_fds(Chardev *chardev, int in, int out, bool poll_output);
/* Stops polling the connection's descriptors, which stay open, or takes it up again. */
void chardev_suspend_fds(Chardev *chardev, bool suspend);
/* Another descriptor to watch for input: a listening socket, an inotify. -1 stops. Not closed here.
 */
void chardev_watch(Chardev *chardev, int fd);
/* Calls wake() at a monotonic time in microseconds; -1 cancels. */
void chardev_wake_at(Chardev *chardev, int64_t time);
/* Tells the front end that somebody is or nobody is at the other end. Closing drops buffered
 * output. */
void chardev_set_open(Chardev *chardev, bool open);
/* The connected socket carries descriptors. */
void chardev_set_fd_passing(Chardev *chardev, bool on);

#endif
