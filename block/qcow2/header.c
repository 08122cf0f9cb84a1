/* header.c - the first cluster of a qcow2 image: header, extensions, backing file's name.
 *
 *   0   4  magic "QFI\xfb"            56  4  clusters of the refcount table
 *   4   4  version                    60  4  snapshots
 *   8   8  backing name: offset       64  8  snapshot table: offset
 *   16  4  backing name: length       72  8  incompatible features (version 3 from here)
 *   20  4  cluster bits               80  8  compatible features
 *   24  8  disk size, bytes           88  8  autoclear features
 *   32  4  encryption                 96  4  refcount order
 *   36  4  entries of the L1 table   100  4  header length
 *   40  8  L1 table: offset          104  1  compression type (length 112)
 *   48  8  refcount table: offset
 *
 * Then extensions (type, length, data padded to 8) up to type 0. Every number comes from the file
 * and is bounded here before anything uses it.
 *
 * Source: QEMU's docs/interop/qcow2.txt, "Header", "Header extensions".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/qcow2.h"
#include "util/error.h"

enum {
    EXT_END = 0,
    EXT_BITMAPS_SIZE = 24,
    EXT_LUKS_SIZE = 16,
    FEATURE_ROW = 48,
    FEATURE_NAME = 46,
};
#define EXT_BACKING_FORMAT 0xe2792acau
#define EXT_FEATURES 0x6803f857u
#define EXT_BITMAPS 0x23852875u
#define EXT_LUKS 0x0537be77u
#define EXT_DATA_FILE 0x44415441u

static const struct {
    uint8_t kind, bit;
    const char *name;
} features[] = {
    { 0, 0, "dirty bit" },        { 0, 1, "corrupt bit" },         { 0, 2, "external data file" },
    { 0, 3, "compression type" }, { 0, 4, "extended L2 entries" }, { 1, 0, "lazy refcounts" },
    { 2, 0, "bitmaps" },          { 2, 1, "raw external data" },
};

void
qcow2_header_clear(Qcow2Header *h)
{
    g_clear_pointer(&h->backing_file, g_free);
    g_clear_pointer(&h->backing_format, g_free);
    g_clear_pointer(&h->data_file, g_free);
    g_clear_pointer(&h->unknown, g_ptr_array_unref);
}

uint32_t
qcow2_header_cluster_size(const uint8_t *head, size_t length)
{
    uint32_t bits = length >= QCOW2_HEADER_V2 ? be32(head + 20) : 0;

    if (bits < QCOW2_CLUSTER_BITS_MIN || bits > QCOW2_CLUSTER_BITS_MAX || be32(head) != QCOW2_MAGIC)
        return 0;
    return 1u << bits;
}

static bool
damaged(GError **err, const char *filename, const char *what, uint64_t value)
{
    return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                          "qcow2 image '%s' is damaged: %s (%" G_GUINT64_FORMAT
                          "); see kiln-img check",
                          filename, what, value);
}

static char *
header_text(const uint8_t *p, size_t length)
{
    return g_strndup((const char *)p, length);
}

/* Names that the image itself gives to feature bits, for the refusal of unknown ones. */
static void
feature_names(GString *names, const uint8_t *table, size_t length, uint64_t unknown)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        bool named = false;

        if (!(unknown & UINT64_C(1) << bit))
            continue;
        g_string_append(names, names->len ? ", " : "");
        for (size_t at = 0; !named && at + FEATURE_ROW <= length; at += FEATURE_ROW)
            if (table[at] == 0 && table[at + 1] == bit && g_ascii_isprint(table[at + 2])) {
                g_string_append_printf(names, "'%.*s'", FEATURE_NAME, (const char *)table + at + 2);
                named = true;
            }
        if (!named)
            g_string_append_printf(names, "bit %u", bit);
    }
}

typedef struct {
    const uint8_t *features;
    size_t features_length;
} Found;

