/* inflate.h - unpacking of deflate data inside images.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_INFLATE_H
#define KILN_BLOCK_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Unpacks @in into exactly @size bytes of @out: deflate with the zlib frame, or bare. What follows
 * the end of the data is ignored. 0, -EUCLEAN when it is no such data or has another size, or
 * -ENOMEM. Any thread. */
int inflate_bytes(bool zlib_frame, const void *in, size_t length, void *out, size_t size);
/* Packs @in in a zlib frame into @out of @room bytes; returns the packed size, 0 when it does not
 * fit, or -ENOMEM. */
long deflate_bytes(const void *in, size_t length, void *out, size_t room);
/* The same, faster, by a library that kiln-vmm does not load: for tools only. */
long deflate_bytes_fast(const void *in, size_t length, void *out, size_t room);

#endif
