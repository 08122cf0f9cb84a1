/* qmp_chardev_add.c - QMP chardev-add: a back end in the words of QAPI, made from -chardev's.
 *
 * QEMU 7.2 qapi/char.json (ChardevBackend) and qapi/sockets.json (SocketAddressLegacy). A pty takes
 * "fd", the name of an open master given by getfd, in addition.
 *
 * Leaves out: mux as a back end of its own, host's serial and parallel ports, spice, TLS,
 * websockets.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/char/chardev.h"
#include "launcher/keyval.h"
#include "launcher/qmp_handlers.h"
#include "util/error.h"

/* A member of a back end's "data", and the option that it is. NULL type: of every back end. */
static const struct {
    const char *type, *member, *option;
} add_members[] = {
    { NULL, "logfile", "logfile" },
    { NULL, "logappend", "logappend" },
    { "file", "out", "path" },
    { "file", "append", "append" },
    { "pipe", "device", "path" },
    { "stdio", "signal", "signal" },
    { "ringbuf", "size", "size" },
    { "socket", "server", "server" },
    { "socket", "wait", "wait" },
    { "socket", "nodelay", "nodelay" },
    { "socket", "reconnect", "reconnect" },
    { "socket", "telnet", "telnet" },
};

/* A member that is an address, and the options for its host and port. */
static const struct {
    const char *type, *member, *host, *port;
} add_addresses[] = {
    { "socket", "addr", "host", "port" },
    { "udp", "remote", "host", "port" },
    { "udp", "local", "localaddr", "localport" },
};

static void
add_copy(JsonObject *from, const char *member, JsonObject *to, const char *option)
{
    JsonNode *value = json_object_get_member(from, member);

    if (value)
        json_object_set_member(to, option, json_node_copy(value));
}

/* The descriptor that @name has by getfd, as option "fd". */
static bool
add_descriptor(Vm *vm, const char *name, JsonObject *options, GError **err)
{
    int fd = name ? vm_take_fd(vm, name, err) : -1;

    if (!name)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "chardev-add: a descriptor wants a name");
    if (fd >= 0)
        json_object_set_int_member(options, "fd", fd);
    return fd >= 0;
}

/* The member "data" of @object, or an empty one in @empty; NULL with @err when it is none. */
static JsonObject *
add_data(JsonObject *object, JsonObject *empty, GError **err)
{
    JsonNode *data = json_object_get_member(object, "data");

    if (data && !JSON_NODE_HOLDS_OBJECT(data)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "chardev-add: 'data' must be an object");
        return NULL;
    }
    return data ? json_node_get_object(data) : empty;
}

static bool
add_address(Vm *vm, JsonObject *address, size_t row, JsonObject *options, GError **err)
{
    static const char *const members[] = { "type", "data", NULL };
    static const char *const inet[] = { "host", "port", NULL };
    static const char *const local[] = { "path", "abstract", NULL };
    static const char *const descriptor[] = { "str", NULL };
    const char *type = keyval_text(address, "type");
    bool stream = !strcmp(add_addresses[row].type, "socket");
    g_autoptr(JsonObject) empty = json_object_new();
    JsonObject *data = add_data(address, empty, err);

    if (!data || !keyval_check("chardev-add", address, members, err))
        return false;
    if (!g_strcmp0(type, "inet")) {
        add_copy(data, "host", options, add_addresses[row].host);
        add_copy(data, "port", options, add_addresses[row].port);
        return keyval_check("chardev-add", data, inet, err);
    }
    if (stream && !g_strcmp0(type, "unix")) {
        add_copy(data, "path", options, "path");
        add_copy(data, "abstract", options, "abstract");
        return keyval_check("chardev-add", data, local, err);
    }
    if (stream && !g_strcmp0(type, "fd"))
        return keyval_check("chardev-add", data, descriptor, err) &&
               add_descriptor(vm, keyval_text(data, "str"), options, err);
    return kiln_error_set(
        err, VIR_ERR_INVALID_ARG, "chardev-add: address type '%s' of '%s' is not offered; there %s",
        type ? type : "", add_addresses[row].member, stream ? "are: inet, unix, fd" : "is: inet");
}

