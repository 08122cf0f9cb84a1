/* domain_check.c - rules between the parts of a completed <domain>: nothing stands in one place
 * twice, and what is referred to is there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_private.h"

#include "util/error.h"

#include <inttypes.h>
#include <string.h>

static const char *
source_of(const DomainDisk *disk)
{
    return domain_disk_path(disk) ? domain_disk_path(disk)
           : disk->export_name    ? disk->export_name
                                  : "";
}

static bool
check_disks(const DomainDef *def, GError **err)
{
    for (guint i = 0; i < def->disks->len; i++) {
        const DomainDisk *a = def->disks->pdata[i];

        for (guint k = 0; k < i; k++) {
            const DomainDisk *b = def->disks->pdata[k];
            const DomainAddress *x = a->info.address, *y = b->info.address;

            if (strcmp(a->target, b->target) == 0)
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "target '%s' duplicated for disk sources '%s' and '%s'",
                                      a->target, source_of(b), source_of(a));
            if (x && y && x->type == DOMAIN_ADDRESS_DRIVE && y->type == DOMAIN_ADDRESS_DRIVE &&
                a->bus == b->bus && x->controller == y->controller && x->bus == y->bus &&
                x->target == y->target && x->unit == y->unit)
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "Found duplicate drive address for disks "
                                      "with target names '%s' and '%s'",
                                      b->target, a->target);
        }
        if (a->iothread == XML_UNSET)
            continue;
        if (a->bus != DOMAIN_BUS_VIRTIO)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "IOThreads are for disks on bus "
                                  "'virtio', not '%s' (target '%s')",
                                  domain_disk_buses[a->bus], a->target);
        if (!domain_def_iothread(def, a->iothread))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "Disk iothread '%" PRIu64 "' of target "
                                  "'%s' not defined in iothreadid",
                                  a->iothread, a->target);
    }
    return true;
}

static bool
check_interfaces(const DomainDef *def, GError **err)
{
    for (guint i = 0; i < def->interfaces->len; i++) {
        const DomainInterface *a = def->interfaces->pdata[i];

        for (guint k = 0; k < i; k++) {
            const DomainInterface *b = def->interfaces->pdata[k];

            /* A passed-through function shares the address of the NIC it backs up. */
            if (a->type != DOMAIN_NET_HOSTDEV && b->type != DOMAIN_NET_HOSTDEV &&
                strcmp(a->mac, b->mac) == 0)
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "the MAC address %s is given to two "
                                      "interfaces; remove one <mac> to have another made",
                                      a->mac);
            if (a->ifname && b->ifname && !strchr(a->ifname, '%') &&
                strcmp(a->ifname, b->ifname) == 0)
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "the target device '%s' is given to two interfaces",
                                      a->ifname);
        }
    }
    return true;
}

static bool
is_companion(const DomainController *c)
{
    return c->type == DOMAIN_CONTROLLER_USB && c->usb_model >= DOMAIN_USB_ICH9_EHCI1 &&
           c->usb_model <= DOMAIN_USB_ICH9_UHCI3;
}

static bool
check_controllers(const DomainDef *def, GError **err)
{
    for (guint i = 0; i < def->controllers->len; i++) {
        const DomainController *a = def->controllers->pdata[i];

        for (guint k = 0; k < i; k++) {
            const DomainController *b = def->controllers->pdata[k];

            if (a->type == b->type && a->index == b->index && !(is_companion(a) && is_companion(b)))
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "Multiple '%s' controllers with index "
                                      "'%" PRIu64 "'",
                                      domain_controller_types[a->type], a->index);
        }
    }
    return true;
}

static bool
check_chars(const DomainDef *def, GError **err)
{
    const GPtrArray *lists[] = { def->serials, def->parallels };

    for (size_t l = 0; l < G_N_ELEMENTS(lists); l++)
        for (guint i = 0; i < lists[l]->len; i++)
            for (guint k = 0; k < i; k++)
                if (((const DomainChar *)lists[l]->pdata[i])->port ==
                    ((const DomainChar *)lists[l]->pdata[k])->port)
                    return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                          "target port [%" PRIu64 "] already "
                                          "allocated to another %s device",
                                          ((const DomainChar *)lists[l]->pdata[i])->port,
                                          l ? "parallel" : "serial");
    for (guint i = 1; i < def->consoles->len; i++)
        if (((const DomainChar *)def->consoles->pdata[i])->target == DOMAIN_CONSOLE_SERIAL)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "Only the first console can be a serial port");
    for (guint i = 0; i < def->channels->len; i++) {
        const DomainChar *a = def->channels->pdata[i];

        for (guint k = 0; k < i; k++) {
            const DomainChar *b = def->channels->pdata[k];

            if (a->name && b->name && strcmp(a->name, b->name) == 0)
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "the channel name '%s' is given to two channels", a->name);
        }
    }
    return true;
}

