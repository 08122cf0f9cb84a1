/* block.h - image nodes and the queues that do their I/O.
 *
 * A BlockNode is one node of an image graph, as QEMU's -blockdev names it: a protocol node (file,
 * host_device, nbd) or a format over another node (raw). A BlockQueue is one I/O loop's way
 * into a node: requests made on it complete in that loop. Any number of queues, in any loops, may
 * use one node at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_BLOCK_H
#define KILN_BLOCK_BLOCK_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/ioloop.h"

typedef struct BlockNode BlockNode;
typedef struct BlockQueue BlockQueue;

enum {
    BLOCK_SECTOR = 512,   /* unit of virtio-blk addresses and least request alignment */
    BLOCK_MAX_IOV = 1024, /* most buffers of one request, IOV_MAX */
};

/* What block_node_open() needs of whoever knows names. */
typedef struct {
    void *opaque;
    /* Opens @filename with open(2) @flags (also "/dev/fdset/N"); returns a descriptor the caller
     * owns, or -1 with @err set. */
    int (*open_file)(void *opaque, const char *filename, int flags, GError **err);
    /* The node named @name, not referenced for the caller, or NULL. */
    BlockNode *(*find_node)(void *opaque, const char *name);
    /* The bytes of secret @id, for g_free(); NULL with @err set. NULL: there are no secrets, and
     * encrypted images are refused. */
    uint8_t *(*secret)(void *opaque, const char *id, size_t *ret_len, GError **err);
    /* Called before anything is encrypted, for programs that load GnuTLS and Nettle only then; may
     * be NULL. */
    bool (*need_crypto)(void *opaque, GError **err);
    /* New TLS credentials @id for a client of the server @hostname (NULL: not to be checked), which
     * the caller frees; NULL with @err set. NULL: TLS is refused. */
    struct NbdTls *(*tls)(void *opaque, const char *id, const char *hostname, GError **err);
    /* Another process has the images still: nothing is written to them or locked until
     * block_node_activate(). */
    bool inactive;
    /* A reference to the group of limits @name, made if it is new; NULL: there are no groups. */
    struct BlockThrottle *(*throttle)(void *opaque, const char *name);
} BlockOpenOps;

/* Opens the node that @options describes (one object of -blockdev, QEMU's names: driver, node-name,
 * read-only, auto-read-only, cache.direct, cache.no-flush, discard, detect-zeroes, locking, aio,
 * filename, file, offset, size; nested objects and dotted keys are both understood; numbers and
 * booleans may be strings). An option that is not known is refused by name. Main thread. The caller
 * owns the result. */
BlockNode *block_node_open(JsonObject *options, const BlockOpenOps *ops, GError **err);
/* The same for an image whose format nobody said: without 'driver' it is probed. Where nothing is
 * recognised it is raw, and the guest may then not write first bytes that look like another format.
 */
BlockNode *block_node_open_probed(JsonObject *options, const BlockOpenOps *ops, GError **err);
BlockNode *block_node_ref(BlockNode *node);
void block_node_unref(BlockNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockNode, block_node_unref)

const char *block_node_name(const BlockNode *node); /* NULL without one */
/* Gives a name to a node that has none. Main thread. */
void block_node_set_name(BlockNode *node, const char *name);
const char *block_node_driver(const BlockNode *node);   /* "raw", "file", … */
const char *block_node_filename(const BlockNode *node); /* of the protocol node below */
uint64_t block_node_size(const BlockNode *node);        /* bytes, a multiple of BLOCK_SECTOR */
bool block_node_read_only(const BlockNode *node);
bool block_node_can_discard(const BlockNode *node); /* discard=unmap and the host can */
bool block_node_direct(const BlockNode *node);      /* cache.direct */
bool block_node_no_flush(const BlockNode *node);    /* cache.no-flush */

/* Whether reading the node, or what lies behind it, calls libzstd. */
bool block_node_needs_zstd(const BlockNode *node);

/* Calls @hook once, in any thread, when a write reaches beyond byte @bytes of the file of protocol
 * @node, by @excess bytes; 0: never. It must not wait. Main thread. False with @err set for a node
 * that is no protocol. */
typedef void (*BlockThresholdHook)(void *opaque, BlockNode *node, uint64_t bytes, uint64_t excess);
bool block_node_set_threshold(BlockNode *node, uint64_t bytes, BlockThresholdHook hook,
                              void *opaque, GError **err);
uint64_t block_node_threshold(const BlockNode *node); /* 0: none */

/* The offset at which the write to @node that reached furthest ended, since it was opened; 0 when
 * there was none. Zeroes count, discards do not. Any thread. */
