/* detach.c - taking a device from a guest or its definition (virDomainDetachDeviceFlags,
 * virDomainDetachDeviceAlias).
 *
 * The guest is asked; its answer is waited for as long as libvirt does. A guest that answers later
 * is not forgotten: QMP DEVICE_DELETED ends the matter whenever it comes, and a daemon that finds a
 * device missing ends it too.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/attach.h"
#include "util/error.h"

enum { DETACH_SECONDS = 5 };

/* --- what the VMM tells ----------------------------------------------------------------------- */

static bool
list_has(const GPtrArray *list, const char *alias, guint *ret)
{
    return g_ptr_array_find_with_equal_func((GPtrArray *)list, alias, g_str_equal, ret);
}

/* True when @alias was there. With the state lock held. */
static bool
list_take(GPtrArray *list, const char *alias)
{
    guint at;

    return list_has(list, alias, &at) && g_ptr_array_remove_index(list, at);
}

/* Notes it unless no such device is defined. */
static bool
note(DomainRun *run, GPtrArray *list, const char *alias)
{
    Domain *domain = run->domain;
    DomainDevice device;
    bool known;

    g_mutex_lock(&domain->lock);
    known = domain->run == run && domain->live &&
            domain_device_find_alias(domain->live, alias, &device);
    if (known && !list_has(list, alias, NULL))
        g_ptr_array_add(list, g_strdup(alias));
    g_cond_broadcast(&run->unplugged);
    g_mutex_unlock(&domain->lock);
    return known;
}

/* In a job: the live definition forgets the device, and what it leaves behind is given back. */
static void
finish(DomainRun *run, const char *alias)
{
    Domain *domain = run->domain;
    g_autoptr(DomainDef) live = NULL;
    DomainDevice device;

    g_mutex_lock(&domain->lock);
    if (domain->run == run && domain->live)
        live = domain_def_copy(domain->live);
    g_mutex_unlock(&domain->lock);
    if (!live || !domain_device_find_alias(live, alias, &device))
        return;
    domain_plug_drop(run, &device);
    domain_device_remove(live, &device);
    domain_live_replace(domain, g_steal_pointer(&live));
    domain_event_send(domain, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, 0, 0, 0, alias);
}

/* After an answer that nobody waited for, or not long enough. */
static void
after_gone(DomainRun *run)
{
    Domain *domain = run->domain;
    g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func(g_free);

    domain_job_begin_wait(domain, "the end of a device");
    g_mutex_lock(&domain->lock);
    while (run->gone->len > 0)
        g_ptr_array_add(gone, g_ptr_array_steal_index(run->gone, 0));
    g_mutex_unlock(&domain->lock);
    for (guint i = 0; i < gone->len; i++)
        finish(run, gone->pdata[i]);
    domain_job_end(domain);
}

void
domain_device_gone(DomainRun *run, const char *alias)
{
    if (note(run, run->gone, alias))
        domain_run_post(run, after_gone);
}

void
domain_device_kept(DomainRun *run, const char *alias)
{
    if (note(run, run->kept, alias))
        domain_event_send(run->domain, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, 0, 0, 0, alias);
}

typedef struct {
    GHashTable *there;
    GPtrArray *missing; /* char * */
} Missing;

static bool
find_missing(const char *element, void *device, DomainDeviceInfo *info, void *opaque)
{
    static const char *const elements[] = { "disk",  "interface", "channel",  "rng",
                                            "input", "hub",       "watchdog", NULL };
    Missing *missing = opaque;

    if (!g_strv_contains(elements, element) || !info->alias ||
        g_hash_table_contains(missing->there, info->alias))
        return true;
    if (strcmp(element, "input") != 0 || ((const DomainInput *)device)->bus != DOMAIN_INPUT_BUS_PS2)
        g_ptr_array_add(missing->missing, g_strdup(info->alias));
    return true;
}

