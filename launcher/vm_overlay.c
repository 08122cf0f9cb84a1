/* vm_overlay.c - throw-away disks (-snapshot, -drive snapshot=on): what the guest writes goes to a
 * qcow2 image over the drive's own, which has no name any more once it is open.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/vm_overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "block/image.h"
#include "util/error.h"

/* As qemu(1): TMPDIR, or where large files may lie. */
static const char *
overlay_directory(void)
{
    const char *named = g_getenv("TMPDIR");

    return named && *named ? named : "/var/tmp";
}

static bool
overlay_make(const char *path, uint64_t size, GError **err)
{
    g_autoptr(GHashTable) options = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    const BlockImageOptions image = { 0 };

    g_hash_table_insert(options, (char *)"size", g_strdup_printf("%" G_GUINT64_FORMAT, size));
    return block_image_create(path, "qcow2", options, &image, err);
}

static bool
overlay_open(Vm *vm, const char *path, const char *base, JsonObject *node, GError **err)
{
    const char *name = json_object_get_string_member(node, "node-name");
    g_autofree char *file_name = g_strconcat(name, "-overlay", NULL);
    g_autoptr(JsonObject) file = json_object_new();

    json_object_set_string_member(file, "driver", "file");
    json_object_set_string_member(file, "filename", path);
    json_object_set_string_member(file, "node-name", file_name);
    json_object_set_string_member(file, "discard", "unmap");
    /* Nothing of it outlives the host's power. */
    json_object_set_string_member(file, "cache.no-flush", "on");
    json_object_set_string_member(node, "driver", "qcow2");
    json_object_set_string_member(node, "file", file_name);
    json_object_set_string_member(node, "backing", base);
    return vm_add_blockdev(vm, file, err) && vm_add_blockdev(vm, node, err);
}

bool
vm_add_overlay(Vm *vm, const char *base, JsonObject *node, GError **err)
{
    const BlockNode *below = machine_object_find(vm->machine, OBJECT_BLOCK_NODE, base);
    g_autofree char *path = g_build_filename(overlay_directory(), "kiln-XXXXXX", NULL);
    int fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
    bool ok;

    if (fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "cannot make a file for a throw-away disk in %s (TMPDIR)",
                                    overlay_directory());
    close(fd);
    ok = overlay_make(path, block_node_size(below), err) && overlay_open(vm, path, base, node, err);
    unlink(path);
    return ok;
}