uint64_t block_node_written_end(const BlockNode *node);

/* Puts all that was written to the node onto stable storage, waiting for it; nothing to do for a
 * read-only node. With cache.no-flush metadata is written, but nothing waits for the storage. For
 * the end of a node's use, when no request is in flight: the caller does it before the last
 * block_node_unref(), which does not. 0 or -errno. */
int block_node_flush(const BlockNode *node);

/* Ends the threads that serve the node and starts new ones, which have the calling thread's rights:
 * for a process that gave up rights which threads keep one by one. Main thread, with nothing in
 * flight. Those of its queues: block_pool_renew() (pool.h). */
bool block_node_renew_threads(BlockNode *node, GError **err);

/* Claims the image for a device. @writable asks to write, @share_rw lets others write as well. The
 * claim is taken as open-file-description locks on the bytes that QEMU uses (100 + permission,
 * 200 + permission not shared), so that Kiln, QEMU and qemu-img respect each other. Refused with
 * VIR_ERR_OPERATION_INVALID, naming the file, when another process holds it, or when another device
 * of this process claimed the node and does not share. Main thread. */
bool block_node_claim(BlockNode *node, bool writable, bool share_rw, GError **err);
void block_node_release(BlockNode *node);

/* Hands the image, with all that lies below and behind it, from one process to another: writes what
 * waits in memory and lets go of the locks; takes the locks and reads anew what the other has
 * changed. Formats that keep tables in memory and cannot read them anew are refused where they can
 * be written. Nothing is in flight, and no job runs. After a failure block_node_activate() is to be
 * tried; nothing happens when the image is so already. Main thread. */
bool block_node_deactivate(BlockNode *node, GError **err);
bool block_node_activate(BlockNode *node, GError **err);

/* Called once for each request, in the queue's loop: @ret is 0 or -errno. */
typedef void (*BlockDone)(void *opaque, int ret);

typedef enum {
    BLOCK_FUA = 1 << 0,   /* on stable storage when done (writes and zeroes) */
    BLOCK_UNMAP = 1 << 1, /* zeroes: may give the space back */
    BLOCK_FRESH = 1 << 2, /* writes: nothing is stored there so far, which is a hint only */
} BlockFlags;

/* A queue of @node whose completions run in @loop; @depth is the number of requests expected in
 * flight (more are held back and started in order). Uses io_uring, or a few threads where the
 * kernel refuses io_uring or aio=threads was given. Main thread, before the sandbox is entered:
 * later nothing more is opened. NULL with @err set on failure. */
BlockQueue *block_queue_new(BlockNode *node, IoLoop *loop, unsigned depth, GError **err);
/* Lets the queue serve another node: for media that change while nothing can be opened any more.
 * What is in flight is completed first. A queue may be made with, and set to, NULL: then nothing
 * may be started on it. Loop's thread. */
void block_queue_set_node(BlockQueue *queue, BlockNode *node);
/* In-flight requests are completed first. Main thread; the loop must be running or already ended.
 */
void block_queue_free(BlockQueue *queue);

/* Starts a request; in the loop's thread only. Offsets and lengths are bytes and must be multiples
 * of BLOCK_SECTOR inside the node: anything else completes with -EINVAL (-EIO past the end). @iov
 * and its buffers stay the caller's and must live until @done. Never calls @done before returning;
 * never fails otherwise than through @done. */
void block_queue_readv(BlockQueue *queue, uint64_t offset, const struct iovec *iov, int n_iov,
                       BlockDone done, void *opaque);
void block_queue_writev(BlockQueue *queue, uint64_t offset, const struct iovec *iov, int n_iov,
                        BlockFlags flags, BlockDone done, void *opaque);
void block_queue_write_zeroes(BlockQueue *queue, uint64_t offset, uint64_t length, BlockFlags flags,
                              BlockDone done, void *opaque);
void block_queue_discard(BlockQueue *queue, uint64_t offset, uint64_t length, BlockDone done,
                         void *opaque);
void block_queue_flush(BlockQueue *queue, BlockDone done, void *opaque);

/* Hands what was started since the last call to the kernel: once for a batch. Loop's thread. */
void block_queue_submit(BlockQueue *queue);

/* Requests in flight or held back. Loop's thread. */
unsigned block_queue_in_flight(const BlockQueue *queue);

/* Waits until nothing is in flight; completions run meanwhile. Loop's thread. */
void block_queue_drain(BlockQueue *queue);

/* System calls that the thread of a queue makes, NULL-terminated; for seccomp lists. */
extern const char *const block_queue_syscalls[];

#endif
