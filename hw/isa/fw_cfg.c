/* fw_cfg.c - the firmware configuration device of the QEMU machines.
 *
 * QEMU's published interface document "QEMU Firmware Configuration (fw_cfg) Device": selector and
 * data ports and the DMA interface.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/isa/fw_cfg.h"

#include "hw/core/bytes.h"
#include "hw/core/device.h"
#include "util/error.h"

#include <string.h>

enum {
    FW_CFG_PORT = 0x510,
    FW_CFG_DMA_PORT = 0x514,
    FW_CFG_DATA = 1, /* offset of the data port */
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_NUMA = 0x0d,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_ACPI_TABLES = 0x8000,
    FW_CFG_SMBIOS_ENTRIES = 0x8001,
    FW_CFG_IRQ0_OVERRIDE = 0x8002,
    FW_CFG_FILES_MAX = 256,
    FW_CFG_NAME_MAX = 55,
    FW_CFG_FILE_ENTRY = 64, /* size, key, reserved, name[56] */
    FW_CFG_FEATURES = 3,    /* traditional and DMA */
    DMA_ERROR = 1,
    DMA_READ = 2,
    DMA_SKIP = 4,
    DMA_SELECT = 8,
    DMA_WRITE = 16,
    DMA_REQUEST_SIZE = 16,
};
#define FW_CFG_DMA_SIGNATURE UINT64_C(0x51454d5520434647)

typedef struct {
    uint8_t *data;
    uint32_t len;
    uint32_t size;        /* in the directory; bytes from len on read as zero */
    FwCfgMake make;       /* NULL: @data is always there */
    FwCfgWritten written; /* NULL: the guest cannot write; else @data is somebody else's */
    void *opaque;
} FwCfgItem;

typedef struct {
    char name[FW_CFG_NAME_MAX + 1];
    uint16_t key;
} FwCfgFile;

struct FwCfg {
    Device device;
    GHashTable *items; /* key -> FwCfgItem */
    GArray *files;     /* FwCfgFile, in order of names */
    uint16_t next_key;
    uint16_t selected;
    uint32_t position;
    uint64_t dma_address;
    IoRegion region, dma;
};

static void
fw_cfg_item_free(gpointer data)
{
    FwCfgItem *item = data;

    if (!item->written)
        g_free(item->data);
    g_free(item);
}

void
fw_cfg_add(FwCfg *cfg, uint16_t key, const void *data, size_t len)
{
    FwCfgItem *item = g_new0(FwCfgItem, 1);

    item->data = g_memdup2(data, len);
    item->len = item->size = (uint32_t)len;
    g_hash_table_insert(cfg->items, GUINT_TO_POINTER(key), item);
}

