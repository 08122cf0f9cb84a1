/* block_jobs.h - the guest's block jobs: what names in QMP commands stand for, and what the rooms
 * below are told.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_BLOCK_JOBS_H
#define KILN_LAUNCHER_BLOCK_JOBS_H

#include "block/job.h"
#include "hw/block/drive.h"
#include "launcher/vm.h"

/* The jobs of @vm, made when first wanted. */
BlockJobs *vm_block_jobs(Vm *vm);

/* The image that @name stands for: a node's name, or a device or -drive that has a medium. NULL
 * with @err (VIR_ERR_DEVICE_MISSING) when there is none. Not referenced for the caller. */
BlockNode *vm_block_node(Vm *vm, const char *name, GError **err);
/* The top of the chain in which @node is: a device's image, or @node when no device has it. */
BlockNode *vm_block_root(Vm *vm, BlockNode *node);

/* Adds an image under @name, or, with @name NULL, under a name made up. With @format and @size
 * (not 0) it is made first, lying on @backing (by name only) unless that is NULL. It has no backing
 * node. NULL with @err; else the name, which is the caller's. */
char *vm_block_add_file(Vm *vm, const char *name, const char *filename, const char *format,
                        uint64_t size, const char *backing, const char *backing_format,
                        GError **err);

#endif
