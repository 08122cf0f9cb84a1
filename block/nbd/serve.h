/* serve.h - kiln-nbd's server: from the command line to the end of the last client.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_NBD_SERVE_H
#define KILN_BLOCK_NBD_SERVE_H

#include "block/nbd/tool.h"

/* Opens what @args name, listens, writes one byte to @ready_fd (-1: none; closed in any case) and
 * serves until the last client has gone or a signal ends it. SIGTERM, SIGINT and SIGHUP are
 * blocked. False with @err when it could not begin, or when what clients wrote could not be
 * flushed. */
bool nbd_serve(const NbdArgs *args, int ready_fd, GError **err);

/* image.c: the image as the command line asks for it. */
BlockNode *nbd_image_open(const NbdArgs *args, GError **err);

/* listen.c: a listening socket: inherited from who started us, unix or TCP. */
int nbd_listen(const NbdArgs *args, GError **err);

#endif
