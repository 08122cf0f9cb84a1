/* domain_model.h - the names that devices of a definition have on the command line of kiln-vmm,
 * which are QEMU's, and which of them kiln-vmm does not have yet.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_DOMAIN_MODEL_H
#define KILN_XML_DOMAIN_MODEL_H

#include "xml/domain.h"

/* Each: the -device name; "" for what is part of the board; NULL where QEMU has no such device. */
const char *domain_disk_model(const DomainDisk *disk);
const char *domain_controller_model(const DomainDef *def, const DomainController *c);
const char *domain_interface_model(const DomainInterface *net);
const char *domain_rng_model(const DomainRng *rng);
const char *domain_balloon_model(const DomainBalloon *balloon);
const char *domain_input_model(const DomainInput *input);
const char *domain_video_model(const DomainVideo *video, bool primary);
const char *domain_watchdog_model(const DomainWatchdog *watchdog);
const char *domain_panic_model(const DomainPanic *panic);

/* Whether a device is plugged into USB controller @index. */
bool domain_usb_in_use(const DomainDef *def, uint64_t index);

/* Whether kiln-vmm has what one of these gave. */
bool domain_model_is_built(const char *model);

#endif
