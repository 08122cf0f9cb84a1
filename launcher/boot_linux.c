/* boot_linux.c - Linux bzImage by its 64-bit boot protocol.
 *
 * Linux Documentation/x86/boot.rst, protocol 2.12 (xloadflags) and later, and zero-page.rst. The
 * setup code of the image is not run. Left out: 32-bit and 16-bit entries, EFI hand-over, kernels
 * older than 3.8, setup_data.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "hw/core/bytes.h"
#include "launcher/boot.h"
#include "util/error.h"

/* Offsets in the file and in the zero page, where the header is copied to the same place. */
enum {
    ZP_EXT_RAMDISK_IMAGE = 0x0c0,
    ZP_EXT_RAMDISK_SIZE = 0x0c4,
    ZP_EXT_CMD_LINE_PTR = 0x0c8,
    ZP_ACPI_RSDP = 0x070,
    ZP_E820_ENTRIES = 0x1e8,
    ZP_E820 = 0x2d0,
    ZP_E820_MAX = 128,
    ZP_E820_SIZE = 20,
    HDR_START = 0x1f1,
    HDR_SETUP_SECTS = 0x1f1,
    HDR_BOOT_FLAG = 0x1fe,
    HDR_JUMP = 0x200,
    HDR_MAGIC = 0x202,
    HDR_VERSION = 0x206,
    HDR_TYPE_OF_LOADER = 0x210,
    HDR_LOADFLAGS = 0x211,
    HDR_RAMDISK_IMAGE = 0x218,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_CMD_LINE_PTR = 0x228,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_KERNEL_ALIGNMENT = 0x230,
    HDR_RELOCATABLE = 0x234,
    HDR_XLOADFLAGS = 0x236,
    HDR_CMDLINE_SIZE = 0x238,
    HDR_PREF_ADDRESS = 0x258,
    HDR_INIT_SIZE = 0x260,
    HDR_LEAST_END = 0x264,
    HDR_MOST_END = 0x290,
};
enum {
    SECTOR = 512,
    DEFAULT_SETUP_SECTS = 4,
    VERSION_XLOADFLAGS = 0x20c,
    XLF_KERNEL_64 = 1 << 0,
    XLF_ABOVE_4G = 1 << 1,
    LOADED_HIGH = 1 << 0,
    LOADER_UNDEFINED = 0xff,
    ENTRY_64 = 0x200,
    ZERO_PAGE = 4096,
};
static const uint8_t magic[4] = { 'H', 'd', 'r', 'S' };

/* What of the header matters here, checked. */
typedef struct {
    uint64_t payload, payload_size; /* in the file */
    uint64_t load, init_size;       /* in the guest; init_size covers decompression */
    uint64_t initrd_max;            /* last byte an initrd may have */
    uint32_t cmdline_max;
    size_t header_end;
    bool above_4g;
} LinuxImage;

bool
boot_linux_is(const uint8_t *head, size_t len)
{
    return len >= HDR_LEAST_END && bytes_load16(head + HDR_BOOT_FLAG) == 0xaa55 &&
           !memcmp(head + HDR_MAGIC, magic, sizeof(magic));
}

static bool
linux_refuse(const BootConfig *config, GError **err, const char *why)
{
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "kernel '%s': %s", config->kernel.name,
                          why);
}

static bool
linux_parse(const BootConfig *config, const uint8_t *h, size_t len, LinuxImage *ret, GError **err)
{
    unsigned setup = h[HDR_SETUP_SECTS] ? h[HDR_SETUP_SECTS] : DEFAULT_SETUP_SECTS;
    uint16_t version = bytes_load16(h + HDR_VERSION), flags = bytes_load16(h + HDR_XLOADFLAGS);
    uint64_t align = bytes_load32(h + HDR_KERNEL_ALIGNMENT);
    struct stat st;

    if (version < VERSION_XLOADFLAGS)
        return linux_refuse(config, err, "boot protocol older than 2.12 (Linux 3.8)");
    if (!(flags & XLF_KERNEL_64))
        return linux_refuse(config, err, "no 64-bit entry: a 32-bit kernel cannot be booted");
    if (!(h[HDR_LOADFLAGS] & LOADED_HIGH))
        return linux_refuse(config, err, "a zImage, which loads below 1 MiB, cannot be booted");
    if (fstat(config->kernel.fd, &st) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot read '%s'",
                                    config->kernel.name);
    ret->payload = (uint64_t)(setup + 1) * SECTOR;
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size <= ret->payload + ENTRY_64)
        return linux_refuse(config, err, "the file ends inside its setup code");
    ret->payload_size = st.st_size - ret->payload;
    /* The decompressor works in place in init_size bytes, from the aligned load address. */
    ret->load = bytes_load64(h + HDR_PREF_ADDRESS);
    ret->init_size = MAX((uint64_t)bytes_load32(h + HDR_INIT_SIZE), ret->payload_size);
    if (ret->load < BOOT_HIGH_RAM || ret->load >= UINT64_C(1) << 32)
        return linux_refuse(config, err, "its preferred address is not between 1 MiB and 4 GiB");
    if (h[HDR_RELOCATABLE] && (align == 0 || align & (align - 1)))
        return linux_refuse(config, err, "its alignment is not a power of two");
    ret->initrd_max = bytes_load32(h + HDR_INITRD_ADDR_MAX);
    ret->cmdline_max = MIN(bytes_load32(h + HDR_CMDLINE_SIZE), BOOT_CMDLINE_MAX - 1u);
    ret->above_4g = flags & XLF_ABOVE_4G;
    /* The jump at 0x200 goes to the end of the header (boot.rst, "Loading the rest"). */
    ret->header_end = MIN((size_t)HDR_MAGIC + h[HDR_JUMP + 1], MIN(len, (size_t)HDR_MOST_END));
    if (ret->header_end < HDR_LEAST_END)
        return linux_refuse(config, err, "its header is shorter than its protocol version says");
    return true;
}

