/* save_file.c - the file that holds a saved guest.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/save_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

enum {
    HEAD_VERSION = 1,
    HEAD_FIXED = 64,
    HEAD_SUM = 32, /* where the checksum stands, and how long it is */
    HEAD_BLOCK = 4096,
    HEAD_SPARE = 8192, /* for a longer definition */
    HEAD_MAX = 17 << 20,
    HEAD_RUNNING = 1 << 0,
};
static const char head_magic[8] = { 'K', 'I', 'L', 'N', 'S', 'A', 'V', 'E' };

void
save_head_clear(SaveHead *head)
{
    g_clear_pointer(&head->xml, g_free);
}

static void
head_store32(uint8_t *head, size_t at, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(head + at, &value, sizeof(value));
}

static uint32_t
head_load32(const uint8_t *head, size_t at)
{
    uint32_t value;

    memcpy(&value, head + at, sizeof(value));
    return GUINT32_FROM_LE(value);
}

static void
head_sum(const uint8_t *head, size_t xml_len, uint8_t sum[HEAD_SUM])
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);
    gsize len = HEAD_SUM;

    g_checksum_update(checksum, head, HEAD_SUM);
    g_checksum_update(checksum, head + HEAD_FIXED, (gssize)xml_len);
    g_checksum_get_digest(checksum, sum, &len);
}

/* The whole head as it lies in the file. */
static uint8_t *
head_encode(const SaveHead *head)
{
    uint8_t *bytes = g_malloc0(head->size);
    size_t xml_len = strlen(head->xml);

    memcpy(bytes, head_magic, sizeof(head_magic));
    head_store32(bytes, 8, HEAD_VERSION);
    head_store32(bytes, 12, head->size);
    head_store32(bytes, 16, (uint32_t)xml_len);
    head_store32(bytes, 20, head->running ? HEAD_RUNNING : 0);
    head_store32(bytes, 24, head->format);
    memcpy(bytes + HEAD_FIXED, head->xml, xml_len);
    head_sum(bytes, xml_len, bytes + HEAD_SUM);
    return bytes;
}

static bool
head_damaged(const char *path, const char *what, GError **err)
{
    return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "'%s' %s", path, what);
}

static bool
head_decode(const uint8_t *fixed, const char *path, SaveHead *head, uint32_t *ret_xml_len,
            GError **err)
{
    uint32_t version = head_load32(fixed, 8), xml_len = head_load32(fixed, 16);

    if (memcmp(fixed, head_magic, sizeof(head_magic)) != 0)
        return head_damaged(path, "does not hold a guest saved by Kiln", err);
    if (version != HEAD_VERSION)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "'%s' was saved in version %u, this virtkilnd reads version %d", path,
                              version, HEAD_VERSION);
    head->size = head_load32(fixed, 12);
    head->running = head_load32(fixed, 20) & HEAD_RUNNING;
    head->format = head_load32(fixed, 24);
    if (head->size % HEAD_BLOCK || head->size > HEAD_MAX || head->size < HEAD_FIXED ||
        xml_len > head->size - HEAD_FIXED || head->format >= SAVE_FORMATS)
        return head_damaged(path, "is damaged: its head makes no sense", err);
    *ret_xml_len = xml_len;
    return true;
}

static bool
head_read(int fd, const char *path, SaveHead *head, GError **err)
{
    uint8_t fixed[HEAD_FIXED], sum[HEAD_SUM];
    g_autofree uint8_t *bytes = NULL;
    uint32_t xml_len = 0;

    if (pread(fd, fixed, sizeof(fixed), 0) != sizeof(fixed))
        return head_damaged(path, "does not hold a guest saved by Kiln: it is too short", err);
    if (!head_decode(fixed, path, head, &xml_len, err))
        return false;
    bytes = g_malloc(HEAD_FIXED + (size_t)xml_len);
    memcpy(bytes, fixed, HEAD_FIXED);
    if (pread(fd, bytes + HEAD_FIXED, xml_len, HEAD_FIXED) != (ssize_t)xml_len)
        return head_damaged(path, "is damaged: it ends too early", err);
    head_sum(bytes, xml_len, sum);
    if (memcmp(sum, bytes + HEAD_SUM, sizeof(sum)) != 0)
        return head_damaged(path, "is damaged: the checksum of its definition is wrong", err);
    head->xml = g_strndup((const char *)bytes + HEAD_FIXED, xml_len);
    return true;
}

int
save_file_open(const char *path, int flags, SaveHead *ret_head, GError **err)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    SaveHead head = { NULL };
    struct stat st;

    if (fd < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open the saved guest '%s'",
                             path);
        return -1;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        head_damaged(path, "is not a file", err);
    } else if (head_read(fd, path, &head, err)) {
        if (lseek(fd, head.size, SEEK_SET) == head.size) {
            *ret_head = head;
            return fd;
        }
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "'%s'", path);
    }
    save_head_clear(&head);
    close(fd);
    return -1;
}

static bool
file_fail(const char *path, int errnum, GError **err)
{
    return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errnum, "cannot write '%s'", path);
}

static bool
head_write(int fd, const char *path, const SaveHead *head, GError **err)
{
    g_autofree uint8_t *bytes = head_encode(head);
    ssize_t n = pwrite(fd, bytes, head->size, 0);

    return n == (ssize_t)head->size || file_fail(path, n < 0 ? errno : ENOSPC, err);
}

