/* test_hw_char.c - character devices: pty, sockets, file, log.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/char/chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* What a front end has heard. */
typedef struct {
    GString *in;
    unsigned opened, closed, writable, fds, focused;
    size_t room;
    unsigned want; /* for waiting */
    size_t want_len;
} Ear;

static size_t
ear_can_read(void *opaque)
{
    return ((Ear *)opaque)->room;
}

static void
ear_read(void *opaque, const uint8_t *data, size_t len)
{
    Ear *ear = opaque;

    assert_in_range(len, 1, ear->room);
    g_string_append_len(ear->in, (const char *)data, (gssize)len);
}

static void
ear_event(void *opaque, ChardevEvent event)
{
    Ear *ear = opaque;

    if (event == CHARDEV_OPENED)
        ear->opened++;
    else
        ear->closed++;
}

static void
ear_writable(void *opaque)
{
    ((Ear *)opaque)->writable++;
}

static void
ear_fds(void *opaque, const int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        close(fds[i]);
    ((Ear *)opaque)->fds += n;
}

static const ChardevFrontend ear_frontend = { ear_can_read, ear_read, ear_event, ear_writable,
                                              ear_fds };

static bool
ear_heard(void *opaque)
{
    return ((Ear *)opaque)->in->len >= ((Ear *)opaque)->want_len;
}

static bool
ear_opened(void *opaque)
{
    return ((Ear *)opaque)->opened >= ((Ear *)opaque)->want;
}

static bool
ear_closed(void *opaque)
{
    return ((Ear *)opaque)->closed >= ((Ear *)opaque)->want;
}

static Chardev *
make(FakeMachine *fake, char **ret_message, ...)
{
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) err = NULL;
    const char *name;
    Chardev *chardev;
    va_list args;

    va_start(args, ret_message);
    while ((name = va_arg(args, const char *)) != NULL)
        g_hash_table_insert(props, (char *)name, va_arg(args, char *));
    va_end(args);
    chardev = chardev_new(fake->machine, props, &err);
    if (!chardev && !ret_message)
        fail_msg("chardev_new: %s", err->message);
    if (ret_message)
        *ret_message = chardev ? NULL : g_strdup(err->message);
    return chardev;
}

static void
wait_opened(FakeMachine *fake, Ear *ear, unsigned n)
{
    ear->want = n;
    fake_wait(fake, ear_opened, ear);
}

static void
wait_closed(FakeMachine *fake, Ear *ear, unsigned n)
{
    ear->want = n;
    fake_wait(fake, ear_closed, ear);
}

static void
say(Chardev *chardev, const char *text)
{
    assert_int_equal(chardev_write(chardev, (const uint8_t *)text, strlen(text)), strlen(text));
}

static void
expect_bytes(FakeMachine *fake, int fd, const void *bytes, size_t len)
{
    char buf[256];
    size_t got = 0;

    for (int i = 0; i < 5000 && got < len; i++) {
        ssize_t n;

        fake_iterate(fake);
        n = recv(fd, buf + got, sizeof(buf) - got, MSG_DONTWAIT);
        if (n < 0 && errno == ENOTSOCK)
            n = read(fd, buf + got, sizeof(buf) - got);
        if (n > 0)
            got += (size_t)n;
        else
            g_usleep(1000);
    }
    assert_int_equal(got, len);
    assert_memory_equal(buf, bytes, got);
}

static void
expect(FakeMachine *fake, int fd, const char *text)
{
    expect_bytes(fake, fd, text, strlen(text));
}

