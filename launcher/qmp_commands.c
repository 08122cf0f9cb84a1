/* qmp_commands.c - the table of QMP commands, and those about QMP itself.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "launcher/qmp_handlers.h"
#include "util/error.h"

JsonNode *
qmp_node_object(JsonObject *object)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    json_node_take_object(node, object);
    return node;
}

JsonNode *
qmp_node_array(JsonArray *array)
{
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);

    json_node_take_array(node, array);
    return node;
}

static JsonNode *
qmp_capabilities(QmpSession *session, JsonObject *args, GError **err)
{
    JsonNode *enable = json_object_get_member(args, "enable");

    (void)session;
    if (enable &&
        (!JSON_NODE_HOLDS_ARRAY(enable) || json_array_get_length(json_node_get_array(enable)) > 0))
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "No capability can be enabled: none is offered");
    return NULL;
}

static JsonNode *
qmp_query_commands(QmpSession *session, JsonObject *args, GError **err)
{
    JsonArray *list = json_array_new();

    (void)session;
    (void)args;
    (void)err;
    for (size_t i = 0; i < qmp_commands.n_commands; i++) {
        JsonObject *command;

        if (!qmp_commands.commands[i].handler)
            continue;
        command = json_object_new();
        json_object_set_string_member(command, "name", qmp_commands.commands[i].name);
        json_array_add_object_element(list, command);
    }
    return qmp_node_array(list);
}

#define QMP_COMMAND(name, arguments, handler) { name, handler, arguments },
#define QMP_REFUSED(name, why) { name, NULL, why },
static const QmpCommand qmp_rows[] = {
#include "launcher/qmp_commands.def"
};

const QmpCommandTable qmp_commands = { qmp_rows, G_N_ELEMENTS(qmp_rows) };
