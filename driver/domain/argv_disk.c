/* argv_disk.c - disks on the command line of kiln-vmm: two block nodes and a device each.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>

#include "driver/domain/argv.h"
#include "util/error.h"
#include "xml/domain_model.h"

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

/* How the server of @source is trusted; the object goes before the @node that uses it. */
static bool
storage_tls(Argv *argv, const DomainDisk *source, const char *target, const char *node,
            JsonObject *storage, GError **err)
{
    const DomainDiskHost *host = source->hosts->len ? source->hosts->pdata[0] : NULL;
    const char *name = source->tls_hostname ? source->tls_hostname : host ? host->name : NULL;
    g_autofree char *id = NULL, *dir = NULL;

    if (source->tls != TRISTATE_ON)
        return true;
    if (!argv->config->tls_dir)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "tls='yes' of disk '%s': a running guest can read no credentials; "
                              "give it the disk before it starts",
                              target);
    id = g_strdup_printf("obj%s_tls0", node);
    dir = argv_escape(argv->config->tls_dir);
    argv_addf(argv, "-object", "tls-creds-x509,id=%s,dir=%s,endpoint=client,verify-peer=on", id,
              dir);
    json_object_set_string_member(storage, "tls-creds", id);
    if (name)
        json_object_set_string_member(storage, "tls-hostname", name);
    return true;
}

/* How the image of @source is reached: a file, a device, or a socket to an NBD server. */
static bool
storage_place(Argv *argv, const DomainDisk *source, const char *target, int flags,
              JsonObject *storage, GError **err)
{
    const ArgvOps *ops = argv->config->ops;
    const DomainDiskHost *host = source->hosts->len ? source->hosts->pdata[0] : NULL;
    const char *path = domain_disk_path(source);
    g_autofree char *what = g_strdup_printf("disk %s", target);
    g_autofree char *name = NULL;

    if (path) {
        name = argv_file(argv, path, flags, what, err);
        json_object_set_string_member(storage, "driver",
                                      source->type == DOMAIN_DISK_BLOCK ? "host_device" : "file");
        json_object_set_string_member(storage, "filename", name ? name : "");
    } else if (host && ops->host) {
        JsonObject *server = json_object_new();

        name = argv_fd(argv, ops->host(argv->config->opaque, host, err),
                       host->socket ? host->socket : host->name);
        json_object_set_string_member(storage, "driver", "nbd");
        json_object_set_string_member(server, "type", "fd");
        json_object_set_string_member(server, "str", name ? name : "");
        json_object_set_object_member(storage, "server", server);
        json_object_set_string_member(storage, "export",
                                      source->export_name ? source->export_name : "");
    } else {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "disk '%s' has no <source>", target);
    }
    return name != NULL;
}

/* The node of what holds the bytes of @source: @disk itself, or an image that it lies on. */
static bool
disk_storage(Argv *argv, const DomainDisk *disk, const DomainDisk *source, const CacheMode *cache,
             const char *node, GError **err)
{
    bool read_only = source != disk || disk->readonly;
    JsonObject *storage = json_object_new();

    if (!storage_place(argv, source, disk->target,
                       (read_only ? O_RDONLY : O_RDWR) | (cache->direct ? O_DIRECT : 0), storage,
                       err) ||
        !storage_tls(argv, source, disk->target, node, storage, err)) {
        json_object_unref(storage);
        return false;
    }
    json_object_set_string_member(storage, "node-name", node);
    json_object_set_object_member(storage, "cache", cache_json(cache));
    if (source->type != DOMAIN_DISK_NETWORK)
        json_object_set_string_member(storage, "aio", io_names[disk->io]);
    json_object_set_boolean_member(storage, "read-only", read_only);
    if (source->type != DOMAIN_DISK_NETWORK)
        json_object_set_boolean_member(storage, "auto-read-only", FALSE);
    json_object_set_string_member(storage, "discard",
                                  disk->discard == DOMAIN_DISCARD_UNMAP ? "unmap" : "ignore");
    if (source->type != DOMAIN_DISK_NETWORK)
        json_object_set_string_member(storage, "locking", disk->shareable ? "off" : "on");
    argv_add_json(argv, "-blockdev", storage);
    return true;
}

