/* slow.h - inside of the block room: parts of requests that threads do which may wait.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_SLOW_H
#define KILN_BLOCK_SLOW_H

#include "block/queue_private.h"

/* Starts the threads of a node whose map() may say SLOW, unless they run. Main thread; before a
 * queue gets the node. */
bool block_slow_prepare(BlockNode *node, GError **err);
/* The same for a node that says SLOW though its kind does not tell. */
bool block_slow_require(BlockNode *node, GError **err);
/* Runs the chunk of @req (of a flush: all) by the node's blocking calls, with the buffers of
 * req->slice; block_request_slow_done() follows in the queue's loop. */
void block_slow_start(BlockRequest *req);
/* Completions that are there; true when there was one. Loop's thread. */
bool block_slow_reap(BlockQueue *queue);
/* Waits a short while for one. */
void block_slow_wait(BlockQueue *queue);

/* A queue's part of it: made; no calls outstanding, in the loop's thread; gone. */
void block_slow_open(BlockQueue *queue);
void block_slow_close(BlockQueue *queue);
void block_slow_free(BlockQueue *queue);

#endif
