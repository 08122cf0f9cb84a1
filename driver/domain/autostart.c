/* autostart.c - starting what is marked, once for each boot of the host.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "driver/domain/private.h"
#include "util/error.h"
#include "util/file.h"

static gpointer
autostart_main(gpointer opaque)
{
    DomainManager *manager = opaque;
    g_autoptr(GPtrArray) all = domain_manager_list(manager, VIR_CONNECT_LIST_DOMAINS_AUTOSTART |
                                                                VIR_CONNECT_LIST_DOMAINS_INACTIVE);

    for (guint i = 0; i < all->len && !g_atomic_int_get(&manager->ending); i++) {
        g_autofree char *name = domain_dup_name(all->pdata[i]);
        g_autoptr(GError) err = NULL;

        if (!domain_start(all->pdata[i], 0, NULL, &err))
            domain_manager_warn(manager, "cannot autostart domain '%s': %s", name, err->message);
    }
    return NULL;
}

void
domain_autostart_all(DomainManager *manager)
{
    /* the run directory is emptied at boot, so the marker is there from the second start on */
    g_autofree char *marker = g_build_filename(manager->run_dir, "autostarted", NULL);
    g_autoptr(GError) err = NULL;

    if (access(marker, F_OK) == 0)
        return;
    if (!file_write_atomic(marker, "", 0, 0600, &err)) {
        domain_manager_warn(manager, "nothing is autostarted: %s", err->message);
        return;
    }
    manager->autostart_thread = g_thread_new("autostart", autostart_main, manager);
}
