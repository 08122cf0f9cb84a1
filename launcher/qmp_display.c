/* qmp_display.c - QMP commands about screens.
 *
 * QEMU 7.2 qapi/ui.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "hw/core/device.h"
#include "hw/display/display.h"
#include "launcher/keyval.h"
#include "launcher/qmp_handlers.h"
#include "launcher/vm_vnc.h"
#include "util/error.h"
#include "util/file.h"

#define COMMAND(name)                                                                              \
    JsonNode *name(G_GNUC_UNUSED QmpSession *session, G_GNUC_UNUSED JsonObject *args,              \
                   G_GNUC_UNUSED GError **err)

static Screen *
display_find(Vm *vm, JsonObject *args, GError **err)
{
    const char *id = json_object_get_string_member_with_default(args, "device", NULL);
    int64_t head = json_object_get_int_member_with_default(args, "head", 0);
    Screen *screen;

    if (!id && head != 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "'head' must be specified together with 'device'");
        return NULL;
    }
    if (id && !machine_device_find(vm->machine, id)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Device '%s' not found", id);
        return NULL;
    }
    screen =
        head < 0 || head > 255 ? NULL : displays_find(vm->machine->displays, id, (unsigned)head);
    if (!screen && id)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Device '%s' has no screen %" G_GINT64_FORMAT, id,
                       head);
    else if (!screen)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "There is no console to take a screendump from");
    return screen;
}

COMMAND(qmp_screendump)
{
    static const char *const formats[] = { "ppm", "png", NULL };
    Vm *vm = qmp_session_vm(session);
    const char *name = json_object_get_string_member(args, "filename");
    Screen *screen = display_find(vm, args, err);
    int format = PICTURE_PPM, fd, ret;
    g_autoptr(GBytes) bytes = NULL;

    if (!screen || !keyval_enum("screendump", args, "format", formats, &format, err))
        return NULL;
    screen_refresh(screen);
    bytes = surface_to_file(screen_surface(screen), (PictureFormat)format, err);
    if (!bytes)
        return NULL;
    fd = fdset_open(vm->fdsets, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666, err);
    if (fd < 0)
        return NULL;
    ret = file_write_all(fd, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
    if (ret < 0)
        kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, ret, "writing '%s'", name);
    close(fd);
    return NULL;
}

/* ---- VNC ---- */

COMMAND(qmp_query_vnc)
{
    VncServer *server = vm_vnc_find(qmp_session_vm(session), NULL);
    JsonObject *none;

    if (server)
        return qmp_node_object(vnc_server_info(server));
    none = json_object_new();
    json_object_set_boolean_member(none, "enabled", false);
    return qmp_node_object(none);
}

COMMAND(qmp_query_vnc_servers)
{
    Vm *vm = qmp_session_vm(session);
    JsonArray *servers = json_array_new();

    for (unsigned i = 0; vm_vnc_get(vm, i); i++)
        json_array_add_object_element(servers, vnc_server_info2(vm_vnc_get(vm, i)));
    return qmp_node_array(servers);
}

/* The server that a password command is about. */
static VncServer *
display_password_server(Vm *vm, JsonObject *args, GError **err)
{
    const char *protocol = json_object_get_string_member_with_default(args, "protocol", "vnc");
    const char *id = json_object_get_string_member_with_default(args, "display", NULL);
    VncServer *server = NULL;

    if (g_strcmp0(protocol, "vnc") != 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "there is no display of protocol '%s'", protocol);
        return NULL;
    }
    server = vm_vnc_find(vm, id);
    if (!server)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "there is no VNC server%s%s%s: -vnc starts one",
                       id ? " '" : "", id ? id : "", id ? "'" : "");
    return server;
}

static void
display_set_password(VncServer *server, const char *password, GError **err)
{
    if (!vnc_server_set_password(server, *password ? password : NULL))
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "the VNC server asks for no password: start it with -vnc …,password=on");
}

COMMAND(qmp_set_password)
{
    static const char *const connected[] = { "keep", "fail", "disconnect", NULL };
    VncServer *server = display_password_server(qmp_session_vm(session), args, err);
    int when_connected = 0;

    if (!server || !keyval_enum("set_password", args, "connected", connected, &when_connected, err))
        return NULL;
    if (when_connected != 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "'connected': VNC can only keep those who are connected");
        return NULL;
    }
    display_set_password(server, json_object_get_string_member(args, "password"), err);
    return NULL;
}

COMMAND(qmp_change_vnc_password)
{
    VncServer *server = display_password_server(qmp_session_vm(session), args, err);

    if (server)
        display_set_password(server, json_object_get_string_member(args, "password"), err);
    return NULL;
}

/* "now", "never", "+SECONDS" or seconds since 1970. */
static bool
display_parse_time(Vm *vm, const char *text, int64_t *ret, GError **err)
{
    int64_t now = machine_wall_ns(vm->machine) / 1000000000;
    gint64 number;

    if (g_str_equal(text, "never")) {
        *ret = INT64_MAX;
        return true;
    }
    if (g_str_equal(text, "now")) {
        *ret = now;
        return true;
    }
    if (!g_ascii_string_to_signed(*text == '+' ? text + 1 : text, 10, 0, G_MAXINT32 * INT64_C(1024),
                                  &number, NULL))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "time '%s': wants now, never, +SECONDS or seconds since 1970", text);
    *ret = *text == '+' ? now + number : number;
    return true;
}

COMMAND(qmp_expire_password)
{
    Vm *vm = qmp_session_vm(session);
    VncServer *server = display_password_server(vm, args, err);
    int64_t when = 0;

    if (!server || !display_parse_time(vm, json_object_get_string_member(args, "time"), &when, err))
        return NULL;
    if (!vnc_server_expire_password(server, when))
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "the VNC server asks for no password");
    return NULL;
}

COMMAND(qmp_add_client)
{
    Vm *vm = qmp_session_vm(session);
    bool skip = json_object_get_boolean_member_with_default(args, "skipauth", FALSE);
    const char *protocol = json_object_get_string_member(args, "protocol");
    VncServer *server = vm_vnc_find(vm, NULL);
    int fd;

    if (strcmp(protocol, "vnc") != 0 || !server) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "there is no display of protocol '%s' to add a client to", protocol);
        return NULL;
    }
    fd = vm_take_fd(vm, json_object_get_string_member(args, "fdname"), err);
    if (fd >= 0) {
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        vnc_server_add_client(server, fd, skip, err);
    }
    return NULL;
}
