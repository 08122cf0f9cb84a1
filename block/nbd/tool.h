/* tool.h - inside of kiln-nbd: its command line, and what its modes share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_NBD_TOOL_H
#define KILN_BLOCK_NBD_TOOL_H

#include <glib.h>
#include <json-glib/json-glib.h>

#include "block/image.h"
#include "block/nbd/client.h"
#include "block/nbd/server.h"
#include "block/tools/objects.h"

typedef struct {
    char *file; /* the image; NULL for --list and --disconnect */
    /* the image */
    char *format, *load_snapshot, *cache, *aio, *detect_zeroes, *discard;
    bool told; /* what was asked for was said already: --object help */
    bool image_opts, read_only, temporary;
    uint64_t offset;
    /* the export */
    char *export_name, *description;
    GPtrArray *bitmaps; /* of names, NULL-terminated */
    bool allocation_depth;
    /* the clients */
    char *socket, *bind, *port;
    unsigned shared; /* at once; 0: no limit */
    bool persistent, list, verbose;
    char *connect, *disconnect; /* /dev/nbdN */
    char *tls_creds, *tls_hostname;
    /* the process */
    bool fork;
    char *pid_file;

    ToolObjects *objects;
} NbdArgs;

/* Fills @args. *ret_status is set where the program is to end: after --help and --version, and
 * after a message on stderr. */
bool nbd_args_parse(int argc, char **argv, NbdArgs *args, int *ret_status);
void nbd_args_clear(NbdArgs *args);

/* Writes "kiln-nbd: MESSAGE" to stderr; returns 1. */
int nbd_fail(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* kernel.c: gives the kernel's device the export at the other end of @fd (taken) until somebody
 * disconnects it; calls @ready(@opaque) when it can be used. */
bool nbd_kernel_serve(const char *device, int fd, const char *export_name,
                      void (*ready)(void *opaque), void *opaque, GError **err);
bool nbd_kernel_disconnect(const char *device, GError **err);

/* list.c: --list. An exit status. */
int nbd_list(const NbdArgs *args);

#endif
