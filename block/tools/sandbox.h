/* sandbox.h - what a tool gives up once its files are open.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_TOOLS_SANDBOX_H
#define KILN_BLOCK_TOOLS_SANDBOX_H

#include <glib.h>
#include <stdbool.h>

/* No new files, no new sockets, no programs from here on; every thread. @more: names of further
 * system calls that are needed, NULL-terminated, or NULL. */
bool tool_sandbox_enter(const char *const *more, GError **err);

#endif
