/* system_rom.c - the system firmware, read-only memory that ends at 4 GiB.
 *
 * The file is mapped, not copied. The host bridge shows its last 128 KiB below 1 MiB as well, as
 * long as its registers say so (hw/pci/shadow.c).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/device.h"
#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROM_PAGE = 64 << 10, ROM_MAX = 8 << 20 };

typedef struct {
    Device device;
    char *file;
    MemoryOverlay overlay;
} SystemRom;

static bool
system_rom_map(SystemRom *rom, int fd, GError **err)
{
    Machine *machine = rom->device.machine;
    struct stat st;
    int ret;

    if (fstat(fd, &st) < 0 || st.st_size < ROM_PAGE || st.st_size > ROM_MAX ||
        st.st_size % ROM_PAGE)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "firmware '%s' has %" G_GINT64_FORMAT
                              " bytes; it must have whole 64 KiB, up to 8 MiB",
                              rom->file, (gint64)st.st_size);
    rom->overlay.size = (uint64_t)st.st_size;
    rom->overlay.host = mmap(NULL, rom->overlay.size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (rom->overlay.host == MAP_FAILED) {
        rom->overlay.host = NULL;
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot map firmware '%s'",
                                    rom->file);
    }
    rom->overlay.name = "system-rom";
    rom->overlay.gpa = (UINT64_C(4) << 30) - rom->overlay.size;
    rom->overlay.read_only = true;
    rom->overlay.priority = OVERLAY_PRIORITY_FIRMWARE;
    ret = memory_layout_add(machine->layout, &rom->overlay);
    if (ret < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, ret, "no room for firmware '%s'",
                                    rom->file);
    machine->rom = rom->overlay.host;
    machine->rom_size = rom->overlay.size;
    return true;
}

static bool
system_rom_realize(Device *dev, GError **err)
{
    SystemRom *rom = (SystemRom *)dev;
    int fd = machine_open_file(dev->machine, rom->file, O_RDONLY, 0, err);
    bool ok = fd >= 0 && system_rom_map(rom, fd, err);

    if (fd >= 0)
        close(fd);
    return ok;
}

static void
system_rom_unrealize(Device *dev)
{
    SystemRom *rom = (SystemRom *)dev;

    if (!rom->overlay.host)
        return;
    memory_layout_remove(dev->machine->layout, &rom->overlay);
    dev->machine->rom = NULL;
    munmap(rom->overlay.host, rom->overlay.size);
}

static const DeviceProp system_rom_props[] = {
    { "file", PROP_STRING, offsetof(SystemRom, file), .required = true,
      .help = "image of the firmware" },
};

const DeviceClass system_rom_class = {
    .name = "system-rom",
    .bus = BUS_SYSTEM,
    .board = true,
    .state_size = sizeof(SystemRom),
    .props = system_rom_props,
    .n_props = G_N_ELEMENTS(system_rom_props),
    .realize = system_rom_realize,
    .unrealize = system_rom_unrealize,
};
