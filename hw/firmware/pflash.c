/* pflash.c - flash memory with the firmware's code or its variables, below 4 GiB.
 *
 * JEDEC JESD68.01 (CFI) with the Intel command set (Intel 28F640J5 data sheet, JEP137 id 0001), one
 * chip, 8 bits wide, 4 KiB blocks. What is read is the image itself, mapped into the guest; only
 * while status, id or query are to be read does the mapping go away. Writes go through to the file.
 *
 * As firmware drives these chips, status is not shown by itself after a program or an erase, and
 * clearing it clears its ready bit too: OVMF knows the emulated chip by that.
 *
 * Leaves out: block locking (accepted, without effect), suspend, protection registers. Nobody else
 * may shorten the file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/block.h"
#include "hw/core/bytes.h"
#include "hw/core/device.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FLASH_BLOCK = 4096,
    FLASH_MAX = 16 << 20,
    FLASH_BUFFER = 256, /* bytes of a buffered program; a power of two */
    CMD_READ_ARRAY = 0xff,
    CMD_READ_ARRAY_AMD = 0xf0,
    CMD_PROGRAM = 0x10,
    CMD_PROGRAM_ALT = 0x40,
    CMD_ERASE = 0x20,
    CMD_LOCK = 0x60,
    CMD_CONFIRM = 0xd0,
    CMD_CLEAR_STATUS = 0x50,
    CMD_STATUS = 0x70,
    CMD_ID = 0x90,
    CMD_QUERY = 0x98,
    CMD_BUFFER = 0xe8,
    STATUS_READY = 0x80,
    STATUS_ERASE_ERROR = 0x20,
    STATUS_PROGRAM_ERROR = 0x10,
    STATUS_LOCKED = 0x02,
    ID_MAKER = 0x89,
    ID_CHIP = 0x18,
    QUERY_SIZE = 0x3f,
};

/* What reads give. */
typedef enum { FLASH_ARRAY, FLASH_STATUS, FLASH_ID, FLASH_QUERY, FLASH_MODES } FlashMode;

typedef struct {
    Device device;
    PropObject drive;
    uint32_t unit;
    bool read_only;
    uint8_t mode;    /* FlashMode */
    uint8_t command; /* whose further cycles are awaited; 0: none */
    uint8_t status;
    uint16_t count; /* bytes still to come of a buffered program; UINT16_MAX: the number */
    uint32_t fill;  /* those that came */
    uint32_t first; /* offset of the first of them */
    uint8_t buffer[FLASH_BUFFER];
    uint8_t query[QUERY_SIZE];
    MemoryOverlay overlay;
    bool placed;
    IoRegion region;
} Flash;

static void
flash_show(Flash *f, FlashMode mode)
{
    MemoryLayout *layout = f->device.machine->layout;
    bool array = mode == FLASH_ARRAY;

    f->mode = mode;
    if (array == f->placed)
        return;
    f->placed = array;
    if (array)
        (void)memory_layout_add(layout, &f->overlay);
    else
        memory_layout_remove(layout, &f->overlay);
}

static uint64_t
flash_read(void *opaque, uint64_t offset, unsigned size)
{
    Flash *f = opaque;

    switch (f->mode) {
    case FLASH_STATUS:
        return f->status;
    case FLASH_ID:
        return (offset & 0xff) == 0 ? ID_MAKER : (offset & 0xff) == 1 ? ID_CHIP : 0;
    case FLASH_QUERY:
        return (offset & 0xff) < QUERY_SIZE ? f->query[offset & 0xff] : 0;
    default:
        return bytes_load(f->overlay.host + offset, size);
    }
}

/* Programming clears bits; only an erase sets them. */
static void
flash_program(Flash *f, uint64_t offset, const uint8_t *data, size_t len)
{
    f->status |= STATUS_READY;
    if (f->read_only || len > f->overlay.size - offset) {
        f->status |= STATUS_PROGRAM_ERROR | STATUS_LOCKED;
        return;
    }
    for (size_t i = 0; i < len; i++)
        f->overlay.host[offset + i] &= data[i];
}

static void
flash_erase(Flash *f, uint64_t offset)
{
    f->status |= STATUS_READY;
    if (f->read_only)
        f->status |= STATUS_ERASE_ERROR | STATUS_LOCKED;
    else
        memset(f->overlay.host + (offset & ~(uint64_t)(FLASH_BLOCK - 1)), 0xff, FLASH_BLOCK);
}

