/* job_filter.c - the node between a device's queue and its image while a job runs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/job_filter.h"

#include <errno.h>
#include <string.h>

#include "block/open.h"
#include "block/slow.h"

enum { COPY_BUFFER = 1 << 20 };

typedef struct {
    GMutex lock; /* guards what follows */
    GCond left;
    GQueue ranges; /* of JobRange */
    unsigned bits; /* of the granularity */
    uint64_t n_words, n_dirty;
    uint64_t *words;
    int error;
    int mode;          /* atomic JobFilterMode */
    BlockNode *target; /* or NULL */
} JobFilter;

static JobFilter *
filter_of(const BlockNode *node)
{
    return node->state;
}

static void
filter_close(BlockNode *node)
{
    JobFilter *f = filter_of(node);

    if (!f)
        return;
    block_node_unref(f->target);
    g_free(f->words);
    g_cond_clear(&f->left);
    g_mutex_clear(&f->lock);
}

BlockNode *
job_filter_new(BlockNode *root, JobFilterMode mode, uint64_t granularity, BlockNode *target,
               GError **err)
{
    g_autoptr(BlockNode) node = block_node_new();
    JobFilter *f = g_new0(JobFilter, 1);

    node->driver = &block_job_filter_driver;
    node->state = f;
    node->file = block_node_ref(root);
    node->size = root->size;
    node->discard = root->discard;
    node->detect_zeroes = root->detect_zeroes;
    node->use_threads = root->use_threads;
    g_mutex_init(&f->lock);
    g_cond_init(&f->left);
    g_queue_init(&f->ranges);
    f->bits = g_bit_storage(granularity) - 1;
    f->n_words = ((root->size + granularity - 1) >> f->bits) / 64 + 1;
    f->words = g_new0(uint64_t, f->n_words);
    f->mode = mode;
    f->target = target ? block_node_ref(target) : NULL;
    return block_slow_require(node, err) ? g_steal_pointer(&node) : NULL;
}

void
job_filter_set_mode(BlockNode *filter, JobFilterMode mode)
{
    g_atomic_int_set(&filter_of(filter)->mode, mode);
}

uint64_t
job_filter_granularity(const BlockNode *filter)
{
    return UINT64_C(1) << filter_of(filter)->bits;
}

int
job_filter_error(BlockNode *filter)
{
    return g_atomic_int_get(&filter_of(filter)->error);
}

/* ---- ranges ---- */

static bool
range_is_free(JobFilter *f, const JobRange *range)
{
    for (GList *l = f->ranges.head; l; l = l->next) {
        const JobRange *other = l->data;

        if (other->offset < range->end && range->offset < other->end &&
            (other->alone || range->alone))
            return false;
    }
    return true;
}

void
job_filter_enter(BlockNode *filter, JobRange *range, uint64_t offset, uint64_t length, bool alone)
{
    JobFilter *f = filter_of(filter);
    uint64_t unit = UINT64_C(1) << f->bits;

    *range = (JobRange){
        .offset = offset / unit * unit,
        .end = (offset + length + unit - 1) / unit * unit,
        .alone = alone,
        .link.data = range,
    };
    g_mutex_lock(&f->lock);
    while (!range_is_free(f, range))
        g_cond_wait(&f->left, &f->lock);
    g_queue_push_tail_link(&f->ranges, &range->link);
    g_mutex_unlock(&f->lock);
}

void
job_filter_leave(BlockNode *filter, JobRange *range)
{
    JobFilter *f = filter_of(filter);

    g_mutex_lock(&f->lock);
    g_queue_unlink(&f->ranges, &range->link);
    g_cond_broadcast(&f->left);
    g_mutex_unlock(&f->lock);
}

/* ---- dirty bits ---- */

static bool
bit_is_set(const JobFilter *f, uint64_t bit)
{
    return f->words[bit / 64] >> bit % 64 & 1;
}

