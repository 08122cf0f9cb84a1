/* xmltab.h - the table engine of the XML front end: one row per attribute, element or list; the row
 * is the only place that knows its name, kind, limits and place in the output. Parser, formatter,
 * comparison, copy, ABI check and RELAX NG schema are walks over the same rows.
 *
 * How values stand in a struct (offset points at one of these):
 *   uint64_t   XML_UINT, XML_HEX, XML_SIZE; XML_UNSET when absent
 *   int64_t    XML_INT; XML_UNSET_INT when absent
 *   int        XML_ENUM (index into names[], names[0] stands for "absent"), XML_YESNO and XML_ONOFF
 *              (Tristate), XML_PRESENT (0 or 1)
 *   char *     XML_STRING, XML_UUID, XML_MAC, XML_IP, XML_CPUSET (canonical text), XML_VERBATIM
 * (the whole element as XML text); NULL when absent T *        XML_STRUCT; NULL when absent T
 * XML_INLINE GPtrArray* XML_LIST (of T *), XML_STRINGS (of char *), XML_KEPT (of XmlKept *); never
 * NULL
 *
 * An object is made by xml_type_new() or by parsing, belongs to the caller, and has no locks: one
 * thread changes it at a time. No function here touches the network, follows an entity or keeps
 * state between calls. Errors are GErrors in KILN_ERROR with libvirt's codes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_XMLTAB_H
#define KILN_XML_XMLTAB_H

#include <glib.h>
#include <libxml/tree.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XML_UNSET UINT64_MAX
#define XML_UNSET_INT INT64_MIN

typedef enum { TRISTATE_ABSENT, TRISTATE_ON, TRISTATE_OFF } Tristate;

typedef enum {
    XML_UINT, /* decimal; min, max */
    XML_HEX,  /* decimal, 0x hexadecimal or 0 octal on input, 0x and at least @width digits on
               * output; min, max */
    XML_INT,  /* decimal with sign */
    XML_SIZE, /* decimal with attribute 'unit' beside it, as libvirt scales (KB 1000, K and KiB
               * 1024 …); kept in units of @scale bytes, rounded up; a number without unit is
               * in units of @scale */
    XML_ENUM, /* one of names[1…], NULL-terminated; @min is the value of a new object */
    XML_YESNO,
    XML_ONOFF,
    XML_PRESENT,  /* the element at @path stands there, whatever it holds; no attr */
    XML_STRING,   /* @pattern, if given, must match the whole value */
    XML_UUID,     /* kept lower case with dashes */
    XML_MAC,      /* kept lower case; unicast unless XML_ANY_MAC */
    XML_IP,       /* IPv4 or IPv6, kept as inet_ntop() writes it */
    XML_CPUSET,   /* "0-3,^2,8", kept sorted and joined: "0-1,3,8"; max is the highest number
                   * (0: 16383) */
    XML_VERBATIM, /* the element at @path whole, any namespace, as libvirt keeps <metadata> */
    XML_STRUCT,   /* nested @type in the element at @path */
    XML_INLINE,   /* nested @type inside this struct, in the element at @path, or (path NULL) its
                   * rows stand as if they were this type's own */
    XML_LIST,     /* every element at @path (the last part repeats, the parts before it are
                   * wrappers) is a nested @type */
    XML_STRINGS,  /* every element at @path has one string, in @attr or (NULL) as text */
    XML_KEPT,     /* every element at @path is kept whole and printed again, not understood. Rows
                   * may share one list; the path tells the entries apart. @attr, if given, is a
                   * secret attribute, printed with XML_SECURE only */
} XmlKind;

