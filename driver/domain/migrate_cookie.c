/* migrate_cookie.c - what one step of a migration tells the next, and which daemon speaks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "driver/domain/migrate.h"
#include "driver/node/node_private.h"
#include "util/error.h"
#include "util/uuid.h"

enum { COOKIE_MAX = 4 << 20 };

/* Two daemons of one host with directories of their own are two hosts. */
static char *
host_identity(const DomainManager *manager)
{
    g_autofree char *host = node_host_uuid("");
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    uint8_t digest[32];
    gsize len = sizeof(digest);

    g_checksum_update(sum, (const guchar *)(host ? host : ""), -1);
    g_checksum_update(sum, (const guchar *)manager->lib_dir, -1);
    g_checksum_get_digest(sum, digest, &len);
    /* version and variant: RFC 4122, 4.4 */
    digest[6] = (digest[6] & 0x0f) | 0x40;
    digest[8] = (digest[8] & 0x3f) | 0x80;
    return kiln_uuid_format(digest);
}

char *
migrate_cookie_make(const DomainManager *manager, const char *name, const uint8_t uuid[16],
                    const char *persistent)
{
    MigrateCookie *cookie = xml_type_new(&migrate_cookie_type);
    char hostname[256] = "";
    char *text;

    gethostname(hostname, sizeof(hostname) - 1);
    cookie->name = g_strdup(name);
    cookie->uuid = kiln_uuid_format(uuid);
    cookie->hostname = g_strdup(*hostname ? hostname : "localhost");
    cookie->host = host_identity(manager);
    cookie->persistent = g_strdup(persistent);
    text = xml_type_format(&migrate_cookie_type, cookie, 0);
    xml_type_free(&migrate_cookie_type, cookie);
    return text;
}

MigrateCookie *
migrate_cookie_read(const DomainMigrate *migrate, GError **err)
{
    MigrateCookie *cookie = NULL;

    if (migrate->cookie_length == 0 || migrate->cookie_length > COOKIE_MAX)
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                       "the other side of the migration has sent no cookie: is it Kiln?");
    else
        cookie = xml_type_parse_text(&migrate_cookie_type, migrate->cookie, migrate->cookie_length,
                                     "migration_cookie", 0, err);
    return cookie;
}

bool
migrate_cookie_check_host(const DomainManager *manager, const MigrateCookie *cookie, GError **err)
{
    g_autofree char *own = host_identity(manager);

    return strcmp(own, cookie->host) != 0 ||
           kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                          "Attempt to migrate guest to the same host %s", cookie->hostname);
}

static const XmlRow cookie_rows[] = {
    { "name", NULL, XML_STRING, offsetof(MigrateCookie, name), XML_REQUIRED },
    { "uuid", NULL, XML_UUID, offsetof(MigrateCookie, uuid), XML_REQUIRED },
    { "hostname", NULL, XML_STRING, offsetof(MigrateCookie, hostname), XML_REQUIRED },
    { "host", NULL, XML_UUID, offsetof(MigrateCookie, host), XML_REQUIRED },
    { "persistent", NULL, XML_STRING, offsetof(MigrateCookie, persistent) },
};

const XmlType migrate_cookie_type = {
    .name = "kilnmigration",
    .size = sizeof(MigrateCookie),
    XML_TYPE_ROWS(cookie_rows),
};
