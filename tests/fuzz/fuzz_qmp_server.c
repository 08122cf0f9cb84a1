/* fuzz_qmp_server.c - bytes from a QMP client, cut into messages and answered.
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>
#include <stdint.h>

#include "launcher/qmp_dispatch.h"
#include "launcher/qmp_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static JsonNode *
command_nothing(QmpSession *session, JsonObject *args, GError **err)
{
    (void)session;
    (void)args;
    (void)err;
    return NULL;
}

static const QmpCommand commands[] = {
    { "qmp_capabilities", command_nothing, "?enable:any" },
    { "set", command_nothing, "n:int,?s:str,?b:bool,?a:any" },
    { "refused", NULL, "not offered" },
};
static const QmpCommandTable table = { commands, G_N_ELEMENTS(commands) };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    QmpStream stream;
    bool negotiated = false;

    qmp_stream_init(&stream);
    for (;;) {
        g_autoptr(JsonObject) message = NULL;
        g_autoptr(JsonObject) answer = NULL;
        g_autoptr(JsonNode) node = NULL;
        g_autofree char *text = NULL;
        g_autoptr(GError) err = NULL;

        if (!qmp_stream_next(&stream, &data, &size, &message, &err))
            break;
        answer = message ? qmp_dispatch(&table, NULL, &negotiated, message)
                         : qmp_error("GenericError", err->message, NULL);
        node = json_node_new(JSON_NODE_OBJECT);
        json_node_set_object(node, answer);
        text = json_to_string(node, FALSE);
    }
    qmp_stream_clear(&stream);
    return 0;
}
