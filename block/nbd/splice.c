/* splice.c - bytes of a file to a socket without a copy in between. See splice.h.
 *
 * What is in the pipe are the pages of the file themselves: a write that comes before the client
 * has taken the bytes may change them. Its reply has not come then, so that it may see either.
 *
 * splice(2), pipe(7).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/nbd/splice.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "block/driver.h"

enum { PIPE_BYTES = 1 << 20, PAGE = 4096 };

static ssize_t
splice_some(int from, loff_t *offset, int to, size_t length)
{
    ssize_t n;

    do
        n = splice(from, offset, to, NULL, length, 0);
    while (n < 0 && errno == EINTR);
    return n;
}

static bool
pipe_make(NbdSplice *s)
{
    int size;

    if (s->room > 0)
        return true;
    if (s->failed || pipe2(s->ends, O_CLOEXEC) < 0) {
        s->failed = true;
        return false;
    }
    (void)fcntl(s->ends[1], F_SETPIPE_SZ, PIPE_BYTES); /* users have a limit in all */
    size = fcntl(s->ends[1], F_GETPIPE_SZ);
    /* one page more than the bytes have where they begin inside one */
    s->room = size > 2 * PAGE ? (size_t)size - PAGE : PAGE;
    return true;
}

void
nbd_splice_clear(NbdSplice *splice)
{
    if (splice->room > 0) {
        close(splice->ends[0]);
        close(splice->ends[1]);
    }
    *splice = (NbdSplice){ 0 };
}

/* What is in the pipe is not needed. */
static void
pipe_empty(NbdSplice *s, size_t length)
{
    char buf[PAGE];

    while (length > 0) {
        ssize_t n = read(s->ends[0], buf, MIN(length, sizeof(buf)));

        if (n <= 0)
            break;
        length -= (size_t)n;
    }
}

bool
nbd_splice_fill(NbdSplice *splice, BlockNode *node, uint64_t offset, uint64_t *length)
{
    BlockExtent at;
    size_t done = 0, want;

    if (splice->failed || block_node_map(node, offset, *length, BLOCK_MAP_READ, &at) < 0)
        return false;
    if (at.kind != BLOCK_EXTENT_DATA || at.protocol->direct || !pipe_make(splice)) {
        block_extent_release(&at);
        return false;
    }
    want = (size_t)MIN(MIN(*length, at.length), splice->room);
    while (done < want) {
        loff_t from = (loff_t)(at.offset + done);
        ssize_t n = splice_some(at.fd, &from, splice->ends[1], want - done);

        if (n <= 0) { /* an error, which reading tells of; or the file's end */
            splice->failed = n < 0 && errno == EINVAL;
            pipe_empty(splice, done);
            block_extent_release(&at);
            return false;
        }
        done += (size_t)n;
    }
    block_extent_release(&at);
    *length = want;
    return true;
}

int
nbd_splice_send(NbdSplice *splice, int fd, size_t length)
{
    while (length > 0) {
        ssize_t n = splice_some(splice->ends[0], NULL, fd, length);

        if (n <= 0)
            return n < 0 ? -errno : -EPIPE;
        length -= (size_t)n;
    }
    return 0;
}
