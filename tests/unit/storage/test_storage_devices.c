/* test_storage_devices.c - pools on devices: partition tables and the room on them, a disk pool on
 * a file by the real sfdisk (Debian package fdisk; skipped without), and a volume group that is
 * played by scripts.
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

#include "driver/storage/backend.h"
#include "driver/storage/partitions.h"
#include "util/error.h"

#define MIB ((uint64_t)1024 * 1024)

/* --- partition tables ------------------------------------------------------------------------- */

static PartitionTable *
parse(const char *partitions, const char *more, uint64_t size)
{
    g_autofree char *text = g_strdup_printf(
        "{\"partitiontable\":{%s,\"sectorsize\":512,\"partitions\":[%s]}}", more, partitions);
    g_autoptr(GError) err = NULL;
    PartitionTable *table = partition_table_parse(text, size, &err);

    if (!table)
        fail_msg("%s", err->message);
    return table;
}

#define DOS "\"label\":\"dos\""
#define GPT "\"label\":\"gpt\",\"firstlba\":34,\"lastlba\":131038"
#define PART(number, start, size, type)                                                            \
    "{\"node\":\"/dev/x" #number "\",\"start\":" #start ",\"size\":" #size ",\"type\":\"" type "\"}"

static void
test_room_gpt(void **state)
{
    g_autoptr(PartitionTable) table =
        parse(PART(2, 22528, 20480, "X") "," PART(1, 2048, 2048, "X"), GPT, 64 * MIB);
    g_autoptr(GArray) room = partition_table_room(table);
    const Partition *gaps = (const Partition *)(void *)room->data;
    Partition got;

    (void)state;
    assert_int_equal(room->len, 2);
    assert_int_equal(gaps[0].start, 2 * MIB);
    assert_int_equal(gaps[0].end, 11 * MIB);
    assert_int_equal(gaps[1].start, 21 * MIB);
    assert_int_equal(gaps[1].end, 131039 * 512);
    /* The smallest that it fits into, in whole sectors. */
    assert_true(partition_table_place(table, MIB + 1, false, &got, NULL));
    assert_int_equal(got.number, 3);
    assert_int_equal(got.start, 2 * MIB);
    assert_int_equal(got.end, 3 * MIB + 512);
    assert_true(partition_table_place(table, 10 * MIB, false, &got, NULL));
    assert_int_equal(got.start, 21 * MIB);
    assert_false(partition_table_place(table, 60 * MIB, false, &got, NULL));
    assert_false(partition_table_place(table, 0, false, &got, NULL));
    assert_false(partition_table_place(table, UINT64_MAX, false, &got, NULL));
    assert_false(partition_table_place(table, MIB, true, &got, NULL));
}

/* Four primary partitions; one of them may be extended, and then there are logical ones in it. */
static void
test_rules_dos(void **state)
{
    g_autoptr(PartitionTable) full =
        parse(PART(1, 2048, 2048, "83") "," PART(2, 4096, 2048, "83") "," PART(
                  3, 6144, 2048, "83") "," PART(4, 8192, 2048, "83"),
              DOS, 64 * MIB);
    g_autoptr(PartitionTable) table = parse(
        PART(1, 2048, 20480, "83") "," PART(2, 43008, 40960, "f") "," PART(5, 45056, 2048, "83"),
        DOS, 64 * MIB);
    g_autoptr(GError) err = NULL;
    Partition got;

    (void)state;
    assert_false(partition_table_place(full, MIB, false, &got, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_INTERNAL_ERROR));
    assert_false(partition_table_place(full, MIB, true, &got, NULL));
    assert_false(partition_table_place(table, MIB, true, &got, NULL)); /* a second extended one */
    assert_true(partition_table_place(table, 10 * MIB, false, &got, NULL));
    assert_int_equal(got.kind, PARTITION_PRIMARY);
    assert_int_equal(got.number, 3);
    assert_int_equal(got.start, 11 * MIB);
    /* Outside of it there is no room for so much. */
    g_array_set_size(table->partitions, 3);
    table->last = 41 * MIB;
    assert_true(partition_table_place(table, 17 * MIB, false, &got, NULL));
    assert_int_equal(got.kind, PARTITION_LOGICAL);
    assert_int_equal(got.number, 6);
    assert_int_equal(got.start, 24 * MIB); /* a MiB after the end of number 5 */
}