typedef enum {
    XML_REQUIRED = 1 << 0,    /* an attribute: an error when the element at @path is there without
                               * it. All else: an error when the element at @path is missing */
    XML_LIVE = 1 << 1,        /* neither read nor printed with XML_INACTIVE */
    XML_LIVE_IF = 1 << 2,     /* string: so if it begins with one of names[] (NULL-terminated) */
    XML_LIVE_UNLESS = 1 << 3, /* string: so unless it begins with one of names[] */
    XML_SECRET = 1 << 4,      /* printed with XML_SECURE only */
    XML_STATUS_ONLY = 1 << 5, /* read and printed with XML_STATUS only */
    XML_ABI = 1 << 6,         /* the guest can see it: compared by xml_type_abi_check(). Nested
                               * types are looked into only when their row has it */
    XML_SINGLE = 1 << 7,      /* a second such element is an error; else the first one counts */
    XML_ANY_MAC = 1 << 8,     /* XML_MAC: multicast too */
    XML_NOT_OUT = 1 << 9,     /* read, never printed: an old spelling */
    XML_NOT_ZERO = 1 << 10,   /* a uint that is 0 counts as absent */
    XML_NAMED_UNIT = 1 << 11, /* XML_SIZE: print unit='B' though the stored unit is bytes */
    XML_KEEP_EMPTY = 1 << 12, /* a string that is empty text counts as given; attributes always
                               * do */
    XML_OWN_LOOK = 1 << 13,   /* XML_VERBATIM: printed in libvirt's look, not as libxml2 writes */
    XML_BYTES_UNIT = 1 << 14, /* XML_SIZE: the same as unit='bytes' */
    XML_OPEN = 1 << 15,       /* structs and lists: an empty element has a closing tag of its own on
                               * the next line, as libvirt prints some */
    XML_NOT_EMPTY = 1 << 16,  /* XML_STRUCT: an empty element is not printed */
    XML_UNKNOWN_WORD = 1 << 17, /* XML_ENUM: another word is VIR_ERR_CONFIG_UNSUPPORTED */
    XML_AS_GIVEN = 1 << 18,     /* XML_MAC: not in lower case */
} XmlRowFlags;

typedef struct XmlType XmlType;

typedef struct {
    const char *path; /* "element" or "wrapper/element"; NULL: the type's own element */
    const char *attr; /* NULL: the element's text (or the element itself, by kind) */
    XmlKind kind;
    size_t offset;
    unsigned flags;           /* XmlRowFlags */
    uint64_t min, max;        /* max 0: no limit; of lists: most items, 0: XML_MAX_ITEMS */
    const char *const *names; /* XML_ENUM; prefixes for XML_LIVE_IF and XML_LIVE_UNLESS */
    const XmlType *type;      /* XML_STRUCT, XML_INLINE, XML_LIST */
    uint64_t when;            /* XML_WHEN() of the selector's values this row is for; 0: all */
    unsigned width;           /* XML_HEX */
    uint64_t scale;           /* XML_SIZE: 1, 1024 or 1048576 */
    const char *pattern;      /* XML_STRING: regular expression, a common subset of PCRE's and XML
                               * Schema's, without anchors */
    const char *legal;        /* what @pattern demands, in words, for the error */
} XmlRow;

/* A prefix that rows of a root type may use in paths ("dnsmasq:options/dnsmasq:option"). Matched by
 * @uri on input whatever prefix the document chose. */
typedef struct {
    const char *prefix, *uri;
} XmlNamespace;

struct XmlType {
    const char *name; /* root element; also the name in the schema, so unique in a root */
    size_t size;
    const XmlRow *rows; /* in order of output */
    size_t n_rows;
    size_t selector; /* XML_SELECTOR() of the int that XmlRow.when looks at; its row comes
                      * before all rows with @when, in this type. 0: none */
    /* Rules that span fields; called after all rows were read, children before parents. Messages
     * get the element and line put in front. May be NULL. */
    bool (*check)(const void *obj, GError **err);
    const XmlNamespace *namespaces; /* roots only; ends with a NULL prefix */
};

#define XML_WHEN(value) (UINT64_C(1) << (value))
#define XML_SELECTOR(T, field) (offsetof(T, field) + 1)
#define XML_TYPE_ROWS(rows) (rows), G_N_ELEMENTS(rows)
/* An XmlType for struct @T; what follows are its other members (".check = f"). */
#define XML_TYPE(name, T, rows, ...)                                                               \
    {                                                                                              \
        name, sizeof(T), XML_TYPE_ROWS(rows), __VA_ARGS__                                          \
    }

/* For parse and format. */
typedef enum {
    XML_INACTIVE = 1 << 0, /* leave out what only a running object has */
    XML_SECURE = 1 << 1,   /* format: with secrets */
    XML_STATUS = 1 << 2,   /* the daemon's own state file: with everything */
    XML_STRICT = 1 << 3,   /* parse: refuse what no row read (VIR_ERR_XML_INVALID_SCHEMA):
                            * unknown names, with the nearest known one; second elements where one
                            * is read; what belongs to another arm of a union; stray text */
} XmlFlags;

typedef struct {
    char *path; /* as in the row */
    char *xml;  /* the element */
} XmlKept;

/* --- documents -------------------------------------------------------------------------------- */

