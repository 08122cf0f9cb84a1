/* xmltab_strict.h - is every name in a document one that a row knows?
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_XMLTAB_STRICT_H
#define KILN_XML_XMLTAB_STRICT_H

#include "xml/xmltab.h"

/* Refuses the first element or attribute of @node that no row of @type stands for
 * (VIR_ERR_XML_INVALID_SCHEMA), suggesting the nearest that one does. */
bool xml_strict_check(const XmlType *type, xmlNode *node, GError **err);

#endif
