/* check.h - inside of the check of a qcow2 image: one run, in stages.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_CHECK_H
#define KILN_BLOCK_QCOW2_CHECK_H

#include "block/qcow2/bitmap_directory.h"
#include "block/qcow2/counts.h"
#include "block/qcow2/layout.h"
#include "block/qcow2/qcow2.h"
#include "block/qcow2/upkeep.h"

typedef struct CheckClaims CheckClaims;

typedef struct {
    BlockNode *file;
    Qcow2Header *h; /* the node's own: repairs change it and write it */
    Qcow2Geometry g;
    uint64_t cluster, n_clusters; /* bytes of one; clusters that the file has, the last in part */
    bool has_data_file;
    unsigned fix; /* of BlockCheckFix */
    BlockCheck *ret;
    GMutex lock; /* of ret and what follows, while several threads walk */

    Qcow2Counts *counts;      /* references as found */
    uint64_t *refcount_table; /* host order, h->refcount_table_clusters clusters of it */
    uint64_t n_refcount_table;
    bool must_rebuild;   /* the refcount structures cannot be mended in place */
    bool must_mistrust;  /* some refcounts on disk differ from the references and stay so */
    bool look_at_copied; /* some entry's COPIED flag may be wrong */
    bool wrote;          /* something on disk was changed */
    GArray *l1;          /* of CheckL1, filled before check_mapping() */
    GArray *l2;          /* of CheckL2, sorted, each table once, after check_mapping() */
    /* what is where; NULL unless tables are to be mended, and could be where something else is */
    CheckClaims *claims;
    int failed; /* first -errno of a thread */
} Qcow2Checker;

/* An L1 table; tables that are the same are listed as often as they are referred to. */
typedef struct {
    uint64_t offset, weight;
    uint32_t entries;
    bool active;
    bool is_source; /* of a copy: its own clusters do not count */
} CheckL1;

/* An L2 table that is referred to @weight times, by the active L1 table if @active. */
typedef struct {
    uint64_t offset, weight;
    uint64_t l1_index; /* in the active L1 table */
    bool active;
} CheckL2;

typedef enum { FINDING_CORRUPTION, FINDING_LEAK } CheckFinding;

/* Reports a finding; it counts as mended when @fixed. Any thread. */
void check_report(Qcow2Checker *c, CheckFinding kind, bool fixed, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
static inline bool
check_mends(const Qcow2Checker *c)
{
    return c->fix & BLOCK_CHECK_ERRORS;
}

/* Reads from the file; what lies behind its end is zeroes. Writes bytes of metadata. */
int check_read(Qcow2Checker *c, uint64_t offset, void *buf, size_t length);
int check_write(Qcow2Checker *c, uint64_t offset, const void *buf, size_t length);
/* Adds references to the clusters of [offset, offset + length); false when they are not in the
 * file. -ENOMEM goes to c->failed. */
bool check_count(Qcow2Checker *c, uint64_t offset, uint64_t length, uint64_t weight);
/* Whether @offset is the start of a cluster and [offset, offset + length) in the file. */
bool check_in_file(const Qcow2Checker *c, uint64_t offset, uint64_t length);

/* check_claims.c: makes c->claims where it is needed; the snapshot table has so many bytes. 0 or
 * -errno. One thread, as what follows; without claims nothing is in the way of anything. */
int check_claim(Qcow2Checker *c, uint64_t snapshot_table_bytes);
void check_claims_free(CheckClaims *claims);
/* Whether a snapshot's L1 table, or an L2 table of the disk (@active) or of a snapshot, may be at a
 * place of the file: nothing else is there, or nothing in it would be mended. */
bool check_l1_fits(Qcow2Checker *c, uint64_t offset, uint32_t entries);
bool check_l2_fits(Qcow2Checker *c, uint64_t host, bool active);
/* Whether the disk has some of [offset, offset + bytes); whether an L2 table of it is there. */
bool check_is_disk(const Qcow2Checker *c, uint64_t offset, uint64_t bytes);
bool check_is_l2(const Qcow2Checker *c, uint64_t offset, uint64_t bytes);

/* Lists an L1 table for check_mapping(). */
void check_list_l1(Qcow2Checker *c, uint64_t offset, uint32_t entries, bool active);

/* Stages; each 0 or -errno. */
int check_mapping(Qcow2Checker *c);        /* check_mapping.c: L1 and L2 tables, data */
int check_snapshot_table(Qcow2Checker *c); /* check_tables.c */
int check_bitmaps(Qcow2Checker *c);        /* check_tables.c */
/* Reads a bitmap's table; *ret stays NULL when it makes no sense. 0 or -errno. */
int check_bitmap_table(Qcow2Checker *c, const Qcow2BitmapEntry *e, uint8_t **ret);
int
check_refcount_table(Qcow2Checker *c); /* check_refcounts.c: its blocks, before the comparison */
int check_compare(Qcow2Checker *c);    /* check_refcounts.c: refcounts against references */
int check_copied(Qcow2Checker *c);     /* check_copied.c */
int check_rebuild(Qcow2Checker *c);    /* check_rebuild.c: new refcount structures */

/* The whole check of the image in @file, whose header is @h; repairs change it. *ret_changed: what
 * was read before is not true any more. 0, -ENOMEM beyond the limit, or -errno. */
int qcow2_check_file(BlockNode *file, Qcow2Header *h, bool has_data_file, unsigned fix,
                     BlockCheck *ret, bool *ret_changed);
/* For changes of the whole image made beside it (shadow.c): counts for a header that is to be; and
 * refcount structures for the counts, in at most @room clusters from @own on, h says where. */
bool qcow2_checker_init(Qcow2Checker *c, BlockNode *file, Qcow2Header *h, bool has_data_file,
                        unsigned fix, BlockCheck *ret);
void qcow2_checker_clear(Qcow2Checker *c);
int check_header(Qcow2Checker *c); /* what the header itself refers to, but for L1 */
int check_write_refcounts(Qcow2Checker *c, uint64_t own, uint64_t room);
/* Writes the first cluster; does not sync. */
int qcow2_header_store(BlockNode *file, const Qcow2Header *h);

#endif