static void
fw_cfg_store_be(uint8_t *p, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        p[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

static uint64_t
fw_cfg_load_be(const uint8_t *p, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value = value << 8 | p[i];
    return value;
}

static void
fw_cfg_write_directory(FwCfg *cfg)
{
    g_autoptr(GByteArray) dir = g_byte_array_new();
    uint8_t head[4];

    fw_cfg_store_be(head, cfg->files->len, 4);
    g_byte_array_append(dir, head, sizeof(head));
    for (guint i = 0; i < cfg->files->len; i++) {
        const FwCfgFile *file = &g_array_index(cfg->files, FwCfgFile, i);
        const FwCfgItem *item = g_hash_table_lookup(cfg->items, GUINT_TO_POINTER(file->key));
        uint8_t entry[FW_CFG_FILE_ENTRY] = { 0 };

        fw_cfg_store_be(entry, item->size, 4);
        fw_cfg_store_be(entry + 4, file->key, 2);
        memcpy(entry + 8, file->name, sizeof(file->name));
        g_byte_array_append(dir, entry, sizeof(entry));
    }
    fw_cfg_add(cfg, FW_CFG_FILE_DIR, dir->data, dir->len);
}

static FwCfgFile *
fw_cfg_find_file(FwCfg *cfg, const char *name)
{
    for (guint i = 0; i < cfg->files->len; i++) {
        FwCfgFile *file = &g_array_index(cfg->files, FwCfgFile, i);

        if (strcmp(file->name, name) == 0)
            return file;
    }
    return NULL;
}

bool
fw_cfg_add_file(FwCfg *cfg, const char *name, const void *data, size_t len, GError **err)
{
    FwCfgFile file = { .key = cfg->next_key };
    guint at = 0;

    if (!*name || strlen(name) > FW_CFG_NAME_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "fw_cfg file name '%s' is not 1 to %d bytes long", name,
                              FW_CFG_NAME_MAX);
    if (len > UINT32_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "fw_cfg file '%s' is 4 GiB or more",
                              name);
    if (fw_cfg_find_file(cfg, name))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "there is a fw_cfg file '%s' already", name);
    if (cfg->files->len == FW_CFG_FILES_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "no room for fw_cfg file '%s': there are %d already", name,
                              FW_CFG_FILES_MAX);
    g_strlcpy(file.name, name, sizeof(file.name));
    while (at < cfg->files->len && strcmp(g_array_index(cfg->files, FwCfgFile, at).name, name) < 0)
        at++;
    g_array_insert_val(cfg->files, at, file);
    cfg->next_key++;
    fw_cfg_add(cfg, file.key, data, len);
    fw_cfg_write_directory(cfg);
    return true;
}

bool
fw_cfg_set_file(FwCfg *cfg, const char *name, const void *data, size_t len, GError **err)
{
    const FwCfgFile *file = fw_cfg_find_file(cfg, name);

    if (!file)
        return fw_cfg_add_file(cfg, name, data, len, err);
    fw_cfg_add(cfg, file->key, data, len);
    fw_cfg_write_directory(cfg);
    return true;
}

static FwCfgItem *
fw_cfg_file_item(FwCfg *cfg, const char *name)
{
    const FwCfgFile *file = fw_cfg_find_file(cfg, name);

    return file ? g_hash_table_lookup(cfg->items, GUINT_TO_POINTER(file->key)) : NULL;
}

const uint8_t *
fw_cfg_file(FwCfg *cfg, const char *name, size_t *ret_len)
{
    const FwCfgItem *item = fw_cfg_file_item(cfg, name);

    *ret_len = item ? item->len : 0;
    return item ? item->data : NULL;
}

bool
fw_cfg_add_made(FwCfg *cfg, const char *name, uint32_t size, FwCfgMake make, void *opaque,
                GError **err)
{
    FwCfgItem *item;

    if (!fw_cfg_add_file(cfg, name, "", 0, err))
        return false;
    item = fw_cfg_file_item(cfg, name);
    item->size = size;
    item->make = make;
    item->opaque = opaque;
    fw_cfg_write_directory(cfg);
    return true;
}

void
fw_cfg_made(FwCfg *cfg, const char *name, const void *data, size_t len)
{
    FwCfgItem *item = fw_cfg_file_item(cfg, name);

    g_return_if_fail(item && item->make);
    g_free(item->data);
    item->len = (uint32_t)MIN(len, item->size);
    item->data = g_memdup2(data, item->len);
}

bool
fw_cfg_add_writable(FwCfg *cfg, const char *name, uint8_t *data, size_t len, FwCfgWritten written,
                    void *opaque, GError **err)
{
    FwCfgItem *item;

    if (!fw_cfg_add_file(cfg, name, "", 0, err))
        return false;
    item = fw_cfg_file_item(cfg, name);
    g_free(item->data);
    item->data = data;
    item->len = item->size = (uint32_t)len;
    item->written = written;
    item->opaque = opaque;
    fw_cfg_write_directory(cfg);
    return true;
}

static FwCfgItem *
fw_cfg_selected(FwCfg *cfg)
{
    return g_hash_table_lookup(cfg->items, GUINT_TO_POINTER(cfg->selected));
}

static void
fw_cfg_select(FwCfg *cfg, uint16_t key)
{
    FwCfgItem *item;

    cfg->selected = key;
    cfg->position = 0;
    item = fw_cfg_selected(cfg);
    if (item && item->make && !item->data)
        item->make(item->opaque, cfg);
}

/* Files that are made are made anew for the next boot. */
static void
fw_cfg_forget_made(FwCfg *cfg)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, cfg->items);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        FwCfgItem *item = value;

        if (item->make) {
            g_clear_pointer(&item->data, g_free);
            item->len = 0;
        }
    }
}

static uint64_t
fw_cfg_read(void *opaque, uint64_t offset, unsigned size)
{
    FwCfg *cfg = opaque;
    const FwCfgItem *item = fw_cfg_selected(cfg);

    if (offset != FW_CFG_DATA || size != 1)
        return UINT64_MAX;
    /* Beyond the end, and for a key that is not there, the document says zero. */
    return item && cfg->position < item->len ? item->data[cfg->position++] : 0;
}

