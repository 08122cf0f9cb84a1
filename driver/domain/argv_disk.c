/* argv_disk.c - disks on the command line of kiln-vmm: two block nodes and a device each.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>

#include "driver/domain/argv.h"
#include "util/error.h"

typedef struct {
    bool direct, no_flush, write_cache;
} CacheMode;

/* QEMU's meaning of the cache modes: past the host's page cache, flushes ignored, and whether the
 * guest sees a volatile write cache. */
static const CacheMode cache_modes[] = {
    [DOMAIN_CACHE_ABSENT] = { false, false, true },
    [DOMAIN_CACHE_DEFAULT] = { false, false, true },
    [DOMAIN_CACHE_NONE] = { true, false, true },
    [DOMAIN_CACHE_WRITETHROUGH] = { false, false, false },
    [DOMAIN_CACHE_WRITEBACK] = { false, false, true },
    [DOMAIN_CACHE_DIRECTSYNC] = { true, false, false },
    [DOMAIN_CACHE_UNSAFE] = { false, true, true },
};

static const char *const io_names[] = {
    [DOMAIN_DISK_IO_ABSENT] = "io_uring",
    [DOMAIN_DISK_IO_NATIVE] = "native",
    [DOMAIN_DISK_IO_THREADS] = "threads",
    [DOMAIN_DISK_IO_URING] = "io_uring",
};

static JsonObject *
cache_json(const CacheMode *cache)
{
    JsonObject *object = json_object_new();

    json_object_set_boolean_member(object, "direct", cache->direct);
    json_object_set_boolean_member(object, "no-flush", cache->no_flush);
    return object;
}

static bool
disk_storage(Argv *argv, const DomainDisk *disk, const CacheMode *cache, const char *node,
             GError **err)
{
    const char *path = disk->type == DOMAIN_DISK_BLOCK ? disk->dev : disk->file;
    g_autofree char *what = g_strdup_printf("disk %s", disk->target);
    g_autofree char *name = NULL;
    JsonObject *storage;

    if (!path)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "disk '%s' has no <source>; empty drives are not offered yet",
                              disk->target);
    name =
        argv_file(argv, path, (disk->readonly ? O_RDONLY : O_RDWR) | (cache->direct ? O_DIRECT : 0),
                  what, err);
    if (!name)
        return false;
    storage = json_object_new();
    json_object_set_string_member(storage, "driver",
                                  disk->type == DOMAIN_DISK_BLOCK ? "host_device" : "file");
    json_object_set_string_member(storage, "filename", name);
    json_object_set_string_member(storage, "node-name", node);
    json_object_set_object_member(storage, "cache", cache_json(cache));
    json_object_set_string_member(storage, "aio", io_names[disk->io]);
    json_object_set_boolean_member(storage, "read-only", disk->readonly);
    json_object_set_boolean_member(storage, "auto-read-only", FALSE);
    json_object_set_string_member(storage, "discard",
                                  disk->discard == DOMAIN_DISCARD_UNMAP ? "unmap" : "ignore");
    json_object_set_string_member(storage, "locking", disk->shareable ? "off" : "on");
    argv_add_json(argv, "-blockdev", storage);
    return true;
}

static void
disk_format(Argv *argv, const DomainDisk *disk, const CacheMode *cache, const char *node,
            const char *storage)
{
    static const char *const zeroes[] = {
        [DOMAIN_DETECT_ZEROES_ABSENT] = "off",
        [DOMAIN_DETECT_ZEROES_OFF] = "off",
        [DOMAIN_DETECT_ZEROES_ON] = "on",
        [DOMAIN_DETECT_ZEROES_UNMAP] = "unmap",
    };
    JsonObject *format = json_object_new();
    /* unmapping zeroes without discard only writes them, as with QEMU */
    bool unmaps = disk->discard == DOMAIN_DISCARD_UNMAP;
    int detect = disk->detect_zeroes == DOMAIN_DETECT_ZEROES_UNMAP && !unmaps
                     ? DOMAIN_DETECT_ZEROES_ON
                     : disk->detect_zeroes;

    json_object_set_string_member(format, "driver", disk->format ? disk->format : "raw");
    json_object_set_string_member(format, "node-name", node);
    json_object_set_boolean_member(format, "read-only", disk->readonly);
    json_object_set_object_member(format, "cache", cache_json(cache));
    json_object_set_string_member(format, "discard", unmaps ? "unmap" : "ignore");
    json_object_set_string_member(format, "detect-zeroes", zeroes[detect]);
    json_object_set_string_member(format, "file", storage);
    argv_add_json(argv, "-blockdev", format);
}

static void
append_uint(GString *text, const char *name, uint64_t value)
{
    if (value != XML_UNSET)
        g_string_append_printf(text, ",%s=%" G_GUINT64_FORMAT, name, value);
}

static void
disk_device(Argv *argv, const DomainDisk *disk, const CacheMode *cache, const char *node)
{
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_printf(text, "virtio-blk-pci,drive=%s,id=%s", node, disk->info.alias);
    argv_pci_address(argv, &disk->info, text);
    append_uint(text, "num-queues", disk->queues);
    append_uint(text, "queue-size", disk->queue_size);
    append_uint(text, "logical_block_size", disk->logical_block_size);
    append_uint(text, "physical_block_size", disk->physical_block_size);
    if (disk->iothread != XML_UNSET)
        g_string_append_printf(text, ",iothread=iothread%" G_GUINT64_FORMAT, disk->iothread);
    append_uint(text, "bootindex", disk->info.boot_order);
    if (disk->serial) {
        g_autofree char *serial = argv_escape(disk->serial);

        g_string_append_printf(text, ",serial=%s", serial);
    }
    g_string_append_printf(text, ",write-cache=%s", cache->write_cache ? "on" : "off");
    argv_add(argv, "-device", text->str);
}

bool
argv_disks(Argv *argv, GError **err)
{
    for (guint i = 0; i < argv->def->disks->len; i++) {
        DomainDisk *disk = argv->def->disks->pdata[i];
        const CacheMode *cache = &cache_modes[disk->cache];
        g_autofree char *storage = g_strdup_printf("libvirt-%u-storage", i + 1);
        g_autofree char *format = g_strdup_printf("libvirt-%u-format", i + 1);

        if (disk->bus != DOMAIN_BUS_VIRTIO || disk->device != DOMAIN_DISK_DEVICE_DISK)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "disk '%s' is a %s on bus '%s'; only disks on bus 'virtio' are "
                                  "offered yet",
                                  disk->target, domain_disk_devices[disk->device],
                                  domain_disk_buses[disk->bus]);
        if (!disk_storage(argv, disk, cache, storage, err))
            return false;
        disk_format(argv, disk, cache, format, storage);
        disk_device(argv, disk, cache, format);
        disk->source_index = i + 1;
    }
    return true;
}
