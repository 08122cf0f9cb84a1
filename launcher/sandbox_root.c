/* sandbox_root.c - out of the host's files and network.
 *
 * mount_namespaces(7), pivot_root(2), user_namespaces(7), network_namespaces(7), landlock(7). With
 * privilege, or where ordinary users may make namespaces, the root directory becomes an empty
 * tmpfs; elsewhere Landlock refuses every access to files.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/sandbox_private.h"
#include "util/error.h"
#include "util/file.h"

#define RESOLVER "/etc/resolv.conf"
enum { RESOLVER_MAX = 64 * 1024 };

/* Keeps user and group what they are: only the capabilities over our own namespaces are new. */
static bool
root_unshare_user(int flags)
{
    g_autofree char *uid = g_strdup_printf("%u %u 1\n", geteuid(), geteuid());
    g_autofree char *gid = g_strdup_printf("%u %u 1\n", getegid(), getegid());

    return unshare(CLONE_NEWUSER | flags) == 0 &&
           file_put_setting("/proc/self/setgroups", "deny") == 0 &&
           file_put_setting("/proc/self/uid_map", uid) == 0 &&
           file_put_setting("/proc/self/gid_map", gid) == 0;
}

/* Makes an empty network namespace and returns to the host's, so that taps and sockets can still be
 * opened there. */
static int
root_make_network(void)
{
    int host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), own = -1;

    if (host >= 0 && unshare(CLONE_NEWNET) == 0) {
        own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        if (setns(host, CLONE_NEWNET) < 0 && own >= 0) {
            close(own);
            own = -1;
        }
    }
    if (host >= 0)
        close(host);
    return own;
}

bool
sandbox_root_begin(SandboxRoot *root, bool network)
{
    const int flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
    bool made;

    root->network = -1;
    made = geteuid() == 0 ? unshare(flags) == 0 : root_unshare_user(flags);
    if (!made && geteuid() == 0)
        made = root_unshare_user(flags);
    root->namespaces = made && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0;
    if (made && network)
        root->network = root_make_network();
    return root->namespaces;
}

/* The one file that user networking reads while it runs. */
static bool
root_keep_resolver(const char *dir, GError **err)
{
    g_autofree char *text = file_read_limited(RESOLVER, RESOLVER_MAX, NULL, NULL);
    g_autofree char *etc = g_strconcat(dir, "/etc", NULL);
    g_autofree char *copy = g_strconcat(dir, RESOLVER, NULL);

    if (!text)
        return true;
    if (mkdir(etc, 0755) == 0 &&
        g_file_set_contents_full(copy, text, -1, G_FILE_SET_CONTENTS_NONE, 0444, NULL))
        return true;
    return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot copy " RESOLVER);
}

bool
sandbox_root_empty(SandboxRoot *root, GError **err)
{
    static const char *const places[] = { "/tmp", "/run", "/var", "/dev" };
    const char *at = NULL;

    if (!root->namespaces)
        return true;
    for (size_t i = 0; i < G_N_ELEMENTS(places) && !at; i++)
        if (mount("tmpfs", places[i], "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                  "mode=0555,size=128k,nr_inodes=8") == 0)
            at = places[i];
    if (!at)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "-sandbox: cannot mount an empty root directory");
    if (root->resolver && !root_keep_resolver(at, err))
        return false;
    /* pivot_root(2), "pivot_root(".", ".")": the old root ends up over the new one, and is let go.
     */
    if (mount(NULL, at, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
              NULL) < 0 ||
        chdir(at) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
        chdir("/") < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "-sandbox: cannot enter an empty root directory");
    return true;
}

/* All rights of the first version of Landlock. */
static int
root_landlock(bool resolver)
{
    const struct landlock_ruleset_attr attr = {
        .handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1,
    };
    struct landlock_path_beneath_attr file = { .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE };
    int fd, ret;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
    if (fd < 0)
        return -errno;
    file.parent_fd = resolver ? open(RESOLVER, O_PATH | O_CLOEXEC) : -1;
    if (file.parent_fd >= 0) {
        syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &file, 0);
        close(file.parent_fd);
    }
    ret = syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : 0;
    close(fd);
    return ret;
}

int
sandbox_root_thread(const SandboxRoot *root)
{
    if (root->network >= 0 && setns(root->network, CLONE_NEWNET) < 0)
        return -errno;
    return root->namespaces ? 0 : root_landlock(root->resolver);
}