enum { XML_MAX_LENGTH = 4 * 1024 * 1024, XML_MAX_DEPTH = 128, XML_MAX_ITEMS = 65536 };

/* Reads untrusted text: at most XML_MAX_LENGTH bytes, XML_MAX_DEPTH levels, no document type, no
 * entities but the five of XML, no network. @what names it in errors ("domain_definition"). Not
 * well formed: VIR_ERR_XML_DETAIL with line and column; over a limit: VIR_ERR_XML_ERROR.
 * xmlFreeDoc() the result. */
xmlDoc *xml_read(const char *xml, size_t length, const char *what, GError **err);

/* The first element @name directly inside @node, or NULL; NULL for a @node of NULL. */
const xmlNode *xml_child(const xmlNode *node, const char *name);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)

/* Parses a document whose root must be @type's element. xml_type_free() the result. */
void *xml_type_parse_text(const XmlType *type, const char *xml, size_t length, const char *what,
                          unsigned flags, GError **err);

/* --- objects ---------------------------------------------------------------------------------- */

/* All absent, lists empty. */
void *xml_type_new(const XmlType *type);
void *xml_type_parse(const XmlType *type, xmlNode *node, unsigned flags, GError **err);
/* g_free() the text, which ends with a newline and is indented by @indent levels. */
char *xml_type_format(const XmlType *type, const void *obj, unsigned flags);
char *xml_type_format_at(const XmlType *type, const void *obj, unsigned flags, unsigned indent);
void *xml_type_copy(const XmlType *type, const void *obj);
/* Makes @to, an object of @type that may be embedded in another, a copy of @from. */
void xml_type_assign(const XmlType *type, void *to, const void *from);
bool xml_type_equal(const XmlType *type, const void *a, const void *b);
/* NULL is allowed. */
void xml_type_free(const XmlType *type, void *obj);

/* Whether a guest would see a difference between @a (now) and @b (wanted) in rows with XML_ABI.
 * VIR_ERR_CONFIG_UNSUPPORTED naming element, attribute and both values. */
bool xml_type_abi_check(const XmlType *type, const void *a, const void *b, GError **err);

/* Runs the check functions of @obj and of all that is nested in it, for objects that were changed
 * after parsing. */
bool xml_type_check(const XmlType *type, const void *obj, GError **err);

/* --- schema ----------------------------------------------------------------------------------- */

/* A RELAX NG grammar for documents of @type. g_free() the text. */
char *xml_type_schema(const XmlType *type);

/* Whether @root is a document of that grammar: VIR_ERR_XML_INVALID_SCHEMA naming what is not, and
 * the nearest known name. Walks the rows rather than running libxml2's validator, which tries every
 * subset of an element's optional attributes and so takes hours over some twenty of them. Leaves
 * marks in @root. */
bool xml_type_validate(const XmlType *type, xmlNode *root, GError **err);

/* --- values ----------------------------------------------------------------------------------- */

/* The nearest of @names (NULL-terminated, "" passed over) to @word, or NULL when none is near. */
const char *xml_nearest(const char *word, const char *const *names);

/* Index of @word in @names from 1 on, 0 when not there. */
int xml_enum_find(const char *const *names, const char *word);

/* Numbers of a canonical cpuset, ascending, as unsigned (element size sizeof(unsigned)); NULL text
 * gives an empty array. */
GArray *xml_cpuset_numbers(const char *text);
bool xml_cpuset_has(const char *text, unsigned number);
/* Canonical text of @text, or NULL with VIR_ERR_INVALID_ARG when it is no cpuset or holds a number
 * above @max. */
char *xml_cpuset_canonical(const char *text, unsigned max, GError **err);
/* Canonical text of a sorted or unsorted array of unsigned. */
char *xml_cpuset_format(const GArray *numbers);

/* @value times @unit ("KiB", NULL: @scale bytes) in units of @scale bytes, rounded up. False when
 * the unit is unknown or the size does not fit 63 bits. */
bool xml_scale(uint64_t value, const char *unit, uint64_t scale, uint64_t *ret);

char *xml_uuid_random(void);
bool xml_mac_parse(const char *text, uint8_t ret[6]);
char *xml_mac_format(const uint8_t mac[6]);

/* @text with < > & ' and " as entities, for libvirt's single-quoted attributes and for text.
 * Characters that XML 1.0 cannot hold are left out. */
char *xml_escape(const char *text);

#endif
