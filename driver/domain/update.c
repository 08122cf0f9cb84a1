/* update.c - changing a device of a guest or its definition (virDomainUpdateDeviceFlags).
 *
 * libvirt 9.0: of a running guest's devices the medium of a CD drive, the link state and bandwidth
 * of an interface and the password of a VNC screen can change; all else that differs is refused.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/update.h"

#include <string.h>

#include "driver/domain/attach.h"
#include "driver/domain/graphics.h"
#include "driver/domain/resources.h"
#include "util/error.h"

static void
give(char **field, const char *value)
{
    if (!*field)
        *field = g_strdup(value);
}

static void
take(char **field, const char *value)
{
    g_free(*field);
    *field = g_strdup(value);
}

static void
give_info(DomainDeviceInfo *info, const DomainDeviceInfo *from)
{
    give(&info->alias, from->alias);
    if (!info->address)
        info->address = xml_type_copy(&domain_address_type, from->address);
}

/* --- disks ------------------------------------------------------------------------------------ */

static bool
same_source(const DomainDisk *a, const DomainDisk *b)
{
    return a->type == b->type && g_strcmp0(a->file, b->file) == 0 && g_strcmp0(a->dev, b->dev) == 0;
}

static bool
disk_live(DomainRun *run, DomainDef *live, DomainDisk *disk, const DomainDisk *wanted, bool force,
          GError **err)
{
    g_autoptr(DomainDef) def = live;
    DomainDisk *like;
    bool same;

    if (wanted->bus && wanted->bus != disk->bus)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "No device with bus '%s' and target '%s'",
                              domain_disk_buses[wanted->bus], disk->target);
    if (disk->device == DOMAIN_DISK_DEVICE_CDROM && !same_source(disk, wanted))
        return domain_media_change(run, g_steal_pointer(&def), disk, wanted, force, err);
    if (!same_source(disk, wanted))
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "cannot modify field 'source' of the disk '%s'", disk->target);
    like = xml_type_copy(&domain_disk_type, wanted);
    give_info(&like->info, &disk->info);
    give(&like->driver_name, disk->driver_name);
    give(&like->format, disk->format);
    take(&like->backing_store, disk->backing_store);
    take(&like->mirror, disk->mirror);
    like->device = wanted->device ? wanted->device : disk->device;
    like->bus = disk->bus;
    like->source_index = disk->source_index;
    like->tray = disk->tray;
    like->readonly = like->device == DOMAIN_DISK_DEVICE_CDROM ? 1 : like->readonly;
    disk->startup_policy = like->startup_policy;
    same = xml_type_equal(&domain_disk_type, like, disk);
    xml_type_free(&domain_disk_type, like);
    if (!same)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "cannot modify the disk '%s' of a running guest beyond the medium of "
                              "a CD drive; change the persistent definition",
                              disk->target);
    domain_live_replace(run->domain, g_steal_pointer(&def));
    return true;
}

/* --- interfaces ------------------------------------------------------------------------------- */

bool
domain_link_set(DomainRun *run, const DomainInterface *net, GError **err)
{
    bool up = net->link != DOMAIN_LINK_DOWN;
    g_autofree char *netdev = g_strdup_printf("host%s", net->info.alias);
    JsonObject *arguments = json_object_new();

    json_object_set_string_member(arguments, "name", netdev);
    json_object_set_boolean_member(arguments, "up", up);
    return qmp_command(run->qmp, "set_link", arguments, DOMAIN_QMP_SECONDS, err) &&
           (net->type == DOMAIN_NET_USER || net->managed == TRISTATE_OFF || !net->ifname ||
            network_port_set_link(net->ifname, up, err));
}

bool
domain_bandwidth_set(const DomainInterface *net, GError **err)
{
    NetworkLimit inbound = domain_net_limit(net->inbound);
    NetworkLimit outbound = domain_net_limit(net->outbound);

    if (net->type == DOMAIN_NET_USER || !net->ifname)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<bandwidth> of interface '%s' is not offered: it has no tap",
                              net->mac);
    return network_port_set_limits(net->ifname, &inbound, &outbound, err);
}

