/* qmp_chardev.c - QMP commands of character devices: what a ring buffer holds, and a line for the
 * human monitor (QEMU 7.2 qapi/char.json, misc.json).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "launcher/hmp.h"
#include "launcher/qmp_handlers.h"
#include "util/error.h"

/* The ring buffer that @args name, and whether its data travel in base64. */
static Chardev *
ringbuf_of(QmpSession *session, JsonObject *args, bool *ret_base64, GError **err)
{
    const char *id = json_object_get_string_member(args, "device");
    const char *format = json_object_has_member(args, "format")
                             ? json_object_get_string_member(args, "format")
                             : "utf8";
    Chardev *chardev = machine_object_find(qmp_session_vm(session)->machine, OBJECT_CHARDEV, id);

    *ret_base64 = strcmp(format, "base64") == 0;
    if (!*ret_base64 && strcmp(format, "utf8") != 0)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'format' does not accept value '%s'",
                       format);
    else if (!chardev)
        kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "Device '%s' not found", id);
    else
        return chardev;
    return NULL;
}

JsonNode *
qmp_ringbuf_write(QmpSession *session, JsonObject *args, GError **err)
{
    const char *text = json_object_get_string_member(args, "data");
    bool base64;
    Chardev *chardev = ringbuf_of(session, args, &base64, err);
    gsize len = strlen(text);
    g_autofree uint8_t *data = NULL;

    if (!chardev)
        return NULL;
    data = base64 ? g_base64_decode(text, &len) : (uint8_t *)g_strdup(text);
    if (!chardev_ringbuf_write(chardev, data, len))
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "%s is not a ringbuf device",
                       chardev_id(chardev));
    return NULL;
}

JsonNode *
qmp_ringbuf_read(QmpSession *session, JsonObject *args, GError **err)
{
    gint64 size = json_object_get_int_member(args, "size");
    g_autoptr(GByteArray) data = g_byte_array_new();
    g_autofree char *text = NULL;
    bool base64;
    Chardev *chardev = ringbuf_of(session, args, &base64, err);

    if (!chardev)
        return NULL;
    if (size <= 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "size must be greater than zero");
        return NULL;
    }
    if (!chardev_ringbuf_read(chardev, (size_t)size, data)) {
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "%s is not a ringbuf device",
                       chardev_id(chardev));
        return NULL;
    }
    text = base64 ? g_base64_encode(data->data, data->len)
                  : g_utf8_make_valid((const char *)data->data, data->len);
    return json_node_init_string(json_node_alloc(), text);
}

JsonNode *
qmp_chardev_send_break(QmpSession *session, JsonObject *args, GError **err)
{
    const char *id = json_object_get_string_member(args, "id");
    Chardev *chardev = machine_object_find(qmp_session_vm(session)->machine, OBJECT_CHARDEV, id);

    if (chardev)
        chardev_send_break(chardev);
    else
        kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "Chardev '%s' not found", id);
    return NULL;
}

JsonNode *
qmp_human_monitor_command(QmpSession *session, JsonObject *args, GError **err)
{
    g_autoptr(GString) out = g_string_new(NULL);

    (void)err;
    hmp_run(session, json_object_get_string_member(args, "command-line"), out);
    g_string_replace(out, "\n", "\r\n", 0);
    return json_node_init_string(json_node_alloc(), out->str);
}
