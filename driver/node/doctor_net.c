/* doctor_net.c - the doctor's part for networks, and for the names of the daemon's sockets.
 *
 * Who listens on a socket is read from /proc/net/unix (proc(5)), never found out by connecting:
 * that would start a daemon that systemd holds the socket for.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "driver/node/doctor.h"
#include "driver/node/sysfs.h"

#define UNIX_FLAG_LISTEN 0x10000u   /* __SO_ACCEPTCON, the column Flags */
#define DEFAULT_NETWORK 0xc0a87a00u /* 192.168.122.0 */
#define DEFAULT_MASK 0xffffff00u

/* Inode of the listening socket at @path; 0: nobody listens. */
static guint64
socket_find(const char *root, const char *path)
{
    g_autofree char *text = sysfs_read(root, "/proc/net/unix");
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);

    for (char **line = lines; *line; line++) {
        unsigned flags;
        guint64 inode;
        int name = 0;

        /* Num RefCount Protocol Flags Type St Inode Path */
        if (sscanf(*line, "%*s %*x %*x %x %*x %*x %" G_GUINT64_FORMAT " %n", &flags, &inode,
                   &name) == 2 &&
            name && (flags & UNIX_FLAG_LISTEN) && !strcmp(*line + name, path))
            return inode;
    }
    return 0;
}

static bool
process_holds(const char *root, const char *pid, const char *link)
{
    g_autofree char *path = g_strdup_printf("%s/proc/%s/fd", root, pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        g_autofree char *target = g_file_read_link(file, NULL);

        if (g_strcmp0(target, link) == 0)
            return true;
    }
    return false;
}

/* The process that has socket @inode open: the daemon rather than the init that holds it too. 0
 * when none can be seen. */
static unsigned
socket_owner(const char *root, guint64 inode)
{
    g_autofree char *link = g_strdup_printf("socket:[%" G_GUINT64_FORMAT "]", inode);
    g_autofree char *proc = g_strconcat(root, "/proc", NULL);
    g_autoptr(GDir) dir = g_dir_open(proc, 0, NULL);
    unsigned owner = 0;
    const char *name;

    while (dir && (name = g_dir_read_name(dir)))
        if (g_ascii_isdigit(*name) && owner <= 1 && process_holds(root, name, link))
            owner = (unsigned)g_ascii_strtoull(name, NULL, 10);
    return owner;
}

/* The unit that systemd listens on @path for, or NULL. */
static char *
socket_unit(const char *path)
{
    const char *argv[] = { "systemctl", "list-sockets", "--no-legend", "--plain", "--full", NULL };
    g_autofree char *out = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL,
                      NULL, NULL, &out, NULL, NULL, NULL))
        return NULL;
    lines = g_strsplit(out, "\n", -1);
    for (char **line = lines; *line; line++)
        if (g_str_has_prefix(*line, path) && (*line)[strlen(path)] == ' ') {
            const char *unit = *line + strlen(path) + strspn(*line + strlen(path), " ");

            return g_strndup(unit, strcspn(unit, " "));
        }
    return NULL;
}

static void
check_socket(Doctor *doctor, const char *name, const char *suffix)
{
    g_autofree char *file = g_strdup_printf("%s-sock%s", name, suffix);
    g_autofree char *path = g_build_filename(doctor->paths->socket_dir, file, NULL);
    guint64 inode = socket_find(doctor->root, path);
    unsigned pid = inode ? socket_owner(doctor->root, inode) : 0;
    g_autofree char *comm = pid ? sysfs_read(doctor->root, "/proc/%u/comm", pid) : NULL;
    g_autofree char *unit = pid == 1 && !*doctor->root ? socket_unit(path) : NULL;

    if (!inode)
        doctor_say(doctor, DOCTOR_OK, file, NULL, "is free");
    else if (!g_strcmp0(comm, "virtkilnd"))
        doctor_say(doctor, DOCTOR_OK, file, NULL, "virtkilnd (process %u) listens on it", pid);
    else if (unit && g_str_has_prefix(unit, "virtkilnd"))
        doctor_say(doctor, DOCTOR_OK, file, NULL, "systemd listens on it for virtkilnd (%s)", unit);
    else if (!pid)
        doctor_say(doctor, DOCTOR_WARN, file, "run this check as root to see which",
                   "another process listens on it");
    else
        doctor_say(
            doctor, DOCTOR_WARN, file,
            "Kiln leaves it alone and serves the other names. To give it the name, stop the other: "
            "systemctl disable --now libvirtd.socket libvirtd-ro.socket virtqemud.socket "
            "virtqemud-ro.socket libvirtd virtqemud",
            "'%s' (process %u%s%s) listens on it", comm ? comm : "?", pid, unit ? ", " : "",
            unit ? unit : "");
}

static void
check_vhost(Doctor *doctor)
{
    if (sysfs_exists(doctor->root, "/dev/vhost-net"))
        doctor_say(doctor, DOCTOR_OK, "vhost-net", NULL, "/dev/vhost-net is there");
    else
        doctor_say(
            doctor, DOCTOR_WARN, "vhost-net", "modprobe vhost_net",
            "there is no /dev/vhost-net: guests' packets go through kiln-vmm, which is slower");
}

static void
check_forward(Doctor *doctor)
{
    uint64_t on = 0;

    sysfs_read_uint(&on, doctor->root, "/proc/sys/net/ipv4/ip_forward");
    doctor_say(doctor, DOCTOR_OK, "ip_forward", NULL, "%s",
               on ? "on" : "off; a network with forward mode nat or route switches it on");
}

/* Which interface has an address in the network that `default` is in by custom. */
static void
check_default_subnet(Doctor *doctor)
{
    struct ifaddrs *all = NULL;

    if (*doctor->root || getifaddrs(&all) < 0)
        return;
    for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)at->ifa_addr;

        if (in && in->sin_family == AF_INET &&
            (g_ntohl(in->sin_addr.s_addr) & DEFAULT_MASK) == DEFAULT_NETWORK)
            doctor_say(
                doctor, strcmp(at->ifa_name, "virbr0") ? DOCTOR_WARN : DOCTOR_OK,
                "192.168.122.0/24", NULL, "interface %s has an address there%s", at->ifa_name,
                strcmp(at->ifa_name, "virbr0") ? ": a new 'default' gets another network" : "");
    }
    freeifaddrs(all);
}

/* The network room says whether, not how bad: what only some networks need is no failure. */
static void
network_line(void *opaque, const char *what, const char *found, const char *remedy)
{
    Doctor *doctor = opaque;
    bool minor = !strcmp(what, "other firewalls") || doctor->paths->session;

    doctor_say(doctor,
               !remedy ? DOCTOR_OK
               : minor ? DOCTOR_WARN
                       : DOCTOR_FAIL,
               what, remedy, "%s", found);
}

void
doctor_check_network(Doctor *doctor)
{
    const NetworkConfig config = {
        .config_dir = doctor->paths->networks_dir,
        .run_dir = doctor->paths->networks_run,
        .dnsmasq_dir = doctor->paths->dnsmasq_dir,
        .leases_helper = doctor->paths->leases_helper,
        .privileged = !doctor->paths->session,
    };

    if (doctor->check_network)
        doctor->check_network(&config, network_line, doctor);
    check_default_subnet(doctor);
    check_forward(doctor);
    check_vhost(doctor);
    for (char **name = doctor->config->sockets; name && *name; name++) {
        check_socket(doctor, *name, "");
        if (!doctor->paths->session)
            check_socket(doctor, *name, "-ro");
    }
}
