/* test_driver_qmp.c - the daemon's QMP: cutting messages, matching replies, a peer that misbehaves.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "driver/domain/qmp.h"
#include "driver/domain/qmp_parse.h"
#include "util/error.h"

/* --- cutting ---------------------------------------------------------------------------------- */

static void
count_message(void *opaque, JsonObject *object)
{
    GString *text = opaque;

    g_string_append_printf(text, "%s;",
                           json_object_get_string_member_with_default(object, "a", "?"));
}

static bool
feed(const char *bytes, size_t step, GString *out, GError **err)
{
    QmpParser parser;
    bool ok = true;

    qmp_parser_init(&parser);
    for (size_t at = 0; ok && at < strlen(bytes); at += step)
        ok = qmp_parser_feed(&parser, bytes + at, MIN(step, strlen(bytes) - at), count_message, out,
                             err);
    qmp_parser_clear(&parser);
    return ok;
}

static void
test_messages_in_any_pieces(void **state)
{
    (void)state;
    for (size_t step = 1; step < 40; step++) {
        g_autoptr(GString) out = g_string_new(NULL);

        assert_true(feed("{\"a\":\"x\"}\r\n\r\n{\"a\":\"}{\\\"\"}\n {\"b\":1} \n{\"a\":\"cut", step,
                         out, NULL));
        assert_string_equal(out->str, "x;}{\";?;");
    }
}

static void
test_nonsense_is_refused(void **state)
{
    g_autofree char *deep = g_strnfill(100000, '[');
    g_autofree char *line = g_strconcat("{\"a\":", deep, "\n", NULL);
    const char *const bad[] = { "[1]\n", "1\n", "{\n", "{\"a\":\"\xff\"}\n", "nonsense\n", line };
    g_autoptr(GString) out = g_string_new(NULL);

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;

        assert_false(feed(bad[i], 4096, out, &err));
        assert_int_equal(kiln_error_code(err), VIR_ERR_INTERNAL_ERROR);
    }
    assert_string_equal(out->str, "");
}

static void
test_endless_messages_are_refused(void **state)
{
    g_autofree char *part = g_strnfill(1 << 20, 'x');
    g_autoptr(GError) err = NULL;
    QmpParser parser;
    int taken = 0;

    (void)state;
    qmp_parser_init(&parser);
    while (taken < 100 && qmp_parser_feed(&parser, part, 1 << 20, count_message, NULL, &err))
        taken++;
    qmp_parser_clear(&parser);
    assert_int_equal(taken, 16);
    assert_non_null(strstr(err->message, "longer than the limit"));
}

/* --- talking ---------------------------------------------------------------------------------- */

typedef struct {
    char *dir, *path;
    int listener, peer;
    IoLoop *loop;
    Qmp *qmp;
    gint events, closed;
} Talk;

static void
on_event(void *opaque, const char *name, JsonObject *data)
{
    Talk *talk = opaque;

    (void)data;
    if (strcmp(name, "STOP") == 0)
        g_atomic_int_inc(&talk->events);
}

static void
on_closed(void *opaque, const char *reason)
{
    Talk *talk = opaque;

    (void)reason;
    g_atomic_int_inc(&talk->closed);
}

static const QmpOps ops = { on_event, on_closed };

static int
talk_setup(void **state)
{
    Talk *talk = g_new0(Talk, 1);
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    talk->dir = g_dir_make_tmp("kiln-qmp-XXXXXX", NULL);
    talk->path = g_build_filename(talk->dir, "m", NULL);
    g_strlcpy(address.sun_path, talk->path, sizeof(address.sun_path));
    talk->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(talk->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(talk->listener, 1), 0);
    talk->loop = io_loop_new("loop", NULL);
    assert_non_null(talk->loop);
    talk->qmp = qmp_connect(talk->path, talk->loop, &ops, talk, NULL);
    assert_non_null(talk->qmp);
    talk->peer = accept(talk->listener, NULL, NULL);
    *state = talk;
    return 0;
}

