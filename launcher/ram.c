/* ram.c - guest RAM from shared memfds.
 *
 * Always shared and always a descriptor, so that vhost-user, virtiofs and saving need nothing
 * special. memfd_create(2), mbind(2), madvise(2). Files as back ends are left out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/keyval.h"
#include "util/error.h"

enum { PAGE = 4096, HUGE = 2 << 20 };
#define RAM_ABOVE UINT64_C(0x100000000)

static const char *const ram_policies[] = { "default", "preferred", "bind", "interleave", NULL };
static const char *const ram_keys[] = {
    "qom-type",   "id",          "size",     "share",
    "hugetlb",    "hugetlbsize", "prealloc", "prealloc-threads",
    "host-nodes", "policy",      "merge",    "dump",
    "seal",       "reserve",     NULL,
};

Ram *
ram_new(void)
{
    return g_new0(Ram, 1);
}

static void
ram_backend_free(void *opaque)
{
    RamBackend *b = opaque;

    if (b->host)
        munmap(b->host, b->size);
    if (b->fd >= 0)
        close(b->fd);
    g_free(b->id);
    g_free(b);
}

void
ram_free(Ram *ram)
{
    if (!ram)
        return;
    g_clear_pointer(&ram->order, g_ptr_array_unref);
    g_clear_pointer(&ram->backends, g_ptr_array_unref);
    g_free(ram);
}

static bool
ram_node_range(RamBackend *b, const char *what, const char *range, GError **err)
{
    char *end;
    guint64 first = g_ascii_strtoull(range, &end, 10), last = first;

    if (end == range)
        first = UINT64_MAX;
    else if (*end == '-' && g_ascii_isdigit(end[1]))
        last = g_ascii_strtoull(end + 1, &end, 10);
    if (first > last || last >= RAM_MAX_HOST_NODES || *end)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "%s: host-nodes=%s is not a node or a range of nodes below %d", what,
                              range, RAM_MAX_HOST_NODES);
    for (; first <= last; first++)
        b->host_nodes[first / (8 * sizeof(long))] |= 1ul << first % (8 * sizeof(long));
    return true;
}

/* "0-1", or from JSON an array of numbers or ranges. */
static bool
ram_host_nodes(RamBackend *b, const char *what, JsonObject *object, GError **err)
{
    JsonNode *node = json_object_get_member(object, "host-nodes");
    JsonArray *list;

    if (!node)
        return true;
    if (!JSON_NODE_HOLDS_ARRAY(node)) {
        const char *text = keyval_text(object, "host-nodes");

        return ram_node_range(b, what, text ? text : "", err);
    }
    list = json_node_get_array(node);
    for (guint i = 0; i < json_array_get_length(list); i++) {
        JsonNode *n = json_array_get_element(list, i);
        g_autofree char *text = NULL;

        if (JSON_NODE_HOLDS_VALUE(n) && json_node_get_value_type(n) == G_TYPE_INT64)
            text = g_strdup_printf("%" G_GINT64_FORMAT, json_node_get_int(n));
        else if (JSON_NODE_HOLDS_VALUE(n))
            text = g_strdup(json_node_get_string(n));
        if (!ram_node_range(b, what, text ? text : "", err))
            return false;
    }
    return true;
}

static RamBackend *
ram_backend_new(Ram *ram, const char *id, uint64_t size)
{
    RamBackend *b = g_new0(RamBackend, 1);

    b->id = g_strdup(id);
    b->size = size;
    b->page_size = PAGE;
    b->fd = -1;
    if (!ram->backends) {
        ram->backends = g_ptr_array_new_with_free_func(ram_backend_free);
        ram->order = g_ptr_array_new();
    }
    g_ptr_array_add(ram->backends, b);
    return b;
}

static RamBackend *
ram_find(Ram *ram, const char *id)
{
    for (guint i = 0; ram->backends && i < ram->backends->len; i++) {
        RamBackend *b = g_ptr_array_index(ram->backends, i);

        if (!g_strcmp0(b->id, id))
            return b;
    }
    return NULL;
}

