/* smbios.c - what the machine says of itself: SMBIOS tables (DMTF DSP0134 2.8).
 *
 * Types 0, 1, 2, 3, 4, 11 and 17 take their strings from options; 16, 19, 32 and 127 complete what
 * the specification requires. A structure given as a file replaces ours of its type.
 *
 * Leaves out: types 8, 9 and 41, caches (type 7).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/firmware/smbios.h"

#include "hw/core/bytes.h"
#include "hw/isa/fw_cfg.h"
#include "hw/pci/board.h"
#include "util/error.h"
#include "util/uuid.h"

#include <string.h>

enum {
    ANCHOR_SIZE = 31,         /* of a 32-bit entry point, the only one that all firmware knows */
    ANCHOR_INTERMEDIATE = 16, /* its second part, with a sum of its own */
    HANDLE_BIOS = 0x000,
    HANDLE_SYSTEM = 0x100,
    HANDLE_BOARD = 0x200,
    HANDLE_CHASSIS = 0x300,
    HANDLE_CPU = 0x400,
    HANDLE_OEM = 0xb00,
    HANDLE_ARRAY = 0x1000,
    HANDLE_DIMM = 0x1100,
    HANDLE_MAPPED = 0x1300,
    HANDLE_BOOT = 0x2000,
    HANDLE_END = 0x7f00,
    UNKNOWN = 2,
    OTHER = 1,
    CHASSIS_SAFE = 3,
    STRINGS_MAX = 16,
};
#define DIMM_MAX (UINT64_C(16) << 30)    /* one memory device per so many bytes */
#define BIOS_NOT_SUPPORTED UINT64_C(0x8) /* the characteristics are not described */

/* A field that an option can set: its name there, where its string's number goes, and what it is
 * otherwise. */
typedef struct {
    const char *name;
    uint8_t at; /* in the structure; 0: not a string, handled by the type's own code */
    const char *fallback;
} SmbiosField;

typedef struct {
    GByteArray *out;
    guint count, largest;
    /* the structure being made */
    uint8_t body[64];
    unsigned size;
    const char *strings[STRINGS_MAX];
    unsigned n_strings;
} Smbios;

static const SmbiosField bios_fields[] = {
    { "vendor", 4, "Kiln" }, { "version", 5, "1.0" }, { "date", 8, "04/01/2014" },
    { "release", 0, NULL },  { "uefi", 0, NULL },     { NULL, 0, NULL },
};

static const SmbiosField system_fields[] = {
    { "manufacturer", 4, "Kiln" }, { "product", 5, NULL }, { "version", 6, NULL },
    { "serial", 7, NULL },         { "uuid", 0, NULL },    { "sku", 25, NULL },
    { "family", 26, NULL },        { NULL, 0, NULL },
};

static const SmbiosField board_fields[] = {
    { "manufacturer", 4, "Kiln" },
    { "product", 5, NULL },
    { "version", 6, NULL },
    { "serial", 7, NULL },
    { "asset", 8, NULL },
    { "location", 10, NULL },
    { NULL, 0, NULL },
};

static const SmbiosField chassis_fields[] = {
    { "manufacturer", 4, "Kiln" }, { "version", 6, NULL }, { "serial", 7, NULL },
    { "asset", 8, NULL },          { "sku", 21, NULL },    { NULL, 0, NULL },
};

static const SmbiosField cpu_fields[] = {
    { "sock_pfx", 0, NULL },  { "manufacturer", 7, "Kiln" }, { "version", 16, NULL },
    { "serial", 32, NULL },   { "asset", 33, NULL },         { "part", 34, NULL },
    { "max-speed", 0, NULL }, { "current-speed", 0, NULL },  { NULL, 0, NULL },
};

static const SmbiosField oem_fields[] = {
    { "value", 0, NULL },
    { "path", 0, NULL },
    { NULL, 0, NULL },
};