static void
fw_cfg_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    FwCfg *cfg = opaque;

    if (offset != 0 || size != 2)
        return;
    fw_cfg_select(cfg, (uint16_t)value);
}

/* One transfer. Returns the control word that tells how it ended. */
static uint32_t
fw_cfg_transfer(FwCfg *cfg, uint32_t control, uint32_t length, uint64_t address)
{
    GuestMemory *memory = cfg->device.machine->memory;
    FwCfgItem *item;
    uint32_t have = 0;

    if (control & DMA_SELECT)
        fw_cfg_select(cfg, (uint16_t)(control >> 16));
    item = fw_cfg_selected(cfg);
    if (item && cfg->position < item->len)
        have = MIN(length, item->len - cfg->position);
    if (control & DMA_READ) {
        if (have > 0 && guest_memory_write(memory, address, item->data + cfg->position, have) < 0)
            return DMA_ERROR;
        if (guest_memory_zero(memory, address + have, length - have) < 0)
            return DMA_ERROR;
    } else if (control & DMA_WRITE) {
        /* All of it or nothing. */
        if (!item || !item->written || have < length ||
            guest_memory_read(memory, address, item->data + cfg->position, have) < 0)
            return DMA_ERROR;
        item->written(item->opaque);
    } else if (!(control & DMA_SKIP)) {
        return 0;
    }
    cfg->position += have;
    return 0;
}

static void
fw_cfg_run_dma(FwCfg *cfg)
{
    GuestMemory *memory = cfg->device.machine->memory;
    uint64_t at = cfg->dma_address;
    uint8_t request[DMA_REQUEST_SIZE], result[4];
    uint32_t control;

    cfg->dma_address = 0;
    if (guest_memory_read(memory, at, request, sizeof(request)) < 0)
        return;
    control =
        fw_cfg_transfer(cfg, (uint32_t)fw_cfg_load_be(request, 4),
                        (uint32_t)fw_cfg_load_be(request + 4, 4), fw_cfg_load_be(request + 8, 8));
    fw_cfg_store_be(result, control, 4);
    (void)guest_memory_write(memory, at, result, sizeof(result));
}

static uint64_t
fw_cfg_dma_read(void *opaque, uint64_t offset, unsigned size)
{
    uint8_t signature[8];

    (void)opaque;
    fw_cfg_store_be(signature, FW_CFG_DMA_SIGNATURE, sizeof(signature));
    return bytes_load(signature + offset, size);
}

static void
fw_cfg_dma_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    FwCfg *cfg = opaque;
    uint32_t half = GUINT32_SWAP_LE_BE((uint32_t)value);

    (void)size;
    if (offset == 0) {
        cfg->dma_address = (uint64_t)half << 32;
    } else {
        cfg->dma_address |= half;
        fw_cfg_run_dma(cfg);
    }
}

static const IoOps fw_cfg_ops = { fw_cfg_read, fw_cfg_write, .sizes = 1 | 2 };
static const IoOps fw_cfg_dma_ops = { fw_cfg_dma_read, fw_cfg_dma_write, .sizes = 4 };

static void
fw_cfg_add_number(FwCfg *cfg, uint16_t key, uint64_t value, unsigned size)
{
    uint64_t le = GUINT64_TO_LE(value);

    fw_cfg_add(cfg, key, &le, size);
}

/* etc/e820: where RAM is; address, length, type, 20 bytes each. */
static bool
fw_cfg_add_e820(FwCfg *cfg, GError **err)
{
    const MachineConfig *config = &cfg->device.machine->config;
    struct {
        uint64_t address, length;
        uint32_t type;
    } __attribute__((packed)) map[2] = {
        { 0, GUINT64_TO_LE(config->ram_below_4g), GUINT32_TO_LE(1) },
        { GUINT64_TO_LE(UINT64_C(4) << 30), GUINT64_TO_LE(config->ram_above_4g), GUINT32_TO_LE(1) },
    };

    return fw_cfg_add_file(cfg, "etc/e820", map, sizeof(map[0]) * (config->ram_above_4g ? 2 : 1),
                           err);
}

/* Number of nodes, the node of each CPU, the memory of each node; 64 bits each. */
static void
fw_cfg_add_numa(FwCfg *cfg)
{
    const MachineConfig *config = &cfg->device.machine->config;
    g_autofree uint64_t *words = g_new0(uint64_t, 1 + config->max_cpus + config->n_nodes);
    size_t n = 0;

    words[n++] = GUINT64_TO_LE((uint64_t)config->n_nodes);
    for (uint32_t i = 0; i < config->max_cpus; i++)
        words[n++] = GUINT64_TO_LE((uint64_t)config->cpus[i].node);
    for (uint32_t i = 0; i < config->n_nodes; i++)
        words[n++] = GUINT64_TO_LE(config->nodes[i].memory);
    fw_cfg_add(cfg, FW_CFG_NUMA, words, n * sizeof(*words));
}