const char *
argv_image_driver(const DomainDisk *source)
{
    const char *format = source->format ? source->format : "raw";

    if (strcmp(format, "raw") == 0 && domain_disk_encryption(source))
        return "luks";
    return strcmp(format, "ploop") == 0 ? "parallels" : format;
}

void
argv_image_opens(JsonObject *format, const DomainDisk *source, const char *secret)
{
    const char *driver = argv_image_driver(source);
    JsonObject *encrypt;

    json_object_set_string_member(format, "driver", driver);
    if (!domain_disk_encryption(source))
        return;
    if (strcmp(driver, "luks") == 0) {
        json_object_set_string_member(format, "key-secret", secret);
        return;
    }
    encrypt = json_object_new();
    json_object_set_string_member(encrypt, "format", "luks");
    json_object_set_string_member(encrypt, "key-secret", secret);
    json_object_set_object_member(format, "encrypt", encrypt);
}

/* The driver of an image's format, and what opens it if it is encrypted: an -object secret goes
 * before it. */
static bool
format_driver(Argv *argv, const DomainDisk *source, const char *target, const char *node,
              JsonObject *format, GError **err)
{
    const DomainEncryption *encryption = domain_disk_encryption(source);
    g_autofree char *name = NULL, *id = NULL;

    if (encryption && (!argv->config->ops->secret || encryption->secrets->len != 1))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<encryption> of disk '%s' wants one <secret>", target);
    if (encryption) {
        name = argv_fd(
            argv,
            argv->config->ops->secret(argv->config->opaque, encryption->secrets->pdata[0], err),
            "secret");
        if (!name)
            return false;
        id = g_strconcat(node, ARGV_SECRET_SUFFIX, NULL);
        argv_addf(argv, "-object", "secret,id=%s,file=%s", id, name);
    }
    argv_image_opens(format, source, id);
    return true;
}

/* What lies behind the image, if its format can say so: never what the image itself names. */
static void
set_backing(JsonObject *node, const char *format, const char *backing)
{
    if (!argv_chain_has_backing(format))
        return;
    if (backing)
        json_object_set_string_member(node, "backing", backing);
    else
        json_object_set_null_member(node, "backing");
}

/* <iotune> as the limits of the node on top. 0 is none, as nothing is. */
static void
disk_limits(JsonObject *format, const DomainIotune *t)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        { "throttling.bps-total", t->total_bytes_sec },
        { "throttling.bps-read", t->read_bytes_sec },
        { "throttling.bps-write", t->write_bytes_sec },
        { "throttling.iops-total", t->total_iops_sec },
        { "throttling.iops-read", t->read_iops_sec },
        { "throttling.iops-write", t->write_iops_sec },
        { "throttling.bps-total-max", t->total_bytes_sec_max },
        { "throttling.bps-read-max", t->read_bytes_sec_max },
        { "throttling.bps-write-max", t->write_bytes_sec_max },
        { "throttling.iops-total-max", t->total_iops_sec_max },
        { "throttling.iops-read-max", t->read_iops_sec_max },
        { "throttling.iops-write-max", t->write_iops_sec_max },
        { "throttling.bps-total-max-length", t->total_bytes_sec_max_length },
        { "throttling.bps-read-max-length", t->read_bytes_sec_max_length },
        { "throttling.bps-write-max-length", t->write_bytes_sec_max_length },
        { "throttling.iops-total-max-length", t->total_iops_sec_max_length },
        { "throttling.iops-read-max-length", t->read_iops_sec_max_length },
        { "throttling.iops-write-max-length", t->write_iops_sec_max_length },
        { "throttling.iops-size", t->size_iops_sec },
    };

    if (t->group_name)
        json_object_set_string_member(format, "throttling.group", t->group_name);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (rows[i].value != XML_UNSET && rows[i].value > 0)
            json_object_set_int_member(format, rows[i].name, (gint64)rows[i].value);
}