static const SmbiosField dimm_fields[] = {
    { "loc_pfx", 0, NULL }, { "bank", 17, NULL },  { "manufacturer", 23, "Kiln" },
    { "serial", 24, NULL }, { "asset", 25, NULL }, { "part", 26, NULL },
    { "speed", 0, NULL },   { NULL, 0, NULL },
};

static const struct {
    unsigned type;
    const SmbiosField *fields;
} smbios_types[] = {
    { 0, bios_fields }, { 1, system_fields }, { 2, board_fields }, { 3, chassis_fields },
    { 4, cpu_fields },  { 11, oem_fields },   { 17, dimm_fields },
};

static bool
smbios_byte(const char *text, const char **ret_end)
{
    char *end;
    guint64 value = g_ascii_strtoull(text, &end, 10);

    *ret_end = end;
    return g_ascii_isdigit(*text) && value <= UINT8_MAX;
}

/* Fields that are no strings; what is wrong with @value, NULL: nothing. */
static const char *
smbios_wrong(const char *name, const char *value)
{
    static const char *const numbers[] = { "max-speed", "current-speed", "speed", NULL };
    uint8_t uuid[16];
    const char *end;
    guint64 number;

    if (!strcmp(name, "uuid") && !kiln_uuid_parse(value, uuid))
        return "is not a UUID";
    if (!strcmp(name, "release") &&
        !(smbios_byte(value, &end) && *end == '.' && smbios_byte(end + 1, &end) && !*end))
        return "is not two numbers up to 255 with a dot between";
    if (!strcmp(name, "uefi") && strcmp(value, "on") != 0 && strcmp(value, "off") != 0)
        return "is neither 'on' nor 'off'";
    if (g_strv_contains(numbers, name) &&
        !g_ascii_string_to_unsigned(value, 10, 0, UINT16_MAX, &number, NULL))
        return "is not a number up to 65535";
    return NULL;
}

static bool
smbios_field_known(const SmbiosField *fields, const char *name)
{
    for (; fields->name; fields++) {
        if (!strcmp(fields->name, name))
            return true;
    }
    return false;
}

bool
smbios_check(const SmbiosOption *option, GError **err)
{
    const char *type = g_hash_table_lookup(option->props, "type");
    const SmbiosField *fields = NULL;
    GHashTableIter iter;
    gpointer key, value;

    if (option->file)
        return (option->file_len >= 4 && option->file[1] >= 4 &&
                option->file[1] <= option->file_len) ||
               kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-smbios: the file holds no SMBIOS structure");
    for (size_t i = 0; type && i < G_N_ELEMENTS(smbios_types); i++) {
        if (g_ascii_strtoull(type, NULL, 10) == smbios_types[i].type)
            fields = smbios_types[i].fields;
    }
    if (!fields)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-smbios type=%s: types 0, 1, 2, 3, 4, 11 and 17 can be set",
                              type ? type : "");
    g_hash_table_iter_init(&iter, option->props);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        const char *wrong = smbios_wrong(key, value);

        if (strcmp(key, "type") && !smbios_field_known(fields, key))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "-smbios type=%s: there is no field '%s'", type,
                                  (const char *)key);
        if (wrong)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-smbios type=%s: %s=%s %s",
                                  type, (const char *)key, (const char *)value, wrong);
    }
    return true;
}

static void
smbios_begin(Smbios *s, unsigned type, unsigned size, unsigned handle)
{
    memset(s->body, 0, sizeof(s->body));
    s->size = size;
    s->n_strings = 0;
    s->body[0] = (uint8_t)type;
    s->body[1] = (uint8_t)size;
    bytes_store(s->body + 2, handle, 2);
}

/* Strings are counted from 1; none is 0. */
static void
smbios_string(Smbios *s, unsigned at, const char *text)
{
    if (!text || !*text || s->n_strings == STRINGS_MAX)
        return;
    s->strings[s->n_strings++] = text;
    s->body[at] = (uint8_t)s->n_strings;
}

static void
smbios_append(Smbios *s, const uint8_t *bytes, size_t len)
{
    g_byte_array_append(s->out, bytes, (guint)len);
}

