/* attach_plug.c - options of kiln-vmm's command line, as the builders of argv.h write them, given
 * to one that runs: each option becomes the QMP command of the same meaning, and descriptors travel
 * along.
 *
 * QEMU QMP reference, qapi/{qdev,net,char,block-core,qom,misc}.json. Everything that was sent is
 * taken back when something later fails.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/domain/attach.h"
#include "driver/domain/qmp_answer.h"
#include "driver/domain/resources.h"
#include "util/error.h"

typedef struct {
    const char *command, *argument;
    char *id;
} PlugUndo;

struct DomainPlug {
    DomainRun *run;
    DomainResources resources;
    ArgvConfig config;
    GPtrArray *args;
    Argv argv;
    guint sent;                          /* of args */
    GArray *undo;                        /* PlugUndo, in the order sent */
    GArray *sets;                        /* int64_t: descriptor sets that the VMM has for now */
    guint n_ports, n_sockets, n_masters; /* what the run had before */
    bool kept;                           /* what was opened belongs to the run */
};

static void
undo_clear(void *data)
{
    g_free(((PlugUndo *)data)->id);
}

/* --- asking -------------------------------------------------------------------------------------
 */

/* One more than the greatest number of an image's nodes, "libvirt-N-format". */
static bool
next_node(DomainRun *run, unsigned *ret, GError **err)
{
    g_autoptr(JsonNode) owner = NULL;
    JsonArray *list = qmp_execute_list(run->qmp, "query-named-block-nodes", NULL, &owner, err);
    unsigned most = 0;

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        const char *name = qmp_text(qmp_element(list, i), "node-name");

        if (g_str_has_prefix(name, "libvirt-"))
            most = MAX(most, (unsigned)g_ascii_strtoull(name + strlen("libvirt-"), NULL, 10));
    }
    if (list)
        *ret = most + 1;
    return list != NULL;
}

static bool
next_set(DomainRun *run, unsigned *ret, GError **err)
{
    g_autoptr(JsonNode) owner = NULL, nodes_owner = NULL;
    JsonArray *nodes;
    JsonArray *list = qmp_execute_list(run->qmp, "query-fdsets", NULL, &owner, err);
    gint64 most = 0;

    for (guint i = 0; list && i < json_array_get_length(list); i++)
        most = MAX(most, qmp_number(qmp_element(list, i), "fdset-id"));
    if (!list)
        return false;
    /* nodes are told apart by their files, which outlive the sets */
    nodes = qmp_execute_list(run->qmp, "query-named-block-nodes", NULL, &nodes_owner, err);
    for (guint i = 0; nodes && i < json_array_get_length(nodes); i++) {
        const char *file = qmp_text(qmp_element(nodes, i), "file");

        if (g_str_has_prefix(file, "/dev/fdset/"))
            most = MAX(most, g_ascii_strtoll(file + strlen("/dev/fdset/"), NULL, 10));
    }
    if (nodes)
        *ret = (unsigned)most;
    return nodes != NULL;
}

GHashTable *
domain_plug_devices(DomainRun *run, GError **err)
{
    g_autoptr(JsonNode) owner = NULL;
    JsonObject *arguments = json_object_new();
    GHashTable *ids;
    JsonArray *list;

    json_object_set_string_member(arguments, "path", "/machine/peripheral");
    list = qmp_execute_list(run->qmp, "qom-list", arguments, &owner, err);
    if (!list)
        return NULL;
    ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (guint i = 0; i < json_array_get_length(list); i++)
        g_hash_table_add(ids, g_strdup(qmp_text(qmp_element(list, i), "name")));
    return ids;
}

/* --- a plug -------------------------------------------------------------------------------------
 */