static bool
disk_format(Argv *argv, const DomainDisk *disk, const CacheMode *cache, const char *node,
            const char *storage, const char *backing, GError **err)
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

    if (!format_driver(argv, disk, disk->target, node, format, err)) {
        json_object_unref(format);
        return false;
    }
    json_object_set_string_member(format, "node-name", node);
    json_object_set_boolean_member(format, "read-only", disk->readonly);
    json_object_set_object_member(format, "cache", cache_json(cache));
    json_object_set_string_member(format, "discard", unmaps ? "unmap" : "ignore");
    json_object_set_string_member(format, "detect-zeroes", zeroes[detect]);
    if (disk->iotune)
        disk_limits(format, disk->iotune);
    json_object_set_string_member(format, "file", storage);
    set_backing(format, disk->format, backing);
    argv_add_json(argv, "-blockdev", format);
    return true;
}

/* The images that the disk's image lies on, farthest first; *ret: the name of the nearest's node.
 */
static bool
disk_chain(Argv *argv, DomainDisk *disk, const CacheMode *cache, char **ret, GError **err)
{
    g_autoptr(GPtrArray) chain = argv_chain(argv, disk, err);
    unsigned first = argv->next_node;
    g_autofree char *backing = NULL;

    if (!chain)
        return false;
    argv->next_node += chain->len;
    for (guint i = chain->len; i > 0; i--) {
        const ChainLayer *layer = chain->pdata[i - 1];
        g_autofree char *storage = g_strdup_printf("libvirt-%u-storage", first + i - 1);
        g_autofree char *node = g_strdup_printf("libvirt-%u-format", first + i - 1);
        JsonObject *format;

        if (!disk_storage(argv, disk, layer->source, cache, storage, err))
            return false;
        format = json_object_new();
        if (!format_driver(argv, layer->source, disk->target, node, format, err)) {
            json_object_unref(format);
            return false;
        }
        json_object_set_string_member(format, "node-name", node);
        json_object_set_boolean_member(format, "read-only", TRUE);
        json_object_set_object_member(format, "cache", cache_json(cache));
        json_object_set_string_member(format, "file", storage);
        set_backing(format, layer->format, backing);
        argv_add_json(argv, "-blockdev", format);
        g_free(backing);
        backing = g_steal_pointer(&node);
    }
    if (domain_disk_has_source(disk)) {
        g_free(disk->backing_store); /* what it said stands in the chain, now with the nodes */
        disk->backing_store = argv_chain_xml(chain, first);
    }
    *ret = g_steal_pointer(&backing);
    return true;
}

/* Where a disk is plugged in, by the names of QEMU's buses. */
static void
disk_place(const Argv *argv, const DomainDisk *disk, GString *out)
{
    const DomainAddress *a = disk->info.address;

    switch (disk->bus) {
    case DOMAIN_BUS_SCSI:
        g_string_append_printf(out, ",bus=scsi%u.0,channel=%u,scsi-id=%u,lun=%u",
                               (unsigned)a->controller, (unsigned)a->bus, (unsigned)a->target,
                               (unsigned)a->unit);
        break;
    case DOMAIN_BUS_SATA:
        if (a->controller == 0 && !domain_def_is_pc(argv->def))
            g_string_append_printf(out, ",bus=ide.%u", (unsigned)a->unit);
        else
            g_string_append_printf(out, ",bus=sata%u.%u", (unsigned)a->controller,
                                   (unsigned)a->unit);
        break;
    case DOMAIN_BUS_IDE:
        g_string_append_printf(out, ",bus=ide.%u,unit=%u", (unsigned)a->bus, (unsigned)a->unit);
        break;
    case DOMAIN_BUS_USB:
        argv_usb_address(argv, &disk->info, out);
        break;
    default:
        argv_pci_address(argv, &disk->info, out);
    }
}

static void
disk_virtio(const DomainDisk *disk, GString *out)
{
    argv_uint(out, "num-queues", disk->queues);
    argv_uint(out, "queue-size", disk->queue_size);
    if (disk->iothread != XML_UNSET)
        g_string_append_printf(out, ",iothread=iothread%" G_GUINT64_FORMAT, disk->iothread);
    argv_switch(out, "event_idx", disk->event_idx);
    argv_virtio(out, &disk->virtio);
}