static void
smbios_end(Smbios *s)
{
    guint start = s->out->len;

    smbios_append(s, s->body, s->size);
    for (unsigned i = 0; i < s->n_strings; i++)
        smbios_append(s, (const uint8_t *)s->strings[i], strlen(s->strings[i]) + 1);
    if (s->n_strings == 0)
        smbios_append(s, (const uint8_t *)"", 1);
    smbios_append(s, (const uint8_t *)"", 1);
    s->count++;
    s->largest = MAX(s->largest, s->out->len - start);
}

/* What the last option for @type says of @name. */
static const char *
smbios_text(const SmbiosOption *options, unsigned n, unsigned type, const char *name)
{
    const char *text = NULL;

    for (unsigned i = 0; i < n; i++) {
        const char *t = options[i].file ? NULL : g_hash_table_lookup(options[i].props, "type");
        const char *value = t && g_ascii_strtoull(t, NULL, 10) == type
                                ? g_hash_table_lookup(options[i].props, name)
                                : NULL;

        if (value)
            text = value;
    }
    return text;
}

static void
smbios_strings(Smbios *s, const SmbiosOption *options, unsigned n, unsigned type)
{
    const SmbiosField *fields = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(smbios_types); i++) {
        if (smbios_types[i].type == type)
            fields = smbios_types[i].fields;
    }
    for (; fields && fields->name; fields++) {
        const char *text = smbios_text(options, n, type, fields->name);

        if (fields->at)
            smbios_string(s, fields->at, text ? text : fields->fallback);
    }
}

static unsigned
smbios_number(const SmbiosOption *options, unsigned n, unsigned type, const char *name,
              unsigned fallback)
{
    const char *text = smbios_text(options, n, type, name);

    return text ? (unsigned)g_ascii_strtoull(text, NULL, 0) : fallback;
}

static void
smbios_bios(Smbios *s, const SmbiosOption *options, unsigned n)
{
    const char *release = smbios_text(options, n, 0, "release");
    bool uefi = !g_strcmp0(smbios_text(options, n, 0, "uefi"), "on");

    smbios_begin(s, 0, 24, HANDLE_BIOS);
    smbios_strings(s, options, n, 0);
    bytes_store(s->body + 6, 0xe800, 2);
    bytes_store(s->body + 10, BIOS_NOT_SUPPORTED, 8);
    s->body[19] = (uint8_t)(0x14 | (uefi ? 0x08 : 0)); /* a virtual machine */
    s->body[20] = s->body[21] = s->body[22] = s->body[23] = 0xff;
    if (release && strchr(release, '.')) {
        s->body[20] = (uint8_t)g_ascii_strtoull(release, NULL, 10);
        s->body[21] = (uint8_t)g_ascii_strtoull(strchr(release, '.') + 1, NULL, 10);
    }
    smbios_end(s);
}

/* A UUID whose first three fields are little-endian (section 7.2.1). */
static void
smbios_uuid(uint8_t *at, const uint8_t uuid[16])
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

    for (unsigned i = 0; i < 16; i++)
        at[i] = uuid[order[i]];
}

static void
smbios_system(Smbios *s, const Machine *machine, const SmbiosOption *options, unsigned n)
{
    const char *text = smbios_text(options, n, 1, "uuid");
    uint8_t uuid[16];

    memcpy(uuid, machine->config.uuid, sizeof(uuid));
    for (unsigned i = 0, nibble = 0; text && text[i] && nibble < 32; i++) {
        if (!g_ascii_isxdigit(text[i]))
            continue;
        if (nibble % 2 == 0)
            uuid[nibble / 2] = 0;
        uuid[nibble / 2] |= (uint8_t)(g_ascii_xdigit_value(text[i]) << (nibble % 2 ? 0 : 4));
        nibble++;
    }
    smbios_begin(s, 1, 27, HANDLE_SYSTEM);
    smbios_strings(s, options, n, 1);
    if (!s->body[5])
        smbios_string(s, 5, machine->board->product);
    if (!s->body[6])
        smbios_string(s, 6, machine->board->name);
    smbios_uuid(s->body + 8, uuid);
    s->body[24] = 6; /* woken by the power switch */
    smbios_end(s);
}