static bool
add_member(Vm *vm, const char *type, JsonObject *data, const char *member, JsonObject *options,
           GError **err)
{
    JsonNode *value = json_object_get_member(data, member);

    for (size_t i = 0; i < G_N_ELEMENTS(add_addresses); i++) {
        if (!strcmp(add_addresses[i].type, type) && !strcmp(add_addresses[i].member, member) &&
            JSON_NODE_HOLDS_OBJECT(value))
            return add_address(vm, json_node_get_object(value), i, options, err);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(add_members); i++) {
        if ((!add_members[i].type || !strcmp(add_members[i].type, type)) &&
            !strcmp(add_members[i].member, member) && JSON_NODE_HOLDS_VALUE(value)) {
            add_copy(data, member, options, add_members[i].option);
            return true;
        }
    }
    if (!strcmp(type, "pty") && !strcmp(member, "fd"))
        return add_descriptor(vm, keyval_text(data, member), options, err);
    return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "chardev-add: back end '%s' has no member '%s' of that kind", type,
                          member);
}

/* What a guest in its sandbox can have: it opens no paths and makes no sockets. */
static bool
add_confined(const char *type, JsonObject *options, GError **err)
{
    static const char *const offered[] = { "null", "ringbuf", "stdio", "file", NULL };

    if (g_strv_contains(offered, type) || json_object_has_member(options, "fd"))
        return true;
    return kiln_error_set(
        err, VIR_ERR_OPERATION_UNSUPPORTED,
        "chardev-add: the sandbox of this guest lets it open no %s; hand a socket "
        "or the master of a pty over by getfd, or start the guest with "
        "-sandbox off",
        type);
}

/* The options of -chardev for @backend; NULL with @err. The caller owns them. */
static JsonObject *
add_options(Vm *vm, const char *id, JsonObject *backend, GError **err)
{
    static const char *const members[] = { "type", "data", NULL };
    const char *type = keyval_text(backend, "type");
    g_autoptr(JsonObject) options = json_object_new(), empty = json_object_new();
    JsonObject *data = add_data(backend, empty, err);
    g_autoptr(GList) names = data ? json_object_get_members(data) : NULL;
    bool wait = false;

    if (!data || !keyval_check("chardev-add", backend, members, err))
        return NULL;
    if (!type) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'backend.type' is missing");
        return NULL;
    }
    if (!strcmp(type, "memory"))
        type = "ringbuf";
    json_object_set_string_member(options, "id", id);
    json_object_set_string_member(options, "backend", type);
    if (!strcmp(type, "socket")) {
        json_object_set_string_member(options, "server", "on");
        json_object_set_string_member(options, "wait", "off");
    }
    for (GList *l = names; l; l = l->next) {
        if (!add_member(vm, type, data, l->data, options, err))
            return NULL;
    }
    if (!keyval_bool("chardev-add", options, "wait", &wait, err))
        return NULL;
    if (wait) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "chardev-add: wait=true would stop this monitor until a client comes; use "
                       "wait=false");
        return NULL;
    }
    return !vm->confine || add_confined(type, options, err) ? g_steal_pointer(&options) : NULL;
}

QMP_HANDLER(qmp_chardev_add)
{
    Vm *vm = qmp_session_vm(session);
    const char *id = json_object_get_string_member(args, "id");
    JsonNode *backend = json_object_get_member(args, "backend");
    g_autoptr(JsonObject) options = NULL;
    g_autofree char *name = NULL;
    JsonObject *answer;

    if (!JSON_NODE_HOLDS_OBJECT(backend)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'backend' must be an object");
        return NULL;
    }
    if (machine_object_find(vm->machine, OBJECT_CHARDEV, id)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Chardev with id '%s' already exists", id);
        return NULL;
    }
    options = add_options(vm, id, json_node_get_object(backend), err);
    if (!options || !vm_add_chardev(vm, options, err))
        return NULL;
    name = chardev_filename(machine_object_find(vm->machine, OBJECT_CHARDEV, id));
    answer = json_object_new();
    if (g_str_has_prefix(name, "pty:"))
        json_object_set_string_member(answer, "pty", name + strlen("pty:"));
    return qmp_node_object(answer);
}
