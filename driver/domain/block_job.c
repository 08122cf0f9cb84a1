/* block_job.c - block jobs on a running guest's disks, and the sizes of these.
 *
 * A job's id says what it is and of which disk ("pull-vda"), so that the VMM alone knows of jobs:
 * a new daemon finds them as they are.
 *
 * QEMU QMP reference, block-core.json; libvirt's documented virDomainBlock… calls.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <unistd.h>

#include "driver/domain/attach.h"
#include "driver/domain/qmp_answer.h"
#include "util/error.h"

enum { ABORT_SECONDS = 600, ABORT_LOOK_MS = 50 };

/* what stands behind the kind of a job that deletes files in the end */
#define DELETING "_delete"

/* A disk's images as the live definition has them, the disk's own first. */
typedef struct {
    char *target;
    GPtrArray *layers; /* of ChainLayer */
} Images;

static void
images_clear(Images *images)
{
    g_free(images->target);
    if (images->layers)
        g_ptr_array_unref(images->layers);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Images, images_clear)

/* With the domain's lock held. */
static bool
images_fill(const DomainDef *def, const char *path, Images *ret, GError **err)
{
    const DomainDisk *disk = domain_def_disk_named(def, path);

    if (!disk)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "disk '%s' not found in the domain", path);
    if (!domain_disk_has_source(disk) || disk->source_index == XML_UNSET)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "disk '%s' has no source file",
                              disk->target);
    ret->layers = argv_chain_parse(disk, err);
    if (!ret->layers)
        return false;
    ret->target = g_strdup(disk->target);
    g_ptr_array_insert(ret->layers, 0, argv_chain_layer_of(disk));
    return true;
}

static DomainRun *
images_of(Domain *domain, const char *path, Images *ret, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    bool ok = run != NULL;

    if (ok) {
        g_mutex_lock(&domain->lock);
        ok = domain->live ? images_fill(domain->live, path, ret, err)
                          : kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
        g_mutex_unlock(&domain->lock);
    }
    return ok ? g_steal_pointer(&run) : NULL;
}

static const ChainLayer *
layer_at(const Images *images, guint i)
{
    return images->layers->pdata[i];
}

/* The image that a user's words mean, a path or "TARGET[INDEX]"; -1 with @err. */
static int
layer_find(const Images *images, const char *words, GError **err)
{
    size_t length = strlen(images->target);
    uint64_t index = 0;

    if (strncmp(words, images->target, length) == 0 && words[length] == '[')
        index = g_ascii_strtoull(words + length + 1, NULL, 10);
    for (guint i = 0; i < images->layers->len; i++)
        if (strcmp(layer_at(images, i)->path, words) == 0 ||
            (index > 0 && layer_at(images, i)->index == index))
            return (int)i;
    kiln_error_set(err, VIR_ERR_INVALID_ARG, "could not find image '%s' in the chain of disk '%s'",
                   words, images->target);
    return -1;
}

static void
set_node(JsonObject *arguments, const char *key, const ChainLayer *layer)
{
    g_autofree char *name = g_strdup_printf("libvirt-%u-format", layer->index);

    json_object_set_string_member(arguments, key, name);
}

/* The name of image @at as the one on top of it has it, NULL when that is no relative name. */
static char *
layer_relative(const Images *images, JsonArray *nodes, guint at)
{
    g_autofree char *above = g_strdup_printf("libvirt-%u-format", layer_at(images, at - 1)->index);

    for (guint i = 0; i < json_array_get_length(nodes); i++) {
        JsonObject *entry = qmp_element(nodes, i);
        const char *name = qmp_text(qmp_object(entry, "image"), "backing-filename");

        if (strcmp(qmp_text(entry, "node-name"), above) == 0)
            return *name && *name != '/' && !strchr(name, ':') ? g_strdup(name) : NULL;
    }
    return NULL;
}

/* How the image on top of @top has to call @base when names stay relative as they are; NULL with
 * @err set. */
static char *
relative_name(DomainRun *run, const Images *images, guint top, guint base, GError **err)
{
    g_autoptr(JsonNode) owner = NULL;
    JsonArray *nodes = qmp_execute_list(run->qmp, "query-named-block-nodes", NULL, &owner, err);
    g_autofree char *path = g_strdup("");

    for (guint i = top; nodes && i <= base; i++) {
        g_autofree char *name = layer_relative(images, nodes, i);
        char *slash = strrchr(path, '/');

        if (!name) {
            kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                           "can't keep relative backing relationship: image '%s' is not named "
                           "relative to what lies on it",
                           layer_at(images, i)->path);
            return NULL;
        }
        if (slash)
            slash[1] = 0;
        else
            *path = 0;
        name = g_strconcat(path, name, NULL);
        g_free(path);
        path = g_steal_pointer(&name);
    }
    return nodes ? g_steal_pointer(&path) : NULL;
}