void
domain_devices_catch_up(DomainRun *run)
{
    Domain *domain = run->domain;
    g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GError) err = NULL;
    g_autoptr(GHashTable) there = domain_plug_devices(run, &err);
    Missing missing = { there, gone };

    if (!there) {
        domain_manager_warn(domain->manager, "domain '%s': %s", domain->name, err->message);
        return;
    }
    g_mutex_lock(&domain->lock);
    if (domain->run == run && domain->live)
        domain_def_each_device(domain->live, find_missing, &missing);
    g_mutex_unlock(&domain->lock);
    for (guint i = 0; i < gone->len; i++)
        finish(run, gone->pdata[i]);
}

/* --- asking the guest ------------------------------------------------------------------------- */

typedef struct {
    const DomainController *controller;
    bool used;
} Use;

static bool
find_user(const char *element, void *device, DomainDeviceInfo *info, void *opaque)
{
    static const struct {
        int address;
        int type;
    } buses[] = {
        { DOMAIN_ADDRESS_VIRTIO_SERIAL, DOMAIN_CONTROLLER_VIRTIO_SERIAL },
        { DOMAIN_ADDRESS_USB, DOMAIN_CONTROLLER_USB },
    };
    Use *use = opaque;
    const DomainAddress *a = info->address;
    const DomainDisk *disk = device;

    if (!a)
        return true;
    if (strcmp(element, "disk") == 0 && disk->bus == DOMAIN_BUS_SCSI &&
        use->controller->type == DOMAIN_CONTROLLER_SCSI && a->controller == use->controller->index)
        use->used = true;
    for (size_t i = 0; i < G_N_ELEMENTS(buses); i++) {
        uint64_t index = buses[i].address == DOMAIN_ADDRESS_USB ? a->bus : a->controller;

        if (a->type == buses[i].address && use->controller->type == buses[i].type &&
            (index == XML_UNSET ? 0 : index) == use->controller->index)
            use->used = true;
    }
    return true;
}

static bool
check_unplug(DomainDef *live, const DomainDevice *device, GError **err)
{
    const DomainDisk *disk = device->device;
    const DomainInput *input = device->device;
    const DomainChar *chr = device->device;
    const DomainController *c = device->device;
    const char *element = device->kind->element;
    Use use = { c, false };

    if (!device->kind->build ||
        (device->kind->id == DEVICE_CONSOLE && chr->target != DOMAIN_CONSOLE_VIRTIO) ||
        (device->kind->id == DEVICE_INPUT && input->bus != DOMAIN_INPUT_BUS_USB &&
         input->bus != DOMAIN_INPUT_BUS_VIRTIO))
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "live detach of device '%s' is not supported", element);
    if (device->kind->id == DEVICE_DISK && disk->bus != DOMAIN_BUS_VIRTIO &&
        disk->bus != DOMAIN_BUS_SCSI && disk->bus != DOMAIN_BUS_USB)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "disk device bus '%s' cannot be hot unplugged; change its medium, or "
                              "detach it from the persistent definition",
                              domain_disk_buses[disk->bus]);
    if (device->kind->id != DEVICE_CONTROLLER)
        return true;
    if (c->type != DOMAIN_CONTROLLER_SCSI && c->type != DOMAIN_CONTROLLER_VIRTIO_SERIAL &&
        c->type != DOMAIN_CONTROLLER_USB)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "'%s' controller cannot be hot unplugged.",
                              domain_controller_types[c->type]);
    domain_def_each_device(live, find_user, &use);
    return !use.used || kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                       "device cannot be detached: device is busy");
}

typedef enum { ANSWER_NONE, ANSWER_GONE, ANSWER_KEPT } Answer;

