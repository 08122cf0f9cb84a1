/* screenshot.c - a picture of a guest's screen (virDomainScreenshot).
 *
 * The VMM reaches no files: it writes into memory that it is given a descriptor of.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/domain/private.h"
#include "util/error.h"

/* The video card that shows screen @number, and the number of the screen there; NULL for none. */
static char *
find_card(Domain *domain, unsigned number, unsigned *ret_head)
{
    char *alias = NULL;
    unsigned first = 0;

    g_mutex_lock(&domain->lock);
    for (guint i = 0; domain->live && i < domain->live->videos->len && !alias; i++) {
        const DomainVideo *video = domain->live->videos->pdata[i];
        unsigned heads =
            video->heads == XML_UNSET || video->heads == 0 ? 1 : (unsigned)video->heads;

        if (number - first < heads) {
            alias = g_strdup(video->info.alias);
            *ret_head = number - first;
        }
        first += heads;
    }
    g_mutex_unlock(&domain->lock);
    return alias;
}

bool
domain_qmp_write(DomainRun *run, const char *command, JsonObject *arguments, int fd, GError **err)
{
    g_autoptr(JsonNode) added =
        qmp_execute_fd(run->qmp, "add-fd", NULL, fd, DOMAIN_QMP_SECONDS, err);
    g_autofree char *name = NULL;
    int64_t set;
    bool done;

    if (!added) {
        json_object_unref(arguments);
        return false;
    }
    set = JSON_NODE_HOLDS_OBJECT(added)
              ? json_object_get_int_member_with_default(json_node_get_object(added), "fdset-id", -1)
              : -1;
    name = g_strdup_printf("/dev/fdset/%" G_GINT64_FORMAT, set);
    json_object_set_string_member(arguments, "filename", name);
    done = qmp_command(run->qmp, command, arguments, DOMAIN_QMP_SECONDS, err);
    arguments = json_object_new();
    json_object_set_int_member(arguments, "fdset-id", set);
    /* the command's success is what counts */
    (void)qmp_command(run->qmp, "remove-fd", arguments, DOMAIN_QMP_SECONDS, NULL);
    return done;
}

static bool
take_picture(DomainRun *run, const char *card, unsigned head, int fd, GError **err)
{
    JsonObject *arguments = json_object_new();

    json_object_set_string_member(arguments, "device", card);
    json_object_set_int_member(arguments, "head", head);
    json_object_set_string_member(arguments, "format", "png");
    return domain_qmp_write(run, "screendump", arguments, fd, err);
}

int
domain_screenshot(Domain *domain, unsigned screen, const char **ret_mime, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    g_autofree char *card = NULL;
    unsigned head = 0;
    int fd;

    if (!run)
        return -1;
    card = find_card(domain, screen, &head);
    if (!card) {
        kiln_error_set(err, screen ? VIR_ERR_INVALID_ARG : VIR_ERR_OPERATION_UNSUPPORTED,
                       "the guest has no screen %u: it needs a <video> with as many heads", screen);
        return -1;
    }
    fd = memfd_create("screenshot", MFD_CLOEXEC);
    if (fd < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "memory for a screenshot");
        return -1;
    }
    if (!take_picture(run, card, head, fd, err) || lseek(fd, 0, SEEK_SET) < 0) {
        close(fd);
        return -1;
    }
    *ret_mime = "image/png";
    return fd;
}