/* ---- what the VMM says of jobs ---- */

/* The job of @target: a copy of what query-block-jobs says, NULL when there is none (without @err)
 * or it cannot be asked. */
JsonObject *
domain_block_job_look(DomainRun *run, const char *target, GError **err)
{
    g_autoptr(JsonNode) answer =
        qmp_execute(run->qmp, "query-block-jobs", NULL, DOMAIN_QMP_SECONDS, err);
    JsonArray *list = answer && JSON_NODE_HOLDS_ARRAY(answer) ? json_node_get_array(answer) : NULL;

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonNode *node = json_array_get_element(list, i);
        JsonObject *job = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        const char *id =
            job ? json_object_get_string_member_with_default(job, "device", NULL) : NULL;
        const char *dash = id ? strchr(id, '-') : NULL;

        if (dash && (!target || strcmp(dash + 1, target) == 0))
            return json_object_ref(job);
    }
    return NULL;
}

static const char *
job_id(JsonObject *job)
{
    return json_object_get_string_member(job, "device");
}

static int
job_type(const char *id)
{
    if (g_str_has_prefix(id, "pull-"))
        return VIR_DOMAIN_BLOCK_JOB_TYPE_PULL;
    if (g_str_has_prefix(id, "copy-"))
        return VIR_DOMAIN_BLOCK_JOB_TYPE_COPY;
    return g_str_has_prefix(id, "commit") ? VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT
                                          : VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT;
}

/* Whether the files that it makes needless are deleted in the end: "commit_delete-vda". */
bool
domain_block_job_deletes(const char *id)
{
    const char *found = strstr(id, DELETING "-");

    return found && found < strchr(id, '-');
}

/* Whether it follows the guest until it is told to change over. */
static bool
job_pivots(const char *id)
{
    int type = job_type(id);

    return type == VIR_DOMAIN_BLOCK_JOB_TYPE_COPY ||
           type == VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT;
}

bool
domain_block_job_check(DomainRun *run, const char *target, GError **err)
{
    g_autoptr(JsonObject) job = domain_block_job_look(run, target, NULL);

    if (!job)
        return true;
    if (!target)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain has active block job");
    return kiln_error_set(
        err, job_pivots(job_id(job)) ? VIR_ERR_BLOCK_COPY_ACTIVE : VIR_ERR_OPERATION_UNSUPPORTED,
        "disk '%s' already in active block job", target);
}

static uint64_t
job_number(JsonObject *job, const char *name)
{
    return (uint64_t)MAX(0, json_object_get_int_member_with_default(job, name, 0));
}

/* Also of a drive without a medium, which has no job. */
static DomainRun *
run_with_disk(Domain *domain, const char *path, char **ret_target, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    const DomainDisk *disk;

    if (!run)
        return NULL;
    g_mutex_lock(&domain->lock);
    disk = domain->live ? domain_def_disk_named(domain->live, path) : NULL;
    *ret_target = disk ? g_strdup(disk->target) : NULL;
    g_mutex_unlock(&domain->lock);
    if (!*ret_target)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "disk '%s' not found in the domain", path);
    return *ret_target ? g_steal_pointer(&run) : NULL;
}

bool
domain_block_job_info(Domain *domain, const char *path, DomainBlockJob *ret, bool *ret_found,
                      GError **err)
{
    g_autofree char *target = NULL;
    g_autoptr(DomainRun) run = run_with_disk(domain, path, &target, err);
    g_autoptr(GError) why = NULL;
    g_autoptr(JsonObject) job = run ? domain_block_job_look(run, target, &why) : NULL;
    bool ready;

    if (!run)
        return false;
    if (why) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    *ret_found = job != NULL;
    if (!job)
        return true;
    *ret = (DomainBlockJob){
        .type = job_type(job_id(job)),
        .bandwidth = job_number(job, "speed"),
        .cur = job_number(job, "offset"),
        .end = job_number(job, "len"),
    };
    /* who waits for the end must not take a job that has just begun, or is not ready, for over */
    ready = json_object_get_boolean_member_with_default(job, "ready", FALSE);
    if (ret->end == 0 && !ready)
        ret->end = 1;
    if (job_pivots(job_id(job)) && ret->cur >= ret->end && !ready)
        ret->cur = ret->end - 1;
    else if (ready)
        ret->cur = ret->end; /* also where there was nothing to copy */
    return true;
}

