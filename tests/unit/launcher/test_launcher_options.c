/* test_launcher_options.c - QEMU's option syntax. SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "launcher/chardev_words.h"
#include "launcher/keyval.h"
#include "launcher/options.h"
#include "launcher/topology.h"

#define PARSE(err, ...)                                                                            \
    options_parse(sizeof((const char *[]){ "kiln-vmm", __VA_ARGS__ }) / sizeof(char *),            \
                  (char **)(const char *[]){ "kiln-vmm", __VA_ARGS__, NULL }, err)

static void
assert_refused(GError *err, const char *part)
{
    assert_non_null(err);
    if (!strstr(err->message, part))
        fail_msg("'%s' does not say '%s'", err->message, part);
}

static void
test_text_and_lists(void **state)
{
    g_autoptr(Options) o = PARSE(NULL, "-name", "a,debug-threads=on", "-m", "1024", "-S",
                                 "--device", "virtio-blk-pci,drive=d,serial=x,,y", "-device",
                                 "{\"driver\":\"rng\",\"n\":3,\"on\":true}");

    (void)state;
    assert_non_null(o);
    assert_string_equal(keyval_text(o->name, "guest"), "a");
    assert_true(o->paused);
    assert_int_equal(o->devices->len, 2);
    assert_string_equal(keyval_text(g_ptr_array_index(o->devices, 0), "serial"), "x,y");
    assert_string_equal(keyval_text(g_ptr_array_index(o->devices, 1), "driver"), "rng");
}

static void
test_later_options_override_members(void **state)
{
    g_autoptr(Options) o = PARSE(NULL, "-machine", "q35,memory-backend=a", "-M", "memory-backend=b",
                                 "-cpu", "host", "-cpu", "kvm64");

    (void)state;
    assert_string_equal(keyval_text(o->machine, "type"), "q35");
    assert_string_equal(keyval_text(o->machine, "memory-backend"), "b");
    assert_string_equal(o->cpu, "kvm64");
}

static void
test_mistakes_are_named(void **state)
{
    static const struct {
        const char *option, *value, *says;
    } rows[] = {
        { "-kernal", "x", "did you mean -kernel" },
        { "-spice", "port=1", "SPICE displays are not offered yet" },
        { "-m", "sizes=3", "did you mean 'size'" },
        { "-device", "{\"driver\":", "not JSON" },
        { "-device", "x,=3", "no name before" },
        { "-smp", "2,,", "-smp" },
        { "disk.raw", "other.raw", "'disk.raw' is the first disk already" },
        { "-fda", "floppy.img", "no floppy drive" },
        { "-k", "de", "keyboard" },
        { "-sdl", "", "no such option; 'kiln-vmm -help'" }, /* not: did you mean -smp */
        { "-net", "nic", "1 cards (nic) and 0 back ends" },
        { "-net", "nic,modle=e1000", "did you mean 'model'" },
        { "-no-such-thing-at-all", "", "-help" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;
        g_autoptr(Options) o = PARSE(&err, rows[i].option, rows[i].value);

        if (o) {
            Topology t;

            assert_false(topology_parse(o->smp, &t, &err));
        }
        assert_refused(err, rows[i].says);
    }
}

static void
test_older_ways(void **state)
{
    g_autoptr(Options) o = PARSE(NULL, "-net", "user,hostfwd=tcp::2222-:22", "disk.raw", "-net",
                                 "nic,model=virtio,macaddr=52:54:00:00:00:01", "-net", "none");
    JsonObject *nic;

    (void)state;
    assert_non_null(o);
    assert_string_equal(o->hda, "disk.raw");
    assert_int_equal(o->nics->len, 1);
    nic = g_ptr_array_index(o->nics, 0);
    assert_string_equal(keyval_text(nic, "type"), "user");
    assert_string_equal(keyval_text(nic, "model"), "virtio");
    assert_string_equal(keyval_text(nic, "mac"), "52:54:00:00:00:01");
}

static void
test_no_image_replaces_another(void **state)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Options) o = PARSE(&err, "a.img", "-hda", "b.img");

    (void)state;
    assert_refused(err, "-hda b.img: this drive has 'a.img' already");
    g_clear_error(&err);
    assert_null(o);
    o = PARSE(&err, "-cdrom", "a.iso", "-cdrom", "b.iso");
    assert_refused(err, "has 'a.iso' already");
}

