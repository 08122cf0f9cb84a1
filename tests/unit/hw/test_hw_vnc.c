/* test_hw_vnc.c - the VNC server: handshakes, encodings, input, policies, bytes that make no sense.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <nettle/des.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "fake_machine.h"
#include "hw/display/display.h"
#include "hw/input/input.h"
#include "hw/vnc/private.h"

enum { WIDTH = 100, HEIGHT = 50 };

typedef struct {
    FakeMachine *fake;
    VncServer *server;
    Screen *screen;
    Surface *surface;
    int fd; /* the client's end */
    GString *keys;
} Fixture;

static void
fixture_refresh(void *opaque)
{
    (void)opaque;
}

static const ScreenOps screen_ops = { .refresh = fixture_refresh };

static void
sink_event(void *opaque, const InputEvent *event)
{
    Fixture *f = opaque;

    if (event->kind == INPUT_KEY)
        g_string_append_printf(f->keys, "%s%c ", key_code_name((KeyCode)event->code),
                               event->value ? '+' : '-');
    else if (event->kind == INPUT_BUTTON)
        g_string_append_printf(f->keys, "button%d%c ", event->code, event->value ? '+' : '-');
    else if (event->kind == INPUT_ABS)
        g_string_append_printf(f->keys, "%c%d ", event->code == INPUT_X ? 'x' : 'y', event->value);
}

static const InputSinkOps sink_ops = {
    .name = "test",
    .takes = 1u << INPUT_KEY | 1u << INPUT_BUTTON | 1u << INPUT_ABS,
    .event = sink_event,
};

static InputSink *sink;

static void
make(Fixture *f, bool password, VncShare share)
{
    const VncConfig config = {
        .id = "default", .name = "demo", .password = password, .share = share
    };
    Device *device;

    f->fake = fake_machine_new_q35(1 << 20);
    device = fake_device(f->fake, "isa-debug-exit", "id", "card", NULL);
    f->screen = screen_new(device, 0, &screen_ops, f);
    f->surface = surface_new(WIDTH, HEIGHT);
    screen_set_surface(f->screen, f->surface);
    f->keys = g_string_new(NULL);
    sink = input_sink_new(f->fake->machine->input, &sink_ops, f);
    input_sink_activate(sink);
    f->server = vnc_server_new(f->fake->machine, &config, NULL);
    f->fd = -1;
}

static void
unmake(Fixture *f)
{
    vnc_server_free(f->server);
    if (f->fd >= 0)
        close(f->fd);
    input_sink_free(sink);
    screen_free(f->screen);
    surface_unref(f->surface);
    fake_machine_free(f->fake);
    g_string_free(f->keys, TRUE);
}

static int
join(Fixture *f)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_true(vnc_server_add_client(f->server, pair[0], false, NULL));
    return pair[1];
}

/* Sends @out and reads exactly @len bytes. */
static void
talk(Fixture *f, const void *out, size_t out_len, void *in, size_t len)
{
    size_t have = 0;

    if (out_len > 0)
        assert_int_equal(write(f->fd, out, out_len), out_len);
    for (unsigned i = 0; i < 20000 && have < len; i++) {
        ssize_t n;

        fake_iterate(f->fake);
        n = read(f->fd, (char *)in + have, len - have);
        if (n > 0) {
            have += (size_t)n;
        } else {
            assert_true(n < 0 && errno == EAGAIN);
            if (i > 100)
                g_usleep(500);
        }
    }
    assert_int_equal(have, len);
}

static bool
closed(Fixture *f, int fd)
{
    char c;

    for (unsigned i = 0; i < 100; i++) {
        fake_iterate(f->fake);
        if (read(fd, &c, 1) == 0)
            return true;
    }
    return false;
}

static void
enter(Fixture *f)
{
    uint8_t in[64];

    f->fd = join(f);
    talk(f, NULL, 0, in, 12);
    assert_memory_equal(in, "RFB 003.008\n", 12);
    talk(f, in, 12, in, 2);
    assert_memory_equal(in, "\1\1", 2);
    talk(f, "\1", 1, in, 4);
    assert_memory_equal(in, "\0\0\0\0", 4);
    talk(f, "\1", 1, in, 24 + 11);
    assert_int_equal(in[1], WIDTH);
    assert_memory_equal(in + 24, "Kiln (demo)", 11);
}

