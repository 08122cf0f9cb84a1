/* chardev_words.h - the short words for character devices: -serial, -monitor, -qmp (qemu(1)).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_CHARDEV_WORDS_H
#define KILN_LAUNCHER_CHARDEV_WORDS_H

#include "launcher/options.h"

/* What -chardev takes for @text ("mon:stdio", "unix:PATH,server,nowait", …); NULL with @err, where
 * @what names the option. The caller frees. */
char *chardev_words(const char *what, const char *text, const char *id, GError **err);

/* The first serial port is on the terminal without being asked for. */
bool chardev_words_on_terminal(const Options *options);
/* Serial port @n shares what it is connected to with a monitor. */
bool chardev_words_shared(const Options *options, unsigned n);

/* A guest whose screen nothing shows, run from a terminal that nothing else is to use: as with
 * -nographic. Returns whether that became so. */
bool chardev_words_take_terminal(Options *options);

#endif
