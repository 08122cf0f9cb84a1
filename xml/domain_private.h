/* domain_private.h - what the parts of the domain definition share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_DOMAIN_PRIVATE_H
#define KILN_XML_DOMAIN_PRIVATE_H

#include "xml/domain.h"

/* A definition is kept as NAME.xml, its status as NAME.status: 255 bytes with room to spare. */
enum { DOMAIN_NAME_MAX = 240 };

/* Of one kind. Rules compare each device with each, so the number has a bound. */
enum { DOMAIN_DEVICES_MAX = 512 };

/* Automatic choices about where devices sit: drive and virtio-serial addresses with their
 * controllers, then PCI addresses with the root ports they need. */
bool domain_place_devices(DomainDef *def, GError **err);
bool domain_place_usb(DomainDef *def, GError **err);
bool domain_place_pci(DomainDef *def, GError **err);

/* What libvirt adds to every x86 guest: inputs, video, audio; the board's controllers. */
void domain_complete_displays(DomainDef *def);
bool domain_add_board_controllers(DomainDef *def, GError **err);
/* Ports that were chosen at start are to be chosen again at the next. */
void domain_def_forget_ports(DomainDef *def);

/* The list keeps controllers of one type in the order of their indexes. */
void domain_insert_controller(GPtrArray *controllers, DomainController *c);
DomainController *domain_add_controller(DomainDef *def, DomainControllerType type, uint64_t index);
DomainAddress *domain_new_address(DomainDeviceInfo *info, DomainAddressType type);

/* Rules between the parts of a completed definition. */
bool domain_check(const DomainDef *def, GError **err);

/* Index of a target name after its prefix, as libvirt counts: "vda" 0, "vdb" 1, "vdaa" 26. -1: not
 * so written. */
int domain_disk_index(const char *target);

#endif
