/* migrate.h - what the two sides of a migration share: cookie, addresses, what may go.
 *
 * Follows version 3 of libvirt's protocol, as its client manages it (docs/migration.rst): Begin on
 * the source, Prepare on the destination, Perform on the source, Finish on the destination, Confirm
 * on the source. What each step has to tell the next goes in a cookie, which is each driver's own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_MIGRATE_H
#define KILN_DRIVER_DOMAIN_MIGRATE_H

#include "driver/domain/private.h"

/* Steps of the source, in Domain.migration. */
enum {
    MIGRATION_NONE,
    MIGRATION_BEGUN, /* the client has the definition */
    MIGRATION_PERFORMING,
    MIGRATION_PERFORMED, /* all of the guest is over there; it stands still here */
};

typedef struct {
    char *name, *uuid, *hostname;
    char *host;       /* which daemon of which host: a UUID */
    char *persistent; /* XML of the persistent definition; NULL: none */
} MigrateCookie;

/* xml_type_free(&migrate_cookie_type, …) it. */
extern const XmlType migrate_cookie_type;

/* What this side sends; g_free() it. @persistent may be NULL. */
char *migrate_cookie_make(const DomainManager *manager, const char *name, const uint8_t uuid[16],
                          const char *persistent);
/* What the other side has sent. VIR_ERR_INTERNAL_ERROR for none, or one of another driver's. */
MigrateCookie *migrate_cookie_read(const DomainMigrate *migrate, GError **err);
/* VIR_ERR_INTERNAL_ERROR when it comes from this daemon itself. */
bool migrate_cookie_check_host(const DomainManager *manager, const MigrateCookie *cookie,
                               GError **err);

/* Flags and parameters that are offered: VIR_ERR_ARGUMENT_UNSUPPORTED for others. */
bool migrate_check_flags(unsigned flags, GError **err);

/* That the guest may go: its state, snapshots, jobs, devices. @def is its live definition. In a
 * job.
 */
bool migrate_check_guest(DomainRun *run, const DomainDef *def, GError **err);
/* VIR_ERR_MIGRATE_UNSAFE unless the disks are where the other host sees the same bytes. */
bool migrate_check_safe(const DomainDef *def, GError **err);

/* A socket that listens where @wanted (NULL: anywhere) says, and the URI to connect to it; g_free()
 * that. @listen_address: NULL for all. The caller's; -1 with @err. */
int migrate_listen(const char *wanted, const char *listen_address, char **ret_uri, GError **err);
int migrate_connect(const char *uri, GError **err);

#endif
