/* queue_private.h - inside of a queue: requests, their steps, and the engines that run steps.
 *
 * A request is cut into chunks (one extent each, and what alignment asks for); a chunk takes one or
 * more steps; a step is one operation of the kernel, run by the queue's engine. All of it happens
 * in the thread of the queue's loop, but for the gate of a node, which has a lock.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QUEUE_PRIVATE_H
#define KILN_BLOCK_QUEUE_PRIVATE_H

#include "block/driver.h"

typedef struct BlockRequest BlockRequest;
typedef struct BlockEngine BlockEngine;

typedef enum {
    BLOCK_OP_READ,
    BLOCK_OP_WRITE,
    BLOCK_OP_ZERO,    /* reads as zeroes afterwards; BLOCK_UNMAP: may free the space */
    BLOCK_OP_DISCARD, /* advisory */
    BLOCK_OP_FLUSH,
} BlockOp;

/* One operation for the kernel, in coordinates of the file. */
typedef struct {
    BlockOp op;
    bool punch; /* BLOCK_OP_ZERO: by punching a hole */
    bool dsync; /* BLOCK_OP_WRITE: on stable storage when done */
    int fd;
    uint64_t offset, length;
    const struct iovec *iov;
    unsigned n_iov;
} BlockStep;

typedef enum {
    PHASE_PLAIN,     /* straight between the caller's buffers and the file */
    PHASE_BOUNCE,    /* through an aligned buffer */
    PHASE_RMW_READ,  /* read the whole units that a small write touches … */
    PHASE_RMW_WRITE, /* … and write them back changed */
    PHASE_SLOW,      /* in a thread that may wait */
    PHASE_SYNC,      /* flush that makes the whole durable */
} BlockPhase;

struct BlockRequest {
    BlockQueue *queue;
    GList link; /* in pending, ready, or a gate's waiting list; data is this */
    BlockOp op;
    BlockFlags flags;
    uint64_t offset, length; /* in the node */
    uint64_t done_bytes;
    const struct iovec *iov; /* the caller's */
    unsigned n_iov;
    BlockDone done;
    void *opaque;
    int result;

    uint64_t chunk; /* bytes that the chunk under way stands for */
    BlockExtent at; /* where they are; held until the chunk is done */
    BlockPhase phase;
    BlockStep step;
    uint64_t step_done;  /* of the step, after short transfers */
    struct iovec *slice; /* part of iov, or zero buffers; grows, kept for reuse */
    unsigned n_slice, slice_room;
    struct iovec *rest; /* what a short transfer left of the step */
    uint8_t *bounce;
    size_t bounce_size;
    uint64_t bounce_head; /* bytes of the bounce buffer before the chunk's own */
    bool zero_by_writing; /* the file system cannot zero ranges */
    bool in_gate, gate_exclusive;
};

struct BlockQueue {
    BlockNode *node;
    IoLoop *loop;
    unsigned depth, active;
    GQueue pending; /* held back by depth */
    GQueue ready;   /* finished without a step; completed by the deferred call */
    GQueue free;
    bool ready_scheduled;
    struct BlockThrottle *throttle; /* a reference to the node's; NULL: no limits */
    bool held;                      /* nothing pending begins (block_queue_hold) */
    bool draining;                  /* all that is pending begins, whatever limits say */
    IoTimer *later;                 /* when what limits keep back may begin; made on first use */
    unsigned at_gate;               /* active, but waiting in or let out of the node's gate */
    GQueue resumed;                 /* let out, to be gone on with; slow.lock */
    unsigned at_slow;               /* active, but in a thread that may wait (slow.c) */
    struct {
        GMutex lock;
        GCond some;
        GQueue finished; /* of BlockRequest */
    } slow;
    uint8_t *zeroes; /* BLOCK_ZEROES bytes; made on first use */
    const BlockEngine *engine;
    void *engine_state;
};

enum { BLOCK_ZEROES = 65536 };

struct BlockEngine {
    const char *name;
    bool (*open)(BlockQueue *queue, GError **err);
    void (*close)(BlockQueue *queue);
    void (*start)(BlockQueue *queue, BlockRequest *req); /* runs req->step */
    void (*submit)(BlockQueue *queue);
    void (*reap)(BlockQueue *queue); /* runs completions that are there */
    void (*wait)(BlockQueue *queue); /* waits for one first */
};

extern const BlockEngine block_engine_uring, block_engine_threads;

/* request.c: begins @req; the engine reports each step's result (bytes or -errno) by step_done. */
void block_request_begin(BlockRequest *req);
void block_request_resume(BlockRequest *req); /* let into the gate */
void block_request_step_done(BlockRequest *req, int64_t result);
void block_request_slow_done(BlockRequest *req, int result);
void block_request_copy(BlockRequest *req, uint8_t *flat, bool to_flat);
void block_request_clear(BlockRequest *req);

/* queue.c: @req is over; @done runs from the loop, never from inside the call that started it. */
void block_queue_finish(BlockRequest *req, int result, bool from_engine);

/* Completes what is active and begins nothing more, though a busy guest goes on asking; then goes
 * on, with another node unless @node is NULL. Loop's thread. */
void block_queue_hold(BlockQueue *queue);
void block_queue_let_go(BlockQueue *queue, BlockNode *node);

/* gate.c: asks to write through the gate of the node; false when @req has to wait, it is then gone
 * on with in its own loop. */
bool block_gate_enter(BlockRequest *req, bool exclusive);
void block_gate_leave(BlockRequest *req);
/* For every queue of a node, from its making to its end. */
void block_gate_add_queue(BlockQueue *queue);
void block_gate_remove_queue(BlockQueue *queue);
/* When all that is active waits at the gate: lets those pass that may, and moves on the node's
 * other queues in the same loop, which the waiting thread keeps from running. */
void block_gate_poll(BlockQueue *queue);

#endif
