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

/* Where TLS credentials are, as libvirt has them: @own in the directory of keys, where there is
 * one, else what all uses share (qemu). NULL when the manager has no such directory. g_free() it.
 */
char *domain_tls_dir(const DomainManager *manager, const char *own);

/* A pipe with the value of @secret in it, which is empty once it is read. -1 with @err, which is
 * VIR_ERR_NO_SECRET where there is none. */
int domain_secret_pipe(const DomainManager *manager, const DomainDiskSecret *secret, GError **err);

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
/* Makes the image that @image describes (place, format, encryption), with @size bytes or, when that
 * is 0, as many as @behind has. It lies on @behind, by name only; NULL: on nothing. (image_run.c)
 */
bool domain_image_create(DomainManager *manager, const DomainDisk *image, const DomainDisk *behind,
                         uint64_t size, GError **err);
/* Writes what the qcow2 image @image has into @base, which it lies on. Nobody has them open. What
 * @base lies on is found by its <backingStore>, then by name. */
bool domain_image_commit(DomainManager *manager, const DomainDisk *image, const DomainDisk *base,
                         GError **err);
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
