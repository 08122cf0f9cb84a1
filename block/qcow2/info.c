/* info.c - what `info` tells of a qcow2 image.
 *
 * Names: QEMU's ImageInfoSpecificQCow2.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/bitmap.h"
#include "block/qcow2/crypt.h"
#include "block/qcow2/upkeep.h"

static JsonArray *
bitmaps_info(const Qcow2Bitmaps *all)
{
    JsonArray *array = json_array_new();

    for (guint i = 0; i < all->list->len; i++) {
        const Qcow2Bitmap *b = all->list->pdata[i];
        JsonObject *o = json_object_new();
        JsonArray *flags = json_array_new();

        if (b->entry->flags & QCOW2_BITMAP_IN_USE)
            json_array_add_string_element(flags, "in-use");
        if (b->entry->flags & QCOW2_BITMAP_AUTO)
            json_array_add_string_element(flags, "auto");
        json_object_set_array_member(o, "flags", flags);
        json_object_set_string_member(o, "name", b->entry->name);
        json_object_set_int_member(o, "granularity", INT64_C(1) << b->entry->granularity_bits);
        json_array_add_object_element(array, o);
    }
    return array;
}

static void
version_3_info(const Qcow2 *q, JsonObject *data)
{
    const Qcow2Header *h = &q->header;
    const Qcow2Bitmaps *all = q->upkeep;

    json_object_set_boolean_member(data, "lazy-refcounts",
                                   !!(h->compatible & QCOW2_COMPAT_LAZY_REFCOUNTS));
    if (all && all->list->len > 0)
        json_object_set_array_member(data, "bitmaps", bitmaps_info(all));
    json_object_set_boolean_member(data, "corrupt", !!(h->incompatible & QCOW2_INCOMPAT_CORRUPT));
    json_object_set_boolean_member(data, "extended-l2", q->extended_l2);
    if (q->has_data_file) {
        if (h->data_file)
            json_object_set_string_member(data, "data-file", h->data_file);
        json_object_set_boolean_member(data, "data-file-raw",
                                       !!(h->autoclear & QCOW2_AUTOCLEAR_RAW_DATA_FILE));
    }
}

JsonObject *
qcow2_specific(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);
    const Qcow2Header *h = &q->header;
    JsonObject *info = json_object_new(), *data = json_object_new();
    JsonObject *encrypt = qcow2_crypt_describe(node);

    g_mutex_lock(&q->lock);
    json_object_set_string_member(data, "compat", h->version >= 3 ? "1.1" : "0.10");
    json_object_set_string_member(data, "compression-type",
                                  h->compression_type == QCOW2_COMPRESSION_ZSTD ? "zstd" : "zlib");
    json_object_set_int_member(data, "refcount-bits", 1 << h->refcount_order);
    if (h->version >= 3)
        version_3_info(q, data);
    if (encrypt)
        json_object_set_object_member(data, "encrypt", encrypt);
    g_mutex_unlock(&q->lock);
    json_object_set_string_member(info, "type", "qcow2");
    json_object_set_object_member(info, "data", data);
    return info;
}

bool
qcow2_is_encrypted(const BlockNode *node)
{
    return qcow2_of(node)->header.crypt_method != 0;
}

bool
qcow2_is_dirty(const BlockNode *node)
{
    return qcow2_of(node)->header.incompatible & QCOW2_INCOMPAT_DIRTY;
}
