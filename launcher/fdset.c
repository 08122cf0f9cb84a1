/* fdset.c - descriptors given with -add-fd.
 *
 * qemu(1) -add-fd, and QMP add-fd, remove-fd, query-fdsets.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/fdset.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "launcher/keyval.h"
#include "util/error.h"

typedef struct {
    int64_t set;
    int fd;
    char *opaque;
} FdEntry;

struct FdSets {
    bool confined;
    GArray *entries;   /* of FdEntry */
    GHashTable *names; /* of files, by "'/dev/fdset/N'", of sets that are gone, too */
};

static void
fdset_entry_clear(void *opaque)
{
    FdEntry *e = opaque;

    close(e->fd);
    g_free(e->opaque);
}

FdSets *
fdset_new(void)
{
    FdSets *sets = g_new0(FdSets, 1);

    sets->entries = g_array_new(FALSE, FALSE, sizeof(FdEntry));
    g_array_set_clear_func(sets->entries, fdset_entry_clear);
    sets->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return sets;
}

void
fdset_free(FdSets *sets)
{
    if (!sets)
        return;
    g_array_unref(sets->entries);
    g_hash_table_unref(sets->names);
    g_free(sets);
}

int64_t
fdset_add(FdSets *sets, int64_t id, int fd, const char *opaque)
{
    FdEntry e = { .set = id, .fd = fd, .opaque = g_strdup(opaque) };

    if (id < 0) {
        e.set = 0;
        for (guint i = 0; i < sets->entries->len; i++)
            e.set = MAX(e.set, g_array_index(sets->entries, FdEntry, i).set + 1);
    }
    g_array_append_val(sets->entries, e);
    if (opaque && opaque[0] == '/')
        g_hash_table_insert(sets->names,
                            g_strdup_printf("'/dev/fdset/%" G_GINT64_FORMAT "'", e.set),
                            g_strdup_printf("'%s'", opaque));
    return e.set;
}

bool
fdset_add_option(FdSets *sets, JsonObject *option, GError **err)
{
    uint64_t set = UINT64_MAX, fd = UINT64_MAX;

    if (!keyval_uint("-add-fd", option, "set", 0, INT32_MAX, &set, err) ||
        !keyval_uint("-add-fd", option, "fd", 3, INT32_MAX, &fd, err))
        return false;
    if (set == UINT64_MAX || fd == UINT64_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-add-fd wants set=N,fd=FD");
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return kiln_error_set_errno(err, VIR_ERR_CONFIG_UNSUPPORTED, errno,
                                    "-add-fd set=%u,fd=%u: not an open descriptor", (unsigned)set,
                                    (unsigned)fd);
    fdset_add(sets, set, fd, keyval_text(option, "opaque"));
    return true;
}

bool
fdset_remove(FdSets *sets, int64_t id, int fd)
{
    bool found = false;

    for (guint i = sets->entries->len; i-- > 0;) {
        const FdEntry *e = &g_array_index(sets->entries, FdEntry, i);

        if (e->set == id && (fd < 0 || e->fd == fd)) {
            g_array_remove_index(sets->entries, i);
            found = true;
        }
    }
    return found;
}

JsonArray *
fdset_list(FdSets *sets)
{
    JsonArray *list = json_array_new();

    for (guint i = 0; i < sets->entries->len; i++) {
        const FdEntry *first = &g_array_index(sets->entries, FdEntry, i);
        JsonObject *set, *one;
        JsonArray *fds;
        bool seen = false;

        for (guint j = 0; j < i; j++)
            seen |= g_array_index(sets->entries, FdEntry, j).set == first->set;
        if (seen)
            continue;
        set = json_object_new();
        fds = json_array_new();
        for (guint j = i; j < sets->entries->len; j++) {
            const FdEntry *e = &g_array_index(sets->entries, FdEntry, j);

            if (e->set != first->set)
                continue;
            one = json_object_new();
            json_object_set_int_member(one, "fd", e->fd);
            if (e->opaque)
                json_object_set_string_member(one, "opaque", e->opaque);
            json_array_add_object_element(fds, one);
        }
        json_object_set_int_member(set, "fdset-id", first->set);
        json_object_set_array_member(set, "fds", fds);
        json_array_add_object_element(list, set);
    }
    return list;
}

char *
fdset_name_files(FdSets *sets, const char *text)
{
    GString *out = g_string_new(text);
    GHashTableIter iter;
    void *set, *file;

    g_hash_table_iter_init(&iter, sets->names);
    while (strstr(out->str, "'/dev/fdset/") && g_hash_table_iter_next(&iter, &set, &file))
        g_string_replace(out, set, file, 0);
    return g_string_free(out, FALSE);
}

/* The set's number in "/dev/fdset/N", -1 for any other path. */
static int64_t
fdset_number(const char *path)
{
    const char *number = path + strlen("/dev/fdset/");
    char *end;
    int64_t id;

    if (!g_str_has_prefix(path, "/dev/fdset/") || !g_ascii_isdigit(*number))
        return -1;
    id = g_ascii_strtoll(number, &end, 10);
    return *end ? -1 : id;
}

void
fdset_confine(FdSets *sets)
{
    sets->confined = true;
}

int
fdset_open(FdSets *sets, const char *path, int flags, mode_t mode, GError **err)
{
    int64_t id = fdset_number(path);
    bool found = false;
    int fd = -1;

    if (id < 0) {
        fd = open(path, flags | O_CLOEXEC, mode);
        if (fd < 0 && errno == EINVAL && (flags & O_DIRECT))
            kiln_error_set(
                err, VIR_ERR_CONFIG_UNSUPPORTED,
                "cannot open '%s' without the host's cache: its file system does not offer "
                "that; use cache=writeback",
                path);
        else if (fd < 0)
            kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open '%s'", path);
        if (fd < 0 && sets->confined)
            g_prefix_error(err, "the guest's process reaches no files unless -sandbox is off; give "
                                "the file with add-fd and name it /dev/fdset/N: ");
        return fd;
    }
    for (guint i = 0; i < sets->entries->len && fd < 0; i++) {
        const FdEntry *e = &g_array_index(sets->entries, FdEntry, i);
        int have, want = flags & O_ACCMODE;

        if (e->set != id)
            continue;
        found = true;
        have = fcntl(e->fd, F_GETFL) & O_ACCMODE;
        if (have == O_RDWR || have == want)
            fd = fcntl(e->fd, F_DUPFD_CLOEXEC, 0);
    }
    if (fd < 0)
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       found ? "'%s': the descriptor of that set is not open for %s"
                             : "'%s': no such set; -add-fd makes one (wanted for %s)",
                       path, (flags & O_ACCMODE) == O_RDONLY ? "reading" : "writing");
    return fd;
}
