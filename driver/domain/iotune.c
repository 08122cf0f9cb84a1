/* iotune.c - limits of a disk's throughput, told and changed (virDomainGetBlockIoTune,
 * virDomainSetBlockIoTune; <iotune>).
 *
 * A call that names one limit of a kind (bytes or operations, their bursts, the bursts' lengths)
 * sets those of the kind that it does not name to none, and leaves the other kinds alone, as
 * libvirt documents. Disks with one <group_name> share their limits.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/domain/attach.h"
#include "util/error.h"

#define IOTUNE_MAX UINT64_C(1000000000000000) /* QEMU's, and the block room's */
#define GROUP_NAME VIR_DOMAIN_BLOCK_IOTUNE_GROUP_NAME

typedef enum { SIZE, GROUP, BYTES, IOPS, BYTES_MAX, IOPS_MAX, LENGTHS } IotuneKind;

typedef struct {
    const char *name, *qmp;
    IotuneKind kind;
    size_t offset;
} IotuneField;

#define FIELD(field, qmp, kind)                                                                    \
    {                                                                                              \
#field, qmp, kind, offsetof(DomainIotune, field)                                           \
    }
/* In libvirt's order; a burst and its length stand so far behind their limit: */
enum { MAX_AFTER = 6, LENGTH_AFTER = 13, LIMITS = 6 };
static const IotuneField fields[] = {
    FIELD(total_bytes_sec, "bps", BYTES),
    FIELD(read_bytes_sec, "bps_rd", BYTES),
    FIELD(write_bytes_sec, "bps_wr", BYTES),
    FIELD(total_iops_sec, "iops", IOPS),
    FIELD(read_iops_sec, "iops_rd", IOPS),
    FIELD(write_iops_sec, "iops_wr", IOPS),
    FIELD(total_bytes_sec_max, "bps_max", BYTES_MAX),
    FIELD(read_bytes_sec_max, "bps_rd_max", BYTES_MAX),
    FIELD(write_bytes_sec_max, "bps_wr_max", BYTES_MAX),
    FIELD(total_iops_sec_max, "iops_max", IOPS_MAX),
    FIELD(read_iops_sec_max, "iops_rd_max", IOPS_MAX),
    FIELD(write_iops_sec_max, "iops_wr_max", IOPS_MAX),
    FIELD(size_iops_sec, "iops_size", SIZE),
    FIELD(total_bytes_sec_max_length, "bps_max_length", LENGTHS),
    FIELD(read_bytes_sec_max_length, "bps_rd_max_length", LENGTHS),
    FIELD(write_bytes_sec_max_length, "bps_wr_max_length", LENGTHS),
    FIELD(total_iops_sec_max_length, "iops_max_length", LENGTHS),
    FIELD(read_iops_sec_max_length, "iops_rd_max_length", LENGTHS),
    FIELD(write_iops_sec_max_length, "iops_wr_max_length", LENGTHS),
};

/* 0 for none. */
static uint64_t
field_get(const DomainIotune *t, size_t i)
{
    uint64_t value =
        t ? *(const uint64_t *)(const void *)((const char *)t + fields[i].offset) : XML_UNSET;

    return value == XML_UNSET ? 0 : value;
}

static void
field_set(DomainIotune *t, size_t i, uint64_t value)
{
    *(uint64_t *)(void *)((char *)t + fields[i].offset) = value ? value : XML_UNSET;
}

/* ---- telling ---- */

bool
domain_block_iotune(Domain *domain, const char *name, unsigned flags, DomainParamTake take,
                    void *opaque, GError **err)
{
    const DomainDef *def;
    const DomainDisk *disk = NULL;

    g_mutex_lock(&domain->lock);
    def = domain_impact_def(domain, flags, err);
    disk = def ? domain_def_disk_named(def, name) : NULL;
    if (def && !disk)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "disk '%s' was not found in the domain config",
                       name);
    for (size_t i = 0; disk && i < G_N_ELEMENTS(fields); i++) {
        take(opaque, fields[i].name, field_get(disk->iotune, i), NULL);
        if (fields[i].kind == SIZE)
            take(opaque, GROUP_NAME, 0,
                 disk->iotune && disk->iotune->group_name ? disk->iotune->group_name : "");
    }
    g_mutex_unlock(&domain->lock);
    return disk != NULL;
}