static void
test_bad_tables(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"partitiontable\":1}",
        "{\"partitiontable\":{\"label\":\"sun\"}}",
        "{\"partitiontable\":{" GPT ",\"partitions\":[1]}}",
        "{\"partitiontable\":{" DOS ",\"partitions\":{}}}",
        "{\"partitiontable\":{" DOS ",\"sectorsize\":0}}",
        "{\"partitiontable\":{\"label\":\"gpt\",\"firstlba\":9,\"lastlba\":3}}",
        "{\"partitiontable\":{\"label\":\"gpt\",\"firstlba\":9,\"lastlba\":999999999}}",
        "{\"partitiontable\":{" DOS ",\"partitions\":[" PART(1, 2048, 999999999, "83") "]}}",
        "{\"partitiontable\":{" DOS ",\"partitions\":[" PART(1, 9223372036854775807, 1, "83") "]}}",
        "{\"partitiontable\":{" DOS ",\"partitions\":[{\"node\":\"none\",\"size\":1}]}}",
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;

        if (partition_table_parse(bad[i], 64 * MIB, &err))
            fail_msg("taken: %s", bad[i]);
        assert_non_null(err);
    }
}

/* --- pools ------------------------------------------------------------------------------------ */

typedef struct {
    char *dir, *config, *run, *img, *disk, *path;
    StorageManager *manager;
} World;

static int
setup(void **state)
{
    static const StorageOps ops = { NULL, NULL, NULL };
    World *w = g_new0(World, 1);

    w->dir = g_dir_make_tmp("kiln-devices-XXXXXX", NULL);
    w->config = g_build_filename(w->dir, "etc", NULL);
    w->run = g_build_filename(w->dir, "run", NULL);
    w->img = g_build_filename(w->dir, "img", NULL);
    w->disk = g_build_filename(w->dir, "disk", NULL);
    w->path = g_strdup(g_getenv("PATH"));
    assert_true(g_file_set_contents(w->disk, "", 0, NULL));
    assert_int_equal(truncate(w->disk, 64 * MIB), 0);
    w->manager =
        storage_manager_new(&(StorageConfig){ w->config, w->run, w->dir, w->img }, &ops, NULL);
    assert_true(storage_manager_load(w->manager, NULL));
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    World *w = *state;
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", w->dir);

    storage_manager_free(w->manager);
    g_setenv("PATH", w->path, TRUE);
    g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL);
    g_free(w->dir);
    g_free(w->config);
    g_free(w->run);
    g_free(w->img);
    g_free(w->disk);
    g_free(w->path);
    g_free(w);
    return 0;
}

static bool
has_sfdisk(void)
{
    return storage_has_program("sfdisk");
}

static StoragePool *
define_disk(World *w, const char *format)
{
    g_autofree char *xml = g_strdup_printf(
        "<pool type='disk'><name>d</name><source><device path='%s'/><format type='%s'/></source>"
        "<target><path>/dev</path></target></pool>",
        w->disk, format);
    g_autoptr(GError) err = NULL;
    StoragePool *pool = storage_manager_define(w->manager, xml, 0, &err);

    if (!pool)
        fail_msg("%s", err->message);
    return pool;
}

static bool
make(StoragePool *pool, const char *name, unsigned mib, const char *more, GError **err)
{
    g_autofree char *xml = g_strdup_printf("<volume><name>%s</name><capacity unit='MiB'>%u"
                                           "</capacity>%s</volume>",
                                           name, mib, more);
    g_autoptr(StorageVol) vol = storage_pool_create_volume(pool, xml, NULL, 0, err);

    return vol != NULL;
}

static void
must_make(StoragePool *pool, const char *name, unsigned mib, const char *more)
{
    g_autoptr(GError) err = NULL;

    if (!make(pool, name, mib, more, &err))
        fail_msg("%s: %s", name, err->message);
}

