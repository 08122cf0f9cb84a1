/* agent_info.c - what a guest's agent tells of users, system, time zone, name, file systems, disks
 * and interfaces, read without trust in its shape.
 *
 * QEMU Guest Agent Protocol Reference (qga/qapi-schema.json of QEMU 7.2); names of parameters as
 * virDomainGetGuestInfo() of libvirt 9.0 has them. What is missing in an answer is left out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/agent_info.h"

#include <string.h>

#include "driver/domain/qmp_answer.h"

/* --- parts of answers ---------------------------------------------------------------------------
 */

JsonArray *
agent_list(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

static guint
list_length(JsonArray *list)
{
    return list ? json_array_get_length(list) : 0;
}

static JsonObject *
node_object(JsonNode *node)
{
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

/* The value that member @name of @object is; NULL when it is none. */
static JsonNode *
member_value(JsonObject *object, const char *name)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;

    return node && JSON_NODE_HOLDS_VALUE(node) ? node : NULL;
}

static JsonArray *
member_list(JsonObject *object, const char *name)
{
    return object ? agent_list(json_object_get_member(object, name)) : NULL;
}

static JsonObject *
member_object(JsonObject *object, const char *name)
{
    return object ? node_object(json_object_get_member(object, name)) : NULL;
}

/* --- parameters ---------------------------------------------------------------------------------
 */

G_GNUC_PRINTF(4, 5)
static void
add_param(GArray *params, int type, DomainGuestParam value, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    value.field = g_strdup_vprintf(format, args);
    va_end(args);
    value.type = type;
    g_array_append_val(params, value);
}

#define ADD_UINT(params, value, ...)                                                               \
    add_param(params, VIR_TYPED_PARAM_UINT, (DomainGuestParam){ .number = (value) }, __VA_ARGS__)
#define ADD_ULLONG(params, value, ...)                                                             \
    add_param(params, VIR_TYPED_PARAM_ULLONG, (DomainGuestParam){ .number = (value) }, __VA_ARGS__)
#define ADD_BOOLEAN(params, value, ...)                                                            \
    add_param(params, VIR_TYPED_PARAM_BOOLEAN, (DomainGuestParam){ .number = (value) }, __VA_ARGS__)
#define ADD_TEXT(params, value, ...)                                                               \
    do {                                                                                           \
        const char *text_ = (value);                                                               \
        if (text_ && *text_)                                                                       \
            add_param(params, VIR_TYPED_PARAM_STRING,                                              \
                      (DomainGuestParam){ .text = g_strdup(text_) }, __VA_ARGS__);                 \
    } while (0)

void
domain_guest_param_clear(void *data)
{
    DomainGuestParam *param = data;

    g_free(param->field);
    g_free(param->text);
}

/* --- disks of the definition ------------------------------------------------------------------ */

/* The address of a disk, or of the controller that it hangs on. */
static const DomainAddress *
pci_address(const DomainDef *def, const DomainDisk *disk)
{
    static const struct {
        int bus, controller;
    } kinds[] = {
        { DOMAIN_BUS_IDE, DOMAIN_CONTROLLER_IDE },
        { DOMAIN_BUS_SCSI, DOMAIN_CONTROLLER_SCSI },
        { DOMAIN_BUS_SATA, DOMAIN_CONTROLLER_SATA },
    };
    const DomainAddress *address = disk->info.address;

    if (!address || address->type == DOMAIN_ADDRESS_PCI)
        return address;
    for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++)
        for (guint i = 0; disk->bus == kinds[k].bus && i < def->controllers->len; i++) {
            const DomainController *controller = def->controllers->pdata[i];

            if (controller->type == kinds[k].controller &&
                controller->index == address->controller && controller->info.address &&
                controller->info.address->type == DOMAIN_ADDRESS_PCI)
                return controller->info.address;
        }
    return NULL;
}

/* The target of the disk that the agent describes by its controller's place and its own on that;
 * NULL when the definition has none such. */