void
job_filter_set_dirty(BlockNode *filter, uint64_t offset, uint64_t length, bool dirty)
{
    JobFilter *f = filter_of(filter);
    uint64_t last;

    if (length == 0 || offset >= filter->size)
        return;
    last = (MIN(offset + length, filter->size) - 1) >> f->bits;
    g_mutex_lock(&f->lock);
    for (uint64_t bit = offset >> f->bits; bit <= last; bit++) {
        if (bit_is_set(f, bit) == dirty)
            continue;
        f->words[bit / 64] ^= UINT64_C(1) << bit % 64;
        f->n_dirty += dirty ? 1 : -1;
    }
    g_mutex_unlock(&f->lock);
}

/* The first dirty bit in [from, end), or @end. */
static uint64_t
bit_find(const JobFilter *f, uint64_t from, uint64_t end)
{
    while (from < end && !bit_is_set(f, from)) {
        if (from % 64 == 0 && f->words[from / 64] == 0)
            from += 64;
        else
            from++;
    }
    return MIN(from, end);
}

bool
job_filter_next(BlockNode *filter, uint64_t from, uint64_t max, uint64_t *ret_offset,
                uint64_t *ret_length)
{
    JobFilter *f = filter_of(filter);
    uint64_t n_bits = (filter->size + (UINT64_C(1) << f->bits) - 1) >> f->bits;
    uint64_t bit, end, most = MAX(max >> f->bits, 1);
    bool found;

    g_mutex_lock(&f->lock);
    found = f->n_dirty > 0;
    if (found) {
        bit = bit_find(f, MIN(from >> f->bits, n_bits), n_bits);
        if (bit == n_bits)
            bit = bit_find(f, 0, n_bits);
        end = bit;
        while (end < n_bits && end - bit < most && bit_is_set(f, end))
            end++;
        *ret_offset = bit << f->bits;
        *ret_length = MIN(end << f->bits, filter->size) - *ret_offset;
    }
    g_mutex_unlock(&f->lock);
    return found;
}

bool
job_filter_next_in(BlockNode *filter, const JobRange *range, uint64_t from, uint64_t *ret_offset,
                   uint64_t *ret_length)
{
    if (from >= range->end ||
        !job_filter_next(filter, from, range->end - from, ret_offset, ret_length) ||
        *ret_offset < from || *ret_offset >= range->end)
        return false;
    *ret_length = MIN(*ret_length, range->end - *ret_offset);
    return true;
}

uint64_t
job_filter_dirty(BlockNode *filter)
{
    JobFilter *f = filter_of(filter);
    uint64_t n;

    g_mutex_lock(&f->lock);
    n = f->n_dirty << f->bits;
    g_mutex_unlock(&f->lock);
    return n;
}

/* ---- copying ---- */

int
job_copy(BlockNode *from, BlockNode *to, uint64_t offset, uint64_t length, bool *ret_reading)
{
    g_autofree uint8_t *buf = NULL;
    int r = 0;

    while (r == 0 && length > 0) {
        BlockStatus s;
        uint64_t part;

        *ret_reading = true;
        r = block_node_status_above(from, NULL, offset, length, &s);
        if (r < 0)
            break;
        part = s.length;
        if (s.flags & BLOCK_STATUS_ZERO) {
            *ret_reading = false;
            r = block_node_write_zeroes(to, offset, part, BLOCK_UNMAP);
        } else {
            part = MIN(part, (uint64_t)COPY_BUFFER);
            if (!buf)
                buf = g_try_malloc(MIN(length, (uint64_t)COPY_BUFFER));
            r = buf ? block_node_pread(from, offset, buf, part) : -ENOMEM;
            if (r == 0) {
                *ret_reading = false;
                r = block_node_pwrite(to, offset, buf, part, 0);
            }
        }
        offset += part;
        length -= part;
    }
    return r;
}