DomainPlug *
domain_plug_new(DomainRun *run, DomainDef *live, GError **err)
{
    g_autoptr(DomainPlug) plug = g_new0(DomainPlug, 1);

    plug->run = domain_run_ref(run);
    plug->args = g_ptr_array_new_with_free_func(g_free);
    plug->undo = g_array_new(FALSE, FALSE, sizeof(PlugUndo));
    g_array_set_clear_func(plug->undo, undo_clear);
    plug->sets = g_array_new(FALSE, FALSE, sizeof(int64_t));
    plug->n_ports = run->ports->len;
    plug->n_sockets = run->sockets->len;
    plug->n_masters = run->masters->len;
    domain_resources_init(&plug->resources, run, live);
    plug->config = (ArgvConfig){
        .vmm = run->domain->manager->vmm,
        .ops = &domain_resources_ops,
        .opaque = &plug->resources,
    };
    plug->argv = (Argv){ .config = &plug->config, .def = live, .args = plug->args };
    return next_node(run, &plug->argv.next_node, err) && next_set(run, &plug->argv.next_set, err)
               ? g_steal_pointer(&plug)
               : NULL;
}

Argv *
domain_plug_argv(DomainPlug *plug)
{
    return &plug->argv;
}

static bool
tell(DomainPlug *plug, const char *command, const char *argument, const char *id, GError **err)
{
    JsonObject *arguments = json_object_new();

    json_object_set_string_member(arguments, argument, id);
    return qmp_command(plug->run->qmp, command, arguments, DOMAIN_QMP_SECONDS, err);
}

static void
undo_add(DomainPlug *plug, const char *command, const char *argument, const char *id)
{
    PlugUndo undo = { command, argument, g_strdup(id) };

    g_array_append_val(plug->undo, undo);
}

/* The daemon's descriptor that the builders know as @number. */
static int
plug_fd(const DomainPlug *plug, const char *number)
{
    int wanted = (int)g_ascii_strtoll(number, NULL, 10);

    for (guint i = 0; i < plug->resources.fds->len; i++) {
        const SpawnFd *entry = &g_array_index(plug->resources.fds, SpawnFd, i);

        if (entry->number == wanted)
            return entry->fd;
    }
    return -1;
}

/* --- options as objects -------------------------------------------------------------------------
 */

/* "a=1,b=x,,y" as an object of strings; the word before the first comma, if it has no '=', is
 * @first. What is given more than once becomes a list. */
static JsonObject *
option_object(const char *text, const char *first)
{
    JsonObject *object = json_object_new();
    g_autoptr(GString) part = g_string_new(NULL);

    for (const char *c = text;; c++) {
        char *equals;
        const char *key = first, *value;

        if (*c && (*c != ',' || c[1] == ',')) {
            g_string_append_c(part, *c);
            c += *c == ',';
            continue;
        }
        equals = strchr(part->str, '=');
        value = part->str;
        if (equals) {
            *equals = '\0';
            key = part->str;
            value = equals + 1;
        }
        if (json_object_has_member(object, key)) {
            JsonNode *old = json_node_copy(json_object_get_member(object, key));
            JsonArray *list =
                JSON_NODE_HOLDS_ARRAY(old) ? json_node_dup_array(old) : json_array_new();

            if (!JSON_NODE_HOLDS_ARRAY(old))
                json_array_add_element(list, g_steal_pointer(&old));
            g_clear_pointer(&old, json_node_free);
            json_array_add_string_element(list, value);
            json_object_set_array_member(object, key, list);
        } else {
            json_object_set_string_member(object, key, value);
        }
        if (!*c)
            return object;
        g_string_truncate(part, 0);
    }
}

/* Sends the descriptors that @object's member @key names by number ("5:6"), and writes the names
 * they have got over there. */
static bool
send_named(DomainPlug *plug, JsonObject *object, const char *key, GError **err)
{
    const char *id = json_object_get_string_member_with_default(object, "id", "");
    const char *text = json_object_get_string_member_with_default(object, key, NULL);
    g_autoptr(GString) names = g_string_new(NULL);
    g_auto(GStrv) numbers = NULL;

    if (!text)
        return true;
    numbers = g_strsplit(text, ":", -1);
    for (guint i = 0; numbers[i]; i++) {
        g_autofree char *name = g_strdup_printf("%s-%s-%u", key, id, i);
        JsonObject *arguments = json_object_new();
        g_autoptr(JsonNode) answer = NULL;

        json_object_set_string_member(arguments, "fdname", name);
        answer = qmp_execute_fd(plug->run->qmp, "getfd", arguments, plug_fd(plug, numbers[i]),
                                DOMAIN_QMP_SECONDS, err);
        if (!answer)
            return false;
        undo_add(plug, "closefd", "fdname", name); /* unless a back end has taken it */
        g_string_append_printf(names, "%s%s", i ? ":" : "", name);
    }
    json_object_set_string_member(object, key, names->str);
    return true;
}