static void
set_encodings(Fixture *f, unsigned n, const int32_t *encodings)
{
    uint8_t out[4 + 4 * 16] = { 2, 0, 0, (uint8_t)n };

    for (unsigned i = 0; i < n; i++)
        for (unsigned b = 0; b < 4; b++)
            out[4 + 4 * i + b] = (uint8_t)((uint32_t)encodings[i] >> (24 - 8 * b));
    assert_int_equal(write(f->fd, out, 4 + 4 * n), 4 + 4 * n);
}

static const uint8_t ask_all[10] = { 3, 0, 0, 0, 0, 0, 0, WIDTH, 0, HEIGHT };
static const uint8_t ask[10] = { 3, 1, 0, 0, 0, 0, 0, WIDTH, 0, HEIGHT };

static void
test_raw(void **state)
{
    Fixture f;
    uint8_t in[16 + WIDTH * HEIGHT * 4];

    (void)state;
    make(&f, false, VNC_SHARE_ALLOW_EXCLUSIVE);
    surface_row(f.surface, 3)[4] = 0x102030;
    enter(&f);
    talk(&f, ask_all, sizeof(ask_all), in, sizeof(in));
    assert_memory_equal(in, "\0\0\0\1\0\0\0\0\0\144\0\62\0\0\0\0", 16);
    assert_memory_equal(in + 16 + (3 * WIDTH + 4) * 4, "\x30\x20\x10\0", 4);
    /* Only the tile that differs is sent, and only when it does. */
    screen_update(f.screen, 0, 0, WIDTH, HEIGHT);
    screen_refresh(f.screen);
    talk(&f, ask, sizeof(ask), in, 0);
    surface_row(f.surface, 20)[40] = 0xffffff;
    screen_update(f.screen, 0, 0, WIDTH, HEIGHT);
    screen_refresh(f.screen);
    talk(&f, NULL, 0, in, 16 + 32 * 16 * 4);
    assert_memory_equal(in, "\0\0\0\1\0\40\0\20\0\40\0\20\0\0\0\0", 16);
    unmake(&f);
}

static void
test_zlib(void **state)
{
    static const int32_t encodings[] = { 6 };
    Fixture f;
    uint8_t in[65536], out[WIDTH * HEIGHT * 4];
    z_stream z = { .next_out = out, .avail_out = sizeof(out) };
    uint32_t len;

    (void)state;
    make(&f, false, VNC_SHARE_ALLOW_EXCLUSIVE);
    surface_row(f.surface, 3)[4] = 0x102030;
    enter(&f);
    set_encodings(&f, 1, encodings);
    talk(&f, ask_all, sizeof(ask_all), in, 20);
    len = (uint32_t)in[18] << 8 | in[19];
    talk(&f, NULL, 0, in, len);
    assert_int_equal(inflateInit(&z), Z_OK);
    z.next_in = in;
    z.avail_in = len;
    assert_int_equal(inflate(&z, Z_SYNC_FLUSH), Z_OK);
    assert_int_equal(z.avail_out, 0);
    assert_memory_equal(out + (3 * WIDTH + 4) * 4, "\x30\x20\x10", 3);
    inflateEnd(&z);
    unmake(&f);
}

static void
test_tight_fill_and_hextile(void **state)
{
    static const int32_t tight[] = { 7 }, hextile[] = { 5 };
    Fixture f;
    uint8_t in[256];

    (void)state;
    make(&f, false, VNC_SHARE_ALLOW_EXCLUSIVE);
    enter(&f);
    set_encodings(&f, 1, tight);
    talk(&f, ask_all, sizeof(ask_all), in, 16 + 4);
    assert_memory_equal(in + 12, "\0\0\0\7\x80\0\0\0", 8);
    set_encodings(&f, 1, hextile);
    talk(&f, ask_all, sizeof(ask_all), in, 16 + 5 + 27);
    assert_memory_equal(in + 16, "\2\0\0\0\0\0\0\0", 8);
    unmake(&f);
}

