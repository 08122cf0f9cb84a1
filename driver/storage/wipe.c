/* wipe.c - making the bytes of a volume unreadable. See wipe.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/storage/wipe.h"

#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/storage/backend.h"
#include "util/error.h"
#include "util/file.h"

enum { WIPE_CHUNK = 1024 * 1024 };

/* By virStorageVolWipeAlgorithm: scrub's names of patterns; NULL: done here. */
static const char *const patterns[] = {
    [VIR_STORAGE_VOL_WIPE_ALG_ZERO] = NULL,
    [VIR_STORAGE_VOL_WIPE_ALG_NNSA] = "nnsa",
    [VIR_STORAGE_VOL_WIPE_ALG_DOD] = "dod",
    [VIR_STORAGE_VOL_WIPE_ALG_BSI] = "bsi",
    [VIR_STORAGE_VOL_WIPE_ALG_GUTMANN] = "gutmann",
    [VIR_STORAGE_VOL_WIPE_ALG_SCHNEIER] = "schneier",
    [VIR_STORAGE_VOL_WIPE_ALG_PFITZNER7] = "pfitzner7",
    [VIR_STORAGE_VOL_WIPE_ALG_PFITZNER33] = "pfitzner33",
    [VIR_STORAGE_VOL_WIPE_ALG_RANDOM] = NULL,
};

static int
fill_random(uint8_t *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = getrandom(data + done, len - done, 0);

        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int
overwrite(int fd, uint64_t length, bool random)
{
    g_autofree uint8_t *data = g_malloc0(WIPE_CHUNK);
    int r = 0;

    while (length > 0 && r == 0) {
        size_t n = MIN(length, WIPE_CHUNK);

        r = random ? fill_random(data, n) : 0;
        if (r == 0)
            r = file_write_all(fd, data, n);
        length -= n;
    }
    return r == 0 && fdatasync(fd) < 0 ? -errno : r;
}

static int
wipe_fd(int fd, bool random)
{
    struct stat st;
    off_t end;

    if (fstat(fd, &st) < 0 || (end = lseek(fd, 0, SEEK_END)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    /* A sparse file stays sparse: its blocks are given back, and it reads as zeroes. */
    if (S_ISREG(st.st_mode) && !random && st.st_blocks < st.st_size / 512)
        return ftruncate(fd, 0) < 0 || ftruncate(fd, st.st_size) < 0 ? -errno : 0;
    return overwrite(fd, (uint64_t)end, random);
}

bool
storage_wipe(const char *path, unsigned algorithm, GError **err)
{
    int fd, r;

    if (algorithm == VIR_STORAGE_VOL_WIPE_ALG_TRIM)
        return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED, "'trim' algorithm not supported");
    if (algorithm >= G_N_ELEMENTS(patterns))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "wiping algorithm %u not supported",
                              algorithm);
    if (patterns[algorithm]) {
        const char *const words[] = { "scrub", "-f", "-p", patterns[algorithm], path, NULL };

        return storage_run(words, -1, NULL, err);
    }
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "Failed to open storage volume with path '%s'", path);
    r = wipe_fd(fd, algorithm == VIR_STORAGE_VOL_WIPE_ALG_RANDOM);
    close(fd);
    return r == 0 || kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r,
                                          "Failed to wipe storage volume '%s'", path);
}