/* A guest that nothing shows is on the terminal it was started from. */
static void
test_who_takes_the_terminal(void **state)
{
    static const struct {
        const char *option, *value;
        bool takes;
    } rows[] = {
        { "-hda", "a.img", true },           { "-qmp", "unix:q,server=on", true },
        { "-monitor", "stdio", false },      { "-vnc", ":3", false },
        { "-serial", "file:log", false },    { "-display", "none", false },
        { "-chardev", "stdio,id=c", false }, { "-device", "isa-serial,chardev=c", false },
        { "-gdb", "stdio", false },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Options) o = PARSE(NULL, rows[i].option, rows[i].value);

        assert_non_null(o);
        assert_int_equal(chardev_words_take_terminal(o), rows[i].takes);
        assert_int_equal(chardev_words_on_terminal(o), rows[i].takes);
        assert_false(chardev_words_take_terminal(o) && rows[i].takes);
    }
}

static void
test_missing_argument(void **state)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Options) o = PARSE(&err, "-kernel");

    (void)state;
    assert_null(o);
    assert_refused(err, "wants an argument");
}

static void
test_every_option_is_in_the_help(void **state)
{
    g_autofree char *help = options_help();

    (void)state;
    assert_non_null(strstr(help, "-kernel FILE"));
    assert_non_null(strstr(help, "-sandbox"));
    assert_null(strstr(help, "(null)"));
}

static void
test_typed_members(void **state)
{
    g_autoptr(JsonObject) o =
        keyval_parse("-t", "size=2G,n=7,hex=0x10,b=off,bare,nowait,big=99999999999G", NULL, NULL);
    g_autoptr(GError) err = NULL;
    uint64_t n = 0;
    bool b = true;

    (void)state;
    assert_true(keyval_size("-t", o, "size", 1, &n, NULL));
    assert_int_equal(n, UINT64_C(2) << 30);
    assert_true(keyval_size("-t", o, "n", 1 << 20, &n, NULL));
    assert_int_equal(n, 7 << 20);
    assert_true(keyval_uint("-t", o, "hex", 0, 100, &n, NULL));
    assert_int_equal(n, 16);
    assert_true(keyval_bool("-t", o, "b", &b, NULL));
    assert_false(b);
    assert_true(keyval_bool("-t", o, "bare", &b, NULL));
    assert_true(b);
    assert_true(keyval_bool("-t", o, "wait", &b, NULL));
    assert_false(b);
    assert_false(keyval_uint("-t", o, "n", 8, 9, &n, &err));
    assert_refused(err, "outside 8…9");
    g_clear_error(&err);
    assert_false(keyval_size("-t", o, "big", 1, &n, &err));
    assert_refused(err, "too large");
    g_clear_error(&err);
    assert_false(keyval_bool("-t", o, "n", &b, &err));
    assert_refused(err, "neither 'on' nor 'off'");
}

static void
test_forwards_collect(void **state)
{
    g_autoptr(JsonObject) o =
        keyval_parse("-n", "user,hostfwd=tcp::1-:2,hostfwd=tcp::3-:4", "type", NULL);
    g_autoptr(JsonObject) j = keyval_parse("-n",
                                           "{\"hostfwd\":[{\"str\":\"a\"},{\"str\":\"b\"}],"
                                           "\"n\":1,\"b\":false}",
                                           NULL, NULL);
    g_autoptr(GHashTable) t = keyval_table("-n", j, NULL);

    (void)state;
    assert_string_equal(keyval_text(o, "hostfwd"), "tcp::1-:2\ntcp::3-:4");
    assert_string_equal(g_hash_table_lookup(t, "hostfwd"), "a\nb");
    assert_string_equal(g_hash_table_lookup(t, "n"), "1");
    assert_string_equal(g_hash_table_lookup(t, "b"), "off");
}

static void
test_escape_goes_round(void **state)
{
    g_autofree char *text = keyval_escape("a,b,,c");
    g_autofree char *option = g_strconcat("v=", text, NULL);
    g_autoptr(JsonObject) o = keyval_parse("-t", option, NULL, NULL);

    (void)state;
    assert_string_equal(keyval_text(o, "v"), "a,b,,c");
}

static void
assert_topology(const char *smp, unsigned cpus, unsigned sockets, unsigned cores, unsigned threads)
{
    g_autoptr(JsonObject) o = keyval_parse("-smp", smp, "cpus", NULL);
    Topology t = { 0 };

    assert_true(topology_parse(o, &t, NULL));
    assert_int_equal(t.cpus, cpus);
    assert_int_equal(t.sockets, sockets);
    assert_int_equal(t.cores, cores);
    assert_int_equal(t.threads, threads);
}

