/* qmp_dispatch.c - one QMP message and its answer.
 *
 * QEMU docs/interop/qmp-spec.rst, "Issuing Commands" and "Command Responses"; the wording of the
 * common errors is what clients of QEMU look for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/qmp_dispatch.h"

#include <string.h>

#include "util/error.h"

JsonObject *
qmp_error(const char *class, const char *desc, JsonNode *id)
{
    JsonObject *answer = json_object_new(), *error = json_object_new();

    json_object_set_string_member(error, "class", class);
    json_object_set_string_member(error, "desc", desc);
    json_object_set_object_member(answer, "error", error);
    if (id)
        json_object_set_member(answer, "id", json_node_copy(id));
    return answer;
}

static JsonObject *
dispatch_return(JsonNode *value, JsonNode *id)
{
    JsonObject *answer = json_object_new();

    if (value)
        json_object_set_member(answer, "return", value);
    else
        json_object_set_object_member(answer, "return", json_object_new());
    if (id)
        json_object_set_member(answer, "id", json_node_copy(id));
    return answer;
}

static bool
dispatch_type_is(JsonNode *node, const char *type)
{
    GType held = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_value_type(node) : G_TYPE_INVALID;

    if (!strcmp(type, "str"))
        return held == G_TYPE_STRING;
    if (!strcmp(type, "int"))
        return held == G_TYPE_INT64;
    if (!strcmp(type, "bool"))
        return held == G_TYPE_BOOLEAN;
    return true;
}

static const char *
dispatch_type_name(const char *type)
{
    if (!strcmp(type, "str"))
        return "string";
    return !strcmp(type, "int") ? "integer" : "boolean";
}

static bool
dispatch_check(const QmpCommand *command, JsonObject *args, GError **err)
{
    g_auto(GStrv) specs = g_strsplit(command->arguments ? command->arguments : "", ",", -1);
    g_autoptr(GList) given = json_object_get_members(args);
    unsigned known = 0;

    if (!g_strcmp0(command->arguments, "..."))
        return true;
    for (char **s = specs; *s; s++) {
        bool optional = **s == '?';
        char *name = *s + optional, *type = strchr(name, ':');
        JsonNode *node;

        *type++ = '\0';
        node = json_object_get_member(args, name);
        if (!node && optional)
            continue;
        if (!node)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter '%s' is missing", name);
        if (!dispatch_type_is(node, type))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "Invalid parameter type for '%s', expected: %s", name,
                                  dispatch_type_name(type));
        known++;
    }
    if (known == g_list_length(given))
        return true;
    for (GList *l = given; l; l = l->next) {
        bool found = false;

        for (char **s = specs; *s && !found; s++)
            found = !strcmp(*s + (**s == '?'), l->data);
        if (!found)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter '%s' is unexpected",
                                  (char *)l->data);
    }
    return true;
}

/* QapiErrorClass: a device that is not there, a job that does not run. */
static const char *
dispatch_class(int code)
{
    if (code == VIR_ERR_DEVICE_MISSING)
        return "DeviceNotFound";
    return code == VIR_ERR_NO_NODE_DEVICE ? "DeviceNotActive" : "GenericError";
}

static const QmpCommand *
dispatch_find(const QmpCommandTable *table, const char *name)
{
    for (size_t i = 0; i < table->n_commands; i++)
        if (!strcmp(table->commands[i].name, name))
            return &table->commands[i];
    return NULL;
}

/* The argument object of the message, borrowed; NULL with @err when the message is not legal. */
static JsonObject *
dispatch_arguments(JsonObject *message, JsonObject *empty, GError **err)
{
    static const char *const members[] = { "execute", "arguments", "id", NULL };
    g_autoptr(GList) given = json_object_get_members(message);
    JsonNode *args = json_object_get_member(message, "arguments");

    for (GList *l = given; l; l = l->next)
        if (!g_strv_contains(members, l->data)) {
            kiln_error_set(err, VIR_ERR_INVALID_ARG, "QMP input member '%s' is unexpected",
                           (char *)l->data);
            return NULL;
        }
    if (args && !JSON_NODE_HOLDS_OBJECT(args)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "QMP input member 'arguments' must be an object");
        return NULL;
    }
    return args ? json_node_get_object(args) : empty;
}

JsonObject *
qmp_dispatch(const QmpCommandTable *table, QmpSession *session, bool *negotiated,
             JsonObject *message)
{
    JsonNode *id = json_object_get_member(message, "id"), *value;
    JsonNode *execute = json_object_get_member(message, "execute");
    g_autoptr(JsonObject) empty = json_object_new();
    g_autoptr(GError) err = NULL;
    g_autofree char *desc = NULL;
    JsonObject *args = dispatch_arguments(message, empty, &err);
    const QmpCommand *command;
    const char *name;
    bool is_negotiation;

    if (!args)
        return qmp_error("GenericError", err->message, id);
    if (!execute)
        return qmp_error("GenericError", "QMP input lacks member 'execute'", id);
    if (!dispatch_type_is(execute, "str"))
        return qmp_error("GenericError", "QMP input member 'execute' must be a string", id);
    name = json_node_get_string(execute);
    command = dispatch_find(table, name);
    is_negotiation = !strcmp(name, "qmp_capabilities");
    if (!*negotiated && !is_negotiation)
        return qmp_error("CommandNotFound",
                         "Expecting capabilities negotiation with 'qmp_capabilities'", id);
    if (*negotiated && is_negotiation)
        return qmp_error("CommandNotFound",
                         "Capabilities negotiation is already complete, command ignored", id);
    if (!command) {
        desc = g_strdup_printf("The command %s has not been found", name);
        return qmp_error("CommandNotFound", desc, id);
    }
    if (!command->handler) {
        desc = g_strdup_printf("%s: %s", name, command->arguments);
        return qmp_error("GenericError", desc, id);
    }
    if (!dispatch_check(command, args, &err))
        return qmp_error("GenericError", err->message, id);
    value = command->handler(session, args, &err);
    if (err)
        return qmp_error(dispatch_class(err->code), err->message, id);
    if (is_negotiation)
        *negotiated = true;
    return dispatch_return(value, id);
}

JsonNode *
qmp_call(const QmpCommandTable *table, QmpSession *session, const char *name, JsonObject *args,
         GError **err)
{
    const QmpCommand *command = dispatch_find(table, name);

    if (!command || !command->handler) {
        kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED, "%s is not offered", name);
        return NULL;
    }
    return dispatch_check(command, args, err) ? command->handler(session, args, err) : NULL;
}