/* Copies what is still the old content of the range. */
static void
filter_save(BlockNode *node, const JobRange *range)
{
    JobFilter *f = filter_of(node);
    uint64_t at = range->offset, offset, length;
    bool reading;
    int r;

    while (job_filter_next_in(node, range, at, &offset, &length)) {
        r = job_copy(node->file, f->target, offset, length, &reading);
        if (r < 0)
            g_atomic_int_compare_and_exchange(&f->error, 0, r);
        job_filter_set_dirty(node, offset, length, false);
        at = offset + length;
    }
}

/* ---- the guest's writes ---- */

typedef int (*FilterWrite)(BlockNode *node, uint64_t offset, const void *buf, uint64_t length,
                           BlockFlags flags);

static int
write_data(BlockNode *node, uint64_t offset, const void *buf, uint64_t length, BlockFlags flags)
{
    return block_node_pwrite(node, offset, buf, length, flags);
}

static int
write_zeroes(BlockNode *node, uint64_t offset, const void *buf, uint64_t length, BlockFlags flags)
{
    (void)buf;
    return block_node_write_zeroes(node, offset, length, flags);
}

static int
write_nothing(BlockNode *node, uint64_t offset, const void *buf, uint64_t length, BlockFlags flags)
{
    (void)buf;
    (void)flags;
    return block_node_discard(node, offset, length);
}

static int
filter_write(BlockNode *node, uint64_t offset, const void *buf, uint64_t length, BlockFlags flags,
             FilterWrite write)
{
    JobFilter *f = filter_of(node);
    JobFilterMode mode = g_atomic_int_get(&f->mode);
    bool alone = mode == JOB_FILTER_REPEAT || mode == JOB_FILTER_SAVE;
    JobRange range;
    int r;

    job_filter_enter(node, &range, offset, length, alone);
    if (mode == JOB_FILTER_SAVE)
        filter_save(node, &range);
    r = write(node->file, offset, buf, length, flags);
    if (mode == JOB_FILTER_REPEAT && r == 0 && write != write_nothing) {
        int repeated = write(f->target, offset, buf, length, flags);

        if (repeated < 0) {
            g_atomic_int_compare_and_exchange(&f->error, 0, repeated);
            job_filter_set_dirty(node, offset, length, true);
        }
    } else if (mode == JOB_FILTER_TRACK || mode == JOB_FILTER_REPEAT) {
        /* a discard, or a failed write, leaves what nobody knows: it is copied as it reads */
        job_filter_set_dirty(node, offset, length, true);
    }
    job_filter_leave(node, &range);
    return r;
}

static int
filter_map(BlockNode *node, uint64_t offset, uint64_t length, BlockMapFor what, BlockExtent *ret)
{
    if (what == BLOCK_MAP_READ)
        return block_node_map(node->file, offset, length, what, ret);
    *ret = (BlockExtent){ .kind = BLOCK_EXTENT_SLOW, .length = length };
    return 0;
}

static int
filter_pread(BlockNode *node, uint64_t offset, void *buf, size_t length)
{
    return block_node_pread(node->file, offset, buf, length);
}

static int
filter_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length, BlockFlags flags)
{
    return filter_write(node, offset, buf, length, flags, write_data);
}

static int
filter_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags)
{
    return filter_write(node, offset, NULL, length, flags, write_zeroes);
}

static int
filter_discard(BlockNode *node, uint64_t offset, uint64_t length)
{
    return filter_write(node, offset, NULL, length, 0, write_nothing);
}

static int
filter_status(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret)
{
    return block_node_status_above(node->file, NULL, offset, length, ret);
}

const BlockDriver block_job_filter_driver = {
    .name = "job-filter",
    .close = filter_close,
    .map = filter_map,
    .pread = filter_pread,
    .pwrite = filter_pwrite,
    .write_zeroes = filter_write_zeroes,
    .discard = filter_discard,
    .status = filter_status,
};
