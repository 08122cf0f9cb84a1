/* tap.c - a guest's tap interface on the host.
 *
 * Linux Documentation/networking/tuntap.rst: TUNSETIFF once per queue, with IFF_MULTI_QUEUE when
 * there are several. Leaves out persistence: nothing here outlives its descriptors.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/tap.h"

#include "network/netlink.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool
tap_name_valid(const char *name, bool template_ok)
{
    const char *percent = strchr(name, '%');

    if (percent && (!template_ok || strncmp(percent, "%d", 2) != 0 || strchr(percent + 1, '%')))
        return false;
    if (name[0] == '\0' || strlen(name) >= IFNAMSIZ || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return false;
    for (const char *c = name; *c; c++)
        if (*c == '/' || *c == ':' || *c == '"' || *c == '\\' || *c <= ' ' || *c == 0x7f)
            return false;
    return true;
}

static bool
tap_open_queue(const char *name, unsigned short flags, char ret_name[IFNAMSIZ], int *ret_fd,
               GError **err)
{
    struct ifreq ifr = { .ifr_flags = (short)flags };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    int saved;

    if (fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "cannot open /dev/net/tun to make tap '%s' (is the 'tun' "
                                    "module there?)",
                                    name);
    g_strlcpy(ifr.ifr_name, name, sizeof(ifr.ifr_name));
    if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
        saved = errno;
        close(fd);
        if (saved == EBUSY && (flags & IFF_TUN_EXCL))
            return kiln_error_set(err, VIR_ERR_RESOURCE_BUSY,
                                  "interface '%s' exists already: a guest needs a <target dev=''/> "
                                  "of its own",
                                  name);
        if (saved == EBUSY)
            return kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "tap interface '%s' is in use", name);
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, saved,
                                    "cannot make tap interface '%s'", name);
    }
    memcpy(ret_name, ifr.ifr_name, IFNAMSIZ);
    ret_name[IFNAMSIZ - 1] = '\0';
    *ret_fd = fd;
    return true;
}

bool
tap_open(const char *name, unsigned queues, bool vnet_hdr, bool existing, char ret_name[IFNAMSIZ],
         int *ret_fds, GError **err)
{
    unsigned short flags = IFF_TAP | IFF_NO_PI;
    char actual[IFNAMSIZ];

    if (!tap_name_valid(name, !existing))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "'%s' cannot be the name of a network interface: 1 to %d characters "
                              "without '/', ':' or spaces",
                              name, IFNAMSIZ - 1);
    if (existing && !netlink_link_exists(name))
        return kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                              "there is no tap interface '%s', which managed='no' expects to exist",
                              name);
    if (vnet_hdr)
        flags |= IFF_VNET_HDR;
    if (queues > 1)
        flags |= IFF_MULTI_QUEUE;
    g_strlcpy(actual, name, sizeof(actual));
    for (unsigned i = 0; i < queues; i++) {
        /* The first queue makes the interface, the others join it. */
        unsigned short exclusive = existing || i > 0 ? 0 : IFF_TUN_EXCL;

        if (!tap_open_queue(actual, flags | exclusive, actual, &ret_fds[i], err)) {
            while (i-- > 0)
                close(ret_fds[i]);
            return false;
        }
    }
    memcpy(ret_name, actual, IFNAMSIZ);
    return true;
}
