/* open.h - inside of the qcow2 driver: the callbacks of its life.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_OPEN_H
#define KILN_BLOCK_QCOW2_OPEN_H

#include "block/qcow2/qcow2.h"

bool qcow2_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err);
bool qcow2_opened(BlockNode *node, BlockOpening *opening, GError **err);
void qcow2_close(BlockNode *node);
bool qcow2_set_access(BlockNode *node, bool writable, GError **err);
bool qcow2_deactivate(BlockNode *node, GError **err);
bool qcow2_activate(BlockNode *node, GError **err);

#endif
