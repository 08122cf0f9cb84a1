/* test_driver_argv.c - the command line of kiln-vmm for each tests/golden/argv/NAME.xml is
 * NAME.args, byte for byte. KILN_GOLDEN_WRITE=1 in the environment writes the files anew.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "driver/domain/argv.h"
#include "driver/node/firmware.h"
#include "driver/domain/private.h"
#include "tests/unit/golden.h"
#include "util/error.h"

enum { FIRST_FD = 3 };

static int
next_fd(void *opaque)
{
    return (*(int *)opaque)++;
}

static int
give_file(void *opaque, const char *path, int flags, const char *what, GError **err)
{
    (void)path;
    (void)flags;
    (void)what;
    (void)err;
    return next_fd(opaque);
}

static int
give_host(void *opaque, const DomainDiskHost *host, GError **err)
{
    (void)err;
    assert_true(!host->name != !host->socket);
    return next_fd(opaque);
}

static int
give_secret(void *opaque, const DomainDiskSecret *secret, GError **err)
{
    (void)err;
    assert_true(!secret->uuid != !secret->usage);
    return next_fd(opaque);
}

static int
give_pty(void *opaque, DomainChar *device, GError **err)
{
    (void)err;
    g_free(device->source.path);
    device->source.path = g_strdup("/dev/pts/0");
    return next_fd(opaque);
}

static int
give_socket(void *opaque, DomainChar *device, bool connected, GError **err)
{
    (void)device;
    (void)connected;
    (void)err;
    return next_fd(opaque);
}

static int
give_vsock(void *opaque, DomainVsock *vsock, GError **err)
{
    (void)err;
    if (vsock->auto_cid == TRISTATE_ON)
        vsock->cid = 7;
    return next_fd(opaque);
}

static int
give_monitor(void *opaque, GError **err)
{
    (void)err;
    return next_fd(opaque);
}

static bool
give_taps(void *opaque, DomainInterface *net, int *taps, unsigned *ret_n_taps, int *vhosts,
          unsigned *ret_n_vhosts, GError **err)
{
    unsigned n = net->queues == XML_UNSET ? 1 : net->queues;

    (void)err;
    for (unsigned i = 0; i < n; i++)
        taps[i] = next_fd(opaque);
    *ret_n_taps = n;
    *ret_n_vhosts = net->driver == DOMAIN_NET_DRIVER_QEMU ? 0 : n;
    for (unsigned i = 0; i < *ret_n_vhosts; i++)
        vhosts[i] = next_fd(opaque);
    return true;
}

static char *
give_sysinfo(void *opaque, GError **err)
{
    (void)opaque;
    (void)err;
    return g_strdup(
        "<sysinfo type='smbios'>\n  <bios>\n    <entry name='vendor'>ACME, Ltd.</entry>\n"
        "    <entry name='release'>2.3</entry>\n  </bios>\n  <system>\n"
        "    <entry name='manufacturer'>ACME &amp; Sons</entry>\n"
        "    <entry name='uuid'>8895eb01-f6a4-8304-79aa-97f2502e193e</entry>\n"
        "    <entry name='sku'>7</entry>\n  </system>\n  <baseBoard>\n"
        "    <entry name='product'>Anvil</entry>\n  </baseBoard>\n  <chassis>\n"
        "    <entry name='asset'>12</entry>\n  </chassis>\n</sysinfo>\n");
}

static bool
give_nvram(void *opaque, const char *path, const char *template, GError **err)
{
    (void)opaque;
    (void)err;
    return path[0] == '/' && template[0] == '/';
}

static bool
give_graphics(void *opaque, DomainGraphics *graphics, int *ret_fd, int *ret_websocket, GError **err)
{
    (void)err;
    *ret_fd = next_fd(opaque);
    *ret_websocket = graphics->websocket == XML_UNSET_INT ? -1 : next_fd(opaque);
    return true;
}

static const NodeHostModel *
give_model(void *opaque, GError **err)
{
    static const char *const require[] = { "x2apic", "hypervisor", NULL };
    static const char *const disable[] = { "svm", NULL };
    static const NodeHostModel model = { "EPYC-Rome", "AMD", require, disable };

    (void)opaque;
    (void)err;
    return &model;
}

/* One image lies on another, which needs no file of this host; all others on nothing. */
static bool
give_backing(void *opaque, const char *path, const char *format, char **ret_name, char **ret_format,
             GError **err)
{
    (void)opaque;
    (void)err;
    assert_string_equal(format, "qcow2");
    if (strcmp(path, "/images/asked.qcow2") == 0) {
        *ret_name = g_strdup("/dev/null");
        *ret_format = g_strdup("raw");
    }
    return true;
}

