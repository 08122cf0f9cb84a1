/* resources.h - what is opened on the host for a guest that starts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_RESOURCES_H
#define KILN_DRIVER_DOMAIN_RESOURCES_H

#include "driver/domain/argv.h"
#include "driver/domain/private.h"

/* Descriptors opened so far. Ports and sockets are entered into the run, which gives them back. */
typedef struct {
    DomainRun *run;
    DomainDef *def;
    GArray *fds; /* SpawnFd, owned */
} DomainResources;

void domain_resources_init(DomainResources *resources, DomainRun *run, DomainDef *def);
/* Closes the daemon's copies. */
void domain_resources_clear(DomainResources *resources);

/* Takes @fd; returns its number in the child. */
int domain_resources_add(DomainResources *resources, int fd);

/* The opening functions; their opaque is a DomainResources. */
extern const ArgvOps domain_resources_ops;
/* What <smbios mode='host'> stands for; g_free() it. */
char *domain_host_sysinfo(DomainManager *manager, GError **err);
const NodeHostModel *domain_resources_host_model(void *opaque, GError **err);

/* <inbound> or <outbound> of an interface; NULL: no limit. */
NetworkLimit domain_net_limit(const DomainBandwidth *bandwidth);

/* What an image says of itself, read by kiln-img in its sandbox. Strings are owned. (chain.c) */
typedef struct {
    uint64_t virtual_size;
    char *format;
    char *backing, *backing_format; /* NULL for none */
} DomainImage;
/* @format: NULL guesses, for images that no guest has written. */
bool domain_image_probe(const DomainManager *manager, const char *path, const char *format,
                        DomainImage *ret, GError **err);
/* kiln-img; g_free() it. */
char *domain_image_program(const DomainManager *manager);
/* ArgvOps.backing. */
bool domain_chain_backing(void *opaque, const char *path, const char *format, char **ret_name,
                          char **ret_format, GError **err);

/* ArgvOps.nvram. (nvram.c) */
bool domain_nvram_make(void *opaque, const char *path, const char *template, GError **err);

/* A listening socket at @path; a stale one there is replaced, a live one or another file is
 * refused. -1 with VIR_ERR_SYSTEM_ERROR. (sockets.c) */
int domain_socket_listen_unix(const char *path, GError **err);
int domain_socket_connect_unix(const char *path, GError **err);
int domain_socket_tcp(const char *host, const char *service, bool connected, GError **err);

#endif