static bool
extension_parse(uint32_t type, const uint8_t *data, uint32_t length, const char *filename,
                Qcow2Header *h, Found *found, GError **err)
{
    Qcow2Extension *kept;

    switch (type) {
    case EXT_BACKING_FORMAT:
        g_free(h->backing_format);
        h->backing_format = header_text(data, length);
        return true;
    case EXT_DATA_FILE:
        g_free(h->data_file);
        h->data_file = header_text(data, length);
        return true;
    case EXT_FEATURES:
        found->features = data;
        found->features_length = length;
        return true;
    case EXT_BITMAPS:
        if (length != EXT_BITMAPS_SIZE)
            return damaged(err, filename, "length of the extension for bitmaps", length);
        h->bitmaps.count = be32(data);
        h->bitmaps.directory_size = be64(data + 8);
        h->bitmaps.directory_offset = be64(data + 16);
        return true;
    case EXT_LUKS:
        if (length != EXT_LUKS_SIZE)
            return damaged(err, filename, "length of the extension for encryption", length);
        h->luks.offset = be64(data);
        h->luks.length = be64(data + 8);
        if (h->luks.length == 0 || h->luks.length > QCOW2_LUKS_BYTES_MAX)
            return damaged(err, filename, "length of the header of encryption", h->luks.length);
        if (h->luks.offset == 0 || h->luks.offset % (UINT64_C(1) << h->cluster_bits) != 0 ||
            h->luks.offset > (uint64_t)G_MAXINT64 - QCOW2_LUKS_BYTES_MAX)
            return damaged(err, filename, "place of the header of encryption", h->luks.offset);
        return true;
    default:
        kept = g_malloc(sizeof(*kept) + length);
        kept->type = type;
        kept->length = length;
        memcpy(kept->data, data, length);
        if (!h->unknown)
            h->unknown = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(h->unknown, kept);
        return true;
    }
}

static bool
extensions_parse(const uint8_t *head, size_t at, size_t end, const char *filename, Qcow2Header *h,
                 Found *found, GError **err)
{
    for (unsigned n = 0; at + 8 <= end; n++) {
        uint32_t type = be32(head + at), length = be32(head + at + 4);

        at += 8;
        if (type == EXT_END)
            return true;
        if (n == QCOW2_EXTENSIONS_MAX)
            return damaged(err, filename, "more header extensions than", QCOW2_EXTENSIONS_MAX);
        if (length > end - at)
            return damaged(err, filename, "a header extension leaves the header", length);
        if (!extension_parse(type, head + at, length, filename, h, found, err))
            return false;
        at += MIN(end - at, ((size_t)length + 7) / 8 * 8);
    }
    return true;
}

static bool
features_check(const Qcow2Header *h, const Found *found, const char *filename, GError **err)
{
    uint64_t unknown = h->incompatible & ~QCOW2_INCOMPAT_KNOWN;
    g_autoptr(GString) names = g_string_new(NULL);

    if (unknown) {
        feature_names(names, found->features, found->features_length, unknown);
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "qcow2 image '%s' needs features that are not offered: %s", filename,
                              names->str);
    }
    if (h->compression_type > QCOW2_COMPRESSION_ZSTD)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "qcow2 image '%s' is compressed by method %u; zlib (0) and zstd (1) "
                              "are offered",
                              filename, h->compression_type);
    if ((h->compression_type != 0) != !!(h->incompatible & QCOW2_INCOMPAT_COMPRESSION))
        return damaged(err, filename, "compression type and its feature bit differ",
                       h->compression_type);
    if (h->incompatible & QCOW2_INCOMPAT_EXTENDED_L2 && h->cluster_bits < 14)
        return damaged(err, filename, "extended L2 entries with clusters of 2 to the power of",
                       h->cluster_bits);
    return true;
}

/* Places and sizes of the tables. */
static bool
tables_check(const Qcow2Header *h, const char *filename, GError **err)
{
    uint64_t mask = (UINT64_C(1) << h->cluster_bits) - 1;

    if (h->size > G_MAXINT64 - BLOCK_SECTOR)
        return damaged(err, filename, "size of the disk", h->size);
    if (h->l1_size > QCOW2_L1_BYTES_MAX / 8)
        return damaged(err, filename, "entries of the L1 table", h->l1_size);
    if (h->l1_offset & mask || h->l1_offset > G_MAXINT64 - QCOW2_L1_BYTES_MAX)
        return damaged(err, filename, "place of the L1 table", h->l1_offset);
    if ((uint64_t)h->refcount_table_clusters << h->cluster_bits > QCOW2_REFTABLE_BYTES_MAX)
        return damaged(err, filename, "clusters of the refcount table", h->refcount_table_clusters);
    if (h->refcount_table_offset & mask ||
        h->refcount_table_offset > G_MAXINT64 - QCOW2_REFTABLE_BYTES_MAX)
        return damaged(err, filename, "place of the refcount table", h->refcount_table_offset);
    if (h->snapshots > QCOW2_SNAPSHOTS_MAX)
        return damaged(err, filename, "number of snapshots", h->snapshots);
    if (h->snapshots_offset & mask || h->snapshots_offset > G_MAXINT64 - QCOW2_SNAPSHOT_TABLE_MAX)
        return damaged(err, filename, "place of the snapshot table", h->snapshots_offset);
    return true;
}

