/* fault.c - which call on which file failed: kept by protocol nodes, for the words of an error.
 *
 * A format's error says what was done; the file below knows where it failed. The last failure of a
 * node is kept, and an error with the same cause tells of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/driver.h"

#include <errno.h>

#include "util/error.h"

static const char *const kind_names[];

int
block_fault_note(BlockNode *node, BlockFaultKind kind, uint64_t offset, uint64_t length, int r)
{
    if (r >= 0 || r == -ENOTSUP || !node->driver->is_protocol)
        return r;
    g_mutex_lock(&node->fault.lock);
    node->fault.error = r;
    node->fault.kind = kind;
    node->fault.offset = offset;
    node->fault.length = length;
    g_mutex_unlock(&node->fault.lock);
    return r;
}

/* What protocol @node has to say of @r; NULL when its last failure was another. */
static char *
fault_text(BlockNode *node, int r)
{
    char *text = NULL;
    bool it;

    g_mutex_lock(&node->fault.lock);
    it = node->filename && node->fault.error == r;
    if (it && node->fault.kind == BLOCK_FAULT_FLUSH)
        text = g_strdup_printf("flushing '%s'", node->filename);
    else if (it)
        text = g_strdup_printf("%s %" G_GUINT64_FORMAT " bytes of '%s' at byte %" G_GUINT64_FORMAT,
                               kind_names[node->fault.kind], node->fault.length, node->filename,
                               node->fault.offset);
    g_mutex_unlock(&node->fault.lock);
    return text;
}

/* The first file of @node, its extents and what lies behind it that failed with @r. */
static char *
fault_find(BlockNode *node, int r)
{
    char *text = NULL;

    for (; node && !text; node = node->backing) {
        text = node->driver->is_protocol ? fault_text(node, r) : fault_find(node->file, r);
        for (guint i = 0; !text && node->extents && i < node->extents->len; i++)
            text = fault_find(node->extents->pdata[i], r);
    }
    return text;
}

bool
block_error_set(GError **err, int code, int r, BlockNode *node, const char *format, ...)
{
    g_autofree char *what = NULL, *where = NULL;
    va_list ap;

    if (!err)
        return false;
    va_start(ap, format);
    what = g_strdup_vprintf(format, ap);
    va_end(ap);
    where = fault_find(node, r);
    return kiln_error_set_errno(err, code, r, "%s%s%s%s", what, where ? " (" : "",
                                where ? where : "", where ? ")" : "");
}

static const char *const kind_names[] = {
    [BLOCK_FAULT_READ] = "reading",   [BLOCK_FAULT_WRITE] = "writing",
    [BLOCK_FAULT_ZERO] = "zeroing",   [BLOCK_FAULT_DISCARD] = "discarding",
    [BLOCK_FAULT_FLUSH] = "flushing",
};