/* --- commands -----------------------------------------------------------------------------------
 */

static bool
send_set(DomainPlug *plug, const char *text, GError **err)
{
    g_autoptr(JsonObject) option = option_object(text, "set");
    int64_t set = g_ascii_strtoll(json_object_get_string_member(option, "set"), NULL, 10);
    int fd = plug_fd(plug, json_object_get_string_member(option, "fd"));
    JsonObject *arguments = json_object_new();
    g_autoptr(JsonNode) answer = NULL;

    json_object_set_int_member(arguments, "fdset-id", set);
    json_object_set_string_member(arguments, "opaque",
                                  json_object_get_string_member(option, "opaque"));
    answer = qmp_execute_fd(plug->run->qmp, "add-fd", arguments, fd, DOMAIN_QMP_SECONDS, err);
    if (answer)
        g_array_append_val(plug->sets, set);
    return answer != NULL;
}

static bool
send_blockdev(DomainPlug *plug, const char *text, GError **err)
{
    g_autoptr(JsonNode) node = json_from_string(text, err);
    JsonObject *object;

    if (!node)
        return false;
    object = json_node_dup_object(node);
    if (!qmp_command(plug->run->qmp, "blockdev-add", object, DOMAIN_QMP_SECONDS, err))
        return false;
    undo_add(plug, "blockdev-del", "node-name",
             json_object_get_string_member(json_node_get_object(node), "node-name"));
    return true;
}

/* @object is taken over; its member "id" is what @del takes away again. */
static bool
send_made(DomainPlug *plug, const char *add, JsonObject *object, const char *del, GError **err)
{
    g_autofree char *id = g_strdup(json_object_get_string_member_with_default(object, "id", NULL));

    if (!qmp_command(plug->run->qmp, add, object, DOMAIN_QMP_SECONDS, err))
        return false;
    if (id)
        undo_add(plug, del, "id", id);
    return true;
}

static bool
send_netdev(DomainPlug *plug, const char *text, GError **err)
{
    JsonObject *object = option_object(text, "type");

    if (send_named(plug, object, "fds", err) && send_named(plug, object, "vhostfds", err))
        return send_made(plug, "netdev_add", object, "netdev_del", err);
    json_object_unref(object);
    return false;
}

static void
move_member(JsonObject *from, JsonObject *to, const char *name, const char *new_name)
{
    if (json_object_has_member(from, name))
        json_object_set_member(to, new_name, json_object_dup_member(from, name));
}

static void
move_flag(JsonObject *from, JsonObject *to, const char *name)
{
    const char *text = json_object_get_string_member_with_default(from, name, NULL);

    if (text)
        json_object_set_boolean_member(to, name, strcmp(text, "on") == 0);
}

/* What -chardev says, as chardev-add wants it: the back end's own members nested in "data". */
static JsonObject *
chardev_object(JsonObject *option)
{
    JsonObject *object = json_object_new(), *backend = json_object_new();
    JsonObject *data = json_object_new();
    const char *type = json_object_get_string_member(option, "backend");

    if (strcmp(type, "socket") == 0) {
        JsonObject *address = json_object_new(), *fd = json_object_new();

        move_member(option, fd, "fd", "str");
        json_object_set_string_member(address, "type", "fd");
        json_object_set_object_member(address, "data", fd);
        json_object_set_object_member(data, "addr", address);
        json_object_set_boolean_member(data, "server", FALSE);
        move_flag(option, data, "server");
        move_flag(option, data, "wait");
        move_flag(option, data, "telnet");
    } else {
        move_member(option, data, "path", "out");
        move_flag(option, data, "append");
        move_member(option, data, "fd", "fd");
    }
    move_member(option, data, "logfile", "logfile");
    move_flag(option, data, "logappend");
    json_object_set_string_member(backend, "type", type);
    json_object_set_object_member(backend, "data", data);
    move_member(option, object, "id", "id");
    json_object_set_object_member(object, "backend", backend);
    return object;
}

