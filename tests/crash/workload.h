/* workload.h - what a guest and its administrator do to a qcow2 image, at random.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_CRASH_WORKLOAD_H
#define KILN_TESTS_CRASH_WORKLOAD_H

#include "block/block.h"
#include "block/image.h"
#include "tests/crash/bitmaps.h"
#include "tests/crash/model.h"
#include "tests/crash/record.h"

typedef struct {
    GRand *rand;
    char *dir;
    char *shape;             /* the image's options, as text */
    uint64_t cluster, stamp; /* stamp: the number of the last write */
    bool old_version, has_base, has_data_file;
    unsigned names; /* given to snapshots so far */
    BlockNode *node;
    IoLoop *loop;
    BlockQueue *queue;
    Model *model;
    Bitmaps *bitmaps;
    Record *record;
    struct {
        GMutex lock;
        GRand *rand;
        bool wanted, dead; /* dead: the image refuses everything after a failure, until reopened */
        enum { FAULT_NONE, FAULT_IO, FAULT_SPACE, FAULT_SHORT } mode;
        unsigned made;
    } faults;
    GString *log;  /* what was done, one line each */
    char *trouble; /* what went wrong while it ran, or NULL */
} Workload;

/* An image in the empty directory @dir, shaped by @seed; its files are made with Kiln. With @faults
 * calls fail at times: EIO, ENOSPC, short reads and writes. */
Workload *workload_new(const char *dir, uint32_t seed, bool faults);
void workload_free(Workload *w);
/* Does @n things, logging them; afterwards the image is closed and w->record may be walked. False
 * with w->trouble set when the image was wrong already without a crash. */
bool workload_run(Workload *w, unsigned n);

/* Opens the image in @dir with its chain. */
BlockNode *workload_open(const char *dir, bool read_only, GError **err);
/* All of the disk. The caller frees it; NULL with @err set. */
uint8_t *workload_read(BlockNode *node, GError **err);

/* workload_upkeep.c: one thing that is not a guest's. */
void workload_upkeep(Workload *w);
/* Closes the image, flushing it; and opens it again. */
void workload_close(Workload *w);
void workload_reopen(Workload *w);
/* The end of something in the model: now, or never for what failed. */
uint64_t workload_end(Workload *w, bool done);

#endif