static bool
linux_write_zero_page(const BootConfig *config, const uint8_t *h, const LinuxImage *image,
                      uint64_t initrd, uint64_t initrd_size, GuestMemory *memory, GError **err)
{
    uint8_t zp[ZERO_PAGE] = { 0 };

    if (config->n_e820 > ZP_E820_MAX)
        return linux_refuse(config, err, "the guest's memory map has too many pieces");
    memcpy(zp + HDR_START, h + HDR_START, image->header_end - HDR_START);
    zp[HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
    bytes_store(zp + HDR_RAMDISK_IMAGE, (uint32_t)initrd, 4);
    bytes_store(zp + ZP_EXT_RAMDISK_IMAGE, initrd >> 32, 4);
    bytes_store(zp + HDR_RAMDISK_SIZE, (uint32_t)initrd_size, 4);
    bytes_store(zp + ZP_EXT_RAMDISK_SIZE, initrd_size >> 32, 4);
    bytes_store(zp + HDR_CMD_LINE_PTR, BOOT_CMDLINE, 4);
    bytes_store(zp + ZP_ACPI_RSDP, config->rsdp, 8);
    zp[ZP_E820_ENTRIES] = config->n_e820;
    for (unsigned i = 0; i < config->n_e820; i++) {
        uint8_t *e = zp + ZP_E820 + i * ZP_E820_SIZE;

        bytes_store(e, config->e820[i].address, 8);
        bytes_store(e + 8, config->e820[i].size, 8);
        bytes_store(e + 16, config->e820[i].type, 4);
    }
    if (guest_memory_write(memory, BOOT_ZERO_PAGE, zp, sizeof(zp)) < 0)
        return linux_refuse(config, err, "the guest has no memory for the zero page");
    return true;
}

bool
boot_linux_load(const BootConfig *config, const uint8_t *head, size_t len, GuestMemory *memory,
                BootEntry *ret, GError **err)
{
    const char *cmdline = config->cmdline ? config->cmdline : "";
    LinuxImage image;
    uint64_t initrd, initrd_size, end;

    if (!linux_parse(config, head, len, &image, err))
        return false;
    end = image.load + image.init_size;
    if (!guest_memory_pointer(memory, image.load, image.init_size))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "kernel '%s' wants memory from %" PRIu64 " to %" PRIu64
                              " MiB; give the guest more with -m",
                              config->kernel.name, image.load >> 20, (end + (1 << 20) - 1) >> 20);
    if (strlen(cmdline) > image.cmdline_max)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-append: %zu bytes; kernel '%s' takes at most %u", strlen(cmdline),
                              config->kernel.name, image.cmdline_max);
    if (!boot_load_initrd(config, memory, image.load, end,
                          image.above_4g ? UINT64_MAX : image.initrd_max + 1, &initrd, &initrd_size,
                          err) ||
        !boot_read(&config->kernel, image.payload, memory, image.load, image.payload_size, err) ||
        !linux_write_zero_page(config, head, &image, initrd, initrd_size, memory, err) ||
        !boot_write_gdt(memory, true, err) || !boot_write_page_tables(memory, err))
        return false;
    if (guest_memory_write(memory, BOOT_CMDLINE, cmdline, strlen(cmdline) + 1) < 0)
        return linux_refuse(config, err, "the guest has no memory for the command line");
    *ret = (BootEntry){
        .long_mode = true,
        .entry = image.load + ENTRY_64,
        .argument = BOOT_ZERO_PAGE,
    };
    return true;
}
