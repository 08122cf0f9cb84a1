/* replay.c - crash replay: what random workloads did to a qcow2 image and its files is played back
 * up to each moment, with whatever a crash may have lost, and judged by Kiln and by qemu-img.
 *
 * usage: replay [--seed N] [--workloads N] [--steps N] [--samples N] [--qemu N] [--seconds N]
 *               [--faults]
 * Without options it is the short form. Exit status 1 when something was lost; the files and the
 * seed are named then. With --faults calls fail at times while the workloads run.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash/workload.h"

static gint seed = 1, workloads = 12, steps = 30, samples = 1, qemu_every = 8, seconds = 20;

static gboolean faults;

static const GOptionEntry entries[] = {
    { "seed", 0, 0, G_OPTION_ARG_INT, &seed, "of the first workload (1)", "N" },
    { "workloads", 0, 0, G_OPTION_ARG_INT, &workloads, "how many (12)", "N" },
    { "steps", 0, 0, G_OPTION_ARG_INT, &steps, "things done in each (30)", "N" },
    { "samples", 0, 0, G_OPTION_ARG_INT, &samples, "reorderings at each moment (1)", "N" },
    { "qemu", 0, 0, G_OPTION_ARG_INT, &qemu_every, "qemu-img checks each Nth state (8)", "N" },
    { "seconds", 0, 0, G_OPTION_ARG_INT, &seconds, "no new workload after that (20)", "N" },
    { "faults", 0, 0, G_OPTION_ARG_NONE, &faults, "calls fail at times", NULL },
    { 0 },
};

typedef struct {
    unsigned changes, moments, states, by_qemu, mended, bitmaps, leaking, most_pending, faults;
} Figures;

typedef struct {
    Workload *w;
    GRand *rand;
    char *dir;
    Figures *figures;
    bool has_qemu;
} Replay;

static void
keep_line(void *opaque, const char *line)
{
    GString *text = opaque;

    if (text->len < 2000)
        g_string_append_printf(text, "\n  %s", line);
}

/* Kiln's own check; *ret_leaks as found. NULL or what is wrong. */
static char *
check(BlockNode *node, unsigned fix, uint64_t *ret_leaks)
{
    g_autoptr(GString) lines = g_string_new(NULL);
    BlockCheck found = { .report = keep_line, .opaque = lines };
    g_autoptr(GError) err = NULL;

    if (!block_image_check(node, fix, &found, &err))
        return g_strdup_printf("no check: %s", err->message);
    *ret_leaks = found.leaks - found.leaks_fixed;
    if (found.corruptions || found.errors)
        return g_strdup_printf("%" PRIu64 " corruptions, %" PRIu64 " errors:%s", found.corruptions,
                               found.errors, lines->str);
    return NULL;
}

static char *
check_by_qemu(const Replay *p)
{
    g_autofree char *path = g_build_filename(p->dir, "image", NULL), *out = NULL, *err = NULL;
    const char *argv[] = { "qemu-img", "check", "-f", "qcow2", path, NULL };
    int status = 0;

    if (!g_spawn_sync(p->dir, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err,
                      &status, NULL))
        return g_strdup("qemu-img does not run");
    /* 3: leaks */
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3))
        return NULL;
    return g_strdup_printf("qemu-img check:\n%s%s", out, err);
}

/* All snapshots in the image are whole, and none is lost. */
static char *
check_snapshots(const Replay *p, BlockNode *image, uint64_t time)
{
    g_autoptr(GPtrArray) list = block_image_snapshots(image, NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    char *wrong;

    if (!list)
        return g_strdup("its list of snapshots cannot be read");
    for (guint i = 0; i < list->len; i++)
        g_ptr_array_add(names, ((BlockSnapshot *)list->pdata[i])->name);
    g_ptr_array_add(names, NULL);
    wrong = model_check_names(p->w->model, (const char *const *)names->pdata, time);
    for (guint i = 0; i < list->len && !wrong; i++) {
        g_autoptr(GError) err = NULL;
        g_autoptr(BlockNode) node = workload_open(p->dir, true, &err);
        g_autofree uint8_t *content = NULL;

        if (node && block_image_snapshot_show(node, names->pdata[i], &err))
            content = workload_read(node, &err);
        wrong = content
                    ? model_check_snapshot(p->w->model, names->pdata[i], content,
                                           block_node_size(node), time)
                    : g_strdup_printf("snapshot '%s': %s", (char *)names->pdata[i], err->message);
    }
    return wrong;
}

/* The image can be mended, written to and flushed, and is what it was. */
static char *
check_life_after(const Replay *p, uint8_t *content, uint64_t size)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node = workload_open(p->dir, false, &err);
    g_autofree uint8_t *again = NULL;
    uint64_t at = g_rand_int_range(p->rand, 0, (gint32)(size / MODEL_SECTOR)) * UINT64_C(512),
             leaks;
    char *wrong = node ? check(node, BLOCK_CHECK_LEAKS, &leaks) : g_strdup(err->message);

    if (wrong)
        return wrong;
    memset(content + at, 0x77, MODEL_SECTOR);
    if (block_node_pwrite(node, at, content + at, MODEL_SECTOR, 0) < 0 ||
        block_node_flush(node) < 0)
        return g_strdup("the image cannot be written after the crash");
    block_node_unref(node);
    node = workload_open(p->dir, true, &err);
    wrong = node ? check(node, 0, &leaks) : g_strdup(err->message);
    if (wrong)
        return wrong;
    if (leaks)
        return g_strdup_printf("%" PRIu64 " leaks are left after they were mended", leaks);
    again = workload_read(node, &err);
    if (!again || block_node_size(node) != size || memcmp(again, content, size) != 0)
        return g_strdup("mending changed what the guest sees");
    return NULL;
}