static bool
send_chardev(DomainPlug *plug, const char *text, GError **err)
{
    g_autoptr(JsonObject) option = option_object(text, "backend");
    const char *type = json_object_get_string_member(option, "backend");
    bool socket = strcmp(type, "socket") == 0 && !json_object_has_member(option, "fd");

    if (socket || strcmp(type, "udp") == 0 || strcmp(type, "pipe") == 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "the VMM of a running guest reaches nothing on the host that it was "
                              "not handed: character devices with <reconnect> or of type 'udp' or "
                              "'pipe' come with the guest's next start");
    return send_named(plug, option, "fd", err) &&
           send_made(plug, "chardev-add", chardev_object(option), "chardev-remove", err);
}

static bool
send_device(DomainPlug *plug, const char *text, GError **err)
{
    JsonObject *object = option_object(text, "driver");

    if (send_named(plug, object, "vhostfd", err))
        return send_made(plug, "device_add", object, "device_del", err);
    json_object_unref(object);
    return false;
}

static bool
send_option(DomainPlug *plug, const char *option, const char *value, GError **err)
{
    if (strcmp(option, "-add-fd") == 0)
        return send_set(plug, value, err);
    if (strcmp(option, "-blockdev") == 0)
        return send_blockdev(plug, value, err);
    if (strcmp(option, "-netdev") == 0)
        return send_netdev(plug, value, err);
    if (strcmp(option, "-chardev") == 0)
        return send_chardev(plug, value, err);
    if (strcmp(option, "-object") == 0)
        return send_made(plug, "object-add", option_object(value, "qom-type"), "object-del", err);
    if (strcmp(option, "-device") == 0)
        return send_device(plug, value, err);
    if (strcmp(option, "-action") == 0)
        return qmp_command(plug->run->qmp, "set-action", option_object(value, "watchdog"),
                           DOMAIN_QMP_SECONDS, err);
    return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                          "a running guest cannot be given what needs %s", option);
}

/* What was opened from a set stays open without it. */
static void
sets_remove(DomainPlug *plug)
{
    for (guint i = 0; i < plug->sets->len; i++) {
        JsonObject *arguments = json_object_new();

        json_object_set_int_member(arguments, "fdset-id", g_array_index(plug->sets, int64_t, i));
        qmp_command(plug->run->qmp, "remove-fd", arguments, DOMAIN_QMP_SECONDS, NULL);
    }
    g_array_set_size(plug->sets, 0);
}

bool
domain_plug_send(DomainPlug *plug, GError **err)
{
    bool ok = true;

    for (; ok && plug->sent + 1 < plug->args->len; plug->sent += 2)
        ok = send_option(plug, plug->args->pdata[plug->sent], plug->args->pdata[plug->sent + 1],
                         err);
    sets_remove(plug);
    if (!ok)
        domain_plug_undo(plug);
    else
        plug->kept = true;
    return ok;
}

void
domain_plug_undo(DomainPlug *plug)
{
    for (guint i = plug->undo->len; i > 0; i--) {
        const PlugUndo *undo = &g_array_index(plug->undo, PlugUndo, i - 1);

        tell(plug, undo->command, undo->argument, undo->id, NULL);
    }
    g_array_set_size(plug->undo, 0);
    plug->kept = false;
}

/* --- giving back --------------------------------------------------------------------------------
 */

static void
port_drop(DomainRun *run, guint i)
{
    const DomainPort *port = run->ports->pdata[i];

    network_port_close(run->domain->manager->networks, &port->request, port->ifname);
    g_ptr_array_remove_index(run->ports, i);
}