bool
save_file_set_head(int fd, const char *path, const SaveHead *head, GError **err)
{
    if (strlen(head->xml) > head->size - HEAD_FIXED)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the new definition has %zu bytes, '%s' has room for %u",
                              strlen(head->xml), path, head->size - HEAD_FIXED);
    return head_write(fd, path, head, err) && (fsync(fd) == 0 || file_fail(path, errno, err));
}

bool
save_file_bypass_cache(int fd, const char *path, GError **err)
{
    int flags = fcntl(fd, F_GETFL);

    return (flags >= 0 && fcntl(fd, F_SETFL, flags | O_DIRECT) == 0) ||
           kiln_error_set_errno(err, VIR_ERR_OPERATION_UNSUPPORTED, errno,
                                "the page cache cannot be bypassed for '%s'", path);
}

bool
save_file_create(SaveFile *file, const char *path, SaveHead *head, GError **err)
{
    size_t xml_len = strlen(head->xml);
    struct stat st;
    bool exists = stat(path, &st) == 0;

    if (exists && !S_ISREG(st.st_mode))
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "'%s' is not a file: a guest is saved into a file", path);
    if (xml_len > HEAD_MAX - HEAD_FIXED - HEAD_SPARE - HEAD_BLOCK)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the definition has %zu bytes, too many to be saved", xml_len);
    head->size =
        (uint32_t)((HEAD_FIXED + xml_len + HEAD_SPARE + HEAD_BLOCK - 1) / HEAD_BLOCK * HEAD_BLOCK);
    file->path = g_strdup(path);
    file->temp = g_strdup_printf("%s.XXXXXX", path);
    file->fd = g_mkstemp_full(file->temp, O_RDWR | O_CLOEXEC, 0600);
    if (file->fd < 0) {
        int errnum = errno;

        g_clear_pointer(&file->temp, g_free);
        return file_fail(path, errnum, err);
    }
    if (exists &&
        (fchown(file->fd, st.st_uid, st.st_gid) < 0 || fchmod(file->fd, st.st_mode & 0777) < 0))
        return file_fail(path, errno, err);
    return head_write(file->fd, path, head, err) &&
           (lseek(file->fd, head->size, SEEK_SET) >= 0 || file_fail(path, errno, err));
}

bool
save_file_commit(SaveFile *file, GError **err)
{
    g_autofree char *dir = g_path_get_dirname(file->path);
    int dir_fd;

    if (fsync(file->fd) < 0 || rename(file->temp, file->path) < 0)
        return file_fail(file->path, errno, err);
    g_clear_pointer(&file->temp, g_free);
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd >= 0) {
        (void)fsync(dir_fd); /* not every file system can */
        close(dir_fd);
    }
    return true;
}

void
save_file_clear(SaveFile *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
    if (file->temp)
        unlink(file->temp);
    g_clear_pointer(&file->temp, g_free);
    g_clear_pointer(&file->path, g_free);
}

/* ---- definitions ---- */

static bool
collect_alias(const char *element, void *device, DomainDeviceInfo *info, void *opaque)
{
    (void)device;
    g_ptr_array_add(opaque, g_strdup_printf("%s %s", element, info->alias ? info->alias : ""));
    return true;
}

typedef struct {
    const GPtrArray *aliases;
    guint next;
} AliasGiver;

static bool
give_alias(const char *element, void *device, DomainDeviceInfo *info, void *opaque)
{
    AliasGiver *giver = opaque;
    const char *was = giver->next < giver->aliases->len ? giver->aliases->pdata[giver->next] : NULL;

    (void)device;
    giver->next++;
    if (!was || !g_str_has_prefix(was, element) || was[strlen(element)] != ' ')
        return false; /* other devices: they get new names */
    if (!info->alias && was[strlen(element) + 1])
        info->alias = g_strdup(was + strlen(element) + 1);
    return true;
}

/* The VMM knows the saved devices by these names. */
static void
copy_aliases(DomainDef *from, DomainDef *to)
{
    g_autoptr(GPtrArray) aliases = g_ptr_array_new_with_free_func(g_free);
    AliasGiver giver = { aliases, 0 };

    domain_def_each_device(from, collect_alias, aliases);
    domain_def_each_device(to, give_alias, &giver);
}

DomainDef *
save_def_replace(DomainDef *def, const char *xml, const DomainDefaults *defaults, GError **err)
{
    g_autoptr(DomainDef) old = def;
    g_autoptr(DomainDef) new = domain_def_parse(xml, 0, defaults, err);

    /* one that names no processor means the same as it did when the guest was defined */
    if (!new ||
        (domain_def_names_cpu(old) && !domain_def_names_cpu(new) &&
         !domain_def_give_cpu(new, err)) ||
        !domain_def_abi_check(old, new, err))
        return NULL;
    copy_aliases(old, new);
    return g_steal_pointer(&new);
}

DomainDef *
save_head_def(const SaveHead *head, const DomainDefaults *defaults, bool inactive, GError **err)
{
    g_autoptr(DomainDef) live = domain_def_parse(head->xml, DOMAIN_PARSE_LIVE, defaults, err);
    g_autofree char *xml = NULL;

    if (!live || !inactive)
        return g_steal_pointer(&live);
    xml = domain_def_format(live, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
    return save_def_replace(g_steal_pointer(&live), xml, defaults, err);
}