static void
header_read_v3(const uint8_t *head, Qcow2Header *h)
{
    h->incompatible = be64(head + 72);
    h->compatible = be64(head + 80);
    h->autoclear = be64(head + 88);
    h->refcount_order = be32(head + 96);
    h->header_length = be32(head + 100);
}

bool
qcow2_header_parse(const uint8_t *head, size_t length, const char *filename, Qcow2Header *h,
                   GError **err)
{
    uint32_t cluster = qcow2_header_cluster_size(head, length), name_length;
    uint64_t name_offset, end;
    Found found = { 0 };

    memset(h, 0, sizeof(*h));
    if (length < QCOW2_HEADER_V2 || be32(head) != QCOW2_MAGIC)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "image '%s' is not in qcow2 format",
                              filename);
    h->version = be32(head + 4);
    if (h->version != 2 && h->version != 3)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "qcow2 image '%s' has version %u; 2 and 3 are offered", filename,
                              h->version);
    if (cluster == 0)
        return damaged(err, filename, "cluster bits are not 9 to 21", be32(head + 20));
    name_offset = be64(head + 8);
    name_length = be32(head + 16);
    h->cluster_bits = be32(head + 20);
    h->size = be64(head + 24);
    h->crypt_method = be32(head + 32);
    h->l1_size = be32(head + 36);
    h->l1_offset = be64(head + 40);
    h->refcount_table_offset = be64(head + 48);
    h->refcount_table_clusters = be32(head + 56);
    h->snapshots = be32(head + 60);
    h->snapshots_offset = be64(head + 64);
    h->refcount_order = 4;
    h->header_length = QCOW2_HEADER_V2;
    length = MIN(length, cluster);
    if (h->version == 3) {
        if (length < QCOW2_HEADER_V3)
            return damaged(err, filename, "bytes of the file", length);
        header_read_v3(head, h);
    }
    if (h->refcount_order > 6)
        return damaged(err, filename, "refcount order is above 6", h->refcount_order);
    if (h->header_length > length || (h->version == 3 && h->header_length < QCOW2_HEADER_V3))
        return damaged(err, filename, "length of the header", h->header_length);
    if (h->header_length > QCOW2_HEADER_V3)
        h->compression_type = head[QCOW2_HEADER_V3];
    end = length;
    if (name_offset != 0) {
        if (name_length > QCOW2_BACKING_NAME_MAX || name_offset > length ||
            name_length > length - name_offset || name_offset < h->header_length)
            return damaged(err, filename, "place of the backing file's name", name_offset);
        if (name_length > 0)
            h->backing_file = header_text(head + name_offset, name_length);
        end = name_offset;
    }
    return extensions_parse(head, h->header_length, end, filename, h, &found, err) &&
           features_check(h, &found, filename, err) && tables_check(h, filename, err);
}

/* ---- writing ---- */

typedef struct {
    uint8_t *buf;
    size_t at, length;
    bool full;
} Writer;

static uint8_t *
writer_take(Writer *w, size_t n)
{
    uint8_t *p = w->buf + w->at;

    if (w->full || n > w->length - w->at) {
        w->full = true;
        return NULL;
    }
    w->at += n;
    return p;
}

static void
writer_extension(Writer *w, uint32_t type, const void *data, size_t length)
{
    uint8_t *p = writer_take(w, 8 + (length + 7) / 8 * 8);

    if (!p)
        return;
    put_be32(p, type);
    put_be32(p + 4, length);
    if (length > 0)
        memcpy(p + 8, data, length);
}