static const char *
disk_target(const DomainDef *def, JsonObject *address)
{
    JsonObject *pci = member_object(address, "pci-controller");

    for (guint i = 0; pci && def && i < def->disks->len; i++) {
        const DomainDisk *disk = def->disks->pdata[i];
        const DomainAddress *place = pci_address(def, disk);
        const DomainAddress *own = disk->info.address;

        if (!place || (int64_t)place->domain != qmp_number(pci, "domain") ||
            (int64_t)place->bus != qmp_number(pci, "bus") ||
            (int64_t)place->slot != qmp_number(pci, "slot") ||
            (int64_t)place->function != qmp_number(pci, "function"))
            continue;
        if (own->type == DOMAIN_ADDRESS_PCI ||
            ((int64_t)own->bus == qmp_number(address, "bus") &&
             (int64_t)own->target == qmp_number(address, "target") &&
             (int64_t)own->unit == qmp_number(address, "unit")))
            return disk->target;
    }
    return NULL;
}

/* --- the kinds -------------------------------------------------------------------------------- */

static void
add_users(JsonNode *answer, const DomainDef *def, GArray *params)
{
    JsonArray *list = agent_list(answer);

    (void)def;
    ADD_UINT(params, list_length(list), "user.count");
    for (guint i = 0; i < list_length(list); i++) {
        JsonObject *user = qmp_element(list, i);
        JsonNode *since = member_value(user, "login-time");
        double seconds = since ? json_node_get_double(since) : 0;

        ADD_TEXT(params, qmp_text(user, "user"), "user.%u.name", i);
        ADD_TEXT(params, qmp_text(user, "domain"), "user.%u.domain", i);
        if (seconds > 0 && seconds < 1e12)
            ADD_ULLONG(params, (uint64_t)(seconds * 1000), "user.%u.login-time", i);
    }
}

static void
add_os(JsonNode *answer, const DomainDef *def, GArray *params)
{
    static const char *const names[] = {
        "id",      "name",    "pretty-name", "version",        "version-id",
        "machine", "variant", "variant-id",  "kernel-release", "kernel-version"
    };
    JsonObject *os = node_object(answer);

    (void)def;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        ADD_TEXT(params, qmp_text(os, names[i]), "os.%s", names[i]);
}

static void
add_timezone(JsonNode *answer, const DomainDef *def, GArray *params)
{
    JsonObject *zone = node_object(answer);

    (void)def;
    ADD_TEXT(params, qmp_text(zone, "zone"), "timezone.name");
    if (member_value(zone, "offset"))
        add_param(params, VIR_TYPED_PARAM_INT,
                  (DomainGuestParam){ .number = (uint64_t)qmp_number(zone, "offset") },
                  "timezone.offset");
}

static void
add_hostname(JsonNode *answer, const DomainDef *def, GArray *params)
{
    (void)def;
    ADD_TEXT(params, qmp_text(node_object(answer), "host-name"), "hostname");
}

static void
add_filesystems(JsonNode *answer, const DomainDef *def, GArray *params)
{
    JsonArray *list = agent_list(answer);

    ADD_UINT(params, list_length(list), "fs.count");
    for (guint i = 0; i < list_length(list); i++) {
        JsonObject *fs = qmp_element(list, i);
        JsonArray *disks = member_list(fs, "disk");

        ADD_TEXT(params, qmp_text(fs, "mountpoint"), "fs.%u.mountpoint", i);
        ADD_TEXT(params, qmp_text(fs, "name"), "fs.%u.name", i);
        ADD_TEXT(params, qmp_text(fs, "type"), "fs.%u.fstype", i);
        if (member_value(fs, "total-bytes"))
            ADD_ULLONG(params, (uint64_t)qmp_number(fs, "total-bytes"), "fs.%u.total-bytes", i);
        if (member_value(fs, "used-bytes"))
            ADD_ULLONG(params, (uint64_t)qmp_number(fs, "used-bytes"), "fs.%u.used-bytes", i);
        ADD_UINT(params, list_length(disks), "fs.%u.disk.count", i);
        for (guint d = 0; d < list_length(disks); d++) {
            JsonObject *disk = qmp_element(disks, d);

            ADD_TEXT(params, disk_target(def, disk), "fs.%u.disk.%u.alias", i, d);
            ADD_TEXT(params, qmp_text(disk, "serial"), "fs.%u.disk.%u.serial", i, d);
            ADD_TEXT(params, qmp_text(disk, "dev"), "fs.%u.disk.%u.device", i, d);
        }
    }
}

