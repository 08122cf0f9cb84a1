/* golden.h - texts compared with files of tests/golden, and XML judged by libvirt's own schemas.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_GOLDEN_H
#define KILN_TESTS_GOLDEN_H

/* Fails the test unless the file at @path holds @text byte for byte. KILN_GOLDEN_WRITE=1 in the
 * environment writes the file anew instead, to be looked through. */
void golden_check(const char *path, const char *text);

/* Fails the test unless @xml, which messages call @name, is valid by a schema of libvirt's package
 * libvirt0 ("network.rng"), which must be installed. */
void golden_check_schema(const char *schema, const char *name, const char *xml);

#endif