static const ArgvOps ops = {
    .file = give_file,
    .backing = give_backing,
    .host = give_host,
    .secret = give_secret,
    .pty = give_pty,
    .socket = give_socket,
    .monitor = give_monitor,
    .sysinfo = give_sysinfo,
    .vsock = give_vsock,
    .nvram = give_nvram,
    .graphics = give_graphics,
    .taps = give_taps,
};

static GPtrArray *
build(DomainDef *live, GError **err)
{
    int fd = FIRST_FD;
    static char *machines[] = { (char *)"pc-q35-*", NULL };
    HostFirmware ovmf = { .file = (char *)"60-edk2-x86_64.json",
                          .code = (char *)"/usr/share/OVMF/OVMF_CODE_4M.fd",
                          .nvram_template = (char *)"/usr/share/OVMF/OVMF_VARS_4M.fd",
                          .uefi = true,
                          .machines = machines };
    g_autoptr(GPtrArray) firmwares = g_ptr_array_new();
    ArgvConfig config = {
        .vmm = "/usr/bin/kiln-vmm",
        .kvm_device = "/dev/kvm",
        .sandbox_user = "995:993",
        .nvram_dir = "/var/lib/kiln/nvram",
        .firmwares = firmwares,
        .host_model = give_model,
        .ops = &ops,
        .opaque = &fd,
    };

    g_ptr_array_add(firmwares, &ovmf);
    return argv_build(&config, live, err);
}

static DomainDef *
parse(const char *xml)
{
    const DomainDefaults defaults = { "/usr/bin/kiln-vmm", DOMAIN_DEFAULT_MACHINE, false };
    g_autoptr(GError) err = NULL;
    DomainDef *def = domain_def_parse(xml, 0, &defaults, &err);

    if (!def)
        fail_msg("%s", err->message);
    return def;
}

/* One option on each line, as in a guest's log. */
static char *
lines(const GPtrArray *args)
{
    GString *text = g_string_new(args->pdata[0]);

    for (guint i = 1; i + 1 < args->len; i++) {
        const char *word = args->pdata[i];

        g_string_append(text, word[0] == '-' ? "\n" : " ");
        g_string_append(text, word);
    }
    g_string_append_c(text, '\n');
    return g_string_free(text, FALSE);
}

static void
check_file(const char *dir, const char *name)
{
    g_autofree char *xml_path = g_build_filename(dir, name, NULL);
    g_autofree char *stem = g_strndup(xml_path, strlen(xml_path) - strlen(".xml"));
    g_autofree char *args_path = g_strconcat(stem, ".args", NULL);
    g_autofree char *xml = NULL;
    g_autofree char *text = NULL;
    g_autoptr(DomainDef) def = NULL;
    g_autoptr(DomainDef) live = NULL;
    g_autoptr(GPtrArray) args = NULL;
    g_autoptr(GError) err = NULL;

    assert_true(g_file_get_contents(xml_path, &xml, NULL, NULL));
    def = parse(xml);
    live = domain_live_new(def, 7);
    args = build(live, &err);
    if (!args)
        fail_msg("%s: %s", name, err->message);
    text = lines(args);
    golden_check(args_path, text);
}

