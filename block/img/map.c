/* map.c - kiln-img map: which parts of an image are data, zero, or in which backing file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <stdio.h>
#include <string.h>

#include "util/error.h"

typedef struct {
    uint64_t start, length, offset;
    unsigned depth;
    bool present, zero, data, has_offset;
    const char *file;
} Entry;

static bool
entry_continues(const Entry *a, const Entry *b)
{
    return a->depth == b->depth && a->present == b->present && a->zero == b->zero &&
           a->data == b->data && a->has_offset == b->has_offset &&
           (!a->has_offset || (a->offset + a->length == b->offset && a->file == b->file));
}

static bool
entry_print(const Entry *e, bool json, bool first, GError **err)
{
    if (json) {
        printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64
               ", \"depth\": %u, \"present\": %s, \"zero\": %s, \"data\": %s",
               first ? "" : ",\n", e->start, e->length, e->depth, e->present ? "true" : "false",
               e->zero ? "true" : "false", e->data ? "true" : "false");
        if (e->has_offset)
            printf(", \"offset\": %" PRIu64, e->offset);
        printf("}");
        return true;
    }
    if (!e->data || e->zero)
        return true;
    if (!e->has_offset)
        return kiln_error_set(err, VIR_ERR_NO_SUPPORT,
                              "File contains external, encrypted or compressed clusters; "
                              "--output=json can tell of them");
    printf("%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64 "%s\n", e->start, e->length, e->offset,
           e->file);
    return true;
}

static void
entry_from(const ImgRange *range, uint64_t start, Entry *e)
{
    unsigned flags = range->status.flags;

    *e = (Entry){
        .start = start,
        .length = range->length,
        .depth = range->status.depth,
        .present = flags & BLOCK_STATUS_ALLOCATED,
        .zero = flags & BLOCK_STATUS_ZERO,
        .data = flags & BLOCK_STATUS_DATA,
        .has_offset = flags & BLOCK_STATUS_OFFSET && range->status.file,
    };
    if (e->has_offset) {
        e->offset = range->status.host_offset;
        e->file = block_node_filename(range->status.file);
    }
}

static bool
map_print(ImgWalk *walk, uint64_t at, uint64_t end, bool json, GError **err)
{
    Entry now = { 0 };
    bool first = true;

    if (json)
        printf("[");
    else
        printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    while (at < end) {
        ImgRange range;
        Entry next;
        int r = img_walk_range(walk, at, end - at, &range);

        if (r < 0)
            return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, walk->node,
                                   "'%s': status of byte %" PRIu64, block_node_filename(walk->node),
                                   at);
        entry_from(&range, at, &next);
        if (now.length > 0 && entry_continues(&now, &next)) {
            now.length += next.length;
        } else {
            if (now.length > 0) {
                if (!entry_print(&now, json, first, err))
                    return false;
                first = false;
            }
            now = next;
        }
        at += range.length;
    }
    /* of nothing at all there is one entry, without length, as qemu-img has it */
    if (now.length == 0)
        now.start = at;
    if ((now.length > 0 || first) && !entry_print(&now, json, first, err))
        return false;
    if (json)
        puts("]");
    return true;
}

static int
map_run(ImgArgs *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node = NULL;
    bool ok, json = img_output_is_json(args, &ok), done;
    ImgWalk walk;
    uint64_t start = args->start_offset == IMG_UNSET ? 0 : args->start_offset, end;

    if (!ok)
        return IMG_FAILED;
    if (args->n_files != 1)
        return img_fail("Expecting one image file name\nTry 'kiln-img --help' for more "
                        "information");
    node = img_open(args, args->files[0], args->format,
                    IMG_OPEN_CHAIN | (args->image_opts ? IMG_OPEN_OPTIONS : 0), NULL, &err);
    if (!node || !img_sandbox_enter(&err))
        return img_fail_error(err);
    end = block_node_size(node);
    if (args->max_length != IMG_UNSET)
        end = start >= end ? end : MIN(end, start + MIN(args->max_length, end));
    img_walk_begin(&walk, node, NULL);
    done = map_print(&walk, start, end, json, &err);
    img_walk_end(&walk);
    return done ? IMG_OK : img_fail_error(err);
}

static const ImgOption map_options[] = {
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 'f', "format", "FORMAT", IMG_TEXT, IMG_AT(format) },
    { 's', "start-offset", "OFFSET", IMG_SIZE, IMG_AT(start_offset) },
    { 'l', "max-length", "LENGTH", IMG_SIZE, IMG_AT(max_length) },
    { 0, "output", "human|json", IMG_TEXT, IMG_AT(output) },
    { 'U', "force-share", NULL, IMG_FLAG, IMG_AT(force_share) },
    { 0 },
};

const ImgCommand img_map = {
    .name = "map",
    .operands = "FILE",
    .summary = "lists the parts of an image and where they lie",
    .options = map_options,
    .run = map_run,
};