static void
test_resize_cursor_and_lights(void **state)
{
    static const int32_t encodings[] = { 0, -308, -239, -261, -258 };
    Fixture f;
    uint8_t in[65536];
    g_autoptr(Surface) larger = surface_new(WIDTH + 20, HEIGHT);
    g_autoptr(Cursor) cursor = cursor_new(2, 2, 1, 0);

    (void)state;
    make(&f, false, VNC_SHARE_ALLOW_EXCLUSIVE);
    enter(&f);
    set_encodings(&f, 5, encodings);
    cursor->pixels[3] = 0xff112233;
    screen_set_cursor(f.screen, cursor);
    talk(&f, ask_all, sizeof(ask_all), in, 16 + 20);
    assert_memory_equal(in + 12, "\xff\xff\xfe\xcc\1\0\0\0", 8);
    /* cursor: 2x2 pixels and their mask; then keys, lights, picture */
    talk(&f, ask, sizeof(ask), in, 4 + 12 + 16 + 2 + 12 + 13 + 12 + WIDTH * HEIGHT * 4);
    assert_int_equal(in[3], 4);
    assert_memory_equal(in + 4, "\0\1\0\0\0\2\0\2\xff\xff\xff\x11", 12);
    assert_memory_equal(in + 16 + 12, "\x33\x22\x11", 3);
    assert_memory_equal(in + 32, "\x00\x40", 2);
    screen_set_surface(f.screen, larger);
    talk(&f, ask, sizeof(ask), in, 16 + 20);
    assert_int_equal(in[4 + 5], WIDTH + 20);
    unmake(&f);
}

static void
test_input(void **state)
{
    static const int32_t encodings[] = { 0, -258 };
    static const uint8_t keys[] = { 4, 1, 0, 0, 0, 0, 0, 'A', 4, 0, 0, 0, 0, 0, 0, 'a' };
    static const uint8_t qemu[] = { 255, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x1e };
    static const uint8_t pointer[] = { 5, 1, 0, 50, 0, 25, 5, 0, 0, 99, 0, 49 };
    static const uint8_t cut[] = { 6,   0, 0, 0, 0, 0, 0, 3,    'a', 'b',
                                   'c', 4, 1, 0, 0, 0, 0, 0xff, 0x0d };
    Fixture f;

    (void)state;
    make(&f, false, VNC_SHARE_ALLOW_EXCLUSIVE);
    enter(&f);
    talk(&f, keys, sizeof(keys), NULL, 0);
    fake_iterate(f.fake);
    assert_string_equal(f.keys->str, "a+ a- ");
    g_string_truncate(f.keys, 0);
    set_encodings(&f, 2, encodings);
    talk(&f, qemu, sizeof(qemu), NULL, 0);
    fake_iterate(f.fake);
    assert_string_equal(f.keys->str, "a+ ");
    g_string_truncate(f.keys, 0);
    talk(&f, pointer, sizeof(pointer), NULL, 0);
    fake_iterate(f.fake);
    assert_non_null(strstr(f.keys->str, "button0+"));
    assert_non_null(strstr(f.keys->str, "x32767"));
    g_string_truncate(f.keys, 0);
    talk(&f, cut, sizeof(cut), NULL, 0);
    fake_iterate(f.fake);
    assert_string_equal(f.keys->str, "ret+ ");
    /* What a client held is let go of when it leaves. */
    g_string_truncate(f.keys, 0);
    close(f.fd);
    f.fd = -1;
    for (unsigned i = 0; i < 10; i++)
        fake_iterate(f.fake);
    assert_non_null(strstr(f.keys->str, "ret-"));
    assert_non_null(strstr(f.keys->str, "a-"));
    unmake(&f);
}

static void
answer_challenge(const char *password, const uint8_t *challenge, uint8_t *out)
{
    uint8_t key[8] = { 0 };
    struct des_ctx des;

    for (unsigned i = 0; i < 8 && password[i]; i++)
        for (unsigned bit = 0; bit < 8; bit++)
            key[i] |= (uint8_t)((password[i] >> bit & 1) << (7 - bit));
    des_set_key(&des, key);
    des_encrypt(&des, 16, out, challenge);
}

/* Connects and sends the response for @password. */
static void
give_password(Fixture *f, const char *password)
{
    uint8_t in[64], out[16];

    if (f->fd >= 0)
        close(f->fd);
    f->fd = join(f);
    talk(f, NULL, 0, in, 12);
    talk(f, in, 12, in, 2);
    assert_memory_equal(in, "\1\2", 2);
    talk(f, "\2", 1, in, 16);
    answer_challenge(password, in, out);
    talk(f, out, 16, NULL, 0);
}

static uint8_t
try_password(Fixture *f, const char *password)
{
    uint8_t in[4];

    give_password(f, password);
    talk(f, NULL, 0, in, sizeof(in));
    return in[3];
}