static bool
same_limit(const DomainBandwidth *a, const DomainBandwidth *b)
{
    return (!a && !b) || (a && b && a->average == b->average && a->peak == b->peak &&
                          a->burst == b->burst && a->floor == b->floor);
}

/* What the XML leaves open stays as it is. */
static void
fill_interface(DomainInterface *net, const DomainInterface *from)
{
    give_info(&net->info, &from->info);
    give(&net->model, from->model);
    give(&net->ifname, from->ifname);
    if (net->type == DOMAIN_NET_NETWORK) {
        give(&net->portgroup, from->portgroup);
        give(&net->port_id, from->port_id);
        give(&net->bridge, from->bridge);
        give(&net->source_dev, from->source_dev);
        net->source_mode = from->source_mode;
    }
    if (net->mtu == XML_UNSET)
        net->mtu = from->mtu;
    if (net->info.boot_order == XML_UNSET)
        net->info.boot_order = from->info.boot_order;
    net->mac_table = from->mac_table;
    net->bandwidth_class = from->bandwidth_class;
}

static void
swap_changeable(DomainInterface *a, DomainInterface *b)
{
    DomainBandwidth *inbound = a->inbound, *outbound = a->outbound;
    int link = a->link;

    a->inbound = b->inbound;
    a->outbound = b->outbound;
    a->link = b->link;
    b->inbound = inbound;
    b->outbound = outbound;
    b->link = link;
}

/* @before: with the limits that hold now. */
static bool
interface_apply(DomainRun *run, const DomainInterface *net, const DomainInterface *before,
                bool limits, bool link, GError **err)
{
    if ((!limits || domain_bandwidth_set(net, err)) && (!link || domain_link_set(run, net, err)))
        return true;
    if (limits && net->ifname)
        domain_bandwidth_set(before, NULL);
    return false;
}

static bool
interface_live(DomainRun *run, DomainDef *live, DomainInterface *net, const DomainInterface *wanted,
               GError **err)
{
    g_autoptr(DomainDef) def = live;
    DomainInterface *like = xml_type_copy(&domain_interface_type, wanted);
    DomainInterface *before = xml_type_copy(&domain_interface_type, net);
    bool same, link, limits;

    fill_interface(like, net);
    link = (like->link == DOMAIN_LINK_DOWN) != (net->link == DOMAIN_LINK_DOWN);
    limits = !same_limit(like->inbound, net->inbound) || !same_limit(like->outbound, net->outbound);
    swap_changeable(like, net);
    same = xml_type_equal(&domain_interface_type, like, before);
    if (!same)
        kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                       "cannot modify interface '%s' of a running guest beyond its link state and "
                       "bandwidth; detach it and attach another",
                       net->mac);
    else
        same = interface_apply(run, net, before, limits, link, err);
    xml_type_free(&domain_interface_type, like);
    xml_type_free(&domain_interface_type, before);
    if (same)
        domain_live_replace(run->domain, g_steal_pointer(&def));
    return same;
}

/* --- screens ---------------------------------------------------------------------------------- */