static void
writer_features(Writer *w)
{
    uint8_t table[G_N_ELEMENTS(features) * FEATURE_ROW] = { 0 };

    for (size_t i = 0; i < G_N_ELEMENTS(features); i++) {
        table[i * FEATURE_ROW] = features[i].kind;
        table[i * FEATURE_ROW + 1] = features[i].bit;
        memcpy(table + i * FEATURE_ROW + 2, features[i].name, strlen(features[i].name));
    }
    writer_extension(w, EXT_FEATURES, table, sizeof(table));
}

static void
writer_extensions(Writer *w, const Qcow2Header *h, bool names)
{
    uint8_t data[EXT_BITMAPS_SIZE] = { 0 };

    if (h->backing_format)
        writer_extension(w, EXT_BACKING_FORMAT, h->backing_format, strlen(h->backing_format));
    if (h->data_file)
        writer_extension(w, EXT_DATA_FILE, h->data_file, strlen(h->data_file));
    if (h->crypt_method == 2) {
        put_be64(data, h->luks.offset);
        put_be64(data + 8, h->luks.length);
        writer_extension(w, EXT_LUKS, data, EXT_LUKS_SIZE);
        memset(data, 0, sizeof(data));
    }
    if (names)
        writer_features(w);
    if (h->bitmaps.count > 0) {
        put_be32(data, h->bitmaps.count);
        put_be64(data + 8, h->bitmaps.directory_size);
        put_be64(data + 16, h->bitmaps.directory_offset);
        writer_extension(w, EXT_BITMAPS, data, EXT_BITMAPS_SIZE);
    }
    for (guint i = 0; h->unknown && i < h->unknown->len; i++) {
        const Qcow2Extension *e = h->unknown->pdata[i];

        writer_extension(w, e->type, e->data, e->length);
    }
    writer_extension(w, EXT_END, NULL, 0);
}

/* The fixed part, then extensions and names at w->at. */
static void
writer_header(Writer *w, const Qcow2Header *h, bool names)
{
    size_t own = w->at, name = h->backing_file ? strlen(h->backing_file) : 0;
    uint8_t *buf = w->buf, *p;

    memset(buf, 0, w->length);
    put_be32(buf, QCOW2_MAGIC);
    put_be32(buf + 4, h->version);
    put_be32(buf + 20, h->cluster_bits);
    put_be64(buf + 24, h->size);
    put_be32(buf + 32, h->crypt_method);
    put_be32(buf + 36, h->l1_size);
    put_be64(buf + 40, h->l1_offset);
    put_be64(buf + 48, h->refcount_table_offset);
    put_be32(buf + 56, h->refcount_table_clusters);
    put_be32(buf + 60, h->snapshots);
    put_be64(buf + 64, h->snapshots_offset);
    if (h->version >= 3) {
        put_be64(buf + 72, h->incompatible);
        put_be64(buf + 80, h->compatible);
        put_be64(buf + 88, h->autoclear);
        put_be32(buf + 96, h->refcount_order);
        put_be32(buf + 100, own);
        buf[QCOW2_HEADER_V3] = h->compression_type;
    }
    writer_extensions(w, h, names);
    /* the name stays where it is when there are bitmaps later: it may lie in another sector */
    if (name > 0 && h->version >= 3 && h->bitmaps.count == 0 &&
        w->length - w->at >= name + 8 + EXT_BITMAPS_SIZE)
        w->at += 8 + EXT_BITMAPS_SIZE;
    if (name > 0 && (p = writer_take(w, name))) {
        put_be64(buf + 8, p - buf);
        put_be32(buf + 16, name);
        memcpy(p, h->backing_file, name);
    }
    w->full |= name > QCOW2_BACKING_NAME_MAX;
}

int
qcow2_header_format(const Qcow2Header *h, uint8_t *buf, size_t length)
{
    size_t own = h->version == 2 ? QCOW2_HEADER_V2 : QCOW2_HEADER_V3 + 8;
    Writer w = { .buf = buf, .at = own, .length = length };

    writer_header(&w, h, h->version >= 3);
    if ((w.full || w.at > BLOCK_SECTOR) && h->version >= 3) {
        /* The names of features are a courtesy: small clusters need the room, and what lies in one
         * sector cannot be torn by a crash. */
        w = (Writer){ .buf = buf, .at = own, .length = length };
        writer_header(&w, h, false);
    }
    return w.full ? -ENOSPC : 0;
}
