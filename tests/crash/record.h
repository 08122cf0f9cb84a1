/* record.h - a log of what was done to files, and the files as a crash may leave them.
 *
 * Time is a counter: each call's begin and end, and each moment that somebody asks for, is one
 * step. What a call changed before a sync began is on stable storage when the sync ends. Of all
 * else, a crash leaves any part: each sector of each call by itself, the calls in the order they
 * were made.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_CRASH_RECORD_H
#define KILN_TESTS_CRASH_RECORD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/crash/hooks.h"

typedef struct Record Record;

/* Starts to log what this process does to the files @names (NULL-terminated) in @dir, whose content
 * is on stable storage. One record at a time. */
Record *record_start(const char *dir, const char *const *names);
void record_stop(Record *record);
/* Asked before each call on the files is made, and may let it fail or do less, see hooks.h. */
void record_set_fault(Record *record, int (*fault)(void *opaque, HookCall *call), void *opaque);
void record_free(Record *record);

/* Now. Any thread; 0 when nothing is logged. */
uint64_t record_now(Record *record);
/* Calls logged that change files. */
unsigned record_changes(const Record *record);

/* The walk over the log: stops at the end of each call that changes a file, and at the end of each
 * sync; *ret_time is the moment. False at the end. */
bool record_next(Record *record, uint64_t *ret_time);
/* What is left of the files when the crash is now, in the files of the same names in @dir. */
typedef enum {
    RECORD_ALL,  /* all that was done */
    RECORD_SOME, /* each call or not */
    RECORD_FEW,  /* hardly any */
    RECORD_MOST, /* nearly all */
    RECORD_TORN, /* each sector of each call or not */
    RECORD_NONE, /* what is on stable storage */
    RECORD_CHOICES
} RecordChoice;
void record_write(Record *record, RecordChoice choice, GRand *rand, const char *dir);
/* Calls that a crash now may undo. */
unsigned record_pending(const Record *record);

#endif
