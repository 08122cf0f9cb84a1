/* doctor_host.c - the doctor's part for the host: user, cgroups, memory, disk, limits, services.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/io_uring.h>

#include "driver/node/doctor.h"
#include "driver/node/firmware.h"
#include "driver/node/node_private.h"
#include "driver/node/sysfs.h"

#define MEMORY_LOW_KIB (512u * 1024)
#define DISK_LOW (1024u * 1024 * 1024)
#define DISK_NONE (16u * 1024 * 1024)
#define FILES_LOW 8192

static void
check_user(Doctor *doctor)
{
    const char *name = doctor->config->vmm_user;
    g_autofree char *line = g_strdup_printf("%s:", name);
    g_autofree char *users = NULL;
    bool there;

    if (doctor->paths->session)
        return; /* guests run as the user */
    if (*doctor->root) {
        g_auto(GStrv) lines = NULL;

        users = sysfs_read(doctor->root, "/etc/passwd");
        lines = g_strsplit(users ? users : "", "\n", -1);
        there = false;
        for (char **at = lines; *at; at++)
            there |= g_str_has_prefix(*at, line);
    } else {
        there = getpwnam(name) != NULL;
    }
    if (there)
        doctor_say(doctor, DOCTOR_OK, "user of guests", NULL, "'%s'", name);
    else
        doctor_say(
            doctor, DOCTOR_FAIL, "user of guests",
            "systemd-sysusers, or: useradd --system --no-create-home --shell /usr/sbin/nologin "
            "-G kvm kiln",
            "there is no user '%s'", name);
}

/* Version 2 has one tree with all controllers; version 1 a tree for each. */
static void
check_cgroups(Doctor *doctor)
{
    static const char *const wanted[] = { "cpu", "cpuset", "memory", NULL };
    g_autofree char *v2 = sysfs_read(doctor->root, "/sys/fs/cgroup/cgroup.controllers");
    g_autoptr(GString) missing = g_string_new(NULL);
    g_auto(GStrv) has = v2 ? g_strsplit(v2, " ", -1) : NULL;
    int version = v2 ? 2 : sysfs_exists(doctor->root, "/sys/fs/cgroup/cpu") ? 1 : 0;

    for (size_t i = 0; wanted[i]; i++)
        if (v2 ? !g_strv_contains((const char *const *)has, wanted[i])
               : !sysfs_exists(doctor->root, "/sys/fs/cgroup/%s", wanted[i]))
            g_string_append_printf(missing, "%s%s", missing->len ? ", " : "", wanted[i]);
    if (!version)
        doctor_say(doctor, DOCTOR_WARN, "cgroups", "mount cgroup2 on /sys/fs/cgroup",
                   "none are mounted: <cputune> shares and quotas cannot be applied");
    else if (missing->len)
        doctor_say(
            doctor, DOCTOR_WARN, "cgroups",
            "in virtkilnd.service, Delegate=yes gives them; a container's manager may have to",
            "version %d, without %s: limits that need them are refused", version, missing->str);
    else
        doctor_say(doctor, DOCTOR_OK, "cgroups", NULL, "version %d with cpu, cpuset, memory",
                   version);
}

static void
check_io_uring(Doctor *doctor)
{
    uint64_t disabled = 0;
    struct io_uring_params params = { 0 };
    int fd, errnum = 0;

    sysfs_read_uint(&disabled, doctor->root, "/proc/sys/kernel/io_uring_disabled");
    if (!disabled && !*doctor->root) {
        fd = (int)syscall(SYS_io_uring_setup, 1, &params);
        errnum = fd < 0 ? errno : 0;
        if (fd >= 0)
            close(fd);
    }
    if (disabled)
        doctor_say(doctor, DOCTOR_WARN, "io_uring", "sysctl kernel.io_uring_disabled=0",
                   "kernel.io_uring_disabled is %" G_GUINT64_FORMAT
                   ": disks use threads, which are slower",
                   disabled);
    else if (errnum)
        doctor_say(doctor, DOCTOR_WARN, "io_uring", NULL,
                   "not to be had (%s): disks use threads, which are slower", g_strerror(errnum));
    else
        doctor_say(doctor, DOCTOR_OK, "io_uring", NULL, "allowed");
}

static void
check_memory(Doctor *doctor)
{
    g_autofree char *info = sysfs_read(doctor->root, "/proc/meminfo");
    g_autofree char *text = info ? sysfs_find_line(info, "MemAvailable") : NULL;
    g_autofree char *huge = info ? sysfs_find_line(info, "HugePages_Total") : NULL;
    g_autofree char *size = info ? sysfs_find_line(info, "Hugepagesize") : NULL;
    guint64 kib = text ? g_ascii_strtoull(text, NULL, 10) : 0;

    if (kib < MEMORY_LOW_KIB)
        doctor_say(doctor, DOCTOR_WARN, "memory", "end other programs, or add memory",
                   "%" G_GUINT64_FORMAT " MiB are available, which is little for a guest",
                   kib / 1024);
    else
        doctor_say(doctor, DOCTOR_OK, "memory", NULL, "%" G_GUINT64_FORMAT " MiB are available",
                   kib / 1024);
    doctor_say(doctor, DOCTOR_OK, "hugepages", NULL, "%s of %s%s", huge ? huge : "0",
               size ? size : "unknown size",
               huge && g_ascii_strtoull(huge, NULL, 10)
                   ? ""
                   : " (for <hugepages/>: sysctl vm.nr_hugepages=N)");
}

