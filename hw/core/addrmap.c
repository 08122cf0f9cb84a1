/* addrmap.c - which device answers at which port or memory address.
 *
 * A table is made by painting the regions, lowest priority first, into a sorted list of pieces that
 * do not overlap, so a look-up is one binary search.
 *
 * Reclamation: a reader stores the table's address in its own hazard pointer and then checks that
 * the table is still the current one; with the store and the writer's exchange both sequentially
 * consistent, a writer that finds no hazard pointer on a replaced table may free it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/addrmap.h"

#include "hw/core/bytes.h"

#include <errno.h>
#include <string.h>

typedef struct {
    uint64_t base, last; /* first and last address: the end may be 2^64 */
    uint64_t offset;     /* of base in the region */
    IoRegion *region;
} Piece;

typedef struct {
    size_t n;
    Piece pieces[];
} Table;

typedef struct {
    IoRegion *region;
    uint64_t base;
    uint64_t sequence;
} Placed;

struct AddressMap {
    char *name;
    uint64_t last;  /* highest address */
    Table *table;   /* atomic */
    GMutex lock;    /* all below */
    GArray *placed; /* Placed */
    uint64_t sequence;
    unsigned depth; /* open begin()s */
    bool dirty;
    GPtrArray *retired; /* Table: replaced, perhaps still read */
    GPtrArray *readers; /* AddressReader */
};

struct AddressReader {
    AddressMap *map;
    Table *hazard; /* atomic: the table in use, NULL outside an access */
    unsigned depth;
    uint8_t pad[64]; /* readers of different threads share no cache line */
};

AddressMap *
address_map_new(const char *name, uint64_t limit)
{
    AddressMap *map = g_new0(AddressMap, 1);

    map->name = g_strdup(name);
    map->last = limit - 1;
    g_mutex_init(&map->lock);
    map->placed = g_array_new(FALSE, TRUE, sizeof(Placed));
    map->retired = g_ptr_array_new_with_free_func(g_free);
    map->readers = g_ptr_array_new();
    map->table = g_malloc0(sizeof(Table));
    return map;
}

void
address_map_free(AddressMap *map)
{
    if (!map)
        return;
    g_ptr_array_unref(map->readers);
    g_ptr_array_unref(map->retired);
    g_array_unref(map->placed);
    g_mutex_clear(&map->lock);
    g_free(map->table);
    g_free(map->name);
    g_free(map);
}

const char *
address_map_name(const AddressMap *map)
{
    return map->name;
}

static bool
address_map_table_in_use(AddressMap *map, const Table *table)
{
    for (guint i = 0; i < map->readers->len; i++) {
        AddressReader *reader = g_ptr_array_index(map->readers, i);

        if (__atomic_load_n(&reader->hazard, __ATOMIC_SEQ_CST) == table)
            return true;
    }
    return false;
}

static void
address_map_reclaim(AddressMap *map)
{
    for (guint i = map->retired->len; i > 0; i--) {
        if (!address_map_table_in_use(map, g_ptr_array_index(map->retired, i - 1)))
            g_ptr_array_remove_index_fast(map->retired, i - 1);
    }
}

static gint
placed_compare(gconstpointer a, gconstpointer b)
{
    const Placed *x = a, *y = b;

    if (x->region->priority != y->region->priority)
        return x->region->priority < y->region->priority ? -1 : 1;
    return x->sequence < y->sequence ? -1 : 1;
}

/* Lays @piece over the sorted pieces in @list, cutting what is below it. */
static void
pieces_paint(GArray *list, Piece piece)
{
    guint at = 0;

    for (guint i = 0; i < list->len; i++) {
        Piece old = g_array_index(list, Piece, i);

        if (old.last < piece.base) {
            at = i + 1;
            continue;
        }
        if (old.base > piece.last)
            break;
        g_array_remove_index(list, i);
        if (old.base < piece.base) {
            Piece left = old;

            left.last = piece.base - 1;
            g_array_insert_val(list, i, left);
            i++;
        }
        at = i;
        if (old.last > piece.last) {
            Piece right = old;

            right.base = piece.last + 1;
            right.offset += right.base - old.base;
            g_array_insert_val(list, i, right);
            break;
        }
        i--;
    }
    g_array_insert_val(list, at, piece);
}

static void
address_map_publish(AddressMap *map)
{
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(Piece));
    Table *table, *old;

    if (map->depth > 0) {
        map->dirty = true;
        return;
    }
    g_array_sort(map->placed, placed_compare);
    for (guint i = 0; i < map->placed->len; i++) {
        Placed *p = &g_array_index(map->placed, Placed, i);

        pieces_paint(list, (Piece){ p->base, p->base + (p->region->size - 1), 0, p->region });
    }
    table = g_malloc(sizeof(*table) + list->len * sizeof(Piece));
    table->n = list->len;
    if (list->len > 0)
        memcpy(table->pieces, list->data, list->len * sizeof(Piece));
    old = __atomic_exchange_n(&map->table, table, __ATOMIC_SEQ_CST);
    g_ptr_array_add(map->retired, old);
    map->dirty = false;
    address_map_reclaim(map);
}

int
address_map_add(AddressMap *map, IoRegion *region, uint64_t base)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&map->lock);
    Placed placed = { region, base, map->sequence++ };

    if (region->size == 0 || base > map->last || region->size - 1 > map->last - base)
        return -ERANGE;
    for (guint i = 0; i < map->placed->len; i++) {
        if (g_array_index(map->placed, Placed, i).region == region)
            return -EEXIST;
    }
    g_array_append_val(map->placed, placed);
    address_map_publish(map);
    return 0;
}

