/* chardev.h - character devices: what a serial port, a console or a monitor is connected to.
 *
 * A Chardev is one back end (pty, file, socket, stdio, …) and at most one front end, or with mux=on
 * several, of which one has the input. Input
 * arrives in the main loop; output may be written from any thread and is buffered up to a bound,
 * after which writers are told that it is full.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CHAR_CHARDEV_H
#define KILN_HW_CHAR_CHARDEV_H

#include "hw/core/machine.h"

typedef struct Chardev Chardev;

typedef enum {
    CHARDEV_OPENED, /* somebody is at the other end */
    CHARDEV_CLOSED, /* nobody is */
} ChardevEvent;

/* What the front end wants to hear. All run in the main loop, without any lock of the chardev; any
 * may be NULL. */
typedef struct {
    /* How many bytes can be taken now; 0 stops input until chardev_accept_input(). NULL: any
     * number. */
    size_t (*can_read)(void *opaque);
    /* At most as many bytes as can_read said. */
    void (*read)(void *opaque, const uint8_t *data, size_t len);
    void (*event)(void *opaque, ChardevEvent event);
    /* There is room again after a chardev_write() that took less than everything. */
    void (*writable)(void *opaque);
    /* Descriptors that came with input on a unix socket, before the read() they came with; the
     * callee owns them. NULL: none are received. */
    void (*fds)(void *opaque, const int *fds, unsigned n);
    /* One of several has got the input. */
    void (*focus)(void *opaque);
    /* The line was held down for a while: a break. */
    void (*line_break)(void *opaque);
} ChardevFrontend;

/* Makes a back end from a property map (char * to char *) of -chardev: "backend" (or the key
 * "type") names it, "id" is required. Refuses unknown and bad properties by name. The result is
 * owned by the caller, usually handed to machine_object_add(). Main thread. */
Chardev *chardev_new(Machine *machine, GHashTable *props, GError **err);
/* Closes it; output still buffered gets one last try. The front end must be detached. NULL is
 * accepted. */
void chardev_free(Chardev *chardev);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Chardev, chardev_free)

/* Connects the front end (one at a time, unless chardev_is_mux(); false with @err when there is
 * one). If the other end is
 * open already, event(CHARDEV_OPENED) follows from the main loop. Main thread. */
bool chardev_attach(Chardev *chardev, const ChardevFrontend *frontend, void *opaque, GError **err);
/* @opaque: as it was attached. */
void chardev_detach(Chardev *chardev, const void *opaque);
/* Made with mux=on. */
bool chardev_is_mux(const Chardev *chardev);

/* Writes or buffers @data and returns how many bytes were taken: all, or fewer when the buffer is
 * full. With nobody at the other end everything is taken and dropped (pty, socket). Any thread. */
size_t chardev_write(Chardev *chardev, const uint8_t *data, size_t len);
/* As chardev_write(), with descriptors that travel with the first byte (unix sockets only:
 * otherwise false). They stay the caller's. Main thread. */
bool chardev_write_fds(Chardev *chardev, const uint8_t *data, size_t len, const int *fds,
                       unsigned n);

/* The front end can take input again. Any thread. */
void chardev_accept_input(Chardev *chardev);

/* Gives the front end a break, as if it came from the other end. Main thread. */
void chardev_send_break(Chardev *chardev);

/* Somebody is at the other end. Any thread. */
bool chardev_is_open(Chardev *chardev);

/* The front end is in use by its guest driver (a virtio port was opened); shown by query-chardev.
 * Any thread. */
void chardev_set_frontend_open(Chardev *chardev, bool open);
bool chardev_frontend_open(Chardev *chardev);

/* Appends to, and takes at most @max bytes from, what a ring buffer ("ringbuf") holds. False when
 * the back end is another. Main thread. */
bool chardev_ringbuf_write(Chardev *chardev, const uint8_t *data, size_t len);
bool chardev_ringbuf_read(Chardev *chardev, size_t max, GByteArray *ret);

const char *chardev_id(const Chardev *chardev);
/* As query-chardev shows it: "pty:/dev/pts/3", "unix:…,server=on", "disconnected:…".
 */
char *chardev_filename(Chardev *chardev);
/* Reply of QMP query-chardev: an array of {label, filename, frontend-open}. Caller owns. */
JsonArray *chardev_query(Machine *machine);
/* "-chardev help". Caller frees. */
char *chardev_help(void);

#endif