/* @dir, or the nearest directory above it that is there. */
static void
check_disk(Doctor *doctor, const char *what, const char *dir)
{
    g_autofree char *at = g_strdup(dir);
    struct statvfs fs;
    guint64 bytes;

    while (statvfs(at, &fs) < 0 && strlen(at) > 1) {
        char *up = g_path_get_dirname(at);

        g_free(at);
        at = up;
    }
    if (statvfs(at, &fs) < 0)
        return;
    bytes = (guint64)fs.f_bavail * fs.f_frsize;
    doctor_say(doctor,
               bytes < DISK_NONE  ? DOCTOR_FAIL
               : bytes < DISK_LOW ? DOCTOR_WARN
                                  : DOCTOR_OK,
               what, bytes < DISK_LOW ? "make room there" : NULL,
               "%" G_GUINT64_FORMAT " MiB are free in %s", bytes >> 20, dir);
}

static void
check_files(Doctor *doctor)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    if (limit.rlim_max < FILES_LOW)
        doctor_say(doctor, DOCTOR_WARN, "open files",
                   "LimitNOFILE= in virtkilnd.service, or ulimit -Hn before starting it by hand",
                   "at most %" G_GUINT64_FORMAT ": enough for some tens of guests",
                   (guint64)limit.rlim_max);
    else
        doctor_say(doctor, DOCTOR_OK, "open files", NULL, "up to %" G_GUINT64_FORMAT,
                   (guint64)limit.rlim_max);
}

static void
check_services(Doctor *doctor)
{
    const DaemonConfig *config = doctor->config;
    bool wanted =
        !strcmp(config->auth_unix_rw, "polkit") || !strcmp(config->auth_unix_ro, "polkit");
    bool polkit = sysfs_exists(doctor->root, "/usr/lib/polkit-1/polkitd") ||
                  sysfs_exists(doctor->root, "/usr/libexec/polkitd");

    if (sysfs_exists(doctor->root, "/run/systemd/system"))
        doctor_say(doctor, DOCTOR_OK, "systemd", NULL, "runs this host");
    else
        doctor_say(doctor, DOCTOR_WARN, "systemd", "start the daemon by hand: virtkilnd --daemon",
                   "does not run this host: virtkilnd is not started by itself");
    if (wanted && !polkit)
        doctor_say(doctor, DOCTOR_FAIL, "polkit",
                   "apt install polkitd, or set auth_unix_rw = \"none\" in virtkilnd.conf",
                   "the settings ask for it, but it is not installed");
    else
        doctor_say(doctor, DOCTOR_OK, "polkit", NULL, "%s, %s",
                   polkit ? "installed" : "not installed", wanted ? "used" : "not used");
}

/* Firmware that guests can use here but that is missing is worth a warning; what only waits to be
 * used is told. */
static void
check_firmware_file(Doctor *doctor, const char *what, const char *path, bool used,
                    const char *remedy)
{
    bool there = path && sysfs_exists(doctor->root, "%s", path);

    if (there)
        doctor_say(doctor, DOCTOR_OK, what, NULL, "%s%s", path,
                   used ? "" : " (no guest can boot by it yet)");
    else if (used)
        doctor_say(doctor, DOCTOR_WARN, what, remedy, "is not installed");
    else
        doctor_say(doctor, DOCTOR_OK, what, NULL,
                   "is not installed, and no guest can boot by it yet");
}

static void
check_firmware(Doctor *doctor)
{
    const NodeMachine *machine = node_machine_find(NULL);
    g_autoptr(GPtrArray) list = host_firmware_list(doctor->root, NODE_ARCH);
    const char *vmm = doctor->paths->vmm;
    const char *uefi = NULL;

    for (guint i = 0; i < list->len && !uefi; i++) {
        const HostFirmware *firmware = list->pdata[i];

        if (firmware->uefi && !firmware->secure_boot)
            uefi = firmware->code;
    }
    check_firmware_file(doctor, "SeaBIOS", "/usr/share/seabios/bios-256k.bin",
                        node_offers_firmware(vmm, machine), "apt install seabios");
    check_firmware_file(doctor, "UEFI firmware", uefi, node_offers_uefi(vmm, machine),
                        "apt install ovmf");
}

void
doctor_check_host(Doctor *doctor)
{
    check_user(doctor);
    check_cgroups(doctor);
    check_io_uring(doctor);
    check_memory(doctor);
    check_disk(doctor, "disk: images", doctor->paths->images_dir);
    check_disk(doctor, "disk: state", doctor->paths->lib_dir);
    check_disk(doctor, "disk: logs", doctor->paths->log_dir);
    check_disk(doctor, "disk: run", doctor->paths->run_dir);
    check_files(doctor);
    check_services(doctor);
    check_firmware(doctor);
}
