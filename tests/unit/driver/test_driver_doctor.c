/* test_driver_doctor.c - what `virtkilnd --check` says of hosts that are not there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/node/doctor.h"
#include "tests/unit/driver/node_fixture.h"

/* Network findings: one good, one bad, one that only some need. */
static void
fake_network(const NetworkConfig *config, NetworkCheckFunc line, void *opaque)
{
    (void)config;
    line(opaque, "bridges", "the kernel has them", NULL);
    line(opaque, "dnsmasq", "is not there", "get it");
    line(opaque, "other firewalls", "one drops", "let it pass");
}

static char *
examine(FakeHost *host, int *ret_failures)
{
    g_autoptr(DaemonConfig) config = daemon_config_new();
    char *text = NULL;
    size_t len;
    Doctor doctor = { .out = open_memstream(&text, &len),
                      .paths = &host->paths,
                      .config = config,
                      .root = host->root,
                      .cpu_map_dir = host->map_dir,
                      .check_network = fake_network };

    *ret_failures = doctor_run(&doctor);
    fclose(doctor.out);
    return text;
}

/* The line about @what; its remedy follows it. */
static bool
says(const char *text, const char *level, const char *what, const char *found)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *start = g_strdup_printf("%-4s  %-18s  ", level, what);

    for (char **line = lines; *line; line++)
        if (g_str_has_prefix(*line, start))
            return strstr(*line, found) != NULL;
    return false;
}

/* Every line that complains is followed by what helps. */
static bool
complaints_have_remedies(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line; line++)
        if ((g_str_has_prefix(*line, "FAIL") || g_str_has_prefix(*line, "warn")) &&
            !(line[1] && g_str_has_prefix(line[1], "      ")))
            return false;
    return true;
}

static void
test_bare_host(void **state)
{
    FakeHost *host = fake_host_new(false);
    int failures = 0;
    g_autofree char *text = NULL;

    (void)state;
    g_free(host->paths.vmm);
    host->paths.vmm = g_strdup("/nowhere/kiln-vmm");
    text = examine(host, &failures);
    assert_true(says(text, "FAIL", "KVM", "there is no /dev/kvm"));
    assert_non_null(strstr(text, "VT-x"));
    assert_true(says(text, "FAIL", "kiln-vmm", "/nowhere/kiln-vmm"));
    assert_true(says(text, "FAIL", "user of guests", "'kiln'"));
    assert_true(says(text, "FAIL", "dnsmasq", "is not there"));
    assert_true(says(text, "warn", "other firewalls", "one drops"));
    assert_true(says(text, "warn", "cgroups", "none are mounted"));
    assert_true(says(text, "warn", "vhost-net", "no /dev/vhost-net"));
    assert_true(says(text, "warn", "systemd", "does not run"));
    assert_true(says(text, "ok", "CPU models", "the map has 3"));
    assert_true(says(text, "ok", "libvirt-sock", "is free"));
    assert_true(complaints_have_remedies(text));
    assert_int_equal(failures, 4);
    assert_non_null(strstr(text, "\n4 findings keep guests from running"));
    fake_host_free(host);
}

