/* tap.h - a guest's tap interface on the host.
 *
 * Linux Documentation/networking/tuntap.rst. Interfaces are not persistent: the last descriptor
 * that closes takes the interface with it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_TAP_H
#define KILN_NETWORK_TAP_H

#include <glib.h>
#include <net/if.h>
#include <stdbool.h>

/* Opens @queues (1..256) queues of the tap @name. With @existing the interface must be there
 * already, else it must not be, and is made. @name is exact, or has one "%d" that the kernel fills
 * in; @ret_name gets the name used. @ret_fds (room for @queues) gets descriptors that are
 * close-on-exec and non-blocking, owned by the caller. Any thread. Errors: VIR_ERR_RESOURCE_BUSY
 * when an interface of that name is there, VIR_ERR_SYSTEM_ERROR naming the interface and the
 * reason, VIR_ERR_CONFIG_UNSUPPORTED for a name that Linux cannot use. */
bool tap_open(const char *name, unsigned queues, bool vnet_hdr, bool existing,
              char ret_name[IFNAMSIZ], int *ret_fds, GError **err);

/* True for a name that Linux takes for an interface ("%d" once allowed with @template_ok). */
bool tap_name_valid(const char *name, bool template_ok);

#endif
