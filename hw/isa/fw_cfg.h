/* fw_cfg.h - named blobs that firmware and guests read from the machine.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ISA_FW_CFG_H
#define KILN_HW_ISA_FW_CFG_H

#include "hw/core/machine.h"

/* Adds an item under a numeric key, or replaces it. @data is copied. Before the guest runs. */
void fw_cfg_add(FwCfg *cfg, uint16_t key, const void *data, size_t len);
/* Adds a file; refuses a name that is in use, is empty or longer than 55 bytes, and more than the
 * directory holds. @data is copied. */
bool fw_cfg_add_file(FwCfg *cfg, const char *name, const void *data, size_t len, GError **err);
/* Replaces or adds. */
bool fw_cfg_set_file(FwCfg *cfg, const char *name, const void *data, size_t len, GError **err);

#endif