/* What @p->dir holds is what a crash at @time may leave. */
static char *
judge(Replay *p, uint64_t time)
{
    unsigned n = p->figures->states++;
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node = workload_open(p->dir, true, &err);
    g_autofree uint8_t *content = NULL;
    uint64_t size, leaks = 0;
    char *wrong = node ? check(node, 0, &leaks) : g_strdup(err->message);

    if (wrong)
        return wrong;
    p->figures->leaking += leaks > 0;
    size = block_node_size(node);
    content = workload_read(node, &err);
    wrong = content ? model_check(p->w->model, content, size, time) : g_strdup(err->message);
    if (!wrong)
        wrong = check_snapshots(p, node, time);
    if (!wrong)
        wrong = bitmaps_check(p->w->bitmaps, node, content, size, time, &p->figures->bitmaps);
    g_clear_pointer(&node, block_node_unref);
    if (!wrong && p->has_qemu && n % (unsigned)qemu_every == 0) {
        p->figures->by_qemu++;
        wrong = check_by_qemu(p);
    }
    if (!wrong && n % 8 == 3) {
        p->figures->mended++;
        wrong = check_life_after(p, content, size);
    }
    return wrong;
}

/* Every moment of the log, with all that was done by then, and with a part of it. */
static char *
replay(Replay *p)
{
    static const char *const choices[] = { "all", "some", "few", "most", "torn", "none" };
    uint64_t time;
    char *wrong = NULL;

    p->figures->changes += record_changes(p->w->record);
    while (!wrong && record_next(p->w->record, &time)) {
        unsigned pending = record_pending(p->w->record);

        p->figures->moments++;
        p->figures->most_pending = MAX(p->figures->most_pending, pending);
        for (int i = 0; i <= (pending ? samples : 0) && !wrong; i++) {
            RecordChoice choice =
                i == 0 ? RECORD_ALL
                       : (RecordChoice)g_rand_int_range(p->rand, RECORD_SOME, RECORD_CHOICES);

            record_write(p->w->record, choice, p->rand, p->dir);
            wrong = judge(p, time);
            if (wrong) {
                char *more = g_strdup_printf("crash at moment %" PRIu64
                                             ", %u changes pending of which %s are there: %s",
                                             time, pending, choices[choice], wrong);

                g_free(wrong);
                wrong = more;
            }
        }
    }
    return wrong;
}

static char *
make_dir(const char *root, const char *name)
{
    char *dir = g_build_filename(root, name, NULL);

    if (g_mkdir_with_parents(dir, 0700) < 0)
        g_error("'%s' cannot be made", dir);
    return dir;
}

static void
empty_dir(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        unlink(file);
    }
}

/* False, and says why, when the workload with this seed shows something wrong. */
static bool
run_one(const char *root, guint32 number, Figures *figures, bool has_qemu)
{
    g_autofree char *dir = make_dir(root, "run"), *wrong = NULL;
    Replay p = { .dir = make_dir(root, "replay"), .figures = figures, .has_qemu = has_qemu };

    empty_dir(dir);
    empty_dir(p.dir);
    p.rand = g_rand_new_with_seed(number);
    p.w = workload_new(dir, number, faults);
    wrong = workload_run(p.w, (unsigned)steps) ? replay(&p) : g_strdup(p.w->trouble);
    if (wrong)
        printf("%s\nseed %u, %d steps: %s\nthe image is left in %s\n", p.w->log->str, number, steps,
               wrong, p.dir);
    figures->faults += p.w->faults.made;
    workload_free(p.w);
    g_rand_free(p.rand);
    g_free(p.dir);
    return !wrong;
}

int
main(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) err = NULL;
    g_autofree char *qemu = g_find_program_in_path("qemu-img");
    const char *where = g_getenv("TMPDIR");
    g_autofree char *root = NULL;
    Figures f = { 0 };
    gint64 began = g_get_monotonic_time();
    int i;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &err)) {
        fprintf(stderr, "%s\n", err->message);
        return 2;
    }
    if (!where)
        where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir();
    root = g_build_filename(where, "kiln-crash-XXXXXX", NULL);
    if (!g_mkdtemp(root))
        g_error("no directory below %s", where);
    for (i = 0; i < workloads; i++) {
        if (g_get_monotonic_time() - began > (gint64)seconds * G_USEC_PER_SEC)
            break;
        if (!run_one(root, (guint32)(seed + i), &f, qemu != NULL))
            return 1;
    }
    for (const char *const *name = (const char *const[]){ "run", "replay", NULL }; *name; name++) {
        g_autofree char *dir = g_build_filename(root, *name, NULL);

        empty_dir(dir);
        rmdir(dir);
    }
    rmdir(root);
    printf("%d workloads, %u changes of files, %u moments, %u states (%u with leaks), %u judged by "
           "qemu-img%s, %u mended and written to, %u whole bitmaps, at most %u changes pending, %u "
           "calls failed or "
           "did less\n",
           i, f.changes, f.moments, f.states, f.leaking, f.by_qemu,
           qemu ? "" : " (there is none here)", f.mended, f.bitmaps, f.most_pending, f.faults);
    return 0;
}