static void
test_good_host(void **state)
{
    FakeHost *host = fake_host_new(false);
    g_autofree char *vmm = NULL;
    g_autofree char *text = NULL;
    int failures = 0;

    (void)state;
    fake_host_write(host, "/etc/passwd", "root:x:0:0::/:/bin/sh\nkiln:x:990:990::/:/bin/false\n");
    fake_host_write(host, "/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
    fake_host_write(host, "/dev/vhost-net", "%s", "");
    fake_host_write(host, "/run/systemd/system/x", "%s", "");
    fake_host_write(host, "/proc/sys/net/ipv4/ip_forward", "1\n");
    fake_host_write(host, "/usr/share/seabios/bios-256k.bin", "x");
    fake_host_write(host, "/vmm", "#!/bin/sh\necho kiln-vmm 1.2.3\n");
    vmm = g_strconcat(host->root, "/vmm", NULL);
    assert_int_equal(chmod(vmm, 0755), 0);
    g_free(host->paths.vmm);
    host->paths.vmm = g_steal_pointer(&vmm);
    text = examine(host, &failures);
    assert_true(says(text, "ok", "kiln-vmm", "kiln-vmm 1.2.3"));
    assert_true(says(text, "ok", "user of guests", "'kiln'"));
    assert_true(says(text, "ok", "cgroups", "version 2 with cpu, cpuset, memory"));
    assert_true(says(text, "ok", "ip_forward", "on"));
    assert_true(says(text, "ok", "hugepages", "64 of 2048 kB"));
    assert_true(says(text, "ok", "SeaBIOS", "/usr/share/seabios/bios-256k.bin"));
    assert_true(says(text, "ok", "memory", "4096 MiB"));
    assert_int_equal(failures, 2); /* KVM, and the network's own */
    fake_host_free(host);
}

static void
test_kinds_of_kvm(void **state)
{
    FakeHost *host = fake_host_new(false);
    int failures = 0;
    g_autofree char *text = NULL;

    (void)state;
    fake_host_write(host, "/dev/kvm", "%s", "");
    fake_host_write(host, "/sys/module/kvm_amd/parameters/npt", "0\n");
    fake_host_write(host, "/sys/module/kvm_amd/parameters/nested", "1\n");
    text = examine(host, &failures);
    assert_true(says(text, "ok", "kind of KVM", "hardware (kvm_amd)"));
    assert_true(says(text, "warn", "nested paging", "NPT is off"));
    assert_true(says(text, "ok", "guests in guests", "on"));
    assert_true(says(text, "FAIL", "KVM's abilities", "irqfd")); /* a plain file answers no ioctl */
    g_clear_pointer(&text, g_free);
    fake_host_write(host, "/sys/module/kvm_pvm/parameters/stats", "0\n");
    text = examine(host, &failures);
    assert_true(says(text, "FAIL", "kind of KVM", "cannot run a stock kernel"));
    assert_non_null(strstr(text, "tests/lab/run"));
    fake_host_free(host);
}

/* Who has a socket's name, from a table of sockets and a process that holds one of them. */
static void
test_socket_names(void **state)
{
    FakeHost *host = fake_host_new(false);
    g_autofree char *fd = g_strconcat(host->root, "/proc/77/fd/5", NULL);
    g_autofree char *text = NULL;
    int failures = 0;

    (void)state;
    fake_host_write(
        host, "/proc/net/unix",
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 4711 /run/libvirt/libvirt-sock\n"
        "0000000000000000: 00000003 00000000 00000000 0001 03 4712 "
        "/run/libvirt/virtqemud-sock\n"
        "0000000000000000: 00000002 00000000 00010000 0001 01 4713 "
        "/run/libvirt/virtkilnd-sock\n");
    fake_host_write(host, "/proc/77/comm", "libvirtd\n");
    fake_host_write(host, "/proc/77/fd/0", "%s", "");
    assert_int_equal(symlink("socket:[4711]", fd), 0);
    text = examine(host, &failures);
    assert_true(says(text, "warn", "libvirt-sock", "'libvirtd' (process 77)"));
    assert_true(says(text, "ok", "virtqemud-sock", "is free"));
    assert_true(says(text, "warn", "virtkilnd-sock", "another process"));
    g_clear_pointer(&text, g_free);
    fake_host_write(host, "/proc/77/comm", "virtkilnd\n");
    text = examine(host, &failures);
    assert_true(says(text, "ok", "libvirt-sock", "virtkilnd (process 77)"));
    fake_host_free(host);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bare_host),
        cmocka_unit_test(test_good_host),
        cmocka_unit_test(test_kinds_of_kvm),
        cmocka_unit_test(test_socket_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