/* ---- beginning ---- */

static bool
job_begin(DomainRun *run, const Images *images, const char *command, JsonObject *take,
          const char *kind, bool deletes, uint64_t bandwidth, GError **err)
{
    g_autofree char *id = g_strdup_printf("%s%s-%s", kind, deletes ? DELETING : "", images->target);

    if (!domain_block_job_check(run, images->target, err)) {
        json_object_unref(take);
        return false;
    }
    json_object_set_string_member(take, "job-id", id);
    set_node(take, "device", layer_at(images, 0));
    json_object_set_int_member(take, "speed", (gint64)bandwidth);
    return qmp_command(run->qmp, command, take, DOMAIN_QMP_SECONDS, err);
}

static bool
pull(Domain *domain, const char *path, const char *base, uint64_t bandwidth, bool relative,
     GError **err)
{
    g_auto(Images) images = { 0 };
    g_autoptr(DomainRun) run = images_of(domain, path, &images, err);
    g_autofree char *name = NULL;
    JsonObject *arguments;
    int at = 0;

    if (!run || (base && (at = layer_find(&images, base, err)) < 0))
        return false;
    if (base && at == 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "'%s' is the disk's own image, not one behind it", base);
    if (relative && !base)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "flag VIR_DOMAIN_BLOCK_REBASE_RELATIVE is valid only with a base");
    if (relative && !(name = relative_name(run, &images, 1, (guint)at, err)))
        return false;
    arguments = json_object_new();
    if (base) {
        set_node(arguments, "base-node", layer_at(&images, (guint)at));
        json_object_set_string_member(arguments, "backing-file",
                                      name ? name : layer_at(&images, (guint)at)->path);
    }
    return job_begin(run, &images, "block-stream", arguments, "pull", false, bandwidth, err);
}

bool
domain_block_pull(Domain *domain, const char *path, const char *base, uint64_t bandwidth,
                  bool relative, GError **err)
{
    bool ok = domain_job_begin(domain, "block pull", err);

    if (ok) {
        ok = pull(domain, path, base, bandwidth, relative, err);
        domain_job_end(domain);
    }
    return ok;
}

/* The number of the set that the image's node was opened from; -1 with @err. */
static gint64
layer_set(DomainRun *run, const ChainLayer *layer, GError **err)
{
    g_autofree char *name = g_strdup_printf("libvirt-%u-storage", layer->index);
    g_autoptr(JsonNode) answer =
        qmp_execute(run->qmp, "query-named-block-nodes", NULL, DOMAIN_QMP_SECONDS, err);
    JsonArray *list = answer && JSON_NODE_HOLDS_ARRAY(answer) ? json_node_get_array(answer) : NULL;

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonNode *node = json_array_get_element(list, i);
        JsonObject *entry = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        const char *file =
            entry ? json_object_get_string_member_with_default(entry, "file", NULL) : NULL;

        if (file && g_str_has_prefix(file, "/dev/fdset/") &&
            g_strcmp0(json_object_get_string_member_with_default(entry, "node-name", NULL), name) ==
                0)
            return g_ascii_strtoll(file + strlen("/dev/fdset/"), NULL, 10);
    }
    if (answer)
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "the VMM does not have image '%s' by that name",
                       layer->path);
    return -1;
}

/* Gives the VMM a descriptor of the image that can write, beside the one it has. *ret_fd is the
 * VMM's number for it. */
static bool
layer_lend(DomainRun *run, const ChainLayer *layer, gint64 set, gint64 *ret_fd, GError **err)
{
    JsonObject *arguments = json_object_new();
    g_autoptr(JsonNode) answer = NULL;
    int fd = open(layer->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0) {
        json_object_unref(arguments);
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "cannot open image '%s' for writing", layer->path);
    }
    json_object_set_int_member(arguments, "fdset-id", set);
    answer = qmp_execute_fd(run->qmp, "add-fd", arguments, fd, DOMAIN_QMP_SECONDS, err);
    close(fd);
    if (!answer || !JSON_NODE_HOLDS_OBJECT(answer))
        return answer == NULL
                   ? false
                   : kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "add-fd did not say its number");
    *ret_fd = json_object_get_int_member_with_default(json_node_get_object(answer), "fd", -1);
    return true;
}