void
address_map_remove(AddressMap *map, IoRegion *region)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&map->lock);

    for (guint i = 0; i < map->placed->len; i++) {
        if (g_array_index(map->placed, Placed, i).region == region) {
            g_array_remove_index(map->placed, i);
            address_map_publish(map);
            return;
        }
    }
}

void
address_map_begin(AddressMap *map)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&map->lock);

    map->depth++;
}

void
address_map_commit(AddressMap *map)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&map->lock);

    map->depth--;
    if (map->dirty)
        address_map_publish(map);
}

void
address_map_synchronize(AddressMap *map)
{
    for (;;) {
        bool clear;

        /* Only replaced tables matter: a region that was removed is in no current one. */
        g_mutex_lock(&map->lock);
        address_map_reclaim(map);
        clear = map->retired->len == 0;
        g_mutex_unlock(&map->lock);
        if (clear)
            return;
        g_usleep(20);
    }
}

AddressReader *
address_reader_new(AddressMap *map)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&map->lock);
    AddressReader *reader = g_new0(AddressReader, 1);

    reader->map = map;
    g_ptr_array_add(map->readers, reader);
    return reader;
}

void
address_reader_free(AddressReader *reader)
{
    if (!reader)
        return;
    g_mutex_lock(&reader->map->lock);
    g_ptr_array_remove_fast(reader->map->readers, reader);
    g_mutex_unlock(&reader->map->lock);
    g_free(reader);
}

static const Table *
address_reader_enter(AddressReader *reader)
{
    Table *table;

    /* A callback that accesses the map again stays with the table it came from. */
    if (reader->depth++ > 0)
        return reader->hazard;
    do {
        table = __atomic_load_n(&reader->map->table, __ATOMIC_SEQ_CST);
        __atomic_store_n(&reader->hazard, table, __ATOMIC_SEQ_CST);
    } while (table != __atomic_load_n(&reader->map->table, __ATOMIC_SEQ_CST));
    return table;
}

static void
address_reader_leave(AddressReader *reader)
{
    if (--reader->depth == 0)
        __atomic_store_n(&reader->hazard, NULL, __ATOMIC_RELEASE);
}

static const Piece *
table_find(const Table *table, uint64_t addr)
{
    size_t low = 0, high = table->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (table->pieces[mid].last < addr)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == table->n || table->pieces[low].base > addr)
        return NULL;
    return &table->pieces[low];
}

/* The piece that takes an access of @size at @addr, and in *ret_step how many bytes of it at a
 * time; NULL when it is to be refused. */
static const Piece *
table_admit(const Table *table, uint64_t addr, unsigned size, unsigned *ret_step)
{
    const Piece *piece = table_find(table, addr);
    const IoOps *ops;
    unsigned sizes, step = size;

    if (!piece || size - 1 > piece->last - addr)
        return NULL;
    ops = piece->region->ops;
    sizes = ops->sizes ? ops->sizes : 1 | 2 | 4;
    if (!(sizes & size)) {
        unsigned widest = 1u << (31 - __builtin_clz(sizes));

        if (!ops->split || size < widest)
            return NULL;
        step = widest;
    }
    if (!ops->unaligned && ((addr - piece->base + piece->offset) & (step - 1)))
        return NULL;
    *ret_step = step;
    return piece;
}

bool
address_read(AddressReader *reader, uint64_t addr, unsigned size, uint64_t *ret)
{
    const Piece *piece;
    unsigned step;

    if (size != 1 && size != 2 && size != 4 && size != 8) {
        *ret = UINT64_MAX;
        return false;
    }
    *ret = bytes_all_ones(size);
    piece = table_admit(address_reader_enter(reader), addr, size, &step);
    if (piece && piece->region->ops->read) {
        const IoRegion *region = piece->region;
        uint64_t offset = addr - piece->base + piece->offset, value = 0;

        if (region->lock)
            g_mutex_lock(region->lock);
        for (unsigned done = 0; done < size; done += step)
            value |= (region->ops->read(region->opaque, offset + done, step) & bytes_all_ones(step))
                     << (8 * done);
        if (region->lock)
            g_mutex_unlock(region->lock);
        *ret = value;
    }
    address_reader_leave(reader);
    return piece != NULL;
}

bool
address_write(AddressReader *reader, uint64_t addr, unsigned size, uint64_t value)
{
    const Piece *piece;
    unsigned step;

    if (size != 1 && size != 2 && size != 4 && size != 8)
        return false;
    piece = table_admit(address_reader_enter(reader), addr, size, &step);
    if (piece && piece->region->ops->write) {
        const IoRegion *region = piece->region;
        uint64_t offset = addr - piece->base + piece->offset;

        if (region->lock)
            g_mutex_lock(region->lock);
        for (unsigned done = 0; done < size; done += step)
            region->ops->write(region->opaque, offset + done,
                               (value >> (8 * done)) & bytes_all_ones(step), step);
        if (region->lock)
            g_mutex_unlock(region->lock);
    }
    address_reader_leave(reader);
    return piece != NULL;
}

void
address_map_visit(AddressMap *map, AddressMapVisit fn, void *opaque)
{
    g_autoptr(AddressReader) reader = address_reader_new(map);
    const Table *table = address_reader_enter(reader);

    for (size_t i = 0; i < table->n; i++) {
        const Piece *p = &table->pieces[i];

        fn(p->base, p->last - p->base + 1, p->region, opaque);
    }
    address_reader_leave(reader);
}
