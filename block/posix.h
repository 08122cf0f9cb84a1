/* posix.h - inside of the block room: blocking I/O of file and host_device nodes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_POSIX_H
#define KILN_BLOCK_POSIX_H

#include "block/driver.h"

/* Callbacks of BlockDriver, see there. */
int block_posix_pread(BlockNode *node, uint64_t offset, void *buf, size_t length);
int block_posix_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length,
                       BlockFlags flags);
int block_posix_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags);
int block_posix_discard(BlockNode *node, uint64_t offset, uint64_t length);
int block_posix_reflink(BlockNode *node, uint64_t offset, int fd, uint64_t from, uint64_t length);

/* Whether fallocate(2) failed with @errnum (positive) since the file system or device cannot do
 * what was asked. Linux' NFS client asks the server in the name of who calls, not of who has opened
 * the file as for reading and writing: a guest's process is then denied it on an image that it may
 * write to. */
bool block_posix_is_unsupported(int errnum);
int block_posix_flush(BlockNode *node);
bool block_posix_is_clean(BlockNode *node);
int block_posix_status(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret);
bool block_posix_resize(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **err);

#endif