static void
layer_take_back(DomainRun *run, gint64 set, gint64 fd)
{
    JsonObject *arguments = json_object_new();

    json_object_set_int_member(arguments, "fdset-id", set);
    json_object_set_int_member(arguments, "fd", fd);
    qmp_command(run->qmp, "remove-fd", arguments, DOMAIN_QMP_SECONDS, NULL);
}

/* Which images the call means; false with @err set. */
static bool
commit_range(const Images *images, const char *base, const char *top, unsigned flags, int *ret_top,
             int *ret_base, GError **err)
{
    int last = (int)images->layers->len - 1;

    *ret_top = top ? layer_find(images, top, err) : 0;
    if (*ret_top < 0)
        return false;
    *ret_base = flags & VIR_DOMAIN_BLOCK_COMMIT_SHALLOW && !base ? *ret_top + 1 : last;
    if (base && (*ret_base = layer_find(images, base, err)) < 0)
        return false;
    if (*ret_top == 0 && !(flags & VIR_DOMAIN_BLOCK_COMMIT_ACTIVE))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "commit of '%s' active layer requires active flag", images->target);
    if (*ret_top > 0 && flags & VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "active commit requested but '%s' is not active", top);
    if (*ret_base > last || *ret_base <= *ret_top)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "top '%s' in chain for '%s' has no backing file it can be committed "
                              "into",
                              layer_at(images, (guint)*ret_top)->path, images->target);
    if (flags & VIR_DOMAIN_BLOCK_COMMIT_SHALLOW && *ret_base != *ret_top + 1)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "base '%s' is not immediately below '%s'",
                              base, layer_at(images, (guint)*ret_top)->path);
    return true;
}

/* While its own image is merged into @base a disk has a <mirror>. */
static void
mirror_show(Domain *domain, const char *target, const ChainLayer *base)
{
    g_autoptr(DomainDef) live = NULL;
    DomainDisk *disk, *mirror;

    g_mutex_lock(&domain->lock);
    live = domain->live ? domain_def_copy(domain->live) : NULL;
    g_mutex_unlock(&domain->lock);
    disk = live ? domain_def_disk_named(live, target) : NULL;
    if (!disk)
        return; /* the guest ended */
    mirror = xml_type_new(&domain_mirror_type);
    domain_disk_take_source(mirror, base->source);
    mirror->source_index = base->index;
    mirror->mirror_job = g_strdup(DOMAIN_MIRROR_COMMIT);
    g_free(disk->mirror);
    disk->mirror = xml_type_format(&domain_mirror_type, mirror, XML_SECURE);
    xml_type_free(&domain_mirror_type, mirror);
    domain_live_replace(domain, g_steal_pointer(&live));
}

static bool
commit(Domain *domain, const char *path, const char *base, const char *top, uint64_t bandwidth,
       unsigned flags, GError **err)
{
    g_auto(Images) images = { 0 };
    g_autoptr(DomainRun) run = images_of(domain, path, &images, err);
    const ChainLayer *writable[2];
    g_autofree char *name = NULL;
    gint64 sets[2], fds[2];
    unsigned n = 0, lent = 0;
    int from, to;
    bool ok;

    if (!run || !commit_range(&images, base, top, flags, &from, &to, err))
        return false;
    if (flags & VIR_DOMAIN_BLOCK_COMMIT_RELATIVE && from > 0 &&
        !(name = relative_name(run, &images, (guint)from, (guint)to, err)))
        return false;
    writable[n++] = layer_at(&images, (guint)to);
    /* the header of what lies on top is written in the end; the disk's own image is open for that
     */
    if (from > 1)
        writable[n++] = layer_at(&images, (guint)from - 1);
    for (ok = true; ok && lent < n; lent += ok) {
        sets[lent] = layer_set(run, writable[lent], err);
        ok = sets[lent] >= 0 && layer_lend(run, writable[lent], sets[lent], &fds[lent], err);
    }
    if (ok) {
        JsonObject *arguments = json_object_new();

        set_node(arguments, "base-node", layer_at(&images, (guint)to));
        set_node(arguments, "top-node", layer_at(&images, (guint)from));
        if (from > 0)
            json_object_set_string_member(arguments, "backing-file",
                                          name ? name : layer_at(&images, (guint)to)->path);
        ok = job_begin(run, &images, "block-commit", arguments, from > 0 ? "commit" : "active",
                       flags & VIR_DOMAIN_BLOCK_COMMIT_DELETE, bandwidth, err);
    }
    if (ok && from == 0)
        mirror_show(domain, images.target, layer_at(&images, (guint)to));
    while (lent-- > 0)
        layer_take_back(run, sets[lent], fds[lent]);
    return ok;
}

