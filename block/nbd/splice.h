/* splice.h - bytes of a file to a socket without a copy in between, through a pipe.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_NBD_SPLICE_H
#define KILN_BLOCK_NBD_SPLICE_H

#include "block/image.h"

/* A thread's own. Zeroed at first. */
typedef struct {
    int ends[2];
    size_t room; /* bytes that are sure to fit; 0: not made yet */
    bool failed; /* there is no pipe for this thread, or the file's pages cannot be taken */
} NbdSplice;

/* Puts what [offset, offset + *length) of @node has into the pipe, *length being cut to what lies
 * in one place; false when it has to be read in another way, and then the pipe is empty. The node
 * keeps the place until the bytes are there. */
bool nbd_splice_fill(NbdSplice *splice, BlockNode *node, uint64_t offset, uint64_t *length);
/* Sends the @length bytes to socket @fd. 0 or -errno. */
int nbd_splice_send(NbdSplice *splice, int fd, size_t length);
void nbd_splice_clear(NbdSplice *splice);

#endif
