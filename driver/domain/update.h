/* update.h - changes to the devices of a running guest, for the files that make them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_UPDATE_H
#define KILN_DRIVER_DOMAIN_UPDATE_H

#include "driver/domain/private.h"

/* In a job: puts the medium of @wanted (none: takes it out) into @drive, a CD drive of @live, which
 * is a copy of the live definition (taken over), and puts that in place. @force: also when the
 * guest has locked the tray. */
bool domain_media_change(DomainRun *run, DomainDef *live, DomainDisk *drive,
                         const DomainDisk *wanted, bool force, GError **err);

/* In a job: the link state that @net says, in the VMM and on its tap. */
bool domain_link_set(DomainRun *run, const DomainInterface *net, GError **err);
/* In a job: the bandwidth that @net says; VIR_ERR_CONFIG_UNSUPPORTED for one without a tap. */
bool domain_bandwidth_set(const DomainInterface *net, GError **err);

#endif
