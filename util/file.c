/* file.c - files written so that a crash leaves the old or the new content, never a mixture.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util/error.h"

#define TEMPORARY_LEN 7 /* ".XXXXXX" */

static bool
file_fail(GError **err, const char *what, const char *path)
{
    return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "%s '%s'", what, path);
}

static bool
dir_sync_of(const char *path, GError **err)
{
    g_autofree char *dir = g_path_get_dirname(path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok;

    if (fd < 0)
        return file_fail(err, "cannot open directory", dir);
    ok = fsync(fd) == 0 || errno == EINVAL; /* EINVAL: a file system that cannot sync directories */
    if (!ok)
        file_fail(err, "cannot sync directory", dir);
    close(fd);
    return ok;
}

int
file_write_all(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int
file_put_setting(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int ret = fd < 0 ? -errno : file_write_all(fd, text, strlen(text));

    if (fd >= 0)
        close(fd);
    return ret;
}

bool
file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, GError **err)
{
    g_autofree char *temp = g_strdup_printf("%s.XXXXXX", path);
    int fd = g_mkstemp_full(temp, O_RDWR | O_CLOEXEC, mode);
    int r;

    if (fd < 0)
        return file_fail(err, "cannot create a temporary file beside", path);
    /* the umask took bits from the mode that the caller asked for */
    r = fchmod(fd, mode) < 0 ? -errno : file_write_all(fd, data, len);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0 && rename(temp, path) < 0)
        r = -errno;
    if (r < 0) {
        unlink(temp);
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r, "cannot write '%s'", path);
    }
    return dir_sync_of(path, err);
}

/* Whether @name is what mkstemp made of "….suffix.XXXXXX". */
static bool
is_temporary(const char *name, const char *suffix)
{
    size_t len = strlen(name), suffix_len = strlen(suffix);

    if (len <= suffix_len + TEMPORARY_LEN || name[len - TEMPORARY_LEN] != '.' ||
        strncmp(name + len - TEMPORARY_LEN - suffix_len, suffix, suffix_len) != 0)
        return false;
    for (const char *at = name + len - TEMPORARY_LEN + 1; *at; at++)
        if (!g_ascii_isalnum(*at))
            return false;
    return true;
}

void
file_sweep_temporaries(const char *dir, const char *suffix)
{
    GDir *names = g_dir_open(dir, 0, NULL);
    const char *name;

    while (names && (name = g_dir_read_name(names))) {
        g_autofree char *path =
            is_temporary(name, suffix) ? g_build_filename(dir, name, NULL) : NULL;

        if (path)
            unlink(path); /* what cannot go does no harm */
    }
    g_clear_pointer(&names, g_dir_close);
}

bool
file_make_dirs(const char *path, mode_t mode, GError **err)
{
    return g_mkdir_with_parents(path, mode) == 0 || file_fail(err, "cannot create directory", path);
}

bool
file_remove(const char *path, GError **err)
{
    if (unlink(path) < 0)
        return errno == ENOENT || file_fail(err, "cannot remove", path);
    return dir_sync_of(path, err);
}

bool
file_link_atomic(const char *target, const char *link, GError **err)
{
    g_autofree char *temp = g_strdup_printf("%s.new", link);
    struct stat st;

    if (lstat(link, &st) == 0 && !S_ISLNK(st.st_mode))
        return kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                              "'%s' exists and is not a symbolic link; move it away", link);
    if ((unlink(temp) < 0 && errno != ENOENT) || symlink(target, temp) < 0)
        return file_fail(err, "cannot create link", temp);
    if (rename(temp, link) < 0) {
        file_fail(err, "cannot create link", link);
        unlink(temp);
        return false;
    }
    return dir_sync_of(link, err);
}

char *
file_read_limited(const char *path, size_t limit, size_t *ret_len, GError **err)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    guint8 part[16384];
    ssize_t n;

    if (fd < 0) {
        file_fail(err, "cannot open", path);
        return NULL;
    }
    while ((n = read(fd, part, sizeof(part))) > 0 && bytes->len <= limit)
        g_byte_array_append(bytes, part, n);
    if (n < 0)
        file_fail(err, "cannot read", path);
    close(fd);
    if (n < 0)
        return NULL;
    if (bytes->len > limit) {
        kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "'%s' is larger than the limit of %zu bytes",
                       path, limit);
        return NULL;
    }
    if (ret_len)
        *ret_len = bytes->len;
    g_byte_array_append(bytes, (const guint8 *)"", 1);
    return (char *)g_byte_array_free(g_steal_pointer(&bytes), FALSE);
}

/* Whether @path, or the nearest directory of it that can be looked at, lies on NFS. */
static bool
is_on_nfs(const char *path)
{
    g_autofree char *at = g_strdup(path);
    struct statfs fs;

    while (statfs(at, &fs) < 0) {
        char *parent = g_path_get_dirname(at);
        bool top = strcmp(parent, at) == 0;

        g_free(at);
        at = parent;
        if (top)
            return false;
    }
    return fs.f_type == NFS_SUPER_MAGIC;
}

void
file_explain_denied(GError **err, int errnum, const char *path)
{
    if (err && *err && (errnum == EACCES || errnum == EPERM) && geteuid() == 0 && is_on_nfs(path)) {
        char *message = g_strdup_printf(
            "%s; its NFS server takes root for nobody (root_squash): let others read and write the "
            "file, or export it with no_root_squash",
            (*err)->message);

        g_free((*err)->message);
        (*err)->message = message;
    }
}

void
file_open_error(GError **err, int errnum, const char *doing, const char *path, int flags)
{
    if (errnum == EINVAL && flags & O_DIRECT)
        kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                       "cannot %s '%s' past the page cache: its file system is without O_DIRECT; "
                       "use cache 'writeback'",
                       doing, path);
    else
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errnum, "cannot %s '%s'", doing, path);
    file_explain_denied(err, errnum, path);
}

int
file_move_high(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, FD_SETSIZE);

    if (high < 0)
        return fd;
    close(fd);
    return high;
}
