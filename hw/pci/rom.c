/* rom.c - expansion ROMs (PCI Local Bus 3.0, section 6.3; PCI Firmware 3.2, chapter 5).
 *
 * The file is mapped, not copied. A function whose class names a ROM gets it only on a machine that
 * firmware boots: nobody else would look at it. Its first image is given the function's ids,
 * without which firmware passes it over: one file serves all functions of a class.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/pci/internal.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ROM_PAGE = 4096,
    ROM_MAX = 16 << 20,
    ROM_SIGNATURE = 0xaa55,
    ROM_CHECKSUM = 6, /* a byte of iPXE's that only makes the sum of the image right */
    ROM_PCIR = 0x18,  /* where the data structure is */
    PCIR_IDS = 4,     /* vendor and device */
    PCIR_SIZE = 24,
};

/* Where Debian and others keep them: seabios, ipxe-qemu, and distributions that use one folder. */
static const char *const rom_folders[] = { "/usr/share/seabios", "/usr/lib/ipxe/qemu",
                                           "/usr/share/qemu" };

static int
rom_open_file(PciDevice *dev, const char *name, bool required, GError **err)
{
    for (size_t i = 0; !strchr(name, '/') && i < G_N_ELEMENTS(rom_folders); i++) {
        g_autofree char *path = g_strconcat(rom_folders[i], "/", name, NULL);
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd >= 0)
            return fd;
    }
    if (!strchr(name, '/') && !required)
        return -1;
    return machine_open_file(dev->device.machine, name, O_RDONLY, 0, err);
}

static bool
rom_map(PciDevice *dev, const char *name, int fd, GError **err)
{
    struct stat st;
    uint64_t size = ROM_PAGE;
    uint8_t *file;

    if (fstat(fd, &st) < 0 || st.st_size < 512 || st.st_size > ROM_MAX)
        return device_error(&dev->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "romfile=%s is not a file of 512 bytes to 16 MiB", name);
    while (size < (uint64_t)st.st_size)
        size *= 2;
    /* Beyond the file's last page there is nothing: the room comes first, the file over it. */
    dev->rom = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (dev->rom == MAP_FAILED) {
        dev->rom = NULL;
        return device_error(&dev->device, err, VIR_ERR_NO_MEMORY, "no room to map romfile=%s",
                            name);
    }
    dev->rom_size = size;
    file = mmap(dev->rom, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    if (file == MAP_FAILED)
        return device_error(&dev->device, err, VIR_ERR_SYSTEM_ERROR, "cannot map romfile=%s: %s",
                            name, g_strerror(errno));
    pci_bar_add(dev, PCI_ROM_BAR, PCI_BAR_ROM, false, size);
    pci_bar_add_memory(dev, PCI_ROM_BAR, 0, size, dev->rom, true, false, "option-rom");
    return true;
}

void
pci_rom_set_ids(PciDevice *dev)
{
    uint8_t *rom = dev->rom, *ids;
    size_t at;

    if (!rom || dev->romfile || bytes_load(rom, 2) != ROM_SIGNATURE)
        return;
    at = bytes_load(rom + ROM_PCIR, 2);
    if (at + PCIR_SIZE > dev->rom_size || memcmp(rom + at, "PCIR", 4) != 0)
        return;
    ids = rom + at + PCIR_IDS;
    if (memcmp(ids, dev->config + PCI_VENDOR_ID, 4) == 0)
        return; /* and no page of the file is copied */
    if (mprotect(rom, dev->rom_size, PROT_READ | PROT_WRITE) < 0)
        return;
    for (unsigned i = 0; i < 4; i++) {
        rom[ROM_CHECKSUM] = (uint8_t)(rom[ROM_CHECKSUM] + ids[i] - dev->config[PCI_VENDOR_ID + i]);
        ids[i] = dev->config[PCI_VENDOR_ID + i];
    }
    mprotect(rom, dev->rom_size, PROT_READ);
}

bool
pci_rom_open(PciDevice *dev, GError **err)
{
    bool firmware = dev->device.machine->config.firmware;
    const char *name = dev->romfile;
    bool ok;
    int fd;

    if (!name && firmware)
        name =
            dev->details && dev->details->rom ? dev->details->rom : dev->device.class->option_rom;
    if (!name || !*name || !dev->rombar)
        return true;
    fd = rom_open_file(dev, name, dev->romfile != NULL, err);
    /* A ROM that only the class asks for may not be installed. */
    if (fd < 0)
        return dev->romfile == NULL;
    ok = rom_map(dev, name, fd, err);
    close(fd);
    if (ok)
        pci_rom_set_ids(dev);
    return ok;
}

void
pci_rom_close(PciDevice *dev)
{
    if (dev->rom)
        munmap(dev->rom, dev->rom_size);
    dev->rom = NULL;
}