/* --- aliases and boot order ------------------------------------------------------------------- */

typedef struct {
    const DomainDef *def;
    GHashTable *aliases, *orders;
    GError **err;
} Unique;

static bool
check_unique(const char *element, void *device, DomainDeviceInfo *info, void *opaque)
{
    Unique *unique = opaque;

    /* A console that mirrors a serial port has no alias of its own. */
    if (strcmp(element, "console") == 0 && domain_def_console_is_serial(unique->def, 0) &&
        device == unique->def->consoles->pdata[0])
        return true;
    if (info->alias && !g_hash_table_add(unique->aliases, info->alias))
        return kiln_error_set(unique->err, VIR_ERR_XML_ERROR, "non unique alias detected: %s",
                              info->alias);
    if (info->boot_order == XML_UNSET)
        return true;
    if (!g_hash_table_add(unique->orders, &info->boot_order))
        return kiln_error_set(unique->err, VIR_ERR_XML_ERROR,
                              "boot order '%" PRIu64 "' used for more "
                              "than one device",
                              info->boot_order);
    if (unique->def->os.boots->len)
        return kiln_error_set(unique->err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "per-device boot elements "
                              "cannot be used together with os/boot elements");
    return true;
}

static bool
check_names(const DomainDef *def, GError **err)
{
    g_autoptr(GHashTable) aliases = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) orders = g_hash_table_new(g_int64_hash, g_int64_equal);
    Unique unique = { def, aliases, orders, err };

    return domain_def_each_device((DomainDef *)def, check_unique, &unique);
}

/* --- processors and NUMA ---------------------------------------------------------------------- */

static const DomainNumaCell *
find_cell(const DomainDef *def, uint64_t id)
{
    const DomainNuma *numa = def->cpu ? def->cpu->numa : NULL;

    for (guint i = 0; numa && i < numa->cells->len; i++) {
        const DomainNumaCell *cell = numa->cells->pdata[i];

        if (cell->id == id)
            return cell;
    }
    return NULL;
}

static bool
check_cells(const DomainDef *def, GError **err)
{
    const DomainNuma *numa = def->cpu ? def->cpu->numa : NULL;
    g_autofree uint8_t *taken = numa ? g_malloc0(UINT16_MAX + 1) : NULL;

    for (guint i = 0; numa && i < numa->cells->len; i++) {
        const DomainNumaCell *cell = numa->cells->pdata[i];
        g_autoptr(GArray) cpus = xml_cpuset_numbers(cell->cpus);

        if (cell->id >= numa->cells->len)
            return kiln_error_set(
                err, VIR_ERR_XML_ERROR,
                "Exactly one 'cell' element per guest NUMA cell "
                "allowed, non-contiguous ranges or ranges not starting from 0 are not "
                "allowed (id %" PRIu64 ")",
                cell->id);
        if (find_cell(def, cell->id) != cell)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "Duplicate NUMA cell info for cell id '%" PRIu64 "'", cell->id);
        for (guint c = 0; c < cpus->len; c++) {
            unsigned cpu = g_array_index(cpus, unsigned, c);

            if (cpu >= def->vcpus)
                return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                      "NUMA cell %" PRIu64 " has vCPU %u, "
                                      "but there are only %" PRIu64 " vCPUs",
                                      cell->id, cpu, def->vcpus);
            if (taken[cpu]++)
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "NUMA cells have overlapping vCPU ids: %u is "
                                      "in more than one",
                                      cpu);
        }
        for (guint d = 0; d < cell->distances->len; d++) {
            const DomainNumaDistance *distance = cell->distances->pdata[d];

            if (!find_cell(def, distance->id))
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "'sibling' id %" PRIu64 " of NUMA cell "
                                      "%" PRIu64 " is no cell",
                                      distance->id, cell->id);
        }
    }
    return true;
}