static void
smbios_board_and_chassis(Smbios *s, const Machine *machine, const SmbiosOption *options, unsigned n)
{
    bool wanted = false;

    for (unsigned i = 0; i < n; i++)
        wanted |= !options[i].file && !strcmp(g_hash_table_lookup(options[i].props, "type"), "2");
    if (wanted) {
        smbios_begin(s, 2, 15, HANDLE_BOARD);
        smbios_strings(s, options, n, 2);
        s->body[9] = 1; /* hosts the others */
        bytes_store(s->body + 11, HANDLE_CHASSIS, 2);
        s->body[13] = 10; /* motherboard */
        smbios_end(s);
    }
    smbios_begin(s, 3, 22, HANDLE_CHASSIS);
    smbios_strings(s, options, n, 3);
    s->body[5] = OTHER;
    if (!s->body[6])
        smbios_string(s, 6, machine->board->name);
    s->body[9] = s->body[10] = s->body[11] = CHASSIS_SAFE;
    s->body[12] = UNKNOWN;
    smbios_end(s);
}

static void
smbios_cpus(Smbios *s, const SmbiosTopology *topology, const SmbiosOption *options, unsigned n)
{
    const char *prefix = smbios_text(options, n, 4, "sock_pfx");
    unsigned cores = topology->cores, threads = topology->cores * topology->threads;

    for (unsigned i = 0; i < topology->sockets; i++) {
        g_autofree char *socket = g_strdup_printf("%s%2x", prefix ? prefix : "CPU", i);

        smbios_begin(s, 4, 42, HANDLE_CPU + i);
        smbios_string(s, 4, socket);
        s->body[5] = 3; /* a central processor */
        s->body[6] = UNKNOWN;
        smbios_strings(s, options, n, 4);
        bytes_store(s->body + 20, smbios_number(options, n, 4, "max-speed", 2000), 2);
        bytes_store(s->body + 22, smbios_number(options, n, 4, "current-speed", 2000), 2);
        s->body[24] = 0x41; /* socket populated, enabled */
        s->body[25] = OTHER;
        s->body[26] = s->body[27] = s->body[28] = s->body[29] = s->body[30] = s->body[31] = 0xff;
        s->body[35] = s->body[36] = (uint8_t)MIN(cores, 255);
        s->body[37] = (uint8_t)MIN(threads, 255);
        bytes_store(s->body + 38, UNKNOWN, 2);
        bytes_store(s->body + 40, UNKNOWN, 2); /* family, long form */
        smbios_end(s);
    }
}

static void
smbios_oem(Smbios *s, const SmbiosOption *options, unsigned n)
{
    smbios_begin(s, 11, 5, HANDLE_OEM);
    for (unsigned i = 0; i < n; i++) {
        for (guint j = 0; options[i].values && j < options[i].values->len; j++)
            smbios_string(s, 4, g_ptr_array_index(options[i].values, j));
    }
    if (s->n_strings > 0)
        smbios_end(s);
}

static void
smbios_memory_device(Smbios *s, unsigned i, uint64_t bytes, const SmbiosOption *options, unsigned n)
{
    const char *prefix = smbios_text(options, n, 17, "loc_pfx");
    g_autofree char *place = g_strdup_printf("%s %u", prefix ? prefix : "DIMM", i);
    unsigned speed = smbios_number(options, n, 17, "speed", 0);
    uint64_t mib = bytes >> 20;

    smbios_begin(s, 17, 40, HANDLE_DIMM + i);
    bytes_store(s->body + 4, HANDLE_ARRAY, 2);
    bytes_store(s->body + 6, 0xfffe, 2); /* no error information */
    bytes_store(s->body + 8, 0xffff, 2);
    bytes_store(s->body + 10, 0xffff, 2);
    bytes_store(s->body + 12, mib < 0x7fff ? mib : 0x7fff, 2);
    s->body[14] = 9; /* DIMM */
    smbios_string(s, 16, place);
    smbios_strings(s, options, n, 17);
    s->body[18] = 7;                      /* RAM */
    bytes_store(s->body + 19, 1 << 1, 2); /* other */
    bytes_store(s->body + 21, speed, 2);
    bytes_store(s->body + 28, mib < 0x7fff ? 0 : mib, 4);
    bytes_store(s->body + 32, speed, 2);
    smbios_end(s);
}

