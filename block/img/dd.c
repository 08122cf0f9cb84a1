/* dd.c - kiln-img dd: a part of an image into a new image, with dd's way of saying it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <string.h>

#include "util/error.h"

enum { BLOCK_DEFAULT = 512, SPARSE = 4096 };

typedef struct {
    const char *in, *out;
    uint64_t block, count, skip;
    bool counted;
} Operands;

/* False when a message was written. */
static bool
operands_parse(const ImgArgs *args, Operands *ret)
{
    *ret = (Operands){ .block = BLOCK_DEFAULT };
    for (int i = 0; i < args->n_files; i++) {
        g_auto(GStrv) pair = g_strsplit(args->files[i], "=", 2);
        const char *value = strchr(args->files[i], '=');
        bool ok = true;

        if (!value || !*++value) {
            img_fail("unrecognized operand %s; there are bs=, count=, if=, of= and skip=",
                     args->files[i]);
            return false;
        }
        if (strcmp(pair[0], "if") == 0)
            ret->in = value;
        else if (strcmp(pair[0], "of") == 0)
            ret->out = value;
        else if (strcmp(pair[0], "bs") == 0)
            ok = img_size_parse(value, &ret->block) && ret->block > 0 && ret->block <= G_MAXINT32;
        else if (strcmp(pair[0], "count") == 0)
            ok = ret->counted = img_size_parse(value, &ret->count);
        else if (strcmp(pair[0], "skip") == 0)
            ok = img_size_parse(value, &ret->skip);
        else {
            img_fail("unrecognized operand %s; there are bs=, count=, if=, of= and skip=", pair[0]);
            return false;
        }
        if (!ok) {
            img_fail("invalid number: '%s' for '%s' (bs is from 1 to %d, the others from 0)", value,
                     pair[0], G_MAXINT32);
            return false;
        }
    }
    if (!ret->in || !ret->out) {
        img_fail("Must specify both input and output file names");
        return false;
    }
    return true;
}

static int
dd_run(ImgArgs *args)
{
    const char *format = args->out_format ? args->out_format : "raw";
    g_autoptr(GHashTable) options = tool_keyval_new();
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) source = NULL, target = NULL;
    uint64_t size, skip;
    ImgCopy copy;
    Operands o;

    if (!operands_parse(args, &o))
        return IMG_FAILED;
    source = img_open(args, o.in, args->format,
                      IMG_OPEN_CHAIN | (args->image_opts ? IMG_OPEN_OPTIONS : 0), NULL, &err);
    if (!source)
        return img_fail_error(err);
    size = block_node_size(source);
    skip = o.skip > size / o.block ? size : o.skip * o.block;
    if (o.skip > 0 && o.skip > size / o.block && o.skip * o.block != size)
        img_warn("'%s' ends before the %" PRIu64 " blocks that are skipped", o.in, o.skip);
    /* as with qemu-img, what is skipped counts */
    if (o.counted && o.count <= size / o.block)
        size = o.count * o.block;
    size = size > skip ? size - skip : 0;
    g_hash_table_insert(options, g_strdup("size"), g_strdup_printf("%" PRIu64, size));
    if (!img_create(args, o.out, format, options, &err))
        return img_fail_error(err);
    target = img_open(args, o.out, format, IMG_OPEN_WRITE | IMG_OPEN_QUIET, NULL, &err);
    if (!target || !img_sandbox_enter(&err))
        return img_fail_error(err);
    copy = (ImgCopy){
        .source = source,
        .target = target,
        .source_offset = skip,
        .length = size,
        .threads = img_threads(16),
        .sparse = MAX((uint64_t)SPARSE, img_sparse_unit(target)),
        .source_name = o.in,
        .target_name = o.out,
    };
    if (!img_copy(&copy, &err))
        return img_fail_error(err);
    return img_flush(target, &err) ? IMG_OK : img_fail_error(err);
}

static const ImgOption dd_options[] = {
    { 0, "object", "OBJECT", IMG_LIST, IMG_AT(objects) },
    { 0, "image-opts", NULL, IMG_FLAG, IMG_AT(image_opts) },
    { 'U', "force-share", NULL, IMG_FLAG, IMG_AT(force_share) },
    { 'f', NULL, "FORMAT", IMG_TEXT, IMG_AT(format) },
    { 'O', NULL, "FORMAT", IMG_TEXT, IMG_AT(out_format) },
    { 0 },
};

const ImgCommand img_dd = {
    .name = "dd",
    .operands = "[bs=BYTES] [count=BLOCKS] [skip=BLOCKS] if=FILE of=FILE",
    .summary = "copies a part of an image into a new one",
    .options = dd_options,
    .run = dd_run,
};