static char *
names(StoragePool *pool)
{
    g_autoptr(GPtrArray) volumes = storage_pool_volumes(pool, NULL);
    GString *text = g_string_new(NULL);

    for (guint i = 0; volumes && i < volumes->len; i++)
        g_string_append_printf(text, "%s ", storage_vol_name(volumes->pdata[i]));
    return g_string_free(text, FALSE);
}

static void
must_be(StoragePool *pool, const char *want)
{
    g_autofree char *have = names(pool);

    assert_string_equal(have, want);
}

static void
test_disk_pool(void **state)
{
    World *w = *state;
    g_autoptr(StoragePool) pool = has_sfdisk() ? define_disk(w, "dos") : NULL;
    g_autoptr(StorageVol) vol = NULL;
    g_autoptr(GError) err = NULL;
    g_autofree char *xml = NULL;
    StoragePoolInfo info;

    if (!pool)
        skip();
    assert_false(storage_pool_start(pool, 0, &err)); /* no table */
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_STORAGE_PROBE_FAILED));
    g_clear_error(&err);
    assert_true(storage_pool_build(pool, 0, NULL));
    assert_false(storage_pool_build(pool, VIR_STORAGE_POOL_BUILD_NO_OVERWRITE, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_STORAGE_POOL_BUILT));
    g_clear_error(&err);
    assert_false(storage_pool_build(pool, 0, NULL));
    assert_true(storage_pool_build(pool, VIR_STORAGE_POOL_BUILD_OVERWRITE, NULL));
    if (!storage_pool_start(pool, 0, &err))
        fail_msg("%s", err->message);

    assert_false(make(pool, "disk7", 8, "", &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_INVALID_ARG));
    must_make(pool, "disk1", 8, "");
    must_make(pool, "disk2", 4, "<target><format type='linux-swap'/></target>");
    must_make(pool, "disk3", 4, "");
    must_make(pool, "disk4", 24, "<target><format type='extended'/></target>");
    must_make(pool, "disk5", 4, "");
    must_make(pool, "disk6", 4, "");
    must_be(pool, "disk1 disk2 disk3 disk4 disk5 disk6 ");
    storage_pool_info(pool, &info);
    assert_int_equal(info.capacity, 64 * MIB);
    assert_int_equal(info.allocation, 24 * MIB);
    assert_true(info.available > 30 * MIB && info.available < 40 * MIB);

    vol = storage_pool_lookup_volume(pool, "disk6", NULL);
    xml = storage_vol_xml(vol, NULL);
    assert_non_null(strstr(xml, "<volume type='block'>"));
    assert_non_null(strstr(xml, "<extent start='"));
    g_clear_pointer(&vol, storage_vol_unref);
    /* With number 5 gone, what was number 6 is number 5; who holds it sees that it went. */
    vol = storage_pool_lookup_volume(pool, "disk5", NULL);
    assert_true(storage_vol_delete(vol, 0, NULL));
    assert_int_equal(storage_vol_open(vol, false, 0, NULL), -1);
    must_be(pool, "disk1 disk2 disk3 disk4 disk5 ");
    g_clear_pointer(&vol, storage_vol_unref);
    vol = storage_pool_lookup_volume(pool, "disk4", NULL);
    assert_false(storage_vol_wipe(vol, VIR_STORAGE_VOL_WIPE_ALG_ZERO, NULL));
    assert_true(storage_vol_delete(vol, 0, NULL));
    must_be(pool, "disk1 disk2 disk3 ");
    assert_true(storage_pool_stop(pool, NULL));
    assert_true(storage_pool_delete(pool, 0, NULL));
    assert_false(storage_pool_start(pool, 0, NULL));
}

