/* test_launcher_qmp.c - QMP messages, cut and answered. SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "launcher/qmp_dispatch.h"
#include "launcher/qmp_stream.h"
#include "util/error.h"

static JsonNode *
command_echo(QmpSession *session, JsonObject *args, GError **err)
{
    (void)session;
    if (json_object_has_member(args, "fail"))
        kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "Device 'x' not found");
    return NULL;
}

static const QmpCommand commands[] = {
    { "qmp_capabilities", command_echo, NULL },
    { "echo", command_echo, "n:int,?s:str,?fail:bool" },
    { "device_add", NULL, "not offered yet" },
};
static const QmpCommandTable table = { commands, G_N_ELEMENTS(commands) };

/* The answer to @text in a session that is @negotiated. */
static char *
answer(const char *text, bool negotiated)
{
    const uint8_t *data = (const uint8_t *)text;
    size_t len = strlen(text);
    QmpStream stream;
    g_autoptr(JsonObject) message = NULL;
    g_autoptr(JsonObject) reply = NULL;
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    g_autoptr(GError) err = NULL;

    qmp_stream_init(&stream);
    assert_true(qmp_stream_next(&stream, &data, &len, &message, &err));
    qmp_stream_clear(&stream);
    reply = message ? qmp_dispatch(&table, NULL, &negotiated, message)
                    : qmp_error("GenericError", err->message, NULL);
    json_node_set_object(node, reply);
    return json_to_string(node, FALSE);
}

static void
test_answers(void **state)
{
    static const struct {
        const char *text;
        bool negotiated;
        const char *says;
    } rows[] = {
        { "{\"execute\":\"echo\",\"arguments\":{\"n\":1},\"id\":{\"a\":[1]}}", true,
          "{\"return\":{},\"id\":{\"a\":[1]}}" },
        { "{\"execute\":\"qmp_capabilities\",\"id\":7}", false, "{\"return\":{},\"id\":7}" },
        { "{\"execute\":\"echo\"}", false, "Expecting capabilities negotiation" },
        { "{\"execute\":\"qmp_capabilities\"}", true, "already complete" },
        { "{\"execute\":\"nope\"}", true,
          "\"CommandNotFound\",\"desc\":\"The command nope has not" },
        { "{\"execute\":\"device_add\"}", true, "device_add: not offered yet" },
        { "{\"execute\":\"echo\"}", true, "Parameter 'n' is missing" },
        { "{\"execute\":\"echo\",\"arguments\":{\"n\":\"1\"}}", true, "expected: integer" },
        { "{\"execute\":\"echo\",\"arguments\":{\"n\":1,\"x\":2}}", true, "'x' is unexpected" },
        { "{\"execute\":\"echo\",\"arguments\":{\"n\":1,\"fail\":true}}", true, "DeviceNotFound" },
        { "{\"execute\":\"echo\",\"arguments\":[]}", true, "must be an object" },
        { "{\"execute\":5}", true, "must be a string" },
        { "{\"id\":5}", true, "lacks member 'execute'" },
        { "{\"execute\":\"echo\",\"more\":1}", true, "'more' is unexpected" },
        { "{\"execute\":}", true, "JSON parse error" },
        { "hello\n", true, "JSON parse error" },
        { "{\"a\xff\":1}", true, "not UTF-8" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *got = answer(rows[i].text, rows[i].negotiated);

        if (!strstr(got, rows[i].says))
            fail_msg("%s: '%s' does not say '%s'", rows[i].text, got, rows[i].says);
    }
}

static void
test_messages_in_any_pieces(void **state)
{
    static const char text[] = " {\"s\":\"}]\\\"{\"} \r\n{\"t\":[{}]}{\"u\":1}";
    unsigned found = 0;
    QmpStream stream;

    (void)state;
    qmp_stream_init(&stream);
    for (size_t i = 0; i < strlen(text); i++) {
        const uint8_t *data = (const uint8_t *)text + i;
        size_t len = 1;
        g_autoptr(JsonObject) message = NULL;
        g_autoptr(GError) err = NULL;

        if (qmp_stream_next(&stream, &data, &len, &message, &err)) {
            assert_non_null(message);
            found++;
        }
    }
    qmp_stream_clear(&stream);
    assert_int_equal(found, 3);
}

static void
assert_gives_up(GByteArray *bytes, const char *says)
{
    const uint8_t *data = bytes->data;
    size_t len = bytes->len;
    QmpStream stream;
    g_autoptr(JsonObject) message = NULL;
    g_autoptr(JsonObject) after = NULL;
    g_autoptr(GError) err = NULL;
    g_autoptr(GError) err2 = NULL;

    qmp_stream_init(&stream);
    assert_true(qmp_stream_next(&stream, &data, &len, &message, &err));
    assert_null(message);
    assert_non_null(strstr(err->message, says));
    /* The rest of its line goes too, and the next message is understood. */
    assert_true(qmp_stream_next(&stream, &data, &len, &after, &err2));
    if (!after)
        assert_true(qmp_stream_next(&stream, &data, &len, &after, NULL));
    assert_non_null(after);
    qmp_stream_clear(&stream);
}

static void
test_bounds(void **state)
{
    g_autoptr(GByteArray) deep = g_byte_array_new();
    g_autoptr(GByteArray) longest = g_byte_array_new();
    static const uint8_t next[] = "\n{\"execute\":\"echo\"}";

    (void)state;
    for (int i = 0; i < 100000; i++)
        g_byte_array_append(deep, (const uint8_t *)"{[", i ? 2 : 1);
    g_byte_array_append(deep, next, sizeof(next) - 1);
    assert_gives_up(deep, "nesting");
    g_byte_array_append(longest, (const uint8_t *)"{\"", 2);
    for (int i = 0; i < QMP_MESSAGE_MAX; i++)
        g_byte_array_append(longest, (const uint8_t *)"a", 1);
    g_byte_array_append(longest, next, sizeof(next) - 1);
    assert_gives_up(longest, "longer than");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_messages_in_any_pieces),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
