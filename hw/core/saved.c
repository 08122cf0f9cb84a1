/* saved.c - walks over tables of saved state: save and load.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/saved.h"

#include "hw/core/bytes.h"
#include "util/error.h"

#include <string.h>

static void
saved_append(GByteArray *out, uint64_t value, unsigned size)
{
    uint8_t bytes[8];

    bytes_store(bytes, value, size);
    g_byte_array_append(out, bytes, size);
}

static size_t
saved_field_count(const SavedField *field, const void *state)
{
    if (field->kind == SAVED_KIND_BUFFER || field->kind == SAVED_KIND_TABLE_PTR)
        return *(const uint32_t *)((const uint8_t *)state + field->count_offset);
    return field->count;
}

/* Where the field's elements lie: in the struct, or behind a pointer in it. */
static uint8_t *
saved_field_data(const SavedField *field, void *state)
{
    uint8_t *at = (uint8_t *)state + field->offset;

    if (field->kind == SAVED_KIND_BUFFER || field->kind == SAVED_KIND_TABLE_PTR)
        return *(uint8_t **)at;
    return at;
}

static uint64_t
saved_number_get(const uint8_t *at, size_t size)
{
    switch (size) {
    case 1:
        return *at;
    case 2:
        return *(const uint16_t *)at;
    case 4:
        return *(const uint32_t *)at;
    default:
        return *(const uint64_t *)at;
    }
}

static void
saved_number_set(uint8_t *at, size_t size, uint64_t value)
{
    switch (size) {
    case 1:
        *at = (uint8_t)value;
        break;
    case 2:
        *(uint16_t *)at = (uint16_t)value;
        break;
    case 4:
        *(uint32_t *)at = (uint32_t)value;
        break;
    default:
        *(uint64_t *)at = value;
        break;
    }
}

static void
saved_field_save(const SavedField *field, void *state, GByteArray *out)
{
    size_t count = saved_field_count(field, state);
    uint8_t *data = saved_field_data(field, state);

    switch (field->kind) {
    case SAVED_KIND_BLOB: {
        const GByteArray *blob = *(GByteArray **)data;

        if (blob->len > 0)
            g_byte_array_append(out, blob->data, blob->len);
        break;
    }
    case SAVED_KIND_NUMBER:
    case SAVED_KIND_BOOL:
        for (size_t i = 0; i < count; i++)
            saved_append(out, saved_number_get(data + i * field->size, field->size),
                         (unsigned)field->size);
        break;
    case SAVED_KIND_BYTES:
    case SAVED_KIND_BUFFER:
        if (count > 0)
            g_byte_array_append(out, data, (guint)count);
        break;
    case SAVED_KIND_TABLE:
    case SAVED_KIND_TABLE_PTR:
        for (size_t i = 0; i < count; i++)
            saved_table_save(field->table, data + i * field->size, out);
        break;
    }
}

void
saved_table_save(const SavedTable *table, void *state, GByteArray *out)
{
    if (table->before_save)
        table->before_save(state);
    saved_append(out, table->version, 2);
    saved_append(out, table->n_fields, 2);
    for (size_t i = 0; i < table->n_fields; i++) {
        const SavedField *field = &table->fields[i];
        size_t length = strlen(field->name);
        guint at;

        saved_append(out, length, 1);
        g_byte_array_append(out, (const guint8 *)field->name, (guint)length);
        at = out->len;
        saved_append(out, 0, 4);
        saved_field_save(field, state, out);
        bytes_store(out->data + at, out->len - at - 4, 4);
    }
}

static bool
saved_take(const uint8_t *data, size_t len, size_t *pos, size_t n, const uint8_t **ret)
{
    if (n > len - *pos)
        return false;
    *ret = data + *pos;
    *pos += n;
    return true;
}

static bool
saved_take_number(const uint8_t *data, size_t len, size_t *pos, unsigned size, uint64_t *ret)
{
    const uint8_t *at;

    if (!saved_take(data, len, pos, size, &at))
        return false;
    *ret = bytes_load(at, size);
    return true;
}

