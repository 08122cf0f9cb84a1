/* block_copy.c - copying the image of a running guest's disk to another place, in step with what
 * the guest writes, until the guest goes on there or the copy is let go (virDomainBlockCopy).
 *
 * QEMU QMP reference, block-core.json, blockdev-mirror; libvirt's documentation of
 * virDomainBlockCopy and of <mirror>.
 *
 * Left out: destinations on other hosts that are not there yet.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/domain/attach.h"
#include "driver/domain/qmp_answer.h"
#include "driver/domain/resources.h"
#include "driver/storage/backend.h"
#include "util/error.h"

typedef struct {
    DomainRun *run;
    DomainDef *live; /* a copy */
    DomainDisk *disk;
    DomainDisk *copy; /* the disk as it would be on the destination */
    unsigned flags;
    bool made;
} Copying;

static void
copying_clear(Copying *c)
{
    if (c->copy)
        xml_type_free(&domain_disk_type, c->copy);
    if (c->live)
        domain_def_free(c->live);
    domain_run_unref(c->run);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Copying, copying_clear)

static DomainDisk *
destination(const DomainBlockCopy *how, GError **err)
{
    DomainDisk *disk;

    if (how->xml)
        return xml_type_parse_text(&domain_copy_type, how->xml, strlen(how->xml), "disk_definition",
                                   XML_INACTIVE, err);
    disk = xml_type_new(&domain_copy_type);
    disk->type = how->block ? DOMAIN_DISK_BLOCK : DOMAIN_DISK_FILE;
    *(how->block ? &disk->dev : &disk->file) = g_strdup(how->dest);
    disk->format = how->raw ? g_strdup("raw") : NULL;
    return disk;
}

static bool
copying_find(Copying *c, Domain *domain, const char *path, GError **err)
{
    bool persistent;

    c->run = domain_run_get(domain, err);
    if (!c->run)
        return false;
    g_mutex_lock(&domain->lock);
    c->live = domain->live ? domain_def_copy(domain->live) : NULL;
    persistent = domain->config != NULL;
    g_mutex_unlock(&domain->lock);
    c->disk = c->live ? domain_def_disk_named(c->live, path) : NULL;
    if (!c->disk)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "disk '%s' not found in the domain", path);
    if (!domain_disk_has_source(c->disk) || c->disk->source_index == XML_UNSET)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "disk '%s' has no source file to copy",
                              c->disk->target);
    if (persistent && !(c->flags & VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not transient");
    return domain_block_job_check(c->run, c->disk->target, err);
}

/* What is at the destination already, and whether it may be used. */
static bool
destination_check(Copying *c, DomainDisk *to, GError **err)
{
    bool reuse = c->flags & VIR_DOMAIN_BLOCK_COPY_REUSE_EXT;
    const char *path = domain_disk_path(to);
    g_autofree char *backing = NULL, *backing_format = NULL;
    DomainImage image = { 0 };
    struct stat st;

    if (!path)
        return (reuse && domain_disk_has_source(to)) ||
               kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "the copy of disk '%s' cannot be made there; make it, and give "
                              "VIR_DOMAIN_BLOCK_COPY_REUSE_EXT",
                              c->disk->target);
    if (stat(path, &st) < 0)
        return (errno == ENOENT && !reuse) ||
               kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "missing destination file for disk %s: %s", c->disk->target,
                                    path);
    if (!reuse)
        return S_ISBLK(st.st_mode) || st.st_size == 0 ||
               kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "external destination file for disk %s already exists and is not a "
                              "block device: %s",
                              c->disk->target, path);
    if (!domain_image_probe(c->run->domain->manager, path, to->format, &image, err))
        return false;
    if (!to->format)
        to->format = image.format;
    else
        g_free(image.format);
    backing = image.backing;
    backing_format = image.backing_format;
    return !backing || c->flags & VIR_DOMAIN_BLOCK_COPY_SHALLOW ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "destination '%s' lies on '%s'; a whole copy wants an image that lies on "
                          "nothing",
                          path, backing);
}

static bool
destination_make(Copying *c, const DomainDisk *to, GError **err)
{
    bool shallow = c->flags & VIR_DOMAIN_BLOCK_COPY_SHALLOW;
    g_autoptr(GPtrArray) chain = shallow ? argv_chain_parse(c->disk, err) : NULL;
    const ChainLayer *behind = chain && chain->len ? chain->pdata[0] : NULL;
    DomainBlockInfo info;

    if ((shallow && !chain) || !domain_block_info(c->run->domain, c->disk->target, &info, err))
        return false;
    /* a device is there, and raw bytes need nothing */
    if (to->type == DOMAIN_DISK_BLOCK && strcmp(argv_image_driver(to), "raw") == 0)
        return true;
    if (!domain_image_create(c->run->domain->manager, to, behind ? behind->source : NULL,
                             info.capacity, err))
        return false;
    c->made = to->type == DOMAIN_DISK_FILE;
    return true;
}

