/* block_threshold.c - how far the file of a running guest's image may be written before clients
 * hear of it, so that they can make its volume larger (virDomainSetBlockThreshold).
 *
 * libvirt's documentation of virDomainSetBlockThreshold and of the event; QEMU QMP reference,
 * block-set-write-threshold and BLOCK_WRITE_THRESHOLD.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/domain/argv.h"
#include "driver/domain/qmp_answer.h"
#include "driver/domain/private.h"
#include "util/error.h"

/* The images of @disk, its own first; NULL when it has none that is open. */
static GPtrArray *
disk_layers(const DomainDisk *disk)
{
    GPtrArray *layers;

    if (!domain_disk_has_source(disk) || disk->source_index == XML_UNSET)
        return NULL;
    layers = argv_chain_parse(disk, NULL);
    if (layers)
        g_ptr_array_insert(layers, 0, argv_chain_layer_of(disk));
    return layers;
}

/* The index of the image that @dev names, "vda" or "vda[3]"; with the domain's lock held. 0 with
 * @err set. */
static unsigned
dev_index(const DomainDef *def, const char *dev, GError **err)
{
    g_autofree char *target = g_strndup(dev, strcspn(dev, "["));
    const DomainDisk *disk = domain_def_disk(def, target);
    const char *digits = dev + strlen(target);
    g_autoptr(GPtrArray) layers = disk ? disk_layers(disk) : NULL;
    char *end = NULL;
    uint64_t wanted = *digits ? g_ascii_strtoull(digits + 1, &end, 10) : 0;

    if (!disk || (end && strcmp(end, "]") != 0)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "failed to find disk '%s'", dev);
        return 0;
    }
    for (guint i = 0; layers && i < layers->len; i++) {
        const ChainLayer *layer = layers->pdata[i];

        if (*digits ? layer->index == wanted : i == 0)
            return layer->index;
    }
    kiln_error_set(err, VIR_ERR_INVALID_ARG, "disk '%s' has no image with that index", dev);
    return 0;
}

bool
domain_set_block_threshold(Domain *domain, const char *dev, uint64_t bytes, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    g_autofree char *node = NULL;
    JsonObject *arguments;
    unsigned index = 0;
    bool ok;

    if (!run || !domain_job_begin(domain, "block threshold", err))
        return false;
    g_mutex_lock(&domain->lock);
    if (domain->live)
        index = dev_index(domain->live, dev, err);
    else
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
    g_mutex_unlock(&domain->lock);
    ok = index > 0;
    if (ok) {
        node = g_strdup_printf("libvirt-%u-storage", index);
        arguments = json_object_new();
        json_object_set_string_member(arguments, "node-name", node);
        json_object_set_int_member(arguments, "write-threshold", (gint64)bytes);
        ok = qmp_command(run->qmp, "block-set-write-threshold", arguments, DOMAIN_QMP_SECONDS, err);
        g_atomic_int_inc(&run->fill_orders);
    }
    domain_job_end(domain);
    return ok;
}

/* ---- the event ---- */

/* A disk's own image is told of by the disk's name, and all by theirs. */
void
domain_block_threshold_event(DomainRun *run, JsonObject *data)
{
    const char *node = qmp_text(data, "node-name");
    uint64_t bytes = (uint64_t)qmp_number(data, "write-threshold");
    uint64_t excess = (uint64_t)qmp_number(data, "amount-exceeded");
    g_autofree char *dev = NULL, *path = NULL, *name = NULL;
    Domain *domain = run->domain;
    unsigned index = 0;
    bool own = false;

    if (g_str_has_prefix(node, "libvirt-"))
        index = (unsigned)g_ascii_strtoull(node + strlen("libvirt-"), NULL, 10);
    g_mutex_lock(&domain->lock);
    for (guint i = 0;
         index && domain->run == run && domain->live && !dev && i < domain->live->disks->len; i++) {
        const DomainDisk *disk = domain->live->disks->pdata[i];
        g_autoptr(GPtrArray) layers = disk_layers(disk);

        for (guint j = 0; layers && j < layers->len && !dev; j++) {
            const ChainLayer *layer = layers->pdata[j];

            if (layer->index != index)
                continue;
            dev = g_strdup(disk->target);
            path = g_strdup(domain_disk_path(layer->source));
            own = j == 0;
        }
    }
    g_mutex_unlock(&domain->lock);
    if (!dev)
        return;
    if (own)
        domain_event_threshold(domain, dev, path, bytes, excess);
    name = g_strdup_printf("%s[%u]", dev, index);
    domain_event_threshold(domain, name, path, bytes, excess);
}
