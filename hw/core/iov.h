/* iov.h - copying to, from and between lists of buffers, within their bounds.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CORE_IOV_H
#define KILN_HW_CORE_IOV_H

#include <stddef.h>
#include <sys/uio.h>

/* Bytes of all pieces. */
size_t iov_bytes(const struct iovec *iov, unsigned n);

/* Copy between @buf and bytes [offset, offset + len) of @iov; return how many there were. */
size_t iov_read(const struct iovec *iov, unsigned n, size_t offset, void *buf, size_t len);
size_t iov_write(const struct iovec *iov, unsigned n, size_t offset, const void *buf, size_t len);
/* Writes to @out, which has room for @n pieces, the part of @iov from @offset on, at most @len
 * bytes; returns the number of pieces. */
unsigned iov_slice(const struct iovec *iov, unsigned n, size_t offset, size_t len,
                   struct iovec *out);

#endif