static bool
mirror_begin(const Copying *c, const DomainBlockCopy *how, const char *node, GError **err)
{
    JsonObject *arguments = json_object_new();
    g_autofree char *id = g_strconcat("copy-", c->disk->target, NULL);
    g_autofree char *device = g_strdup_printf("libvirt-%" PRIu64 "-format", c->disk->source_index);

    json_object_set_string_member(arguments, "job-id", id);
    json_object_set_string_member(arguments, "device", device);
    json_object_set_string_member(arguments, "target", node);
    json_object_set_string_member(arguments, "sync",
                                  c->flags & VIR_DOMAIN_BLOCK_COPY_SHALLOW ? "top" : "full");
    json_object_set_int_member(arguments, "speed", (gint64)how->bandwidth);
    if (how->granularity)
        json_object_set_int_member(arguments, "granularity", (gint64)how->granularity);
    if (c->flags & VIR_DOMAIN_BLOCK_COPY_SYNCHRONOUS_WRITES)
        json_object_set_string_member(arguments, "copy-mode", "write-blocking");
    return qmp_command(c->run->qmp, "blockdev-mirror", arguments, DOMAIN_QMP_SECONDS, err);
}

static bool
copying_begin(Copying *c, const DomainBlockCopy *how, GError **err)
{
    g_autoptr(DomainPlug) plug = domain_plug_new(c->run, c->live, err);
    g_autofree char *node = NULL;
    DomainDisk *mirror;
    Argv *argv;

    if (!plug)
        return false;
    argv = domain_plug_argv(plug);
    if (!argv_disk_image(argv, c->copy, argv->next_node++, &node, err) ||
        !domain_plug_send(plug, err))
        return false;
    if (!mirror_begin(c, how, node, err)) {
        domain_plug_undo(plug);
        return false;
    }
    mirror = xml_type_new(&domain_mirror_type);
    domain_disk_take_source(mirror, c->copy);
    mirror->source_index = c->copy->source_index;
    mirror->mirror_job = g_strdup("copy");
    g_free(c->disk->mirror);
    c->disk->mirror = xml_type_format(&domain_mirror_type, mirror, XML_SECURE);
    xml_type_free(&domain_mirror_type, mirror);
    domain_live_replace(c->run->domain, g_steal_pointer(&c->live));
    return true;
}

static bool
copy(Domain *domain, const char *path, const DomainBlockCopy *how, GError **err)
{
    g_auto(Copying) c = { .flags = how->flags };
    DomainDisk *to = destination(how, err);
    bool ok;

    if (!to)
        return false;
    ok = copying_find(&c, domain, path, err);
    if (ok && (!c.disk->backing_store || !strstr(c.disk->backing_store, "<source")))
        c.flags &= ~(unsigned)VIR_DOMAIN_BLOCK_COPY_SHALLOW; /* there is one image only */
    ok = ok && destination_check(&c, to, err);
    if (ok && !to->format)
        to->format = g_strdup(c.disk->format);
    if (ok && c.flags & VIR_DOMAIN_BLOCK_COPY_SHALLOW && !argv_chain_has_backing(to->format) &&
        !(c.flags & VIR_DOMAIN_BLOCK_COPY_REUSE_EXT))
        ok = kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "shallow copy of disk '%s' into a raw file is not possible",
                            c.disk->target);
    if (ok) {
        c.copy = xml_type_copy(&domain_disk_type, c.disk);
        domain_disk_take_source(c.copy, to);
        xml_type_free(&domain_iotune_type, c.copy->iotune); /* the guest's limits stay its */
        c.copy->iotune = NULL;
        g_free(c.copy->backing_store); /* what it lies on comes with the change over */
        c.copy->backing_store = g_strdup("<backingStore/>");
        ok = !domain_disk_path(to) || access(domain_disk_path(to), F_OK) < 0 ||
             domain_disk_check(domain, c.copy, err);
    }
    ok = ok && (c.flags & VIR_DOMAIN_BLOCK_COPY_REUSE_EXT || destination_make(&c, to, err)) &&
         copying_begin(&c, how, err);
    if (!ok && c.made)
        unlink(domain_disk_path(to));
    xml_type_free(&domain_copy_type, to);
    return ok;
}

bool
domain_block_copy(Domain *domain, const char *path, const DomainBlockCopy *how, GError **err)
{
    bool ok = domain_job_begin(domain, "block copy", err);

    if (ok) {
        ok = copy(domain, path, how, err);
        domain_job_end(domain);
    }
    return ok;
}