/* Some wrong passwords are free, then they are looked at one by one, as the right one is. */
static void
test_guessing(void **state)
{
    Fixture f;
    int64_t begin;
    uint8_t more[16] = { 0 };
    int others[8];

    (void)state;
    make(&f, true, VNC_SHARE_ALLOW_EXCLUSIVE);
    assert_true(vnc_server_set_password(f.server, "right"));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(try_password(&f, "wrong"), 1);
    begin = g_get_monotonic_time();
    assert_int_equal(try_password(&f, "wrong"), 1);
    assert_int_equal(try_password(&f, "right"), 0);
    assert_true(g_get_monotonic_time() - begin >= 1000000);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(try_password(&f, "wrong"), 1);
    /* one that goes on talking while it waits, here for others, is not waited for */
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        give_password(&f, "wrong");
        others[i] = f.fd;
        f.fd = -1;
    }
    give_password(&f, "right");
    fake_iterate(f.fake);
    talk(&f, more, sizeof(more), NULL, 0);
    assert_true(closed(&f, f.fd));
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++)
        close(others[i]);
    unmake(&f);
}

static void
test_password(void **state)
{
    Fixture f;

    (void)state;
    make(&f, true, VNC_SHARE_ALLOW_EXCLUSIVE);
    assert_int_equal(try_password(&f, ""), 1);
    assert_true(vnc_server_set_password(f.server, "secret12345"));
    assert_int_equal(try_password(&f, "secret12"), 0);
    assert_int_equal(try_password(&f, "secret"), 1);
    vnc_server_expire_password(f.server, 1);
    f.fake->wall = INT64_C(5000000000);
    assert_int_equal(try_password(&f, "secret12"), 1);
    /* an empty password is none */
    vnc_server_expire_password(f.server, INT64_MAX);
    assert_true(vnc_server_set_password(f.server, ""));
    assert_int_equal(try_password(&f, ""), 1);
    unmake(&f);
}

static void
test_sharing(void **state)
{
    Fixture f;
    uint8_t in[64];
    int first;

    (void)state;
    make(&f, false, VNC_SHARE_ALLOW_EXCLUSIVE);
    enter(&f);
    first = f.fd;
    f.fd = join(&f);
    talk(&f, NULL, 0, in, 12);
    talk(&f, in, 12, in, 2);
    talk(&f, "\1", 1, in, 4);
    talk(&f, "\0", 1, in, 24); /* alone: the first must go */
    assert_true(closed(&f, first));
    close(first);
    unmake(&f);
    make(&f, false, VNC_SHARE_FORCE_SHARED);
    enter(&f);
    first = f.fd;
    f.fd = join(&f);
    talk(&f, NULL, 0, in, 12);
    talk(&f, in, 12, in, 2);
    talk(&f, "\1", 1, in, 4);
    assert_int_equal(write(f.fd, "\0", 1), 1);
    assert_true(closed(&f, f.fd));
    close(first);
    unmake(&f);
}

/* Hole: lengths that a client names. */
static void
test_hole_lengths(void **state)
{
    static const struct {
        uint8_t bytes[12];
        size_t len;
    } bad[] = {
        { { 6, 0, 0, 0, 0xff, 0xff, 0xff, 0xff }, 8 }, /* cut text of 4 GiB */
        { { 2, 0, 0xff, 0xff }, 4 },                   /* 65535 encodings */
        { { 251, 0, 0, 1, 0, 1, 0xff, 0 }, 8 },        /* 255 screens */
        { { 255, 1, 0, 0 }, 4 },                       /* sound, never offered */
        { { 99 }, 1 },                                 /* no such message */
        { { 0, 0, 0, 0, 24, 24 }, 12 },                /* see below: 24-bit pixels */
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        Fixture f;
        uint8_t pad[8] = { 0 };

        make(&f, false, VNC_SHARE_IGNORE);
        enter(&f);
        talk(&f, bad[i].bytes, bad[i].len, NULL, 0);
        if (bad[i].bytes[0] == 0)
            talk(&f, pad, 8, NULL, 0);
        assert_true(closed(&f, f.fd));
        unmake(&f);
    }
}

/* Hole: a client that asks and never reads must cost a bounded amount. */
static void
test_hole_client_that_does_not_read(void **state)
{
    Fixture f;
    JsonObject *info;

    (void)state;
    make(&f, false, VNC_SHARE_IGNORE);
    enter(&f);
    for (unsigned i = 0; i < 2000; i++) {
        ssize_t n = write(f.fd, ask_all, sizeof(ask_all));

        assert_true(n == sizeof(ask_all) || (n < 0 && errno == EAGAIN));
        fake_iterate(f.fake);
    }
    info = vnc_server_info2(f.server);
    assert_int_equal(json_array_get_length(json_object_get_array_member(info, "clients")), 1);
    json_object_unref(info);
    unmake(&f);
}

