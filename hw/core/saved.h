/* saved.h - saved state as tables: one row per field, walked to save, to load and to list.
 *
 * A table's stream is self-describing: each field carries its name and length, so that a stream of
 * another build is refused by the name of the field that does not match, never misread.
 *
 *   table  := u16 version, u16 number of fields, field…
 *   field  := u8 name length, name, u32 length, payload
 *   payload: numbers little-endian; a nested table's elements one after another, each a table
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CORE_SAVED_H
#define KILN_HW_CORE_SAVED_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    SAVED_KIND_NUMBER,    /* 1, 2, 4 or 8 bytes; or an array of them */
    SAVED_KIND_BOOL,      /* bool, or an array of them: 0 or 1 */
    SAVED_KIND_BYTES,     /* bytes as they lie */
    SAVED_KIND_BUFFER,    /* uint8_t *, length at count_offset */
    SAVED_KIND_BLOB,      /* GByteArray *, as long as it is, at most count */
    SAVED_KIND_TABLE,     /* struct or array of structs inside this one */
    SAVED_KIND_TABLE_PTR, /* pointer to an array of structs, length at count_offset */
} SavedKind;

typedef struct SavedTable SavedTable;

typedef struct {
    const char *name;
    SavedKind kind;
    size_t offset;
    size_t size;         /* of one element */
    size_t count;        /* elements; *_PTR and BUFFER take it from count_offset */
    size_t count_offset; /* of a uint32_t in the same struct, set before load */
    uint16_t since;      /* first version of the table that has the field */
    const SavedTable *table;
} SavedField;

struct SavedTable {
    const char *name;
    uint16_t version; /* written; 1 or more */
    uint16_t oldest;  /* oldest version still loaded */
    const SavedField *fields;
    size_t n_fields;
    /* Both optional. before_save fills fields from elsewhere; after_load checks every loaded number
     * as foreign bytes and refuses, or puts the rest of the state in step. */
    void (*before_save)(void *state);
    bool (*after_load)(void *state, GError **err);
};

#define SAVED_ARRAY_LENGTH(T, f) (sizeof(((T *)0)->f) / sizeof(((T *)0)->f[0]))
#define SAVED_SCALAR(T, f)                                                                         \
    _Generic(((T *)0)->f, bool : SAVED_KIND_BOOL, default : SAVED_KIND_NUMBER)
/* A number, or bool. */
#define SAVED(T, f, ver)                                                                           \
    {                                                                                              \
        .name = #f, .kind = SAVED_SCALAR(T, f), .offset = offsetof(T, f),                          \
        .size = sizeof(((T *)0)->f), .count = 1, .since = (ver)                                    \
    }
/* An array of numbers. */
#define SAVED_ARRAY(T, f, ver)                                                                     \
    {                                                                                              \
        .name = #f, .kind = SAVED_SCALAR(T, f[0]), .offset = offsetof(T, f),                       \
        .size = sizeof(((T *)0)->f[0]), .count = SAVED_ARRAY_LENGTH(T, f), .since = (ver)          \
    }
/* A byte array in the struct. */
#define SAVED_BYTES(T, f, ver)                                                                     \
    {                                                                                              \
        .name = #f, .kind = SAVED_KIND_BYTES, .offset = offsetof(T, f), .size = 1,                 \
        .count = sizeof(((T *)0)->f), .since = (ver)                                               \
    }
/* uint8_t *f of T.n bytes (uint32_t n, the same on both sides). */
#define SAVED_BUFFER(T, f, n, ver)                                                                 \
    {                                                                                              \
        .name = #f, .kind = SAVED_KIND_BUFFER, .offset = offsetof(T, f), .size = 1,                \
        .count_offset = offsetof(T, n), .since = (ver)                                             \
    }
/* GByteArray *f of at most max bytes, never NULL; loaded as long as it was saved. */
#define SAVED_BLOB(T, f, max, ver)                                                                 \
    {                                                                                              \
        .name = #f, .kind = SAVED_KIND_BLOB, .offset = offsetof(T, f), .size = 1, .count = (max),  \
        .since = (ver)                                                                             \
    }
/* A struct in the struct. */
#define SAVED_STRUCT(T, f, tab, ver)                                                               \
    {                                                                                              \
        .name = #f, .kind = SAVED_KIND_TABLE, .offset = offsetof(T, f),                            \
        .size = sizeof(((T *)0)->f), .count = 1, .since = (ver), .table = &(tab)                   \
    }
#define SAVED_STRUCTS(T, f, tab, ver)                                                              \
    {                                                                                              \
        .name = #f, .kind = SAVED_KIND_TABLE, .offset = offsetof(T, f),                            \
        .size = sizeof(((T *)0)->f[0]), .count = SAVED_ARRAY_LENGTH(T, f), .since = (ver),         \
        .table = &(tab)                                                                            \
    }
/* E *f, an array of T.n structs (uint32_t n, the same on both sides). */
#define SAVED_STRUCTS_PTR(T, f, n, tab, ver)                                                       \
    {                                                                                              \
        .name = #f, .kind = SAVED_KIND_TABLE_PTR, .offset = offsetof(T, f),                        \
        .size = sizeof(((T *)0)->f[0]), .count_offset = offsetof(T, n), .since = (ver),            \
        .table = &(tab)                                                                            \
    }

/* Appends @state. */
void saved_table_save(const SavedTable *table, void *state, GByteArray *out);

/* Reads one table from [*pos, len) of @data and moves *pos behind it. Refuses a version it does not
 * know, a field it does not know, a missing field and a wrong length, each by name; @state may then
 * be half loaded. @data is foreign: every length is checked. */
bool saved_table_load(const SavedTable *table, void *state, const uint8_t *data, size_t len,
                      size_t *pos, GError **err);

#endif