static void
test_pty(void **state)
{
    FakeMachine *fake = fake_machine_new(1 << 20, NULL);
    Ear ear = { .in = g_string_new(NULL), .room = 4096 };
    Chardev *pty = make(fake, NULL, "id", "p", "backend", "pty", NULL);
    g_autofree char *name = chardev_filename(pty);
    struct rusage before, after;

    (void)state;
    assert_true(g_str_has_prefix(name, "pty:/dev/pts/"));
    assert_true(chardev_attach(pty, &ear_frontend, &ear, NULL));
    fake_iterate(fake);
    assert_false(chardev_is_open(pty));
    assert_int_equal(ear.opened, 0);
    /* said to nobody: dropped, not kept for the first to come */
    say(pty, "nobody hears this");
    for (unsigned round = 1; round <= 3; round++) {
        int slave = open(name + 4, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

        assert_true(slave >= 0);
        wait_opened(fake, &ear, round);
        assert_true(chardev_is_open(pty));
        say(pty, "raw\nline\r\n");
        expect(fake, slave, "raw\nline\r\n");
        assert_int_equal(write(slave, "\x03in\n", 4), 4);
        ear.want_len = 4 * round;
        fake_wait(fake, ear_heard, &ear);
        close(slave);
        wait_closed(fake, &ear, round);
        assert_false(chardev_is_open(pty));
    }
    assert_string_equal(ear.in->str, "\x03in\n\x03in\n\x03in\n");
    /* with nobody there the main loop sleeps */
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < 100; i++) {
        fake_iterate(fake);
        g_usleep(1000);
    }
    getrusage(RUSAGE_SELF, &after);
    assert_false(g_main_context_pending(fake->context));
    assert_in_range(after.ru_utime.tv_sec - before.ru_utime.tv_sec, 0, 1);
    chardev_detach(pty, &ear);
    chardev_free(pty);
    g_string_free(ear.in, TRUE);
    fake_machine_free(fake);
}

static void
test_pty_given(void **state)
{
    FakeMachine *fake = fake_machine_new(1 << 20, NULL);
    Ear ear = { .in = g_string_new(NULL), .room = 4096 };
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
    g_autofree char *fd = g_strdup_printf("%d", master), *message = NULL;
    Chardev *pty;

    (void)state;
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    assert_true(slave >= 0);
    pty = make(fake, NULL, "id", "p", "backend", "pty", "fd", fd, NULL);
    assert_true(chardev_is_open(pty));
    assert_true(chardev_attach(pty, &ear_frontend, &ear, NULL));
    wait_opened(fake, &ear, 1);
    say(pty, "hello");
    expect(fake, slave, "hello");
    chardev_detach(pty, &ear);
    chardev_free(pty);
    close(slave);
    assert_null(make(fake, &message, "id", "p", "backend", "pty", "fd", "0x", NULL));
    assert_non_null(strstr(message, "'fd' cannot be '0x'"));
    g_string_free(ear.in, TRUE);
    fake_machine_free(fake);
}