static bool
graphics_live(DomainRun *run, DomainDef *live, DomainGraphics *graphics,
              const DomainGraphics *wanted, GError **err)
{
    g_autoptr(DomainDef) def = live;
    bool ports = (wanted->port > 0 && wanted->port != graphics->port) ||
                 (wanted->websocket != XML_UNSET_INT && wanted->websocket > 0 &&
                  wanted->websocket != graphics->websocket);

    if (graphics->type != DOMAIN_GRAPHICS_VNC)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "unable to change config on '%s' graphics type",
                              domain_graphics_types[graphics->type]);
    if (ports || (wanted->autoport && graphics->autoport && wanted->autoport != graphics->autoport))
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "cannot change port settings on vnc graphics");
    if (wanted->keymap && g_strcmp0(wanted->keymap, graphics->keymap) != 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "cannot change keymap setting on vnc graphics");
    if (!wanted->passwd && graphics->passwd)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "cannot take the password of a running guest's screen away");
    if (wanted->passwd) {
        take(&graphics->passwd, wanted->passwd);
        take(&graphics->passwd_valid_to, wanted->passwd_valid_to);
        graphics->connected = wanted->connected;
        if (!domain_graphics_set_passwords(run, def, err))
            return false;
    }
    domain_live_replace(run->domain, g_steal_pointer(&def));
    return true;
}

/* --- calls ------------------------------------------------------------------------------------ */

/* @live is taken over. */
static bool
update_live(Domain *domain, DomainDef *live, const DomainDevice *wanted, bool force, GError **err)
{
    g_autoptr(DomainDef) def = live;
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    DomainDevice found;

    if (!run || !domain_device_find(def, wanted, &found, err) ||
        (wanted->kind->id == DEVICE_DISK &&
         !domain_disk_resolve(domain->manager, wanted->device, err)))
        return false;
    if (wanted->kind->id == DEVICE_DISK)
        return disk_live(run, g_steal_pointer(&def), found.device, wanted->device, force, err);
    if (wanted->kind->id == DEVICE_INTERFACE)
        return interface_live(run, g_steal_pointer(&def), found.device, wanted->device, err);
    return graphics_live(run, g_steal_pointer(&def), found.device, wanted->device, err);
}

/* The new device takes the old one's place, and its address unless it has its own. */
static bool
update_config(Domain *domain, DomainDef *config, const DomainDevice *wanted, GError **err)
{
    DomainDevice found;
    GPtrArray *list = domain_device_list(config, wanted->kind);
    guint at = 0;
    void *copy;

    if (!domain_device_find(config, wanted, &found, err))
        return false;
    copy = xml_type_copy(wanted->kind->type, wanted->device);
    if (domain_device_info(&found)) {
        DomainDevice made = { wanted->kind, copy };

        give_info(domain_device_info(&made), domain_device_info(&found));
    }
    g_ptr_array_find(list, found.device, &at);
    xml_type_free(wanted->kind->type, found.device);
    list->pdata[at] = copy;
    return domain_def_complete(config, &domain->manager->defaults, err);
}

static bool
update_both(Domain *domain, const DomainDevice *wanted, unsigned flags, bool force, GError **err)
{
    g_autoptr(DomainDef) live = NULL;
    g_autoptr(DomainDef) config = NULL;

    if (!domain_copies(domain, &flags, &live, &config, err))
        return false;
    if (wanted->kind->id != DEVICE_DISK && wanted->kind->id != DEVICE_INTERFACE &&
        wanted->kind->id != DEVICE_GRAPHICS)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "%s update of device '%s' is not supported",
                              live ? "live" : "persistent", wanted->kind->element);
    return (!config || update_config(domain, config, wanted, err)) &&
           (!live || update_live(domain, g_steal_pointer(&live), wanted, force, err)) &&
           (!config || domain_config_replace(domain, g_steal_pointer(&config), err));
}

bool
domain_update_device(Domain *domain, const char *xml, unsigned flags, GError **err)
{
    bool force = flags & VIR_DOMAIN_DEVICE_MODIFY_FORCE;
    DomainDevice wanted = { 0 };
    bool ok;

    if (!domain_device_parse(xml, XML_INACTIVE, &wanted, err))
        return false;
    ok = domain_job_begin(domain, "update", err);
    if (ok) {
        ok = update_both(domain, &wanted, flags & ~(unsigned)VIR_DOMAIN_DEVICE_MODIFY_FORCE, force,
                         err);
        domain_job_end(domain);
    }
    domain_device_clear(&wanted);
    return ok;
}
