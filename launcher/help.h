/* help.h - the options that only print: -help, -version, and "help" as a value.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_HELP_H
#define KILN_LAUNCHER_HELP_H

#include "launcher/options.h"

/* The text that @options ask for, NULL when they ask for a guest or (with @err) for help on what
 * does not exist. The caller frees. */
char *help_text(const Options *options, GError **err);

#endif