static int
connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void
test_socket_server(void **state)
{
    FakeMachine *fake = fake_machine_new(1 << 20, NULL);
    Ear ear = { .in = g_string_new(NULL), .room = 3 };
    g_autofree char *dir = g_dir_make_tmp("kiln-char-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    g_autofree char *name = NULL, *name_after = NULL;
    Chardev *server = make(fake, NULL, "id", "s", "backend", "socket", "path", path, "server", "on",
                           "wait", "off", NULL);
    int first, second;

    (void)state;
    assert_true(chardev_attach(server, &ear_frontend, &ear, NULL));
    fake_iterate(fake);
    name = chardev_filename(server);
    assert_true(g_str_has_prefix(name, "disconnected:unix:"));
    first = connect_to(path);
    wait_opened(fake, &ear, 1);
    name_after = chardev_filename(server);
    assert_true(g_str_has_prefix(name_after, "unix:"));
    say(server, "hi");
    expect(fake, first, "hi");
    /* a front end with little room gets it in pieces; with none it waits */
    assert_int_equal(write(first, "abcdefgh", 8), 8);
    ear.want_len = 8;
    fake_wait(fake, ear_heard, &ear);
    ear.room = 0;
    chardev_accept_input(server);
    fake_iterate(fake);
    assert_int_equal(write(first, "ij", 2), 2);
    for (int i = 0; i < 20; i++) {
        fake_iterate(fake);
        g_usleep(500);
    }
    assert_int_equal(ear.in->len, 8);
    ear.room = 3;
    chardev_accept_input(server);
    ear.want_len = 10;
    fake_wait(fake, ear_heard, &ear);
    /* one at a time: the second waits until the first has gone */
    second = connect_to(path);
    fake_iterate(fake);
    say(server, "first");
    expect(fake, first, "first");
    close(first);
    wait_opened(fake, &ear, 2);
    assert_int_equal(ear.closed, 1);
    say(server, "second");
    expect(fake, second, "second");
    close(second);
    wait_closed(fake, &ear, 2);
    chardev_detach(server, &ear);
    chardev_free(server);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(rmdir(dir), 0);
    g_string_free(ear.in, TRUE);
    fake_machine_free(fake);
}

static int
listen_at(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* A client that begins alone, and whose server goes and comes again at the same place. */
static void
test_socket_reconnects(void **state)
{
    FakeMachine *fake = fake_machine_new(1 << 20, NULL);
    Ear ear = { .in = g_string_new(NULL), .room = 100 };
    g_autofree char *dir = g_dir_make_tmp("kiln-char-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    Chardev *client =
        make(fake, NULL, "id", "c", "backend", "socket", "path", path, "reconnect", "1", NULL);

    (void)state;
    assert_true(chardev_attach(client, &ear_frontend, &ear, NULL));
    assert_false(chardev_is_open(client));
    for (unsigned round = 1; round <= 2; round++) {
        int listener = listen_at(path), peer;

        wait_opened(fake, &ear, round);
        peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(peer >= 0);
        say(client, "hello");
        expect(fake, peer, "hello");
        assert_int_equal(write(peer, "you", 3), 3);
        ear.want_len = 3 * round;
        fake_wait(fake, ear_heard, &ear);
        close(listener);
        assert_int_equal(unlink(path), 0);
        close(peer);
        wait_closed(fake, &ear, round);
    }
    assert_string_equal(ear.in->str, "youyou");
    chardev_detach(client, &ear);
    chardev_free(client);
    assert_int_equal(rmdir(dir), 0);
    g_string_free(ear.in, TRUE);
    fake_machine_free(fake);
}

static void
test_socket_fds(void **state)
{
    FakeMachine *fake = fake_machine_new(1 << 20, NULL);
    Ear ear = { .in = g_string_new(NULL), .room = 4096 };
    int pair[2];
    g_autofree char *fd = NULL;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { 0 };
    char byte = 'x';
    struct iovec iov = { &byte, 1 };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof(control.bytes) };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    Chardev *chardev;
    int sent;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    fd = g_strdup_printf("%d", pair[0]);
    chardev = make(fake, NULL, "id", "s", "type", "socket", "fd", fd, NULL);
    assert_true(chardev_attach(chardev, &ear_frontend, &ear, NULL));
    sent = pair[1];
    *cmsg = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
    memcpy(CMSG_DATA(cmsg), &sent, sizeof(int));
    assert_int_equal(sendmsg(pair[1], &msg, 0), 1);
    ear.want_len = 1;
    fake_wait(fake, ear_heard, &ear);
    assert_int_equal(ear.fds, 1);
    assert_true(chardev_write_fds(chardev, (const uint8_t *)"y", 1, &sent, 1));
    assert_int_equal(recvmsg(pair[1], &msg, MSG_CMSG_CLOEXEC), 1);
    assert_int_equal(cmsg->cmsg_type, SCM_RIGHTS);
    memcpy(&sent, CMSG_DATA(cmsg), sizeof(int));
    close(sent);
    chardev_detach(chardev, &ear);
    chardev_free(chardev);
    close(pair[1]);
    g_string_free(ear.in, TRUE);
    fake_machine_free(fake);
}

/* ---- telnet ---- */

static void
ear_break(void *opaque)
{
    g_string_append_c(((Ear *)opaque)->in, '|');
}

static const ChardevFrontend line_frontend = {
    .can_read = ear_can_read, .read = ear_read, .event = ear_event, .line_break = ear_break
};

static void
hear(FakeMachine *fake, Ear *ear, const char *text)
{
    ear->want_len = strlen(text);
    fake_wait(fake, ear_heard, ear);
    assert_string_equal(ear->in->str, text);
    g_string_truncate(ear->in, 0);
}

static void
test_telnet(void **state)
{
    static const uint8_t greeting[] = { 255, 251, 1, 255, 251, 3, 255, 251, 0, 255, 253, 0 };
    FakeMachine *fake = fake_machine_new(1 << 20, NULL);
    Ear ear = { .in = g_string_new(NULL), .room = 4096 };
    g_autofree char *dir = g_dir_make_tmp("kiln-char-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    Chardev *server = make(fake, NULL, "id", "s", "backend", "socket", "path", path, "server", "on",
                           "wait", "off", "telnet", "on", NULL);
    int fd;

    (void)state;
    assert_true(chardev_attach(server, &line_frontend, &ear, NULL));
    for (unsigned round = 1; round <= 2; round++) {
        fd = connect_to(path);
        wait_opened(fake, &ear, round);
        expect_bytes(fake, fd, greeting, sizeof(greeting));
        /* agreement with the greeting needs no answer; what is not there is declined, once */
        assert_int_equal(write(fd,
                               "\xff\xfd\x01\xff\xfb\x00"
                               "a",
                               7),
                         7);
        assert_int_equal(write(fd, "\xff\xfd\x18\xff\xfb\x1f\xff\xfd\x18", 9), 9);
        expect_bytes(fake, fd, "\xff\xfc\x18\xff\xfe\x1f", 6);
        assert_int_equal(write(fd,
                               "\xff\xfc\x18\xff\xfe\x18"
                               "b",
                               7),
                         7);
        hear(fake, &ear, "ab");
        /* a break comes where it was sent; a subnegotiation and other commands are no data */
        assert_int_equal(write(fd, "x\xff\xf3y\xff\xfa\x18\x01\xff\xff\xff\xf0z\xff\xf1!", 16), 16);
        hear(fake, &ear, "x|yz!");
        /* also in pieces */
        for (const char *p = "\xff\xff\xff\xf3s"; *p; p++) {
            assert_int_equal(write(fd, p, 1), 1);
            fake_iterate(fake);
        }
        hear(fake, &ear, "\xff|s");
        assert_int_equal(chardev_write(server,
                                       (const uint8_t *)"1\xff\xff"
                                                        "2",
                                       4),
                         4);
        expect_bytes(fake, fd,
                     "1\xff\xff\xff\xff"
                     "2",
                     6);
        close(fd);
        wait_closed(fake, &ear, round);
    }
    chardev_detach(server, &ear);
    chardev_free(server);
    assert_int_equal(rmdir(dir), 0);
    g_string_free(ear.in, TRUE);
    fake_machine_free(fake);
}

static void
test_file_and_log(void **state)
{
    FakeMachine *fake = fake_machine_new(1 << 20, NULL);
    g_autofree char *dir = g_dir_make_tmp("kiln-char-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "out", NULL);
    g_autofree char *log = g_build_filename(dir, "log", NULL);
    g_autofree char *text = NULL;
    Chardev *file;

    (void)state;
    for (int i = 0; i < 2; i++) {
        file = make(fake, NULL, "id", "f", "backend", "file", "path", path, "append", "on",
                    "logfile", log, NULL);
        say(file, "line\n");
        chardev_free(file);
    }
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_string_equal(text, "line\nline\n");
    g_clear_pointer(&text, g_free);
    assert_true(g_file_get_contents(log, &text, NULL, NULL));
    assert_string_equal(text, "line\n");
    unlink(path);
    unlink(log);
    rmdir(dir);
    fake_machine_free(fake);
}

static void
test_refusals(void **state)
{
    FakeMachine *fake = fake_machine_new(1 << 20, NULL);
    static const struct {
        const char *option, *value, *text;
    } bad[] = {
        { "mux", "maybe", "on or off" },
        { "websocket", "on", "no option 'websocket'" },
        { "telnet", "maybe", "on or off" },
        { "server", "maybe", "'server' cannot be 'maybe'" },
        { "reconnect", "-1", "'reconnect' cannot be '-1'" },
        { "path", "/nonexistent/socket", "cannot connect to unix:/nonexistent/socket" },
        { "host", "localhost", "needs path=, fd= or port=" },
        { "fd", "99999", "is not a socket" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *message = NULL;

        assert_null(make(fake, &message, "id", "s", "backend", "socket", bad[i].option,
                         bad[i].value, NULL));
        if (!strstr(message, bad[i].text))
            fail_msg("\"%s\" lacks \"%s\"", message, bad[i].text);
    }
    for (int i = 0; i < 2; i++) {
        g_autofree char *message = NULL;

        assert_null(make(fake, &message, "id", i ? "" : "x", "backend", i ? "null" : "vc", NULL));
        assert_non_null(strstr(message, i ? "needs an id" : "no chardev back end 'vc'"));
    }
    fake_machine_free(fake);
}

/* ---- several front ends ---- */

static void
ear_focus(void *opaque)
{
    ((Ear *)opaque)->focused++;
}

static const ChardevFrontend focus_frontend = { .can_read = ear_can_read,
                                                .read = ear_read,
                                                .event = ear_event,
                                                .focus = ear_focus,
                                                .line_break = ear_break };

static void
type_in(FakeMachine *fake, int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    for (int i = 0; i < 20; i++) {
        fake_iterate(fake);
        g_usleep(200);
    }
}

static void
test_mux(void **state)
{
    FakeMachine *fake = fake_machine_new(1 << 20, NULL);
    Ear one = { .in = g_string_new(NULL), .room = 100 };
    Ear two = { .in = g_string_new(NULL), .room = 100 };
    g_autofree char *fd = NULL;
    char help[512];
    int pair[2];
    ssize_t n;
    Chardev *chardev;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    fd = g_strdup_printf("%d", pair[0]);
    chardev = make(fake, NULL, "id", "m", "backend", "socket", "fd", fd, "mux", "on", NULL);
    assert_true(chardev_is_mux(chardev));
    assert_true(chardev_attach(chardev, &focus_frontend, &one, NULL));
    wait_opened(fake, &one, 1);
    assert_true(chardev_attach(chardev, &focus_frontend, &two, NULL));
    wait_opened(fake, &two, 1);
    assert_int_equal(one.opened, 1);
    assert_int_equal(one.focused, 1);
    type_in(fake, pair[1], "ab");
    assert_string_equal(one.in->str, "ab");
    type_in(fake, pair[1], "\001c");
    assert_int_equal(two.focused, 1);
    type_in(fake, pair[1], "cd\001\001e\001q");
    assert_string_equal(two.in->str, "cd\001e");
    type_in(fake, pair[1], "\001h");
    n = read(pair[1], help, sizeof(help) - 1);
    assert_true(n > 0);
    help[n] = '\0';
    assert_non_null(strstr(help, "C-a x"));
    /* what a front end has no room for waits, within a bound, and Ctrl-a is heard all the same */
    two.room = 0;
    type_in(fake, pair[1], "xyz");
    assert_string_equal(two.in->str, "cd\001e");
    type_in(fake, pair[1], "\001c");
    assert_int_equal(one.focused, 2);
    two.room = 100;
    type_in(fake, pair[1], "f\001c");
    type_in(fake, pair[1], "!");
    assert_string_equal(one.in->str, "abf");
    assert_string_equal(two.in->str, "cd\001exyz!");
    type_in(fake, pair[1], "\001x");
    assert_int_equal(fake->requests->len, 1);
    assert_int_equal(g_array_index(fake->requests, MachineRequest, 0), MACHINE_QUIT);
    expect(fake, pair[1], "\r\nkiln-vmm: terminated\r\n");
    type_in(fake, pair[1], "\001b");
    assert_string_equal(two.in->str, "cd\001exyz!|");
    /* the time stands before each line, and not in one that was begun */
    say(chardev, "in");
    expect(fake, pair[1], "in");
    type_in(fake, pair[1], "\001t");
    say(chardev, "side\none\n");
    n = 0;
    for (int i = 0; i < 5000 && n < 24; i++) {
        ssize_t more;

        fake_iterate(fake);
        more = read(pair[1], help + n, sizeof(help) - 1 - (size_t)n);
        n += MAX(more, 0);
        g_usleep(1000);
    }
    help[n] = '\0';
    assert_true(g_regex_match_simple("^side\n\\[00:00:\\d\\d\\.\\d{3}\\] one\n$", help, 0, 0));
    type_in(fake, pair[1], "\001t");
    say(chardev, "two\n");
    expect(fake, pair[1], "two\n");
    chardev_detach(chardev, &two);
    type_in(fake, pair[1], "g");
    assert_string_equal(one.in->str, "abfg");
    chardev_detach(chardev, &one);
    chardev_free(chardev);
    close(pair[1]);
    g_string_free(one.in, TRUE);
    g_string_free(two.in, TRUE);
    fake_machine_free(fake);
}

/* ---- datagrams, named pipes, memory ---- */

static void
test_udp(void **state)
{
    FakeMachine *fake = fake_machine_new(1 << 20, NULL);
    Ear ear = { .in = g_string_new(NULL), .room = 3 };
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_in peer;
    socklen_t len = sizeof(address);
    g_autofree char *port = NULL, *name = NULL;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    Chardev *udp;
    char buf[100];
    ssize_t n = -1;

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    port = g_strdup_printf("%d", ntohs(address.sin_port));
    udp = make(fake, NULL, "id", "u", "backend", "udp", "host", "127.0.0.1", "port", port, NULL);
    assert_true(chardev_attach(udp, &ear_frontend, &ear, NULL));
    name = chardev_filename(udp);
    assert_true(g_str_has_prefix(name, "udp:127.0.0.1:"));
    say(udp, "hello");
    len = sizeof(peer);
    for (int i = 0; i < 1000 && n < 0; i++) {
        fake_iterate(fake);
        n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&peer, &len);
        g_usleep(500);
    }
    assert_int_equal(n, 5);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(sendto(fd, "0123456789", 10, 0, (struct sockaddr *)&peer, len), 10);
    ear.want_len = 10;
    fake_wait(fake, ear_heard, &ear);
    assert_string_equal(ear.in->str, "0123456789");
    chardev_detach(udp, &ear);
    chardev_free(udp);
    close(fd);
    g_string_free(ear.in, TRUE);
    fake_machine_free(fake);
}

static void
test_pipe(void **state)
{
    FakeMachine *fake = fake_machine_new(1 << 20, NULL);
    Ear ear = { .in = g_string_new(NULL), .room = 100 };
    g_autofree char *dir = g_dir_make_tmp("kiln-char-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "p", NULL);
    g_autofree char *in = g_strconcat(path, ".in", NULL), *out = g_strconcat(path, ".out", NULL);
    g_autofree char *message = NULL;
    int in_fd, out_fd;
    Chardev *pipes;

    (void)state;
    make(fake, &message, "id", "p", "backend", "pipe", "path", path, NULL);
    assert_non_null(strstr(message, path));
    assert_int_equal(mkfifo(in, 0600), 0);
    assert_int_equal(mkfifo(out, 0600), 0);
    pipes = make(fake, NULL, "id", "p", "backend", "pipe", "path", path, NULL);
    in_fd = open(in, O_WRONLY | O_CLOEXEC);
    out_fd = open(out, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    assert_true(chardev_attach(pipes, &ear_frontend, &ear, NULL));
    say(pipes, "out");
    expect(fake, out_fd, "out");
    assert_int_equal(write(in_fd, "in", 2), 2);
    close(in_fd);
    ear.want_len = 2;
    fake_wait(fake, ear_heard, &ear);
    assert_int_equal(ear.closed, 0);
    chardev_detach(pipes, &ear);
    chardev_free(pipes);
    close(out_fd);
    unlink(in);
    unlink(out);
    assert_int_equal(rmdir(dir), 0);
    g_string_free(ear.in, TRUE);
    fake_machine_free(fake);
}

static void
test_ringbuf(void **state)
{
    FakeMachine *fake = fake_machine_new(1 << 20, NULL);
    g_autoptr(GByteArray) got = g_byte_array_new();
    g_autofree char *message = NULL;
    Chardev *ring, *null;

    (void)state;
    make(fake, &message, "id", "r", "backend", "ringbuf", "size", "12", NULL);
    assert_non_null(strstr(message, "power of two"));
    ring = make(fake, NULL, "id", "r", "backend", "ringbuf", "size", "8", NULL);
    say(ring, "abcde");
    assert_true(chardev_ringbuf_read(ring, 3, got));
    assert_int_equal(got->len, 3);
    assert_true(chardev_ringbuf_write(ring, (const uint8_t *)"0123456789", 10));
    assert_true(chardev_ringbuf_read(ring, 100, got));
    assert_int_equal(got->len, 11);
    assert_memory_equal(got->data, "abc23456789", 11);
    assert_true(chardev_ringbuf_read(ring, 100, got));
    assert_int_equal(got->len, 11);
    null = make(fake, NULL, "id", "n", "backend", "null", NULL);
    assert_false(chardev_ringbuf_read(null, 1, got));
    chardev_free(null);
    chardev_free(ring);
    fake_machine_free(fake);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pty),           cmocka_unit_test(test_pty_given),
        cmocka_unit_test(test_socket_server), cmocka_unit_test(test_socket_reconnects),
        cmocka_unit_test(test_socket_fds),    cmocka_unit_test(test_telnet),
        cmocka_unit_test(test_file_and_log),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_mux),           cmocka_unit_test(test_udp),
        cmocka_unit_test(test_pipe),          cmocka_unit_test(test_ringbuf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
