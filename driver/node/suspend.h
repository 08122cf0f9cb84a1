/* suspend.h - the host sleeps for a while.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_NODE_SUSPEND_H
#define KILN_DRIVER_NODE_SUSPEND_H

#include "driver/node/node.h"

/* The host sleeps, soon after this returns, for @seconds; @target: virNodeSuspendTarget.
 * VIR_ERR_ARGUMENT_UNSUPPORTED for what it cannot, VIR_ERR_INVALID_ARG for less than a minute. */
bool node_suspend(Node *node, unsigned target, uint64_t seconds, GError **err);

/* One sleep at a time. node_suspend_free() waits for one that has begun; one that has not is
 * dropped. @root is kept. */
typedef struct NodeSuspend NodeSuspend;
NodeSuspend *node_suspend_new(const char *root);
void node_suspend_free(NodeSuspend *suspend);
bool node_suspend_begin(NodeSuspend *suspend, unsigned target, uint64_t seconds, GError **err);
/* A bit for each virNodeSuspendTarget that the host can. */
unsigned node_suspend_targets(const char *root);

#endif