static void
test_topology(void **state)
{
    g_autoptr(JsonObject) wrong = keyval_parse("-smp", "5,sockets=2,cores=2", "cpus", NULL);
    g_autoptr(GError) err = NULL;
    Topology t = { .cpus = 12, .max_cpus = 12, .sockets = 2, .dies = 1, .cores = 3, .threads = 2 };

    (void)state;
    assert_topology("4", 4, 1, 4, 1);
    assert_topology("8,sockets=2,threads=2", 8, 2, 2, 2);
    assert_topology("cores=3", 3, 1, 3, 1);
    assert_false(topology_parse(wrong, &t, &err));
    assert_refused(err, "5 processors of at most 4");
    /* Three cores take two bits, so the second socket begins at 8. */
    t = (Topology){ .cpus = 12, .max_cpus = 12, .sockets = 2, .dies = 1, .cores = 3, .threads = 2 };
    assert_int_equal(topology_apic_id(&t, 5), 5);
    assert_int_equal(topology_apic_id(&t, 6), 8);
    assert_int_equal(topology_package_bits(&t), 3);
}

static void
test_chardev_words(void **state)
{
    static const struct {
        const char *words, *options;
    } rows[] = {
        { "stdio", "stdio,id=x" },
        { "mon:stdio", "stdio,id=x,mux=on,signal=off" },
        { "mon:pty", "pty,id=x,mux=on" },
        { "file:/a:b", "file,path=/a:b,id=x" },
        { "pipe:/p", "pipe,path=/p,id=x" },
        { "unix:/s,server,nowait", "socket,path=/s,id=x,server,nowait" },
        { "tcp::4444,server=on,wait=off", "socket,port=4444,id=x,server=on,wait=off" },
        { "tcp:[::1]:4444", "socket,host=::1,port=4444,id=x" },
        { "udp:host:1", "udp,host=host,port=1,id=x" },
        { "udp::1@:2", "udp,port=1,localport=2,id=x" },
        { "udp:h:1@l:2", "udp,host=h,port=1,localaddr=l,localport=2,id=x" },
    };
    static const char *const bad[] = { "", "vc", "tcp:4444:", "tcp:", "udp:h:1@", "/dev/ttyS0" };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;
        g_autofree char *options = chardev_words("-serial", rows[i].words, "x", &err);

        assert_string_equal(options ? options : err->message, rows[i].options);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        GError *err = NULL;

        assert_null(chardev_words("-serial", bad[i], "x", &err));
        assert_refused(err, "it can be");
    }
}

static void
test_pflash(void **state)
{
    g_autoptr(Options) o = PARSE(NULL, "-pflash", "/code,1.fd", "-pflash", "/vars");
    JsonObject *drive;

    (void)state;
    assert_int_equal(o->drives->len, 2);
    drive = g_ptr_array_index(o->drives, 0);
    assert_string_equal(keyval_text(drive, "if"), "pflash");
    assert_string_equal(keyval_text(drive, "format"), "raw");
    assert_string_equal(keyval_text(drive, "file"), "/code,1.fd");
}

/* Who has the terminal: serial port and monitor together, unless one of them goes elsewhere. */
static void
test_terminal(void **state)
{
    g_autoptr(Options) plain = PARSE(NULL, "-nographic");
    g_autoptr(Options) serial = PARSE(NULL, "-nographic", "-serial", "null");
    g_autoptr(Options) monitor = PARSE(NULL, "-nographic", "-monitor", "none");
    g_autoptr(Options) shared = PARSE(NULL, "-serial", "null", "-serial", "mon:stdio");
    g_autoptr(Options) bare = PARSE(NULL, "-nographic", "-nodefaults");

    (void)state;
    assert_true(chardev_words_on_terminal(plain) && chardev_words_shared(plain, 0));
    assert_false(chardev_words_on_terminal(serial) || chardev_words_shared(serial, 0));
    assert_true(chardev_words_on_terminal(monitor) && !chardev_words_shared(monitor, 0));
    assert_false(chardev_words_on_terminal(shared) || chardev_words_shared(shared, 0));
    assert_true(chardev_words_shared(shared, 1));
    assert_false(chardev_words_on_terminal(bare) || chardev_words_shared(bare, 0));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_and_lists),
        cmocka_unit_test(test_later_options_override_members),
        cmocka_unit_test(test_mistakes_are_named),
        cmocka_unit_test(test_older_ways),
        cmocka_unit_test(test_no_image_replaces_another),
        cmocka_unit_test(test_who_takes_the_terminal),
        cmocka_unit_test(test_missing_argument),
        cmocka_unit_test(test_every_option_is_in_the_help),
        cmocka_unit_test(test_typed_members),
        cmocka_unit_test(test_forwards_collect),
        cmocka_unit_test(test_escape_goes_round),
        cmocka_unit_test(test_topology),
        cmocka_unit_test(test_chardev_words),
        cmocka_unit_test(test_pflash),
        cmocka_unit_test(test_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