static void
smbios_mapped(Smbios *s, unsigned i, uint64_t base, uint64_t size)
{
    bool large = (base + size) >> 10 > UINT32_MAX;

    if (size == 0)
        return;
    smbios_begin(s, 19, 31, HANDLE_MAPPED + i);
    bytes_store(s->body + 4, large ? UINT32_MAX : base >> 10, 4); /* KiB */
    bytes_store(s->body + 8, large ? UINT32_MAX : (base + size - 1) >> 10, 4);
    bytes_store(s->body + 12, HANDLE_ARRAY, 2);
    s->body[14] = 1; /* partition width */
    bytes_store(s->body + 15, large ? base : 0, 8);
    bytes_store(s->body + 23, large ? base + size - 1 : 0, 8);
    smbios_end(s);
}

static void
smbios_memory(Smbios *s, const Machine *machine, const SmbiosOption *options, unsigned n)
{
    const MachineConfig *config = &machine->config;
    uint64_t total = config->ram_below_4g + config->ram_above_4g, left = total;
    unsigned count = (unsigned)((total + DIMM_MAX - 1) / DIMM_MAX);

    smbios_begin(s, 16, 23, HANDLE_ARRAY);
    s->body[4] = OTHER;
    s->body[5] = 3; /* system memory */
    s->body[6] = 6; /* multi-bit error correction */
    bytes_store(s->body + 7, total >> 10 < 0x80000000 ? total >> 10 : 0x80000000, 4);
    bytes_store(s->body + 11, 0xfffe, 2);
    bytes_store(s->body + 13, count, 2);
    bytes_store(s->body + 15, total >> 10 < 0x80000000 ? 0 : total, 8);
    smbios_end(s);
    for (unsigned i = 0; i < count; i++) {
        smbios_memory_device(s, i, MIN(left, DIMM_MAX), options, n);
        left -= MIN(left, DIMM_MAX);
    }
    smbios_mapped(s, 0, 0, config->ram_below_4g);
    smbios_mapped(s, 1, UINT64_C(4) << 30, config->ram_above_4g);
}

static bool
smbios_file_has(const SmbiosOption *options, unsigned n, unsigned type)
{
    for (unsigned i = 0; i < n; i++) {
        if (options[i].file && options[i].file[0] == type)
            return true;
    }
    return false;
}

static void
smbios_files(Smbios *s, const SmbiosOption *options, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        size_t len = options[i].file_len;

        if (!options[i].file)
            continue;
        smbios_append(s, options[i].file, len);
        /* A structure without strings may come without the two zeroes that end it. */
        if (len < 2 || options[i].file[len - 1] || options[i].file[len - 2])
            smbios_append(s, (const uint8_t *)"\0", 2);
        s->count++;
    }
}

static uint8_t
smbios_sum(const uint8_t *bytes, size_t len)
{
    uint8_t sum = 0;

    while (len--)
        sum = (uint8_t)(sum + *bytes++);
    return (uint8_t)-sum;
}

