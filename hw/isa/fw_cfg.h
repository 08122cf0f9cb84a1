/* fw_cfg.h - named blobs that firmware and guests read from the machine.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ISA_FW_CFG_H
#define KILN_HW_ISA_FW_CFG_H

#include "hw/core/machine.h"

/* Numeric keys that others than fw_cfg.c set. */
enum { FW_CFG_NOGRAPHIC = 0x04, FW_CFG_BOOT_MENU = 0x0e };

/* Adds an item under a numeric key, or replaces it. @data is copied. vCPUs stand still. */
void fw_cfg_add(FwCfg *cfg, uint16_t key, const void *data, size_t len);
/* Adds a file; refuses a name that is in use, is empty or longer than 55 bytes, and more than the
 * directory holds. @data is copied. */
bool fw_cfg_add_file(FwCfg *cfg, const char *name, const void *data, size_t len, GError **err);
/* Replaces or adds. vCPUs stand still. */
bool fw_cfg_set_file(FwCfg *cfg, const char *name, const void *data, size_t len, GError **err);

/* What a file holds, owned by it; NULL when there is none of that name. */
const uint8_t *fw_cfg_file(FwCfg *cfg, const char *name, size_t *ret_len);

/* Adds a file of @size bytes that is made when it is first selected after a reset: @make calls
 * fw_cfg_made() for this file, and for others made in the same way if it likes. It runs in the
 * thread that selects, with fw_cfg's lock held. */
typedef void (*FwCfgMake)(void *opaque, FwCfg *cfg);
bool fw_cfg_add_made(FwCfg *cfg, const char *name, uint32_t size, FwCfgMake make, void *opaque,
                     GError **err);
/* Only from FwCfgMake: what is beyond @len up to the file's size reads as zero; what is beyond that
 * size is cut off. @data is copied. */
void fw_cfg_made(FwCfg *cfg, const char *name, const void *data, size_t len);

/* Adds a file that the guest writes by DMA. @data, of @len bytes, stays the caller's and outlives
 * the device; @written runs after each write, with fw_cfg's lock held. */
typedef void (*FwCfgWritten)(void *opaque);
bool fw_cfg_add_writable(FwCfg *cfg, const char *name, uint8_t *data, size_t len,
                         FwCfgWritten written, void *opaque, GError **err);

#endif
