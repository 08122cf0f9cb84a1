/* qmp_answer.c - answers of a VMM that are lists, read without trust in their shape.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/qmp_answer.h"

#include "driver/domain/private.h"
#include "util/error.h"

JsonArray *
qmp_execute_list(Qmp *qmp, const char *command, JsonObject *arguments, JsonNode **ret_owner,
                 GError **err)
{
    *ret_owner = qmp_execute(qmp, command, arguments, DOMAIN_QMP_SECONDS, err);
    if (!*ret_owner)
        return NULL;
    if (JSON_NODE_HOLDS_ARRAY(*ret_owner))
        return json_node_get_array(*ret_owner);
    kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "%s did not answer with a list", command);
    return NULL;
}

JsonObject *
qmp_element(JsonArray *list, guint i)
{
    JsonNode *node = json_array_get_element(list, i);

    return JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

const char *
qmp_text(JsonObject *object, const char *name)
{
    const char *text = object ? json_object_get_string_member_with_default(object, name, "") : "";

    return text ? text : ""; /* a number where a string should be gives NULL */
}

JsonObject *
qmp_object(JsonObject *object, const char *name)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;

    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

int64_t
qmp_number(JsonObject *object, const char *name)
{
    return object ? json_object_get_int_member_with_default(object, name, 0) : 0;
}
