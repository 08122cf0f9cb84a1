/* fuzz_agent.c - what a guest's agent may send the daemon: bytes cut into answers, and answers read
 * for everything that is asked of an agent.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>
#include <stdint.h>

#include "driver/domain/agent_info.h"
#include "driver/domain/agent_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
on_answer(void *opaque, JsonObject *object)
{
    JsonNode *answer = json_object_get_member(object, "return");
    g_autoptr(GArray) params = g_array_new(FALSE, FALSE, sizeof(DomainGuestParam));

    (void)opaque;
    if (!answer)
        return false;
    g_array_set_clear_func(params, domain_guest_param_clear);
    for (size_t i = 0; i < agent_infos_n; i++)
        agent_infos[i].add(answer, NULL, params);
    g_ptr_array_unref(agent_filesystems(answer, NULL));
    g_ptr_array_unref(agent_interfaces(answer));
    return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t cut = size > 0 ? data[0] % size : 0;
    AgentParser parser;

    agent_parser_init(&parser);
    if (size > 1 && data[1] & 1)
        agent_parser_skip(&parser);
    agent_parser_feed(&parser, (const char *)data, cut, on_answer, NULL);
    agent_parser_feed(&parser, (const char *)data + cut, size - cut, on_answer, NULL);
    agent_parser_clear(&parser);
    return 0;
}