static void
add_disks(JsonNode *answer, const DomainDef *def, GArray *params)
{
    JsonArray *list = agent_list(answer);

    ADD_UINT(params, list_length(list), "disk.count");
    for (guint i = 0; i < list_length(list); i++) {
        JsonObject *disk = qmp_element(list, i);
        JsonArray *below = member_list(disk, "dependencies");
        JsonObject *address = member_object(disk, "address");
        JsonNode *partition = member_value(disk, "partition");

        ADD_TEXT(params, qmp_text(disk, "name"), "disk.%u.name", i);
        ADD_BOOLEAN(params, partition && json_node_get_boolean(partition), "disk.%u.partition", i);
        if (below)
            ADD_UINT(params, list_length(below), "disk.%u.dependency.count", i);
        for (guint d = 0; d < list_length(below); d++) {
            JsonNode *name = json_array_get_element(below, d);

            ADD_TEXT(params, JSON_NODE_HOLDS_VALUE(name) ? json_node_get_string(name) : NULL,
                     "disk.%u.dependency.%u.name", i, d);
        }
        ADD_TEXT(params, qmp_text(address, "serial"), "disk.%u.serial", i);
        ADD_TEXT(params, disk_target(def, address), "disk.%u.alias", i);
        ADD_TEXT(params, qmp_text(disk, "alias"), "disk.%u.guest_alias", i);
        ADD_TEXT(params, qmp_text(address, "bus-type"), "disk.%u.guest_bus", i);
    }
}

static void
add_interfaces(JsonNode *answer, const DomainDef *def, GArray *params)
{
    g_autoptr(GPtrArray) list = agent_interfaces(answer);

    (void)def;
    ADD_UINT(params, list->len, "if.count");
    for (guint i = 0; i < list->len; i++) {
        const DomainGuestInterface *iface = list->pdata[i];

        ADD_TEXT(params, iface->name, "if.%u.name", i);
        ADD_TEXT(params, iface->mac, "if.%u.hwaddr", i);
        ADD_UINT(params, iface->addresses->len, "if.%u.addr.count", i);
        for (guint a = 0; a < iface->addresses->len; a++) {
            const DomainGuestAddress *address =
                &g_array_index(iface->addresses, DomainGuestAddress, a);

            ADD_TEXT(params, address->type == VIR_IP_ADDR_TYPE_IPV4 ? "ipv4" : "ipv6",
                     "if.%u.addr.%u.type", i, a);
            ADD_TEXT(params, address->text, "if.%u.addr.%u.addr", i, a);
            ADD_UINT(params, address->prefix, "if.%u.addr.%u.prefix", i, a);
        }
    }
}

/* --- lists of their own -------------------------------------------------------------------------
 */

static void
filesystem_free(void *data)
{
    DomainGuestFs *fs = data;

    g_free(fs->mountpoint);
    g_free(fs->name);
    g_free(fs->type);
    g_ptr_array_unref(fs->disks);
    g_free(fs);
}

