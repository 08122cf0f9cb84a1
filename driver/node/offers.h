/* offers.h - what a guest may have, found out by asking: each value that domain capabilities can
 * name is put into a small definition, and offered if a guest with it would not be refused.
 *
 * So the rules for starting a guest (xml/domain_unsupported.c) are the only place that says what
 * Kiln has.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_NODE_OFFERS_H
#define KILN_DRIVER_NODE_OFFERS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A board. */
typedef struct {
    const char *name;   /* canonical: "kiln-q35-1.0" */
    const char *alias;  /* "q35" */
    const char *prefix; /* of QEMU's versioned names, which stand for it: "pc-q35-" */
} NodeMachine;

/* The board that @name stands for (NULL: the default one), or NULL. */
const NodeMachine *node_machine_find(const char *name);

/* The boards that guests can be started with, the default one first; NULL-terminated. g_free() the
 * array. */
const NodeMachine **node_machines(const char *vmm);

/* Whether a guest on @machine can be started by a firmware, and by one of UEFI's kind. */
bool node_offers_firmware(const char *vmm, const NodeMachine *machine);
bool node_offers_uefi(const char *vmm, const NodeMachine *machine);

/* <memoryBacking>, <devices> and <features> of domain capabilities; of Hyper-V's enlightenments
 * those in @hyperv (set of HYPERV_BIT()), which KVM has. Asks some hundred times: keep the answer.
 * g_free() it. */
char *node_format_offers(const char *vmm, const NodeMachine *machine, uint32_t hyperv);

#endif
