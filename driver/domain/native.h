/* native.h - the command line that a definition comes to.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_NATIVE_H
#define KILN_DRIVER_DOMAIN_NATIVE_H

#include "driver/domain/domain.h"

/* virConnectDomainXMLToNative: how kiln-vmm would be started for @xml, as a shell takes it. Opens
 * and makes nothing: the numbers of descriptors stand for what the daemon would pass. What cannot
 * be started is refused as at start. g_free() the text. */
char *domain_manager_to_native(DomainManager *manager, const char *format, const char *xml,
                               GError **err);

#endif