/* ---- changing ---- */

typedef struct {
    const char *disk;
    char *target; /* the disk's, once the guest has the change */
    const DomainParam *params;
    guint n;
    unsigned kinds; /* bits of IotuneKind that some parameter has */
} Wanted;

static const DomainParam *
wanted_find(const Wanted *wanted, const char *name)
{
    for (guint i = 0; i < wanted->n; i++)
        if (strcmp(wanted->params[i].name, name) == 0)
            return &wanted->params[i];
    return NULL;
}

static bool
wanted_init(Wanted *wanted, const char *disk, const DomainParam *params, guint n, GError **err)
{
    *wanted = (Wanted){ .disk = disk, .params = params, .n = n };
    for (guint i = 0; i < n; i++) {
        bool known = strcmp(params[i].name, GROUP_NAME) == 0 && params[i].text;

        if (known)
            wanted->kinds |= 1u << GROUP;
        for (size_t k = 0; !known && k < G_N_ELEMENTS(fields); k++)
            if (strcmp(params[i].name, fields[k].name) == 0 && !params[i].text) {
                wanted->kinds |= 1u << fields[k].kind;
                known = true;
            }
        if (!known)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "parameter '%s' is unknown, or has a value of a wrong type",
                                  params[i].name);
        if (params[i].value > IOTUNE_MAX)
            return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                                  "block I/O throttle limit '%s' must be no more than "
                                  "%" G_GUINT64_FORMAT,
                                  params[i].name, IOTUNE_MAX);
    }
    return true;
}

static bool
both(const DomainIotune *t, size_t total)
{
    return field_get(t, total) && (field_get(t, total + 1) || field_get(t, total + 2));
}

static bool
tune_check(const DomainIotune *t, const Wanted *wanted, GError **err)
{
    static const struct {
        size_t total;
        const char *what;
    } groups[] = { { 0, "bytes_sec" },
                   { 3, "iops_sec" },
                   { MAX_AFTER, "bytes_sec_max" },
                   { MAX_AFTER + 3, "iops_sec_max" } };

    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++)
        if (both(t, groups[i].total))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "total and read/write of %s cannot be set at the same time",
                                  groups[i].what);
    for (size_t i = 0; i < LIMITS; i++) {
        const IotuneField *limit = &fields[i], *most = &fields[i + MAX_AFTER];

        if (field_get(t, i + LENGTH_AFTER) && !field_get(t, i + MAX_AFTER))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "value '%s' cannot be set if '%s' is not set",
                                  fields[i + LENGTH_AFTER].name, most->name);
        if (!field_get(t, i + MAX_AFTER))
            continue;
        if (!field_get(t, i))
            return wanted->kinds & 1u << limit->kind
                       ? kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                        "cannot reset '%s' when '%s' is set", limit->name,
                                        most->name)
                       : kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                        "value '%s' cannot be set if '%s' is not set", most->name,
                                        limit->name);
        if (field_get(t, i + MAX_AFTER) < field_get(t, i))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "value '%s' cannot be smaller than '%s'", most->name,
                                  limit->name);
    }
    return true;
}

/* What the disk's limits become; xml_type_free() it. */
static DomainIotune *
tune_merge(const DomainDef *def, const DomainDisk *disk, const Wanted *wanted, GError **err)
{
    const DomainParam *group = wanted_find(wanted, GROUP_NAME);
    const DomainIotune *old = disk->iotune;
    DomainIotune *t = xml_type_new(&domain_iotune_type);

    /* who joins a group takes its limits where the call says none */
    for (guint i = 0; group && i < def->disks->len; i++) {
        const DomainDisk *other = def->disks->pdata[i];

        if (other != disk && other->iotune &&
            g_strcmp0(other->iotune->group_name, group->text) == 0)
            old = other->iotune;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        const DomainParam *given = wanted_find(wanted, fields[i].name);

        field_set(t, i,
                  wanted->kinds & 1u << fields[i].kind ? (given ? given->value : 0)
                                                       : field_get(old, i));
    }
    /* a burst that went takes its length along, unless that was asked for */
    for (size_t i = 0; i < LIMITS; i++)
        if (!field_get(t, i + MAX_AFTER) && !(wanted->kinds & 1u << LENGTHS))
            field_set(t, i + LENGTH_AFTER, 0);
    t->group_name = g_strdup(group ? group->text : old ? old->group_name : NULL);
    if (tune_check(t, wanted, err))
        return t;
    xml_type_free(&domain_iotune_type, t);
    return NULL;
}