static void
test_golden_files(void **state)
{
    g_autofree char *path = g_build_filename(getenv("KILN_SOURCE_ROOT"), "tests/golden/argv", NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    unsigned n = 0;

    (void)state;
    assert_non_null(dir);
    while ((name = g_dir_read_name(dir)))
        if (g_str_has_suffix(name, ".xml")) {
            check_file(path, name);
            n++;
        }
    assert_true(n > 3);
}

/* What the table of kiln-vmm's options has no place for is refused by name. */
static void
check_refused(const char *os, const char *devices, const char *why)
{
    g_autofree char *xml = g_strdup_printf("<domain type='kvm'><name>x</name><memory>65536</memory>"
                                           "<os><type arch='x86_64' machine='q35'>hvm</type>%s</os>"
                                           "<devices>%s</devices></domain>",
                                           os, devices);
    g_autoptr(DomainDef) def = parse(xml);
    g_autoptr(DomainDef) live = domain_live_new(def, 1);
    g_autoptr(GPtrArray) args = NULL;
    g_autoptr(GError) err = NULL;

    args = build(live, &err);
    assert_null(args);
    assert_int_equal(kiln_error_code(err), VIR_ERR_CONFIG_UNSUPPORTED);
    if (!strstr(err->message, why))
        fail_msg("'%s' does not name '%s'", err->message, why);
}

static void
test_refusals_name_what_is_missing(void **state)
{
    const char *kernel = "<kernel>/k</kernel>";

    (void)state;
    check_refused(kernel,
                  "<disk type='file' device='floppy'><source file='/x'/>"
                  "<target dev='fda' bus='fdc'/></disk>",
                  "fdc");
    check_refused("<kernel>/k</kernel><loader type='pflash'>/f</loader>", "", "<loader>");
    check_refused(kernel,
                  "<interface type='user'><mac address='52:54:00:00:00:01'/>"
                  "<model type='igb'/></interface>",
                  "igb");
    check_refused(kernel,
                  "<serial type='tcp'><source mode='bind' host='127.0.0.1' service='1'/>"
                  "<protocol type='telnets'/></serial>",
                  "raw");
}

/* An enlightenment without the one it needs is refused before kiln-vmm runs. */
static void
test_hyperv_refusals(void **state)
{
    static const struct {
        const char *features, *why;
    } cases[] = {
        { "<synic state='on'/>", "'synic' needs 'vpindex'" },
        { "<vpindex state='on'/><synic state='on'/><stimer state='on'/>", "timer 'hypervclock'" },
        { "<spinlocks state='on'/>", "needs 'retries'" },
        { "<vendor_id state='on'/>", "needs 'value'" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml =
            g_strdup_printf("<domain type='kvm'><name>x</name><memory>65536</memory><os>"
                            "<type arch='x86_64' machine='q35'>hvm</type><kernel>/k</kernel></os>"
                            "<features><hyperv mode='custom'>%s</hyperv></features></domain>",
                            cases[i].features);
        g_autoptr(DomainDef) def = parse(xml);
        g_autoptr(DomainDef) live = domain_live_new(def, 1);
        g_autoptr(GError) err = NULL;

        assert_null(build(live, &err));
        if (!strstr(err->message, cases[i].why))
            fail_msg("'%s' does not name '%s'", err->message, cases[i].why);
    }
}

/* What an image says of the one it lies on goes on being asked where it was. */
static void
test_what_new_images_lie_on(void **state)
{
    static const struct {
        const char *behind, *under;
    } cases[] = {
        { "", "<backingStore type='file'>\n  <format type='qcow2'/>\n  <source file='/a'/>\n"
              "</backingStore>" },
        { "<backingStore/>",
          "<backingStore type='file'>\n  <format type='qcow2'/>\n  <source file='/a'/>\n"
          "  <backingStore/>\n</backingStore>" },
        { "<backingStore type='file'><format type='qcow2'/><source file='/b'/></backingStore>",
          "<backingStore type='file'>\n  <format type='qcow2'/>\n  <source file='/a'/>\n"
          "  <backingStore type='file'>\n    <format type='qcow2'/>\n    <source file='/b'/>\n"
          "  </backingStore>\n</backingStore>" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml = g_strdup_printf(
            "<domain type='kvm'><name>x</name><memory>65536</memory><os>"
            "<type arch='x86_64' machine='q35'>hvm</type></os><devices><disk type='file'>"
            "<driver type='qcow2'/><source file='/a'/>%s<target dev='vda'/></disk></devices>"
            "</domain>",
            cases[i].behind);
        g_autoptr(DomainDef) def = parse(xml);
        g_autofree char *under = argv_chain_under(def->disks->pdata[0], NULL);

        assert_non_null(under);
        assert_string_equal(g_strchomp(under), cases[i].under);
        assert_false(argv_chain_remove(def->disks->pdata[0], "/c"));
        assert_int_equal(argv_chain_remove(def->disks->pdata[0], "/b"),
                         strstr(cases[i].behind, "/b") != NULL);
        assert_false(argv_chain_remove(def->disks->pdata[0], "/b"));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_files),
        cmocka_unit_test(test_refusals_name_what_is_missing),
        cmocka_unit_test(test_hyperv_refusals),
        cmocka_unit_test(test_what_new_images_lie_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