static bool
fw_cfg_realize(Device *dev, GError **err)
{
    FwCfg *cfg = (FwCfg *)dev;
    const MachineConfig *config = &dev->machine->config;

    cfg->items = g_hash_table_new_full(NULL, NULL, NULL, fw_cfg_item_free);
    cfg->files = g_array_new(FALSE, TRUE, sizeof(FwCfgFile));
    cfg->next_key = FW_CFG_FILE_FIRST;
    fw_cfg_add(cfg, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_add_number(cfg, FW_CFG_ID, FW_CFG_FEATURES, 4);
    fw_cfg_add(cfg, FW_CFG_UUID, config->uuid, sizeof(config->uuid));
    fw_cfg_add_number(cfg, FW_CFG_RAM_SIZE, config->ram_below_4g + config->ram_above_4g, 8);
    fw_cfg_add_number(cfg, FW_CFG_NOGRAPHIC, 0, 2);
    fw_cfg_add_number(cfg, FW_CFG_NB_CPUS, config->n_cpus, 2);
    fw_cfg_add_number(cfg, FW_CFG_MAX_CPUS, config->max_cpus, 2);
    fw_cfg_add_number(cfg, FW_CFG_BOOT_MENU, 0, 2);
    fw_cfg_add_number(cfg, FW_CFG_ACPI_TABLES, 0, 2);
    fw_cfg_add_number(cfg, FW_CFG_SMBIOS_ENTRIES, 0, 2);
    fw_cfg_add_number(cfg, FW_CFG_IRQ0_OVERRIDE, 1, 4);
    fw_cfg_add_numa(cfg);
    fw_cfg_write_directory(cfg);
    if (!fw_cfg_add_e820(cfg, err))
        return false;
    cfg->region = (IoRegion){ "fw_cfg", &fw_cfg_ops, cfg, &dev->lock, 2, IO_PRIORITY_BOARD };
    cfg->dma = (IoRegion){ "fw_cfg-dma", &fw_cfg_dma_ops, cfg, &dev->lock, 8, IO_PRIORITY_BOARD };
    address_map_add(dev->machine->pio, &cfg->region, FW_CFG_PORT);
    address_map_add(dev->machine->pio, &cfg->dma, FW_CFG_DMA_PORT);
    dev->machine->fw_cfg = cfg;
    return true;
}

static void
fw_cfg_unrealize(Device *dev)
{
    FwCfg *cfg = (FwCfg *)dev;

    address_map_remove(dev->machine->pio, &cfg->region);
    address_map_remove(dev->machine->pio, &cfg->dma);
    address_map_synchronize(dev->machine->pio);
    if (cfg->items)
        g_hash_table_unref(cfg->items);
    if (cfg->files)
        g_array_unref(cfg->files);
    dev->machine->fw_cfg = NULL;
}

static void
fw_cfg_reset(Device *dev)
{
    FwCfg *cfg = (FwCfg *)dev;

    /* Processors may have come or gone: firmware waits until as many have come up. */
    fw_cfg_add_number(cfg, FW_CFG_NB_CPUS, dev->machine->config.n_cpus, 2);
    cfg->selected = 0;
    cfg->position = 0;
    cfg->dma_address = 0;
    fw_cfg_forget_made(cfg);
}

static const SavedField fw_cfg_fields[] = {
    SAVED(FwCfg, selected, 1),
    SAVED(FwCfg, position, 1),
    SAVED(FwCfg, dma_address, 1),
};

static const SavedTable fw_cfg_saved = {
    .name = "fw_cfg",
    .version = 1,
    .oldest = 1,
    .fields = fw_cfg_fields,
    .n_fields = G_N_ELEMENTS(fw_cfg_fields),
};

const DeviceClass fw_cfg_class = {
    .name = "fw_cfg",
    .bus = BUS_SYSTEM,
    .board = true,
    .state_size = sizeof(FwCfg),
    .saved = &fw_cfg_saved,
    .realize = fw_cfg_realize,
    .reset = fw_cfg_reset,
    .unrealize = fw_cfg_unrealize,
};
