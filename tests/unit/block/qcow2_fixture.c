/* qcow2_fixture.c - qcow2 images for tests, made and judged by qemu-img and qemu-io as well.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/block/qcow2_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

Qcow2Fixture *
qcow2_fixture_new(void)
{
    const char *root = g_getenv("KILN_BUILD_ROOT");
    Qcow2Fixture *f = g_new0(Qcow2Fixture, 1);

    f->dir = g_strdup_printf("%s/qcow2-test-XXXXXX", root ? root : "/var/tmp");
    assert_non_null(g_mkdtemp(f->dir));
    return f;
}

void
qcow2_fixture_free(Qcow2Fixture *f)
{
    g_autofree char *command = NULL;

    if (!f)
        return;
    command = g_strdup_printf("rm -rf '%s'", f->dir);
    if (system(command) != 0)
        g_warning("%s is left behind", f->dir);
    g_free(f->dir);
    g_free(f);
}

char *
qcow2_fixture_path(Qcow2Fixture *f, const char *name)
{
    return g_build_filename(f->dir, name, NULL);
}

static int
run(Qcow2Fixture *f, char **ret, const char *format, va_list args)
{
    g_autofree char *command = g_strdup_vprintf(format, args);
    const char *argv[] = { "/bin/sh", "-c", command, NULL };
    g_autofree char *out = NULL, *err = NULL;
    int status;

    assert_true(g_spawn_sync(f->dir, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err,
                             &status, NULL));
    if (ret)
        *ret = g_strconcat(out, err, NULL);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

int
qcow2_fixture_try(Qcow2Fixture *f, char **ret, const char *format, ...)
{
    va_list args;
    int status;

    va_start(args, format);
    status = run(f, ret, format, args);
    va_end(args);
    return status;
}

void
qcow2_fixture_run(Qcow2Fixture *f, const char *format, ...)
{
    g_autofree char *out = NULL;
    va_list args;
    int status;

    va_start(args, format);
    status = run(f, &out, format, args);
    va_end(args);
    if (status != 0)
        fail_msg("'%s' ended with %d:\n%s", format, status, out);
}

GHashTable *
qcow2_fixture_options(const char *text)
{
    GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);

    for (char **p = parts; *p && **p; p++) {
        char *value = strchr(*p, '=');

        assert_non_null(value);
        g_hash_table_insert(table, g_strndup(*p, value - *p), g_strdup(value + 1));
    }
    return table;
}

bool
qcow2_fixture_try_create(Qcow2Fixture *f, const char *name, const char *options, GError **err)
{
    g_autofree char *path = qcow2_fixture_path(f, name);
    g_autoptr(GHashTable) table = qcow2_fixture_options(options);
    BlockImageOptions image = { 0 };
    const char *data_file = g_hash_table_lookup(table, "data_file");

    if (data_file)
        g_hash_table_insert(table, g_strdup("data_file"), qcow2_fixture_path(f, data_file));
    return block_image_create(path, "qcow2", table, &image, err);
}

void
qcow2_fixture_create(Qcow2Fixture *f, const char *name, const char *options)
{
    g_autoptr(GError) err = NULL;

    if (!qcow2_fixture_try_create(f, name, options, &err))
        fail_msg("create %s: %s", options, err->message);
}

BlockNode *
qcow2_fixture_open(Qcow2Fixture *f, const char *name, bool writable, bool check)
{
    g_autofree char *path = qcow2_fixture_path(f, name);
    BlockImageOptions image = { .read_only = !writable, .check = check, .follow_backing = true };
    g_autoptr(GError) err = NULL;
    BlockNode *node = block_image_open(path, "qcow2", &image, &err);

    if (!node)
        fail_msg("open %s: %s", name, err->message);
    return node;
}

void
qcow2_fixture_close(BlockNode *node)
{
    assert_int_equal(block_node_flush(node), 0);
    block_node_unref(node);
}

static void
print_finding(void *opaque, const char *line)
{
    (void)opaque;
    g_debug("%s", line);
}

BlockCheck
qcow2_fixture_check(Qcow2Fixture *f, const char *name, unsigned fix)
{
    BlockNode *node = qcow2_fixture_open(f, name, fix != 0, true);
    BlockCheck ret = { .report = print_finding };
    g_autoptr(GError) err = NULL;

    if (!block_image_check(node, fix, &ret, &err))
        fail_msg("check %s: %s", name, err->message);
    block_node_unref(node);
    return ret;
}

void
qcow2_fixture_assert_clean(Qcow2Fixture *f, const char *name)
{
    BlockCheck own;

    qcow2_fixture_run(f, "qemu-img check -f qcow2 %s", name);
    own = qcow2_fixture_check(f, name, 0);
    assert_int_equal(own.corruptions, 0);
    assert_int_equal(own.leaks, 0);
    assert_int_equal(own.errors, 0);
}

void
qcow2_fixture_poke(Qcow2Fixture *f, const char *name, uint64_t offset, uint64_t value,
                   unsigned bytes)
{
    g_autofree char *path = qcow2_fixture_path(f, name);
    uint64_t big = GUINT64_TO_BE(value << (64 - 8 * bytes));
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &big, bytes, offset), bytes);
    close(fd);
}

uint64_t
qcow2_fixture_peek(Qcow2Fixture *f, const char *name, uint64_t offset, unsigned bytes)
{
    g_autofree char *path = qcow2_fixture_path(f, name);
    uint64_t big = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &big, bytes, offset), bytes);
    close(fd);
    return GUINT64_FROM_BE(big) >> (64 - 8 * bytes);
}