static bool
tune_any(const DomainIotune *t)
{
    for (size_t i = 0; i < LIMITS; i++)
        if (field_get(t, i))
            return true;
    return false;
}

/* Takes @t over, for @disk and those of its group. */
static void
tune_note(const DomainDef *def, DomainDisk *disk, DomainIotune *t)
{
    for (guint i = 0; t->group_name && i < def->disks->len; i++) {
        DomainDisk *other = def->disks->pdata[i];

        if (other == disk || !other->iotune ||
            g_strcmp0(other->iotune->group_name, t->group_name) != 0)
            continue;
        xml_type_free(&domain_iotune_type, other->iotune);
        other->iotune = tune_any(t) ? xml_type_copy(&domain_iotune_type, t) : NULL;
    }
    xml_type_free(&domain_iotune_type, disk->iotune);
    disk->iotune = t;
    if (tune_any(t))
        return;
    disk->iotune = NULL;
    xml_type_free(&domain_iotune_type, t);
}

static bool
tune_send(DomainRun *run, const DomainDisk *disk, const DomainIotune *t, GError **err)
{
    JsonObject *arguments = json_object_new();

    json_object_set_string_member(arguments, "id", disk->info.alias);
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++)
        if (i < LIMITS || field_get(t, i))
            json_object_set_int_member(arguments, fields[i].qmp, (gint64)field_get(t, i));
    if (t->group_name)
        json_object_set_string_member(arguments, "group", t->group_name);
    return qmp_command(run->qmp, "block_set_io_throttle", arguments, DOMAIN_QMP_SECONDS, err);
}

static void
tune_tell(Domain *domain, void *opaque)
{
    const Wanted *wanted = opaque;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autofree DomainParam *params = g_new0(DomainParam, wanted->n + 1);

    params[0] = (DomainParam){ .name = VIR_DOMAIN_TUNABLE_BLKDEV_DISK, .text = wanted->target };
    for (guint i = 0; i < wanted->n; i++) {
        params[i + 1] = wanted->params[i];
        params[i + 1].name = g_strconcat("blkdeviotune.", wanted->params[i].name, NULL);
        g_ptr_array_add(names, (char *)params[i + 1].name);
    }
    domain_event_tunable(domain, params, wanted->n + 1);
}

static bool
iotune_note(DomainDef *config, const DomainDef *live, void *opaque, GError **err)
{
    const Wanted *wanted = opaque;
    DomainDisk *disk = domain_def_disk_named(config, wanted->disk);
    DomainIotune *t;

    (void)live;
    if (!disk)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "missing persistent configuration for disk '%s'", wanted->disk);
    t = tune_merge(config, disk, wanted, err);
    if (!t)
        return false;
    tune_note(config, disk, t);
    return true;
}

static bool
iotune_apply(DomainRun *run, DomainDef *live, void *opaque, GError **err)
{
    Wanted *wanted = opaque;
    DomainDisk *disk = domain_def_disk_named(live, wanted->disk);
    DomainIotune *t;

    if (!disk)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "disk '%s' not found in the domain",
                              wanted->disk);
    t = tune_merge(live, disk, wanted, err);
    if (!t)
        return false;
    if (!tune_send(run, disk, t, err)) {
        xml_type_free(&domain_iotune_type, t);
        return false;
    }
    tune_note(live, disk, t);
    wanted->target = g_strdup(disk->target);
    return true;
}

static const DomainTuning iotune_change = { "disk limits", iotune_note, iotune_apply, tune_tell };

bool
domain_set_block_iotune(Domain *domain, const char *name, const DomainParam *params, guint n,
                        unsigned flags, GError **err)
{
    Wanted wanted;
    bool ok;

    if (!wanted_init(&wanted, name, params, n, err))
        return false;
    ok = domain_tune(domain, &iotune_change, &wanted, flags, err);
    g_free(wanted.target);
    return ok;
}
