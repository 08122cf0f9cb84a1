/* metadata.c - title, description and applications' own elements in a definition.
 *
 * virDomainGetMetadata, virDomainSetMetadata. Elements are told apart by their namespace; there is
 * one for each.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

#include "driver/domain/private.h"
#include "util/error.h"
#include "util/flags.h"
#include "xml/xmltab.h"

typedef struct {
    int type;
    const char *text, *key, *uri;
} MetadataChange;

static bool
is_of(const xmlNode *node, const char *uri)
{
    return node->type == XML_ELEMENT_NODE && node->ns && node->ns->href &&
           strcmp((const char *)node->ns->href, uri) == 0;
}

static xmlNode *
find_element(xmlNode *metadata, const char *uri)
{
    for (xmlNode *child = metadata->children; child; child = child->next)
        if (is_of(child, uri))
            return child;
    return NULL;
}

/* @node and what is in it as text. */
static char *
node_text(xmlDoc *doc, xmlNode *node)
{
    xmlBuffer *buffer = xmlBufferCreate();
    char *text;

    xmlNodeDump(buffer, doc, node, 0, 1);
    text = g_strdup((const char *)xmlBufferContent(buffer));
    xmlBufferFree(buffer);
    return text;
}

/* @node with all in it that is of namespace @uri put into none. */
static void
forget_namespace(xmlNode *node, const char *uri)
{
    if (is_of(node, uri))
        node->ns = NULL;
    for (xmlAttr *attr = node->properties; attr; attr = attr->next)
        if (attr->ns && strcmp((const char *)attr->ns->href, uri) == 0)
            attr->ns = NULL;
    for (xmlNode *child = node->children; child; child = child->next)
        if (child->type == XML_ELEMENT_NODE)
            forget_namespace(child, uri);
}

/* The text of an application's element as it was set, which is without its namespace: the caller
 * has named that. @element is changed. */
static char *
element_text(xmlDoc *doc, xmlNode *element, const char *uri)
{
    forget_namespace(element, uri);
    for (xmlNs **next = &element->nsDef; *next; next = &(*next)->next) {
        xmlNs *ns = *next;

        if (strcmp((const char *)(ns->href ? ns->href : BAD_CAST ""), uri) != 0)
            continue;
        *next = ns->next;
        xmlFreeNs(ns);
        break;
    }
    return node_text(doc, element);
}

char *
domain_metadata(Domain *domain, int type, const char *uri, unsigned flags, GError **err)
{
    const unsigned known = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG;
    g_autofree char *whole = NULL;
    g_autoptr(xmlDoc) doc = NULL;
    char *text = NULL;
    const DomainDef *def;
    xmlNode *element;

    if (!kiln_flags_check(flags, known, "virDomainGetMetadata", err))
        return NULL;
    g_mutex_lock(&domain->lock);
    def = domain_impact_def(domain, flags, err);
    if (def && type == VIR_DOMAIN_METADATA_DESCRIPTION)
        text = g_strdup(def->description);
    else if (def && type == VIR_DOMAIN_METADATA_TITLE)
        text = g_strdup(def->title);
    else if (def)
        whole = g_strdup(def->metadata);
    g_mutex_unlock(&domain->lock);
    if (!def)
        return NULL;
    if (type == VIR_DOMAIN_METADATA_ELEMENT && !uri) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "a metadata element needs its namespace");
        return NULL;
    }
    if (whole && (doc = xml_read(whole, strlen(whole), "metadata", err)) &&
        (element = find_element(xmlDocGetRootElement(doc), uri)))
        text = element_text(doc, element, uri);
    if (!text && !(err && *err))
        kiln_error_set(err, VIR_ERR_NO_DOMAIN_METADATA,
                       "Requested metadata element is not present");
    return text;
}

static void
text_set(char **text, const char *value)
{
    g_free(*text);
    *text = value && *value ? g_strdup(value) : NULL;
}

/* The new element, in namespace @change->uri with prefix @change->key. */
static xmlNode *
new_element(const MetadataChange *change, xmlDoc *doc, GError **err)
{
    g_autoptr(xmlDoc) parsed = xml_read(change->text, strlen(change->text), "metadata_xml", err);
    xmlNode *root, *copy;
    xmlNs *ns;

    if (!parsed)
        return NULL;
    root = xmlDocGetRootElement(parsed);
    copy = xmlDocCopyNode(root, doc, 1);
    ns = xmlNewNs(copy, (const xmlChar *)change->uri, (const xmlChar *)change->key);
    if (!ns) {
        xmlFreeNode(copy);
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "failed to create a namespace '%s' for the metadata", change->uri);
        return NULL;
    }
    xmlSetNs(copy, ns);
    return copy;
}

static bool
element_change(DomainDef *def, const MetadataChange *change, GError **err)
{
    const char *whole = def->metadata ? def->metadata : "<metadata/>";
    g_autoptr(xmlDoc) doc = xml_read(whole, strlen(whole), "metadata", err);
    xmlNode *root, *old, *element = NULL;

    if (!doc || (change->text && !(element = new_element(change, doc, err))))
        return false;
    root = xmlDocGetRootElement(doc);
    old = find_element(root, change->uri);
    if (old) {
        xmlUnlinkNode(old);
        xmlFreeNode(old);
    }
    if (element)
        xmlAddChild(root, element);
    g_clear_pointer(&def->metadata, g_free);
    if (xmlChildElementCount(root) > 0)
        def->metadata = node_text(doc, root);
    return true;
}

static bool
metadata_change(DomainDef *def, void *opaque, GError **err)
{
    const MetadataChange *change = opaque;

    switch (change->type) {
    case VIR_DOMAIN_METADATA_DESCRIPTION:
        text_set(&def->description, change->text);
        return true;
    case VIR_DOMAIN_METADATA_TITLE:
        text_set(&def->title, change->text);
        return true;
    default:
        return element_change(def, change, err);
    }
}

static bool
check_change(const MetadataChange *change, GError **err)
{
    if (change->type < VIR_DOMAIN_METADATA_DESCRIPTION ||
        change->type > VIR_DOMAIN_METADATA_ELEMENT)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "unknown metadata type %d", change->type);
    if (change->type == VIR_DOMAIN_METADATA_TITLE && change->text && strchr(change->text, '\n'))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "metadata title can't contain newlines");
    if (change->type == VIR_DOMAIN_METADATA_ELEMENT &&
        (!change->uri || (change->text && !change->key)))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "a metadata element needs a key and a namespace");
    return true;
}

bool
domain_set_metadata(Domain *domain, int type, const char *text, const char *key, const char *uri,
                    unsigned flags, GError **err)
{
    MetadataChange change = { type, text, key, uri };
    bool ok;

    if (!check_change(&change, err) || !domain_job_begin(domain, "metadata", err))
        return false;
    ok = domain_impact_apply(domain, flags, metadata_change, &change, err);
    domain_job_end(domain);
    if (ok)
        domain_event_send(domain, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, type, 0, 0,
                          type == VIR_DOMAIN_METADATA_ELEMENT ? uri : NULL);
    return ok;
}