/* Reads follow the policy of writes unless they have their own; "no space" is about writes. */
static void
disk_policies(const DomainDisk *disk, GString *out)
{
    int reads = disk->rerror_policy                                  ? disk->rerror_policy
                : disk->error_policy == DOMAIN_ERROR_POLICY_ENOSPACE ? DOMAIN_ERROR_POLICY_REPORT
                                                                     : disk->error_policy;

    if (disk->error_policy)
        g_string_append_printf(out, ",werror=%s",
                               disk->error_policy == DOMAIN_ERROR_POLICY_ENOSPACE
                                   ? "enospc"
                                   : domain_error_policies[disk->error_policy]);
    if (reads)
        g_string_append_printf(out, ",rerror=%s", domain_error_policies[reads]);
}

/* @node: NULL for an empty drive. */
static void
disk_device(Argv *argv, const DomainDisk *disk, const CacheMode *cache, const char *node)
{
    g_autoptr(GString) text = g_string_new(domain_disk_model(disk));

    argv_text(text, "drive", node);
    g_string_append_printf(text, ",id=%s", disk->info.alias);
    disk_place(argv, disk, text);
    if (disk->bus == DOMAIN_BUS_VIRTIO)
        disk_virtio(disk, text);
    argv_uint(text, "logical_block_size", disk->logical_block_size);
    argv_uint(text, "physical_block_size", disk->physical_block_size);
    argv_uint(text, "bootindex", argv_disk_boot_order(argv->def, disk));
    if (disk->bus == DOMAIN_BUS_USB)
        argv_switch(text, "removable", disk->removable);
    argv_uint(text, "rotation_rate", disk->rotation_rate);
    argv_text(text, "serial", disk->serial);
    if (disk->wwn)
        g_string_append_printf(text, ",wwn=%s%s", g_str_has_prefix(disk->wwn, "0x") ? "" : "0x",
                               disk->wwn);
    argv_text(text, "vendor", disk->vendor);
    argv_text(text, "product", disk->product);
    g_string_append_printf(text, ",write-cache=%s", cache->write_cache ? "on" : "off");
    disk_policies(disk, text);
    argv_add(argv, "-device", text->str);
}

bool
argv_disk_image(Argv *argv, DomainDisk *disk, unsigned number, char **ret, GError **err)
{
    const CacheMode *cache = &cache_modes[disk->cache];
    g_autofree char *storage = g_strdup_printf("libvirt-%u-storage", number);
    g_autofree char *format = g_strdup_printf("libvirt-%u-format", number);
    g_autofree char *backing = NULL;

    if (!disk_chain(argv, disk, cache, &backing, err) ||
        !disk_storage(argv, disk, disk, cache, storage, err) ||
        !disk_format(argv, disk, cache, format, storage, backing, err))
        return false;
    disk->source_index = number;
    *ret = g_steal_pointer(&format);
    return true;
}

static bool
add_disk(Argv *argv, DomainDisk *disk, unsigned number, GError **err)
{
    const CacheMode *cache = &cache_modes[disk->cache];
    g_autofree char *node = NULL;

    if (!domain_model_is_built(domain_disk_model(disk)))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "disk '%s' is a %s on bus '%s', which is not offered; use 'virtio', "
                              "'sata' or 'usb'",
                              disk->target, domain_disk_devices[disk->device],
                              domain_disk_buses[disk->bus]);
    if ((domain_disk_has_source(disk) || disk->device != DOMAIN_DISK_DEVICE_CDROM) &&
        !argv_disk_image(argv, disk, number, &node, err))
        return false;
    disk_device(argv, disk, cache, node);
    return true;
}

bool
argv_disk(Argv *argv, DomainDisk *disk, GError **err)
{
    return add_disk(argv, disk, argv->next_node++, err);
}

bool
argv_disks(Argv *argv, GError **err)
{
    argv->next_node = argv->def->disks->len + 1;
    for (guint i = 0; i < argv->def->disks->len; i++)
        if (!add_disk(argv, argv->def->disks->pdata[i], i + 1, err))
            return false;
    return true;
}