bool
ram_add_backend(Ram *ram, JsonObject *object, GError **err)
{
    const char *id = keyval_text(object, "id"), *type = keyval_text(object, "qom-type");
    g_autofree char *what = g_strdup_printf("-object %s,id=%s", type, id ? id : "");
    uint64_t size = 0, huge = HUGE;
    bool hugetlb = false, ignored = false, no_nodes = true;
    RamBackend *b;

    if (!strcmp(type, "memory-backend-file"))
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "%s: memory from files is not offered; memory-backend-memfd is shared "
            "and can use huge pages (hugetlb=on)",
            what);
    if (!id)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: wants id=", what);
    if (ram_find(ram, id))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: that id is taken", what);
    if (!keyval_check(what, object, ram_keys, err) ||
        !keyval_size(what, object, "size", 1, &size, err) ||
        !keyval_bool(what, object, "hugetlb", &hugetlb, err) ||
        !keyval_size(what, object, "hugetlbsize", 1, &huge, err) ||
        !keyval_bool(what, object, "share", &ignored, err) ||
        !keyval_bool(what, object, "merge", &ignored, err) ||
        !keyval_bool(what, object, "dump", &ignored, err) ||
        !keyval_bool(what, object, "reserve", &ignored, err))
        return false;
    if (hugetlb && (huge < PAGE || huge & (huge - 1)))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "%s: hugetlbsize=%" PRIu64 " is not a power of two of at least %d",
                              what, huge, PAGE);
    if (size == 0 || size % (hugetlb ? huge : PAGE))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "%s: size=%" PRIu64 " is not a multiple of its page size %" PRIu64,
                              what, size, hugetlb ? huge : (uint64_t)PAGE);
    b = ram_backend_new(ram, id, size);
    b->page_size = hugetlb ? huge : PAGE;
    if (!keyval_bool(what, object, "prealloc", &b->prealloc, err) ||
        !keyval_enum(what, object, "policy", ram_policies, &b->policy, err) ||
        !ram_host_nodes(b, what, object, err))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(b->host_nodes); i++)
        no_nodes &= b->host_nodes[i] == 0;
    if (no_nodes != (b->policy == MPOL_DEFAULT))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "%s: host-nodes= and policy= go together", what);
    return true;
}

uint64_t
ram_use(Ram *ram, const char *id, uint64_t size, GError **err)
{
    RamBackend *b = id ? ram_find(ram, id) : ram_backend_new(ram, NULL, size);

    if (!b || b->used) {
        kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            b ? "memory backend '%s' is used twice"
              : "no memory backend '%s'; -object memory-backend-memfd,id=,size= makes one",
            id);
        return 0;
    }
    b->used = true;
    g_ptr_array_add(ram->order, b);
    return b->size;
}

static bool
ram_backend_create(RamBackend *b, GError **err)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    bool huge = b->page_size > PAGE;

    if (huge)
        flags |= MFD_HUGETLB | (unsigned)__builtin_ctzll(b->page_size) << MAP_HUGE_SHIFT;
    b->fd = memfd_create(b->id ? b->id : "guest-ram", flags);
    if (b->fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    huge ? "guest memory in pages of %" PRIu64 " KiB"
                                         : "guest memory (pages of %" PRIu64 " KiB)",
                                    b->page_size / 1024);
    if (ftruncate(b->fd, b->size) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "guest memory of %" PRIu64 " MiB", b->size >> 20);
    /* A peer that gets the descriptor can then not cut it from under us. */
    fcntl(b->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    return true;
}