static bool
check_placement(const DomainDef *def, GError **err)
{
    const DomainNumatune *numatune = def->numatune;
    const DomainMemoryBacking *backing = def->memory_backing;

    for (guint i = 0; numatune && i < numatune->memnodes->len; i++) {
        const DomainMemnode *node = numatune->memnodes->pdata[i];

        if (!find_cell(def, node->cell))
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "<memnode> is for NUMA cell %" PRIu64 ", which "
                                  "<cpu><numa> does not have",
                                  node->cell);
    }
    for (guint i = 0; backing && i < backing->pages->len; i++) {
        const DomainHugepage *page = backing->pages->pdata[i];
        g_autoptr(GArray) nodes = xml_cpuset_numbers(page->nodeset);

        for (guint n = 0; n < nodes->len; n++) {
            unsigned node = g_array_index(nodes, unsigned, n);

            if (!find_cell(def, node) && !(node == 0 && (!def->cpu || !def->cpu->numa)))
                return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                      "hugepages: node %u not found", node);
        }
    }
    for (guint i = 0; def->cputune && i < def->cputune->iothreadpins->len; i++) {
        const DomainPin *pin = def->cputune->iothreadpins->pdata[i];

        if (!domain_def_iothread(def, pin->id))
            return kiln_error_set(err, VIR_ERR_XML_ERROR, "Cannot find 'iothread' : %" PRIu64,
                                  pin->id);
    }
    return true;
}

/* A lower limit wants an upper one. */
static bool
check_thread_pool(const char *what, uint64_t min, uint64_t max, GError **err)
{
    if (min != XML_UNSET && (max == XML_UNSET || min > max))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "of %s thread_pool_min must be smaller or equal to thread_pool_max",
                              what);
    return max != 0 || kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                      "of %s thread_pool_max must be a positive integer", what);
}

static bool
check_processors(const DomainDef *def, GError **err)
{
    const DomainTopology *t = def->cpu ? def->cpu->topology : NULL;
    g_autofree uint8_t *seen = def->vcpu_list->len ? g_malloc0(UINT16_MAX + 1) : NULL;

    if (t && t->sockets * t->dies * t->cores * t->threads != def->vcpus)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "CPU topology doesn't match maximum vcpu "
                              "count: %" PRIu64 " sockets × %" PRIu64 " dies × %" PRIu64 " cores × "
                              "%" PRIu64 " threads is not %" PRIu64,
                              t->sockets, t->dies, t->cores, t->threads, def->vcpus);
    for (guint i = 0; i < def->vcpu_list->len; i++) {
        const DomainVcpu *vcpu = def->vcpu_list->pdata[i];

        if (vcpu->id >= def->vcpus)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "vcpu id %" PRIu64 " is not below the number of "
                                  "vCPUs, %" PRIu64,
                                  vcpu->id, def->vcpus);
        if (seen[vcpu->id]++)
            return kiln_error_set(err, VIR_ERR_XML_ERROR, "duplicate vcpu id %" PRIu64, vcpu->id);
        if (vcpu->id == 0 && vcpu->enabled == TRISTATE_OFF)
            return kiln_error_set(err, VIR_ERR_XML_ERROR, "vcpu 0 can't be offline");
    }
    if (!check_thread_pool("the default I/O thread", def->default_pool_min, def->default_pool_max,
                           err))
        return false;
    if (def->iothread_ids->len)
        for (guint i = 0; i < def->iothread_ids->len; i++) {
            const DomainIothread *io = def->iothread_ids->pdata[i];

            if (domain_def_iothread(def, io->id) != io)
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "duplicate iothread id '%" PRIu64 "' found", io->id);
            if (!check_thread_pool("an I/O thread", io->pool_min, io->pool_max, err))
                return false;
        }
    return true;
}

bool
domain_check(const DomainDef *def, GError **err)
{
    return check_processors(def, err) && check_cells(def, err) && check_placement(def, err) &&
           check_disks(def, err) && check_interfaces(def, err) && check_controllers(def, err) &&
           check_chars(def, err) && check_names(def, err);
}
