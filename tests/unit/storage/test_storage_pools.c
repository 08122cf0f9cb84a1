/* test_storage_pools.c - the registry of storage pools in a directory of its own: life, files,
 * volumes, and what a new manager takes up. kiln-img is played by a script.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/storage/storage.h"
#include "util/error.h"

typedef struct {
    char *dir, *config, *run, *images, *img;
    StorageOps ops;
    StorageManager *manager;
    GString *seen;
    int warned;
} World;

static void
note_lifecycle(void *opaque, const char *name, const uint8_t uuid[16], int event)
{
    assert_non_null(uuid);
    g_string_append_printf(((World *)opaque)->seen, "%s:%d ", name, event);
}

static void
note_refresh(void *opaque, const char *name, const uint8_t uuid[16])
{
    assert_non_null(uuid);
    g_string_append_printf(((World *)opaque)->seen, "%s:refresh ", name);
}

static void
note_warning(void *opaque, const char *message)
{
    assert_non_null(message);
    ((World *)opaque)->warned++;
}

static void
load(World *w)
{
    const StorageConfig config = { w->config, w->run, w->images, w->img };
    g_autoptr(GError) err = NULL;

    storage_manager_free(w->manager);
    w->manager = storage_manager_new(&config, &w->ops, w);
    if (!storage_manager_load(w->manager, &err))
        fail_msg("%s", err->message);
}

static int
setup(void **state)
{
    World *w = g_new0(World, 1);

    w->dir = g_dir_make_tmp("kiln-storage-XXXXXX", NULL);
    w->config = g_build_filename(w->dir, "etc", NULL);
    w->run = g_build_filename(w->dir, "run", NULL);
    w->images = g_build_filename(w->dir, "images", NULL);
    w->img = g_build_filename(w->dir, "img", NULL);
    w->seen = g_string_new(NULL);
    w->ops = (StorageOps){ note_lifecycle, note_refresh, note_warning };
    mkdir(w->images, 0755);
    g_file_set_contents(w->img,
                        "#!/bin/sh\n"
                        "case $(head -c 4) in fake) echo '{\"format\":\"qcow2\",\"virtual-size\":"
                        "7777,\"backing-filename\":\"base\"}';; evil) echo '[]';;"
                        " bad) exit 1;; *) echo '{\"format\":\"raw\",\"virtual-size\":5}';; esac\n",
                        -1, NULL);
    chmod(w->img, 0755);
    load(w);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    World *w = *state;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", w->dir);

    storage_manager_free(w->manager);
    g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL);
    g_string_free(w->seen, TRUE);
    g_free(w->dir);
    g_free(w->config);
    g_free(w->run);
    g_free(w->images);
    g_free(w->img);
    g_free(w);
    return 0;
}

static StoragePool *
define(World *w, const char *name)
{
    g_autofree char *xml = g_strdup_printf(
        "<pool type='dir'><name>%s</name><target><path>%s/%s</path></target></pool>", name, w->dir,
        name);
    g_autoptr(GError) err = NULL;
    StoragePool *pool = storage_manager_define(w->manager, xml, 0, &err);

    if (!pool)
        fail_msg("%s", err->message);
    return pool;
}

static void
put(World *w, const char *pool, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(w->dir, pool, name, NULL);

    assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void
check_volume(StoragePool *pool, const char *name, const char *part)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(StorageVol) vol = storage_pool_lookup_volume(pool, name, &err);
    g_autofree char *xml = vol ? storage_vol_xml(vol, &err) : NULL;

    if (!xml)
        fail_msg("%s", err->message);
    if (!strstr(xml, part))
        fail_msg("no %s in %s", part, xml);
}

static void
test_life(void **state)
{
    World *w = *state;
    g_autoptr(GError) err = NULL;
    g_autoptr(StoragePool) pool = define(w, "p");

    assert_false(storage_pool_start(pool, 0, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_SYSTEM_ERROR));
    assert_true(storage_pool_build(pool, 0, NULL));
    assert_true(storage_pool_start(pool, 0, NULL));
    assert_true(storage_pool_refresh(pool, NULL));
    assert_true(storage_pool_stop(pool, NULL));
    assert_true(storage_pool_delete(pool, 0, NULL));
    assert_true(storage_pool_undefine(pool, NULL));
    g_clear_error(&err);
    assert_false(storage_pool_start(pool, 0, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_NO_STORAGE_POOL));
    assert_string_equal(w->seen->str, "default:2 p:0 p:4 p:2 p:refresh p:3 p:5 p:1 ");
}

/* What images say is what kiln-img says, and nonsense from it does no harm. */
static void
test_images(void **state)
{
    World *w = *state;
    g_autoptr(StoragePool) pool = define(w, "p");
    g_autofree char *fifo = g_build_filename(w->dir, "p", "fifo", NULL);
    g_autofree char *dead = g_build_filename(w->dir, "p", "dead", NULL);
    g_autoptr(GPtrArray) volumes = NULL;

    assert_true(storage_pool_start(pool, VIR_STORAGE_POOL_CREATE_WITH_BUILD, NULL));
    put(w, "p", "a", "fake");
    put(w, "p", "b", "evil");
    put(w, "p", "c", "bad");
    put(w, "p", "empty", "");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(symlink("/no/such/file", dead), 0);
    assert_true(storage_pool_refresh(pool, NULL));
    volumes = storage_pool_volumes(pool, NULL);
    assert_int_equal(volumes->len, 4);
    check_volume(pool, "a", "<format type='qcow2'/>");
    check_volume(pool, "a", "<capacity unit='bytes'>7777</capacity>");
    check_volume(pool, "a", "/p/base</path>");
    check_volume(pool, "b", "<format type='raw'/>");
    check_volume(pool, "c", "<format type='raw'/>");
    check_volume(pool, "empty", "<capacity unit='bytes'>0</capacity>");
}