/* Maps at an address that is a multiple of a huge page, so that the host can use those. */
static bool
ram_backend_mmap(RamBackend *b, GError **err)
{
    uint64_t align = MAX(b->page_size, (uint64_t)HUGE);
    bool huge = b->page_size > PAGE;
    uint8_t *room =
        mmap(NULL, b->size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint8_t *at, *end;

    if (room == MAP_FAILED)
        return kiln_error_set_errno(err, VIR_ERR_NO_MEMORY, errno,
                                    "no address space for %" PRIu64 " MiB of guest memory",
                                    b->size >> 20);
    at = (uint8_t *)(((uintptr_t)room + align - 1) & ~(align - 1));
    end = room + b->size + align;
    /* Huge pages are reserved now: running out of them later would kill the guest. */
    if (mmap(at, b->size, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_FIXED | (huge ? 0 : MAP_NORESERVE), b->fd, 0) == MAP_FAILED) {
        int errnum = errno;

        munmap(room, b->size + align);
        if (huge)
            return kiln_error_set_errno(err, VIR_ERR_NO_MEMORY, errnum,
                                        "the host has not %" PRIu64 " free pages of %" PRIu64
                                        " KiB for guest memory; see /sys/kernel/mm/hugepages",
                                        b->size / b->page_size, b->page_size / 1024);
        return kiln_error_set_errno(err, VIR_ERR_NO_MEMORY, errnum,
                                    "cannot map %" PRIu64 " MiB of guest memory", b->size >> 20);
    }
    if (at > room)
        munmap(room, at - room);
    if (end > at + b->size)
        munmap(at + b->size, end - (at + b->size));
    b->host = at;
    madvise(b->host, b->size, MADV_DONTDUMP);
    return true;
}

static bool
ram_backend_fill(RamBackend *b, bool lock, GError **err)
{
    static const int modes[] = { MPOL_DEFAULT, MPOL_PREFERRED, MPOL_BIND, MPOL_INTERLEAVE };

    if (b->policy && syscall(SYS_mbind, b->host, b->size, modes[b->policy], b->host_nodes,
                             RAM_MAX_HOST_NODES + 1, MPOL_MF_STRICT | MPOL_MF_MOVE) < 0)
        return kiln_error_set_errno(err, VIR_ERR_CONFIG_UNSUPPORTED, errno,
                                    "memory backend '%s': cannot bind to its host-nodes", b->id);
    if (b->prealloc && madvise(b->host, b->size, MADV_POPULATE_WRITE) < 0)
        return kiln_error_set_errno(err, VIR_ERR_NO_MEMORY, errno,
                                    "cannot preallocate %" PRIu64 " MiB of guest memory",
                                    b->size >> 20);
    if (lock && mlock(b->host, b->size) < 0)
        return kiln_error_set_errno(err, VIR_ERR_NO_MEMORY, errno,
                                    "cannot lock %" PRIu64 " MiB of guest memory; see ulimit -l",
                                    b->size >> 20);
    return true;
}

static bool
ram_place(const RamBackend *b, uint64_t offset, uint64_t size, uint64_t gpa, GuestMemory *memory,
          GError **err)
{
    GuestRam ram = {
        .gpa = gpa,
        .size = size,
        .host = b->host + offset,
        .fd = b->fd,
        .fd_offset = offset,
    };

    return guest_memory_add(memory, &ram, err);
}

bool
ram_map(Ram *ram, uint64_t low_max, bool lock, GuestMemory *memory, GError **err)
{
    for (guint i = 0; i < ram->order->len; i++) {
        RamBackend *b = g_ptr_array_index(ram->order, i);
        uint64_t low = MIN(b->size, low_max - ram->below_4g);

        if (!ram_backend_create(b, err) || !ram_backend_mmap(b, err) ||
            !ram_backend_fill(b, lock, err))
            return false;
        if (low > 0 && !ram_place(b, 0, low, ram->below_4g, memory, err))
            return false;
        ram->below_4g += low;
        if (b->size == low)
            continue;
        if (!ram_place(b, low, b->size - low, RAM_ABOVE + ram->above_4g, memory, err))
            return false;
        ram->above_4g += b->size - low;
    }
    return true;
}
