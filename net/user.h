/* user.h - options of the user back end, as text and as libslirp wants them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NET_USER_H
#define KILN_NET_USER_H

#include <libslirp.h>

#include "net/backend.h"

/* One "hostfwd=PROTO:[ADDRESS]:PORT-[ADDRESS]:PORT". */
typedef struct {
    bool udp;
    struct in_addr host, guest; /* guest 0: the first address given by DHCP */
    uint16_t host_port, guest_port;
} UserForward;

bool user_forward_parse(const NetBackend *backend, const char *text, UserForward *ret,
                        GError **err);

/* Fills @config, whose strings point into @props or, for dnssearch, into *ret_search, which the
 * caller frees with g_strfreev(). */
bool user_config_parse(const NetBackend *backend, GHashTable *props, SlirpConfig *config,
                       char ***ret_search, GError **err);

#endif
