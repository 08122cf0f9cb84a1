/* xmltab_private.h - what the walks over table rows share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_XMLTAB_PRIVATE_H
#define KILN_XML_XMLTAB_PRIVATE_H

#include "util/error.h"
#include "xml/xmltab.h"

#define XML_FIELD(obj, row, T) (*(T *)((char *)(obj) + (row)->offset))
#define XML_FIELD_CONST(obj, row, T) (*(T const *)((const char *)(obj) + (row)->offset))

/* Whether the union arm that @row belongs to is the chosen one. */
bool xml_row_applies(const XmlType *type, const XmlRow *row, const void *obj);

/* Whether @kind is one value in one attribute or text, as opposed to something nested. */
bool xml_kind_is_scalar(XmlKind kind);

/* The text of a scalar field as it is printed, NULL when absent. */
char *xml_row_text(const XmlRow *row, const void *obj);

/* Reads @text into the field (freeing what was there). On failure @ret_legal is told what would
 * have been legal (g_free() it) and the field keeps its value. @unit: XML_SIZE only, may be NULL.
 */
bool xml_row_read(const XmlRow *row, void *obj, const char *text, const char *unit,
                  char **ret_legal);

/* Whether @pattern (XmlRow.pattern) matches the whole of @text. */
bool xml_pattern_matches(const char *pattern, const char *text);

/* Whether a live-only row's value is to be left out with @flags. */
bool xml_row_hidden(const XmlRow *row, unsigned flags);
bool xml_text_hidden(const XmlRow *row, const char *text, unsigned flags);

/* "<a> element" or "attribute 'b' of <a>" for messages. g_free() it. */
char *xml_row_place(const XmlType *type, const XmlRow *row);

/* Fills a zeroed struct with "absent" and empty lists; frees all that it points at. */
void xml_obj_init(const XmlType *type, void *obj);
void xml_obj_clear(const XmlType *type, void *obj);

/* Matches one part of a path against an element, by namespace if the part has a prefix that @spaces
 * (may be NULL) knows. */
bool xml_name_matches(const char *part, size_t length, const xmlNode *node,
                      const XmlNamespace *spaces);

/* An element as text, complete by itself (namespaces declared, those of @spaces by their own
 * prefixes; NULL: none). */
char *xml_node_dump(xmlNode *node, const XmlNamespace *spaces);
xmlDoc *xml_parse_fragment(const char *xml);

#endif
