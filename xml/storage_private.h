/* storage_private.h - what the files of <pool> and <volume> share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_STORAGE_PRIVATE_H
#define KILN_XML_STORAGE_PRIVATE_H

#include "xml/storage_pool.h"

extern const XmlType storage_permissions_xml;

/* Brings mode and ids into libvirt's spelling. NULL is allowed. */
void storage_permissions_complete(StoragePermissions *permissions);

/* Reads @xml, whose root must be @type's element; @flags: StorageDefFlags. xmlFreeDoc() it. */
xmlDoc *storage_read(const XmlType *type, const char *xml, unsigned flags, const char *what,
                     GError **err);
/* The same, as an object of @type. */
void *storage_parse(const XmlType *type, const char *xml, unsigned flags, const char *what,
                    GError **err);

/* Names become names of files and of volume groups. */
bool storage_check_name(const char *what, const char *name, GError **err);

/* Absolute, without doubled or trailing slashes; takes @path, NULL is allowed. */
char *storage_clean_path(char *path);

#define STORAGE_PATH_TEXT .pattern = "/[^\\n\\r]*", .legal = "an absolute path"

#endif