static Answer
wait_answer(DomainRun *run, const char *alias)
{
    gint64 deadline = g_get_monotonic_time() + DETACH_SECONDS * (gint64)G_USEC_PER_SEC;
    Domain *domain = run->domain;
    Answer answer = ANSWER_NONE;
    bool time = true;

    g_mutex_lock(&domain->lock);
    while (!answer && time && domain->run == run && qmp_is_open(run->qmp)) {
        if (list_take(run->gone, alias))
            answer = ANSWER_GONE;
        else if (list_take(run->kept, alias))
            answer = ANSWER_KEPT;
        else
            time = g_cond_wait_until(&run->unplugged, &domain->lock, deadline);
    }
    g_mutex_unlock(&domain->lock);
    return answer;
}

static bool
detach_live(Domain *domain, DomainDef *live, const DomainDevice *device, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    const char *alias = domain_device_info(device)->alias;
    JsonObject *arguments;

    if (!run || !check_unplug(live, device, err) ||
        (device->kind->id == DEVICE_DISK &&
         !domain_block_job_check(run, ((const DomainDisk *)device->device)->target, err)))
        return false;
    g_mutex_lock(&domain->lock);
    list_take(run->kept, alias);
    g_mutex_unlock(&domain->lock);
    arguments = json_object_new();
    json_object_set_string_member(arguments, "id", alias);
    if (!qmp_command(run->qmp, "device_del", arguments, DOMAIN_QMP_SECONDS, err))
        return false;
    switch (wait_answer(run, alias)) {
    case ANSWER_GONE:
        finish(run, alias);
        return true;
    case ANSWER_KEPT:
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "unplug of device was rejected by the guest");
    default:
        return true; /* asked: it goes when the guest agrees */
    }
}

/* --- calls ------------------------------------------------------------------------------------ */

/* The one that @wanted, or @alias when that is not NULL, means. */
static bool
find_either(const DomainDef *def, const DomainDevice *wanted, const char *alias, DomainDevice *ret,
            GError **err)
{
    if (!alias)
        return domain_device_find(def, wanted, ret, err);
    return domain_device_find_alias(def, alias, ret) ||
           kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "no device found with alias %s", alias);
}

static bool
detach_config(Domain *domain, DomainDef *config, const DomainDevice *device, GError **err)
{
    domain_device_remove(config, device);
    return domain_def_complete(config, &domain->manager->defaults, err);
}

static bool
detach_both(Domain *domain, const DomainDevice *wanted, const char *alias, unsigned flags,
            GError **err)
{
    g_autoptr(DomainDef) live = NULL;
    g_autoptr(DomainDef) config = NULL;
    DomainDevice in_live, in_config;

    if (!domain_copies(domain, &flags, &live, &config, err))
        return false;
    if (!alias && (!wanted->device || wanted->kind->info == SIZE_MAX))
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "%s detach of device '%s' is not supported",
                              live ? "live" : "persistent", wanted->kind->element);
    return (!config || (find_either(config, wanted, alias, &in_config, err) &&
                        detach_config(domain, config, &in_config, err))) &&
           (!live || (find_either(live, wanted, alias, &in_live, err) &&
                      detach_live(domain, live, &in_live, err))) &&
           (!config || domain_config_replace(domain, g_steal_pointer(&config), err));
}

bool
domain_detach_device(Domain *domain, const char *xml, unsigned flags, GError **err)
{
    DomainDevice wanted = { 0 };
    bool ok;

    /* the persistent definition knows no aliases but those that people gave */
    if (!domain_device_parse(xml, flags & VIR_DOMAIN_AFFECT_CONFIG ? XML_INACTIVE : 0, &wanted,
                             err))
        return false;
    ok = domain_job_begin(domain, "detach", err);
    if (ok) {
        ok = detach_both(domain, &wanted, NULL, flags, err);
        domain_job_end(domain);
    }
    domain_device_clear(&wanted);
    return ok;
}

bool
domain_detach_alias(Domain *domain, const char *alias, unsigned flags, GError **err)
{
    bool ok;

    if (!domain_job_begin(domain, "detach", err))
        return false;
    ok = detach_both(domain, NULL, alias, flags, err);
    domain_job_end(domain);
    return ok;
}