static void
socket_drop(DomainRun *run, guint i)
{
    unlink(run->sockets->pdata[i]);
    g_ptr_array_remove_index(run->sockets, i);
}

void
domain_plug_free(DomainPlug *plug)
{
    if (!plug)
        return;
    domain_resources_clear(&plug->resources);
    while (!plug->kept && plug->run->ports->len > plug->n_ports)
        port_drop(plug->run, plug->run->ports->len - 1);
    while (!plug->kept && plug->run->sockets->len > plug->n_sockets)
        socket_drop(plug->run, plug->run->sockets->len - 1);
    if (!plug->kept && plug->run->masters->len > plug->n_masters)
        g_array_set_size(plug->run->masters, plug->n_masters);
    g_ptr_array_unref(plug->args);
    g_array_unref(plug->undo);
    g_array_unref(plug->sets);
    domain_run_unref(plug->run);
    g_free(plug);
}

/* Closes our copy of the master of the pty @path: nobody writes there any more. */
static void
master_drop(DomainRun *run, const char *path)
{
    char name[64];

    for (guint i = run->masters->len; i > 0; i--)
        if (ptsname_r(g_array_index(run->masters, int, i - 1), name, sizeof(name)) == 0 &&
            strcmp(name, path) == 0)
            g_array_remove_index(run->masters, i - 1);
}

static void
drop_object(DomainRun *run, const char *command, const char *argument, const char *prefix,
            const char *alias)
{
    g_autofree char *id = g_strconcat(prefix, alias, NULL);
    JsonObject *arguments = json_object_new();

    json_object_set_string_member(arguments, argument, id);
    qmp_command(run->qmp, command, arguments, DOMAIN_QMP_SECONDS, NULL);
}

void
domain_plug_drop_layer(DomainRun *run, const ChainLayer *layer)
{
    static const char *const levels[] = { "format", "storage" };

    for (size_t i = 0; i < G_N_ELEMENTS(levels); i++) {
        g_autofree char *node = g_strdup_printf("libvirt-%u-%s", layer->index, levels[i]);

        drop_object(run, "blockdev-del", "node-name", "", node);
        if (i == 0 && domain_disk_encryption(layer->source))
            drop_object(run, "object-del", "id", node, ARGV_SECRET_SUFFIX);
    }
}

void
domain_plug_drop_image(DomainRun *run, const DomainDisk *disk)
{
    g_autoptr(GPtrArray) layers = argv_chain_parse(disk, NULL);

    if (disk->source_index == XML_UNSET || !layers)
        return;
    g_ptr_array_insert(layers, 0, argv_chain_layer_of(disk));
    for (guint i = 0; i < layers->len; i++)
        domain_plug_drop_layer(run, layers->pdata[i]);
}

void
domain_plug_drop(DomainRun *run, const DomainDevice *device)
{
    const DomainDeviceInfo *info = domain_device_info(device);

    if (device->kind->id == DEVICE_DISK) {
        domain_plug_drop_image(run, device->device);
    } else if (device->kind->id == DEVICE_INTERFACE) {
        const DomainInterface *net = device->device;

        drop_object(run, "netdev_del", "id", "host", info->alias);
        for (guint i = run->ports->len; net->ifname && i > 0; i--)
            if (g_strcmp0(((const DomainPort *)run->ports->pdata[i - 1])->ifname, net->ifname) == 0)
                port_drop(run, i - 1);
    } else if (device->kind->id == DEVICE_RNG) {
        drop_object(run, "object-del", "id", "obj", info->alias);
    } else if (device->kind->id == DEVICE_CHANNEL || device->kind->id == DEVICE_CONSOLE) {
        const DomainChar *chr = device->device;

        drop_object(run, "chardev-remove", "id", "char", info->alias);
        if (chr->source.type == DOMAIN_CHAR_PTY && chr->source.path)
            master_drop(run, chr->source.path);
        for (guint i = run->sockets->len; chr->source.path && i > 0; i--)
            if (strcmp(run->sockets->pdata[i - 1], chr->source.path) == 0)
                socket_drop(run, i - 1);
    }
}