GPtrArray *
agent_filesystems(JsonNode *answer, const DomainDef *def)
{
    JsonArray *list = agent_list(answer);
    GPtrArray *all = g_ptr_array_new_with_free_func(filesystem_free);

    for (guint i = 0; i < list_length(list); i++) {
        JsonObject *from = qmp_element(list, i);
        JsonArray *disks = member_list(from, "disk");
        DomainGuestFs *fs = g_new0(DomainGuestFs, 1);

        fs->mountpoint = g_strdup(qmp_text(from, "mountpoint"));
        fs->name = g_strdup(qmp_text(from, "name"));
        fs->type = g_strdup(qmp_text(from, "type"));
        fs->disks = g_ptr_array_new_with_free_func(g_free);
        for (guint d = 0; d < list_length(disks); d++) {
            const char *target = disk_target(def, qmp_element(disks, d));

            if (target)
                g_ptr_array_add(fs->disks, g_strdup(target));
        }
        g_ptr_array_add(all, fs);
    }
    return all;
}

static void
address_clear(void *data)
{
    g_free(((DomainGuestAddress *)data)->text);
}

static void
interface_free(void *data)
{
    DomainGuestInterface *iface = data;

    g_free(iface->name);
    g_free(iface->mac);
    g_array_unref(iface->addresses);
    g_free(iface);
}

/* The entry of @name; those of "eth0:1" belong to eth0. */
static DomainGuestInterface *
interface_of(GPtrArray *all, const char *name, const char *mac)
{
    g_autofree char *base = g_strndup(name, strcspn(name, ":"));
    DomainGuestInterface *iface;

    for (guint i = 0; i < all->len; i++) {
        iface = all->pdata[i];
        if (strcmp(iface->name, base) == 0)
            return iface;
    }
    iface = g_new0(DomainGuestInterface, 1);
    iface->name = g_steal_pointer(&base);
    iface->mac = *mac ? g_strdup(mac) : NULL;
    iface->addresses = g_array_new(FALSE, FALSE, sizeof(DomainGuestAddress));
    g_array_set_clear_func(iface->addresses, address_clear);
    g_ptr_array_add(all, iface);
    return iface;
}

GPtrArray *
agent_interfaces(JsonNode *answer)
{
    JsonArray *list = agent_list(answer);
    GPtrArray *all = g_ptr_array_new_with_free_func(interface_free);

    for (guint i = 0; i < MIN(list_length(list), DOMAIN_GUEST_INTERFACES_MAX); i++) {
        JsonObject *from = qmp_element(list, i);
        JsonArray *addresses = member_list(from, "ip-addresses");
        DomainGuestInterface *iface;

        if (!*qmp_text(from, "name"))
            continue;
        iface = interface_of(all, qmp_text(from, "name"), qmp_text(from, "hardware-address"));
        for (guint a = 0; a < list_length(addresses); a++) {
            JsonObject *address = qmp_element(addresses, a);
            bool v4 = strcmp(qmp_text(address, "ip-address-type"), "ipv4") == 0;
            DomainGuestAddress entry = {
                .type = v4 ? VIR_IP_ADDR_TYPE_IPV4 : VIR_IP_ADDR_TYPE_IPV6,
                .prefix = (unsigned)CLAMP(qmp_number(address, "prefix"), 0, 128),
            };

            if (!*qmp_text(address, "ip-address"))
                continue;
            entry.text = g_strdup(qmp_text(address, "ip-address"));
            g_array_append_val(iface->addresses, entry);
        }
    }
    return all;
}

const AgentInfo agent_infos[] = {
    { VIR_DOMAIN_GUEST_INFO_USERS, "guest-get-users", add_users },
    { VIR_DOMAIN_GUEST_INFO_OS, "guest-get-osinfo", add_os },
    { VIR_DOMAIN_GUEST_INFO_TIMEZONE, "guest-get-timezone", add_timezone },
    { VIR_DOMAIN_GUEST_INFO_HOSTNAME, "guest-get-host-name", add_hostname },
    { VIR_DOMAIN_GUEST_INFO_FILESYSTEM, "guest-get-fsinfo", add_filesystems },
    { VIR_DOMAIN_GUEST_INFO_DISKS, "guest-get-disks", add_disks },
    { VIR_DOMAIN_GUEST_INFO_INTERFACES, "guest-network-get-interfaces", add_interfaces },
};
const size_t agent_infos_n = G_N_ELEMENTS(agent_infos);