static void
flash_begin(Flash *f, uint8_t command)
{
    f->command = 0;
    switch (command) {
    case CMD_PROGRAM:
    case CMD_PROGRAM_ALT:
    case CMD_ERASE:
    case CMD_LOCK:
        f->command = command;
        break;
    case CMD_BUFFER:
        /* The status that follows says whether a buffer is free: one always is. */
        f->command = command;
        f->count = UINT16_MAX;
        f->status |= STATUS_READY;
        flash_show(f, FLASH_STATUS);
        break;
    case CMD_CLEAR_STATUS:
        f->status = 0;
        flash_show(f, FLASH_ARRAY);
        break;
    case CMD_STATUS:
        flash_show(f, FLASH_STATUS);
        break;
    case CMD_ID:
        flash_show(f, FLASH_ID);
        break;
    case CMD_QUERY:
        flash_show(f, FLASH_QUERY);
        break;
    default: /* read array, and what no chip knows */
        flash_show(f, FLASH_ARRAY);
        break;
    }
}

/* A further cycle of a buffered program: the number of bytes less one, the bytes, the confirmation.
 */
static void
flash_buffer(Flash *f, uint64_t offset, uint8_t value)
{
    if (f->count == UINT16_MAX) {
        f->count = (uint16_t)value + 1;
        f->fill = 0;
    } else if (f->count > 0) {
        if (f->fill == 0)
            f->first = (uint32_t)offset;
        if (f->fill < FLASH_BUFFER)
            f->buffer[f->fill++] = value;
        f->count--;
    } else {
        f->command = 0;
        if (value == CMD_CONFIRM)
            flash_program(f, f->first, f->buffer, f->fill);
        else
            f->status |= STATUS_PROGRAM_ERROR;
        flash_show(f, FLASH_STATUS);
    }
}

static void
flash_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Flash *f = opaque;
    uint8_t byte = (uint8_t)value, command = f->command;

    (void)size;
    switch (command) {
    case CMD_PROGRAM:
    case CMD_PROGRAM_ALT:
        f->command = 0;
        flash_program(f, offset, &byte, 1);
        break;
    case CMD_ERASE:
    case CMD_LOCK:
        f->command = 0;
        if (command == CMD_ERASE && byte == CMD_CONFIRM)
            flash_erase(f, offset);
        else if (byte == CMD_READ_ARRAY)
            flash_show(f, FLASH_ARRAY);
        else if (command == CMD_ERASE)
            f->status |= STATUS_ERASE_ERROR | STATUS_PROGRAM_ERROR;
        break;
    case CMD_BUFFER:
        flash_buffer(f, offset, byte);
        break;
    default:
        flash_begin(f, byte);
        break;
    }
}

/* One byte per write: the chip is so wide. */
static const IoOps flash_ops = { flash_read, flash_write, .sizes = 1, .split = true,
                                 .unaligned = true };

static unsigned
flash_log2(uint64_t size)
{
    unsigned n = 0;

    while ((UINT64_C(1) << n) < size)
        n++;
    return n;
}

static void
flash_fill_query(Flash *f)
{
    uint64_t blocks = f->overlay.size / FLASH_BLOCK - 1;
    uint8_t *q = f->query;

    memcpy(q + 0x10, "QRY", 3);
    q[0x13] = 1;    /* Intel commands */
    q[0x15] = 0x31; /* where their own table is */
    q[0x1b] = 0x45; /* 4.5 to 5.5 V */
    q[0x1c] = 0x55;
    q[0x1f] = q[0x20] = 7; /* 2^n microseconds for a byte, for a buffer */
    q[0x21] = 10;          /* milliseconds for a block */
    q[0x23] = q[0x24] = q[0x25] = 4;
    q[0x27] = (uint8_t)flash_log2(f->overlay.size);
    q[0x2a] = (uint8_t)flash_log2(FLASH_BUFFER);
    q[0x2c] = 1; /* one kind of block */
    bytes_store(q + 0x2d, blocks, 2);
    bytes_store(q + 0x2f, FLASH_BLOCK / 256, 2);
    memcpy(q + 0x31, "PRI10", 5);
}

static bool
flash_map(Flash *f, const char *name, int fd, GError **err)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < FLASH_BLOCK ||
        st.st_size > FLASH_MAX || st.st_size % FLASH_BLOCK)
        return device_error(&f->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "flash image '%s' is not a file of whole 4 KiB up to 16 MiB", name);
    f->overlay.size = (uint64_t)st.st_size;
    f->overlay.host = mmap(NULL, f->overlay.size, PROT_READ | (f->read_only ? 0 : PROT_WRITE),
                           f->read_only ? MAP_PRIVATE : MAP_SHARED, fd, 0);
    if (f->overlay.host != MAP_FAILED)
        return true;
    f->overlay.host = NULL;
    return device_error(&f->device, err, VIR_ERR_SYSTEM_ERROR, "cannot map flash image '%s': %s",
                        name, g_strerror(errno));
}

