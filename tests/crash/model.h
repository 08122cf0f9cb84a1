/* model.h - what a guest may find on its disk after a crash at any moment.
 *
 * A sector's content is named by a stamp, 0 for zeroes. Each change of a sector is kept with the
 * moments at which it began and ended; moments are record.h's. After a crash a sector holds what it
 * was given last before the last flush that was over, or anything it was given after that.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_CRASH_MODEL_H
#define KILN_TESTS_CRASH_MODEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { MODEL_SECTOR = 512 };
/* The end of what failed, and so may have happened or not. */
#define MODEL_FOREVER UINT64_MAX

typedef struct Model Model;

/* A disk of zeroes that may grow to @max_size bytes. */
Model *model_new(uint64_t size, uint64_t max_size);
void model_free(Model *model);

/* Fills @buf with @n sectors named @stamp, @stamp + 1 …; such with an odd bit 32 do not compress.
 */
void model_fill(uint8_t *buf, uint64_t stamp, uint64_t n);
/* The stamp of a sector; false when it is none that model_fill() made. */
bool model_stamp_of(const uint8_t *sector, uint64_t *ret);

typedef enum {
    MODEL_MAYBE = 1 << 0,   /* it need not happen (discard) */
    MODEL_DURABLE = 1 << 1, /* on stable storage when it is over (FUA) */
    MODEL_SAME = 1 << 2,    /* all sectors get @stamp itself, not one each */
} ModelFlags;
/* Sectors [first, first + n) are given @stamp … between the two moments. */
void model_change(Model *model, uint64_t first, uint64_t n, uint64_t stamp, ModelFlags flags,
                  uint64_t begin, uint64_t end);
/* What is cut off, and what is added, reads as zeroes. */
void model_resize(Model *model, uint64_t old_size, uint64_t size, uint64_t begin, uint64_t end);
void model_flush(Model *model, uint64_t begin, uint64_t end);
/* The image was given up without a flush at @time: what was not safe by then may be lost. */
void model_lose(Model *model, uint64_t time);

/* NULL when @content, of @size bytes, may be the disk after a crash at @time, else what is wrong.
 * The caller frees it. */
char *model_check(const Model *model, const uint8_t *content, uint64_t size, uint64_t time);

/* Snapshots, by name. @content is the disk as it was read when it was taken. */
void model_snapshot(Model *model, const char *name, const uint8_t *content, uint64_t size,
                    uint64_t begin, uint64_t end);
void model_snapshot_gone(Model *model, const char *name, uint64_t begin, uint64_t end);
/* The disk becomes what the snapshot is. */
void model_snapshot_apply(Model *model, const char *name, uint64_t begin, uint64_t end);
/* A name that is there now, borrowed, or NULL. */
const char *model_snapshot_any(const Model *model, GRand *rand);
/* How many there may be: one whose removal failed counts. */
unsigned model_snapshots(const Model *model);
/* NULL when a crash at @time may leave a snapshot @name with @content. */
char *model_check_snapshot(const Model *model, const char *name, const uint8_t *content,
                           uint64_t size, uint64_t time);
/* NULL when a crash at @time may leave just the snapshots @names (NULL-terminated). */
char *model_check_names(const Model *model, const char *const *names, uint64_t time);

#endif
