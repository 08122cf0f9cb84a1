/* graphics.h - where viewers of a guest's screen connect, and their password.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_GRAPHICS_H
#define KILN_DRIVER_DOMAIN_GRAPHICS_H

#include "driver/domain/resources.h"

/* Takes over what holds where definitions say nothing else. Once, for a new @manager. */
void domain_graphics_configure(DomainManager *manager, const DomainVncConfig *vnc);

/* ArgvOps.graphics: listens as @graphics says and writes into it the ports, addresses and path that
 * were chosen. *ret_fd is -1 for <listen type='none'/>. */
bool domain_graphics_open(void *opaque, DomainGraphics *graphics, int *ret_fd, int *ret_websocket,
                          GError **err);

/* The host's address on @interface: the first of IPv4, else of IPv6 beyond the link. NULL with @err
 * when it has none. The caller frees. */
char *domain_graphics_interface_address(const char *interface, GError **err);

/* Gives the VMM of @run, which does not let the guest run yet, the passwords of @def. */
bool domain_graphics_set_passwords(DomainRun *run, const DomainDef *def, GError **err);

#endif