static bool
flash_open(Flash *f, GError **err)
{
    BlockNode *node = f->drive.object;
    const char *name = block_node_filename(node);
    bool ok;
    int fd;

    if ((strcmp(block_node_driver(node), "raw") && strcmp(block_node_driver(node), "file")) ||
        !name)
        return device_error(&f->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "image '%s' has format %s; flash wants raw", f->drive.id,
                            block_node_driver(node));
    f->read_only = block_node_read_only(node);
    if (!block_node_claim(node, !f->read_only, f->read_only, err))
        return false;
    fd = machine_open_file(f->device.machine, name, f->read_only ? O_RDONLY : O_RDWR, 0, err);
    ok = fd >= 0 && flash_map(f, name, fd, err);
    if (fd >= 0)
        close(fd);
    if (!ok)
        block_node_release(node);
    return ok;
}

/* Unit 0 ends at 4 GiB, unit 1 below it. */
static uint64_t
flash_base(Flash *f)
{
    Machine *machine = f->device.machine;
    uint64_t end = UINT64_C(4) << 30;

    if (f->unit > 0)
        end -= machine->rom_size;
    return end - f->overlay.size;
}

static bool
flash_realize(Device *dev, GError **err)
{
    Flash *f = (Flash *)dev;
    Machine *machine = dev->machine;

    if (f->unit > 0 && !machine->rom)
        return device_error(dev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "flash unit 1 holds variables of the firmware in unit 0, which is "
                            "missing");
    if (!flash_open(f, err))
        return false;
    f->overlay.name = f->unit ? "flash1" : "flash0";
    f->overlay.gpa = flash_base(f);
    f->overlay.read_only = true;
    f->overlay.priority = OVERLAY_PRIORITY_FIRMWARE;
    flash_fill_query(f);
    f->region = (IoRegion){ f->overlay.name, &flash_ops,      f,
                            &dev->lock,      f->overlay.size, IO_PRIORITY_BOARD };
    if (address_map_add(machine->mmio, &f->region, f->overlay.gpa) < 0)
        return device_error(dev, err, VIR_ERR_INTERNAL_ERROR, "no room below 4 GiB");
    flash_show(f, FLASH_ARRAY);
    if (f->unit == 0) {
        machine->rom = f->overlay.host;
        machine->rom_size = f->overlay.size;
    }
    return true;
}

static void
flash_unrealize(Device *dev)
{
    Flash *f = (Flash *)dev;

    if (!f->overlay.host)
        return;
    address_map_remove(dev->machine->mmio, &f->region);
    address_map_synchronize(dev->machine->mmio);
    if (f->placed)
        memory_layout_remove(dev->machine->layout, &f->overlay);
    if (f->unit == 0)
        dev->machine->rom = NULL;
    munmap(f->overlay.host, f->overlay.size);
    block_node_release(f->drive.object);
}

static void
flash_reset(Device *dev)
{
    Flash *f = (Flash *)dev;

    f->command = 0;
    f->status = STATUS_READY;
    flash_show(f, FLASH_ARRAY);
}

static bool
flash_after_load(void *state, GError **err)
{
    Flash *f = state;

    if (f->mode >= FLASH_MODES || f->fill > FLASH_BUFFER || f->first >= f->overlay.size)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved flash chip is in no state of its own");
    flash_show(f, f->mode);
    return true;
}

static const SavedField flash_fields[] = {
    SAVED(Flash, mode, 1),         SAVED(Flash, command, 1), SAVED(Flash, status, 1),
    SAVED(Flash, count, 1),        SAVED(Flash, fill, 1),    SAVED(Flash, first, 1),
    SAVED_BYTES(Flash, buffer, 1),
};

static const SavedTable flash_saved = {
    .name = "pflash",
    .version = 1,
    .oldest = 1,
    .fields = flash_fields,
    .n_fields = G_N_ELEMENTS(flash_fields),
    .after_load = flash_after_load,
};

static const DeviceProp flash_props[] = {
    { "drive", PROP_BLOCK_NODE, offsetof(Flash, drive), .required = true, .help = "the image" },
    { "unit", PROP_UINT32, offsetof(Flash, unit), "0", .max = 1, .help = "0: code, 1: variables" },
};

const DeviceClass pflash_class = {
    .name = "cfi.pflash01",
    .bus = BUS_SYSTEM,
    .board = true,
    .state_size = sizeof(Flash),
    .props = flash_props,
    .n_props = G_N_ELEMENTS(flash_props),
    .saved = &flash_saved,
    .realize = flash_realize,
    .reset = flash_reset,
    .unrealize = flash_unrealize,
};