bool
domain_block_commit(Domain *domain, const char *path, const char *base, const char *top,
                    uint64_t bandwidth, unsigned flags, GError **err)
{
    bool ok = domain_job_begin(domain, "block commit", err);

    if (ok) {
        ok = commit(domain, path, base, top, bandwidth, flags, err);
        domain_job_end(domain);
    }
    return ok;
}

bool
domain_block_resize(Domain *domain, const char *path, uint64_t size, GError **err)
{
    g_auto(Images) images = { 0 };
    g_autoptr(DomainRun) run = images_of(domain, path, &images, err);
    JsonObject *arguments;
    bool ok;

    if (!run || !domain_job_begin(domain, "block resize", err))
        return false;
    ok = domain_block_job_check(run, images.target, err);
    if (ok) {
        arguments = json_object_new();
        set_node(arguments, "node-name", layer_at(&images, 0));
        json_object_set_int_member(arguments, "size", (gint64)size);
        ok = qmp_command(run->qmp, "block_resize", arguments, DOMAIN_QMP_SECONDS, err);
    }
    domain_job_end(domain);
    return ok;
}

/* ---- ending ---- */

static bool
job_command(DomainRun *run, const char *command, const char *id, GError **err)
{
    JsonObject *arguments = json_object_new();

    json_object_set_string_member(arguments, "device", id);
    return qmp_command(run->qmp, command, arguments, DOMAIN_QMP_SECONDS, err);
}

/* In a job of the domain. */
static bool
abort_job(DomainRun *run, const char *target, unsigned flags, GError **err)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(JsonObject) job = domain_block_job_look(run, target, &why);
    bool pivot = flags & VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT;

    if (why) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    if (!job)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "disk '%s' does not have an active block job", target);
    if (pivot && !job_pivots(job_id(job)))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "job type '%s' does not support pivot", job_id(job));
    if (pivot && !json_object_get_boolean_member_with_default(job, "ready", FALSE))
        return kiln_error_set(err, VIR_ERR_BLOCK_COPY_ACTIVE,
                              "block job on disk '%s' is still active", target);
    if (!job_command(run, pivot ? "block-job-complete" : "block-job-cancel", job_id(job), err))
        return false;
    /* the change over is never left to be waited for by the caller */
    for (unsigned i = 0; pivot || !(flags & VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC); i++) {
        g_autoptr(JsonObject) still = domain_block_job_look(run, target, &why);

        if (why) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
        if (!still)
            break;
        if (i >= ABORT_SECONDS * 1000 / ABORT_LOOK_MS)
            return kiln_error_set(err, VIR_ERR_OPERATION_TIMEOUT,
                                  "the block job of disk '%s' does not end", target);
        g_usleep(ABORT_LOOK_MS * 1000);
    }
    return domain_block_settle(
        run,
        pivot && domain_block_job_deletes(job_id(job)) ? (const char *[]){ target, NULL } : NULL,
        err);
}

bool
domain_block_job_abort(Domain *domain, const char *path, unsigned flags, GError **err)
{
    g_auto(Images) images = { 0 };
    g_autoptr(DomainRun) run = images_of(domain, path, &images, err);
    bool ok;

    if (!run || !domain_job_begin(domain, "block job abort", err))
        return false;
    ok = abort_job(run, images.target, flags, err);
    domain_job_end(domain);
    return ok;
}

bool
domain_block_job_speed(Domain *domain, const char *path, uint64_t bandwidth, GError **err)
{
    g_auto(Images) images = { 0 };
    g_autoptr(DomainRun) run = images_of(domain, path, &images, err);
    g_autoptr(JsonObject) job = run ? domain_block_job_look(run, images.target, NULL) : NULL;
    JsonObject *arguments;

    if (!run)
        return false;
    if (!job)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "disk '%s' does not have an active block job", images.target);
    arguments = json_object_new();
    json_object_set_string_member(arguments, "device", job_id(job));
    json_object_set_int_member(arguments, "speed", (gint64)bandwidth);
    return qmp_command(run->qmp, "block-job-set-speed", arguments, DOMAIN_QMP_SECONDS, err);
}