static void
test_disk_pool_gpt(void **state)
{
    World *w = *state;
    g_autoptr(StoragePool) pool = has_sfdisk() ? define_disk(w, "gpt") : NULL;
    g_autoptr(StoragePool) other = NULL;
    g_autoptr(GError) err = NULL;
    static const char *const formats[] = { "none",       "linux",     "fat16",     "fat32",
                                           "linux-swap", "linux-lvm", "linux-raid" };

    if (!pool)
        skip();
    assert_true(storage_pool_start(pool, VIR_STORAGE_POOL_CREATE_WITH_BUILD, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autofree char *name = g_strdup_printf("disk%u", i + 1);
        g_autofree char *target =
            g_strdup_printf("<target><format type='%s'/></target>", formats[i]);

        must_make(pool, name, 2, target);
    }
    assert_false(make(pool, "disk8", 1, "<target><format type='extended'/></target>", &err));
    assert_false(make(pool, "disk8", 100, "", NULL));
    assert_true(storage_pool_stop(pool, NULL));
    assert_true(storage_pool_undefine(pool, NULL));
    other = define_disk(w, "dos");
    g_clear_error(&err);
    assert_false(storage_pool_start(other, 0, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_OPERATION_INVALID));
}

/* A program of LVM that notes how it was called, and says what is in a file called as it is. */
static void
script(const World *w, const char *name, const char *says)
{
    g_autofree char *path = g_build_filename(w->dir, name, NULL);
    g_autofree char *text = g_strdup_printf("#!/bin/sh\necho \"${0##*/} $*\" >> '%s/log'\n"
                                            "cat << 'END'\n%s\nEND\n",
                                            w->dir, says);

    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_int_equal(chmod(path, 0755), 0);
}

static char *
logged(const World *w)
{
    g_autofree char *path = g_build_filename(w->dir, "log", NULL);
    char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return g_strdup("");
    unlink(path);
    return text;
}

/* A group's volumes are files of /dev/GROUP: this one is called as a directory for anybody. */
static void
test_logical_pool(void **state)
{
    World *w = *state;
    g_autofree char *name = g_strdup_printf("kiln-test-%d", (int)getpid());
    g_autofree char *linked = g_strdup_printf("%s-link", name);
    g_autofree char *node = g_build_filename("/dev/shm", name, NULL);
    g_autofree char *link = g_build_filename("/dev/shm", linked, NULL);
    g_autofree char *path = g_strdup_printf("%s:%s", w->dir, w->path);
    g_autofree char *rows = g_strdup_printf(
        "{\"report\":[{\"lv\":["
        "{\"lv_name\":\"gone\",\"lv_attr\":\"-wi-a-----\"},"
        "{\"lv_name\":\"off\",\"lv_attr\":\"-wi-------\"},"
        "{\"lv_name\":\"%s\",\"lv_uuid\":\"U-1\",\"lv_attr\":\"swi-a-s---\",\"lv_size\":\"4096\","
        "\"origin\":\"base\",\"data_percent\":\"\",\"devices\":\"/dev/a(2),/dev/b(0)\","
        "\"stripes\":\"2\",\"seg_size\":\"4096\",\"vg_extent_size\":\"1024\"},"
        "{\"lv_name\":\"%s\",\"lv_attr\":\"swi-a-s---\",\"devices\":\"/dev/c(1),x_mimage(0)\","
        "\"seg_size\":\"1024\",\"vg_extent_size\":\"1024\"},"
        "{\"lv_name\":\"tp\",\"lv_attr\":\"twi-a-----\"}, 7]}]}",
        name, name);
    g_autoptr(StoragePool) pool = NULL;
    g_autoptr(StorageVol) vol = NULL;
    g_autoptr(GError) err = NULL;
    g_autofree char *xml = NULL, *said = NULL, *found = NULL, *created = NULL;
    StoragePoolInfo info;
    struct stat st;

    g_setenv("PATH", path, TRUE);
    script(w, "vgs", "{\"report\":[{\"vg\":[{\"vg_size\":\"9000\",\"vg_free\":\"2000\"}]}]}");
    script(w, "lvs", rows);
    script(w, "pvs",
           "{\"report\":[{\"pv\":[{\"pv_name\":\"/dev/a\",\"vg_name\":\"shm\"},"
           "{\"pv_name\":\"/dev/z\",\"vg_name\":\"\"}]}]}");
    script(w, "vgchange", "");
    script(w, "lvcreate", "");
    script(w, "lvremove", "");
    assert_true(g_file_set_contents(node, "content", -1, NULL));

    pool =
        storage_manager_define(w->manager, "<pool type='logical'><name>shm</name></pool>", 0, NULL);
    assert_non_null(pool);
    if (!storage_pool_start(pool, 0, &err))
        fail_msg("%s", err->message);
    storage_pool_info(pool, &info);
    assert_int_equal(info.capacity, 9000);
    assert_int_equal(info.allocation, 7000);
    assert_int_equal(info.available, 2000);
    vol = storage_pool_lookup_volume(pool, name, NULL);
    assert_non_null(vol);
    assert_string_equal(storage_vol_key(vol), "U-1");
    xml = storage_vol_xml(vol, NULL);
    for (const char *const *want =
             (const char *const[]){ "<path>/dev/shm/base</path>",
                                    "<extent start='2048' end='4096'/>",
                                    "<extent start='0' end='2048'/>", "<device path='/dev/c'>",
                                    "<extent start='1024' end='2048'/>", NULL };
         *want; want++)
        if (!strstr(xml, *want))
            fail_msg("no %s in %s", *want, xml);
    assert_null(strstr(xml, "mimage"));
    found = storage_manager_find_sources(w->manager, "logical", NULL, NULL);
    assert_non_null(strstr(found, "<name>shm</name>"));
    assert_null(strstr(found, "/dev/z"));

    g_free(logged(w));
    assert_false(make(pool, "-f", 1, "", NULL));   /* an option of lvcreate */
    assert_false(make(pool, "none", 1, "", &err)); /* the script makes nothing */
    created = logged(w);
    assert_non_null(strstr(created, "lvcreate --yes --name none -L 1024K -- shm\n"));
    assert_null(strstr(created, "-f"));
    /* LVM's devices are links to others: permissions are those of what they lead to. */
    assert_int_equal(symlink(node, link), 0);
    assert_false(make(pool, linked, 1,
                      "<target><permissions><mode>0604</mode></permissions></target>", NULL));
    assert_int_equal(stat(node, &st), 0);
    unlink(link);
    assert_int_equal(st.st_mode & 0777, 0604);
    assert_true(storage_vol_delete(vol, 0, NULL));
    said = logged(w);
    assert_non_null(strstr(said, "lvremove --force -- shm/kiln-test-"));
    unlink(node);
    assert_true(storage_pool_stop(pool, NULL));
    g_free(said);
    said = logged(w);
    assert_non_null(strstr(said, "vgchange -aln -- shm\n"));
}

/* What LVM might say, and must not. */
static void
test_logical_nonsense(void **state)
{
    World *w = *state;
    static const char *const bad[] = { "",
                                       "[]",
                                       "{\"report\":[]}",
                                       "{\"report\":[{\"vg\":[]}]}",
                                       "{\"report\":[{\"vg\":[1]}]}",
                                       "{\"report\":{}}" };
    g_autofree char *path = g_strdup_printf("%s:%s", w->dir, w->path);
    g_autoptr(StoragePool) pool =
        storage_manager_define(w->manager, "<pool type='logical'><name>shm</name></pool>", 0, NULL);
    g_autoptr(StoragePool) odd = storage_manager_define(
        w->manager, "<pool type='logical'><name>@tag</name></pool>", 0, NULL);

    g_setenv("PATH", path, TRUE);
    script(w, "pvs", "{\"report\":[{\"pv\":[{\"pv_name\":\"/dev/a\",\"vg_name\":\"shm\"}]}]}");
    script(w, "vgchange", "");
    script(w, "vgremove", "");
    script(w, "lvs", "{\"report\":[{\"lv\":[]}]}");
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        script(w, "vgs", bad[i]);
        assert_false(storage_pool_start(pool, 0, NULL));
        assert_false(storage_pool_is_active(pool));
    }
    /* A word that LVM takes for all groups with that tag. */
    assert_false(storage_pool_delete(odd, 0, NULL));
    assert_false(storage_pool_start(odd, 0, NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room_gpt),
        cmocka_unit_test(test_rules_dos),
        cmocka_unit_test(test_bad_tables),
        cmocka_unit_test_setup_teardown(test_disk_pool, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_pool_gpt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_logical_pool, setup, teardown),
        cmocka_unit_test_setup_teardown(test_logical_nonsense, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