static bool
saved_field_load(const SavedTable *table, const SavedField *field, void *state,
                 const uint8_t *payload, size_t len, GError **err)
{
    size_t count = saved_field_count(field, state), pos = 0;
    uint8_t *data = saved_field_data(field, state);

    if (field->kind == SAVED_KIND_TABLE || field->kind == SAVED_KIND_TABLE_PTR) {
        for (size_t i = 0; i < count; i++) {
            if (!saved_table_load(field->table, data + i * field->size, payload, len, &pos, err))
                return false;
        }
        if (pos != len)
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "saved state of %s: field '%s' has more than its %zu elements",
                                  table->name, field->name, count);
        return true;
    }
    if (field->kind == SAVED_KIND_BLOB && len <= count) {
        GByteArray *blob = *(GByteArray **)data;

        g_byte_array_set_size(blob, 0);
        g_byte_array_append(blob, payload, (guint)len);
        return true;
    }
    if (len != count * field->size)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "saved state of %s: field '%s' has %zu bytes, expected %zu",
                              table->name, field->name, len, count * field->size);
    if (field->kind == SAVED_KIND_BYTES || field->kind == SAVED_KIND_BUFFER) {
        if (len > 0)
            memcpy(data, payload, len);
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t value = bytes_load(payload + i * field->size, (unsigned)field->size);

        if (field->kind == SAVED_KIND_BOOL && value > 1)
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "saved state of %s: field '%s' is %" G_GUINT64_FORMAT
                                  ", expected 0 or 1",
                                  table->name, field->name, value);
        saved_number_set(data + i * field->size, field->size, value);
    }
    return true;
}

static const SavedField *
saved_table_find(const SavedTable *table, const char *name, size_t len)
{
    for (size_t i = 0; i < table->n_fields; i++) {
        const char *known = table->fields[i].name;

        if (strlen(known) == len && memcmp(known, name, len) == 0)
            return &table->fields[i];
    }
    return NULL;
}

static bool
saved_table_truncated(const SavedTable *table, GError **err)
{
    return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "saved state of %s ends too early",
                          table->name);
}

/* A name out of the stream, fit to be shown. */
static char *
saved_printable(const uint8_t *name, size_t len)
{
    GString *text = g_string_new(NULL);

    for (size_t i = 0; i < len; i++)
        g_string_append_c(text, g_ascii_isprint(name[i]) ? (char)name[i] : '?');
    return g_string_free(text, FALSE);
}

bool
saved_table_load(const SavedTable *table, void *state, const uint8_t *data, size_t len, size_t *pos,
                 GError **err)
{
    g_autofree bool *seen = g_new0(bool, table->n_fields + 1);
    uint64_t version, n;

    if (!saved_take_number(data, len, pos, 2, &version) ||
        !saved_take_number(data, len, pos, 2, &n))
        return saved_table_truncated(table, err);
    if (version < table->oldest || version > table->version)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "saved state of %s has version %u, this build reads %u to %u",
                              table->name, (unsigned)version, table->oldest, table->version);
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *name, *payload;
        uint64_t name_len, length;
        const SavedField *field;

        if (!saved_take_number(data, len, pos, 1, &name_len) ||
            !saved_take(data, len, pos, name_len, &name) ||
            !saved_take_number(data, len, pos, 4, &length) ||
            !saved_take(data, len, pos, length, &payload))
            return saved_table_truncated(table, err);
        field = saved_table_find(table, (const char *)name, name_len);
        if (!field || field->since > version || seen[field - table->fields]) {
            g_autofree char *shown = saved_printable(name, name_len);

            return kiln_error_set(
                err, VIR_ERR_OPERATION_FAILED,
                "saved state of %s has a field '%s' that version %u does not have%s", table->name,
                shown, (unsigned)version, field ? " (again)" : "");
        }
        if (!saved_field_load(table, field, state, payload, length, err))
            return false;
        seen[field - table->fields] = true;
    }
    for (size_t i = 0; i < table->n_fields; i++) {
        if (!seen[i] && table->fields[i].since <= version)
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "saved state of %s lacks the field '%s'", table->name,
                                  table->fields[i].name);
    }
    return !table->after_load || table->after_load(state, err);
}