static unsigned
clients(Fixture *f)
{
    JsonObject *info = vnc_server_info2(f->server);
    unsigned n = json_array_get_length(json_object_get_array_member(info, "clients"));

    json_object_unref(info);
    return n;
}

/* Hole: messages that are answered at once, from a client that does not read the answers. */
static void
test_hole_answers_not_read(void **state)
{
    const uint8_t mapped[20] = { 0, 0, 0, 0, 8, 8 }; /* each is answered by a colour map */
    Fixture f;

    (void)state;
    make(&f, false, VNC_SHARE_IGNORE);
    enter(&f);
    for (unsigned i = 0; i < 4000 && clients(&f) == 1; i++) {
        assert_int_equal(write(f.fd, mapped, sizeof(mapped)), sizeof(mapped));
        fake_iterate(f.fake);
    }
    assert_int_equal(clients(&f), 0);
    unmake(&f);
}

/* Hole: a client that was told to go, does not read it, and goes on talking. */
static void
test_hole_talks_after_its_end(void **state)
{
    static uint8_t noise[16384];
    const VncClient *client;
    Fixture f;

    (void)state;
    make(&f, false, VNC_SHARE_IGNORE);
    enter(&f);
    client = g_ptr_array_index(f.server->clients, 0);
    vnc_put_room((VncClient *)client, 4 << 20);
    vnc_auth_refuse((VncClient *)client, "no");
    for (unsigned i = 0; i < 64; i++) {
        ssize_t n = write(f.fd, noise, sizeof(noise));

        assert_true(n > 0 || errno == EAGAIN);
        fake_iterate(f.fake);
    }
    assert_int_equal(f.server->clients->len, 1);
    assert_true(client->in->len <= sizeof(noise));
    unmake(&f);
}

/* A picture for which there is no memory is not looked at. */
static void
test_no_memory_for_picture(void **state)
{
    uint32_t pixels[16] = { 0 };
    Surface *huge = surface_new_for(pixels, 4, 4, 16, NULL, NULL);
    uint8_t in[64];
    Fixture f;

    (void)state;
    make(&f, false, VNC_SHARE_IGNORE);
    huge->width = SCREEN_SIZE_MAX + 1;
    screen_set_surface(f.screen, huge);
    f.fd = join(&f);
    talk(&f, NULL, 0, in, 12);
    talk(&f, in, 12, in, 2);
    talk(&f, "\1", 1, in, 4);
    talk(&f, "\1", 1, in, 24 + 11);
    assert_int_equal(vnc_get16(in), 640);
    screen_set_surface(f.screen, f.surface);
    surface_unref(huge);
    unmake(&f);
}

/* No rectangle of a large picture is put as a whole, however large it is. */
static void
test_large_picture_in_parts(void **state)
{
    Surface *large = surface_new(4096, 1024);
    const VncClient *client;
    uint8_t in[64];
    Fixture f;

    (void)state;
    make(&f, false, VNC_SHARE_IGNORE);
    screen_set_surface(f.screen, large);
    f.fd = join(&f);
    talk(&f, NULL, 0, in, 12);
    talk(&f, in, 12, in, 2);
    talk(&f, "\1", 1, in, 4);
    talk(&f, "\1", 1, in, 24 + 11);
    assert_int_equal(vnc_get16(in), 4096);
    talk(&f, ask_all, sizeof(ask_all), in, 16);
    assert_int_equal(vnc_get16(in + 2), 2); /* rectangles */
    assert_int_equal(vnc_get16(in + 10), 512);
    client = g_ptr_array_index(f.server->clients, 0);
    assert_true(vnc_client_pending(client) > 0);
    surface_unref(large);
    unmake(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_zlib),
        cmocka_unit_test(test_tight_fill_and_hextile),
        cmocka_unit_test(test_resize_cursor_and_lights),
        cmocka_unit_test(test_input),
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_guessing),
        cmocka_unit_test(test_sharing),
        cmocka_unit_test(test_hole_lengths),
        cmocka_unit_test(test_hole_client_that_does_not_read),
        cmocka_unit_test(test_hole_answers_not_read),
        cmocka_unit_test(test_hole_talks_after_its_end),
        cmocka_unit_test(test_no_memory_for_picture),
        cmocka_unit_test(test_large_picture_in_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