static void
test_new_manager(void **state)
{
    World *w = *state;
    g_autofree char *junk = g_build_filename(w->config, "junk.xml", NULL);
    g_autoptr(StoragePool) pool = define(w, "p");
    g_autoptr(StoragePool) off = define(w, "off");
    g_autoptr(StoragePool) again = NULL;
    g_autoptr(GPtrArray) all = NULL;

    assert_true(storage_pool_start(pool, VIR_STORAGE_POOL_CREATE_WITH_BUILD, NULL));
    put(w, "p", "a", "fake");
    g_file_set_contents(junk, "<pool>", -1, NULL);
    load(w);
    assert_int_equal(w->warned, 1);
    all = storage_manager_list(w->manager, 0);
    assert_int_equal(all->len, 3); /* default, off, p */
    again = storage_manager_lookup_name(w->manager, "p", NULL);
    assert_true(storage_pool_is_active(again));
    check_volume(again, "a", "<format type='qcow2'/>");
    g_clear_pointer(&again, storage_pool_unref);
    again = storage_manager_lookup_name(w->manager, "off", NULL);
    assert_false(storage_pool_is_active(again));
}

static void
test_redefined_while_active(void **state)
{
    World *w = *state;
    g_autoptr(StoragePool) pool = define(w, "p");
    g_autoptr(StoragePool) same = NULL;
    g_autofree char *now = NULL, *next = NULL, *xml = NULL;
    char uuid[VIR_UUID_STRING_BUFLEN];
    const uint8_t *u = storage_pool_uuid(pool);

    assert_true(storage_pool_start(pool, VIR_STORAGE_POOL_CREATE_WITH_BUILD, NULL));
    g_snprintf(uuid, sizeof uuid,
               "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
               u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
               u[15]);
    xml = g_strdup_printf("<pool type='dir'><name>p</name><uuid>%s</uuid><target><path>/new</path>"
                          "</target></pool>",
                          uuid);
    same = storage_manager_define(w->manager, xml, 0, NULL);
    assert_ptr_equal(same, pool);
    now = storage_pool_xml(pool, 0);
    next = storage_pool_xml(pool, VIR_STORAGE_XML_INACTIVE);
    assert_null(strstr(now, "<path>/new</path>"));
    assert_non_null(strstr(next, "<path>/new</path>"));
    assert_true(storage_pool_stop(pool, NULL));
    g_free(now);
    now = storage_pool_xml(pool, 0);
    assert_non_null(strstr(now, "<path>/new</path>"));
}

/* A transfer keeps its volume and pool; a volume that went does not come back through a reference.
 */
static void
test_in_use(void **state)
{
    World *w = *state;
    g_autoptr(StoragePool) pool = define(w, "p");
    g_autoptr(StorageVol) vol = NULL;
    g_autoptr(GError) err = NULL;
    int fd;

    assert_true(storage_pool_start(pool, VIR_STORAGE_POOL_CREATE_WITH_BUILD, NULL));
    vol = storage_pool_create_volume(
        pool, "<volume><name>v</name><capacity>4096</capacity></volume>", NULL, 0, &err);
    assert_non_null(vol);
    fd = storage_vol_open(vol, true, 0, NULL);
    assert_true(fd >= 0);
    assert_false(storage_vol_delete(vol, 0, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_OPERATION_INVALID));
    assert_false(storage_pool_stop(pool, NULL));
    close(fd);
    storage_vol_close(vol, true);
    assert_true(storage_vol_delete(vol, 0, NULL));
    g_clear_error(&err);
    assert_false(storage_vol_delete(vol, 0, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_NO_STORAGE_VOL));
    assert_int_equal(storage_vol_open(vol, false, 0, NULL), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_images, setup, teardown),
        cmocka_unit_test_setup_teardown(test_new_manager, setup, teardown),
        cmocka_unit_test_setup_teardown(test_redefined_while_active, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_use, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