/* The entry point for tables at @address (section 5.2.1); firmware puts its own address in. */
static void
smbios_anchor(uint8_t anchor[ANCHOR_SIZE], uint32_t address, unsigned len, unsigned count,
              unsigned largest)
{
    memset(anchor, 0, ANCHOR_SIZE);
    memcpy(anchor, "_SM_", 4);
    anchor[5] = ANCHOR_SIZE;
    anchor[6] = 2;
    anchor[7] = 8;
    bytes_store(anchor + 8, largest, 2);
    memcpy(anchor + ANCHOR_INTERMEDIATE, "_DMI_", 5);
    bytes_store(anchor + 22, len, 2);
    bytes_store(anchor + 24, address, 4);
    bytes_store(anchor + 28, count, 2);
    anchor[30] = 0x28;
    anchor[21] = smbios_sum(anchor + ANCHOR_INTERMEDIATE, ANCHOR_SIZE - ANCHOR_INTERMEDIATE);
    anchor[4] = smbios_sum(anchor, ANCHOR_SIZE);
}

static bool
smbios_add_files(FwCfg *cfg, const Smbios *s, GError **err)
{
    uint8_t anchor[ANCHOR_SIZE];

    if (s->out->len > UINT16_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "the SMBIOS tables take %u bytes, %d are the limit: use shorter "
                              "strings or fewer processors",
                              s->out->len, UINT16_MAX);
    smbios_anchor(anchor, 0, s->out->len, s->count, s->largest);
    return fw_cfg_add_file(cfg, "etc/smbios/smbios-anchor", anchor, sizeof(anchor), err) &&
           fw_cfg_add_file(cfg, "etc/smbios/smbios-tables", s->out->data, s->out->len, err);
}

/* Whether our own tables have a structure of type 0. */
static bool
smbios_has_bios(const uint8_t *tables, size_t len)
{
    for (size_t at = 0; at + 4 < len; at += 2) {
        if (tables[at] == 0)
            return true;
        for (at += tables[at + 1]; at + 1 < len && (tables[at] || tables[at + 1]);)
            at++;
    }
    return false;
}

bool
smbios_place(Machine *machine, uint64_t address, uint64_t size, GError **err)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    Smbios s = { .out = out };
    size_t anchor_len, len;
    const uint8_t *from = fw_cfg_file(machine->fw_cfg, "etc/smbios/smbios-anchor", &anchor_len);
    const uint8_t *tables = fw_cfg_file(machine->fw_cfg, "etc/smbios/smbios-tables", &len);
    uint64_t at = (address + ANCHOR_SIZE + 15) & ~UINT64_C(15);
    uint8_t anchor[ANCHOR_SIZE];

    if (!from || !tables)
        return true;
    /* Firmware says itself what it is; where there is none, nobody else does. */
    if (!smbios_has_bios(tables, len))
        smbios_bios(&s, NULL, 0);
    g_byte_array_append(out, tables, (guint)len);
    if (at + out->len > address + size)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "the SMBIOS tables take %u bytes, %" G_GUINT64_FORMAT
                              " are kept for them: use shorter strings",
                              out->len, size);
    smbios_anchor(anchor, (uint32_t)at, out->len, s.count + bytes_load16(from + 28),
                  MAX(s.largest, bytes_load16(from + 8)));
    (void)guest_memory_write(machine->memory, address, anchor, sizeof(anchor));
    (void)guest_memory_write(machine->memory, at, out->data, out->len);
    return true;
}

bool
smbios_create(Machine *machine, const SmbiosTopology *topology, const SmbiosOption *options,
              unsigned n, GError **err)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    Smbios s = { .out = out };

    smbios_files(&s, options, n);
    if (!smbios_file_has(options, n, 0) && smbios_text(options, n, 0, "type"))
        smbios_bios(&s, options, n);
    if (!smbios_file_has(options, n, 1))
        smbios_system(&s, machine, options, n);
    if (!smbios_file_has(options, n, 3))
        smbios_board_and_chassis(&s, machine, options, n);
    if (!smbios_file_has(options, n, 4))
        smbios_cpus(&s, topology, options, n);
    smbios_oem(&s, options, n);
    if (!smbios_file_has(options, n, 17))
        smbios_memory(&s, machine, options, n);
    smbios_begin(&s, 32, 11, HANDLE_BOOT);
    smbios_end(&s);
    smbios_begin(&s, 127, 4, HANDLE_END);
    smbios_end(&s);
    return smbios_add_files(machine->fw_cfg, &s, err);
}