static int
talk_teardown(void **state)
{
    Talk *talk = *state;

    qmp_close(talk->qmp);
    io_loop_free(talk->loop);
    qmp_unref(talk->qmp);
    if (talk->peer >= 0)
        close(talk->peer);
    close(talk->listener);
    g_remove(talk->path);
    g_rmdir(talk->dir);
    g_free(talk->path);
    g_free(talk->dir);
    g_free(talk);
    return 0;
}

static void
peer_says(Talk *talk, const char *text)
{
    assert_int_equal(write(talk->peer, text, strlen(text)), strlen(text));
}

/* Answers two commands in the wrong order, with an event in between and a reply nobody waits for.
 */
static gpointer
answer_crossed(gpointer opaque)
{
    Talk *talk = opaque;
    char text[4096] = "";
    size_t used = 0;

    while (used < sizeof(text) - 1 && (!strstr(text, "first") || !strstr(text, "second"))) {
        ssize_t n = read(talk->peer, text + used, sizeof(text) - 1 - used);

        if (n <= 0)
            return NULL;
        used += n;
        text[used] = '\0';
    }
    peer_says(talk,
              strstr(text, "first") < strstr(text, "second")
                  ? "{\"return\":2,\"id\":\"kiln-2\"}\n{\"event\":\"STOP\"}\n{\"return\":1,\"id\":"
                    "\"x\"}\n"
                    "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"},\"id\":\"kiln-1\"}\n"
                  : "{\"return\":2,\"id\":\"kiln-1\"}\n{\"event\":\"STOP\"}\n"
                    "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"},\"id\":\"kiln-2\"}\n");
    return NULL;
}

static gpointer
second_command(gpointer opaque)
{
    Talk *talk = opaque;

    return qmp_execute(talk->qmp, "second", NULL, 10, NULL);
}

static void
test_replies_find_their_command(void **state)
{
    Talk *talk = *state;
    GThread *peer = g_thread_new("peer", answer_crossed, talk);
    GThread *second = g_thread_new("second", second_command, talk);
    g_autoptr(GError) err = NULL;
    g_autoptr(JsonNode) answer = NULL;

    assert_null(qmp_execute(talk->qmp, "first", NULL, 10, &err));
    assert_non_null(strstr(err->message, "'first': no"));
    answer = g_thread_join(second);
    g_thread_join(peer);
    assert_non_null(answer);
    assert_int_equal(json_node_get_int(answer), 2);
    assert_int_equal(g_atomic_int_get(&talk->events), 1);
}

static void
test_a_silent_peer_ends_in_time(void **state)
{
    Talk *talk = *state;
    g_autoptr(GError) err = NULL;

    assert_false(qmp_handshake(talk->qmp, g_get_monotonic_time() + 100000, NULL, NULL, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_TIMEOUT);
    g_clear_error(&err);
    assert_null(qmp_execute(talk->qmp, "query-status", NULL, 0, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_TIMEOUT);
}

static void
check_closed(Talk *talk)
{
    for (int i = 0; i < 1000 && !g_atomic_int_get(&talk->closed); i++)
        g_usleep(1000);
    assert_int_equal(g_atomic_int_get(&talk->closed), 1);
    assert_false(qmp_is_open(talk->qmp));
}

static void
test_end_of_file_wakes_waiters(void **state)
{
    Talk *talk = *state;
    GThread *second = g_thread_new("second", second_command, talk);
    char byte;

    assert_int_equal(read(talk->peer, &byte, 1), 1);
    close(talk->peer);
    talk->peer = -1;
    assert_null(g_thread_join(second));
    check_closed(talk);
}

static void
test_nonsense_closes(void **state)
{
    Talk *talk = *state;

    peer_says(talk, "[[[\n");
    check_closed(talk);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_in_any_pieces),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_endless_messages_are_refused),
        cmocka_unit_test_setup_teardown(test_replies_find_their_command, talk_setup, talk_teardown),
        cmocka_unit_test_setup_teardown(test_a_silent_peer_ends_in_time, talk_setup, talk_teardown),
        cmocka_unit_test_setup_teardown(test_end_of_file_wakes_waiters, talk_setup, talk_teardown),
        cmocka_unit_test_setup_teardown(test_nonsense_closes, talk_setup, talk_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
