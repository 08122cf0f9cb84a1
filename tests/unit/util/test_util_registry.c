/* test_util_registry.c - registries of host objects and their files.
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "util/deffiles.h"
#include "util/error.h"
#include "util/file.h"
#include "util/registry.h"
#include "util/uuid.h"

#define UUID_A "3f1e0a52-1c11-4d1b-9d4a-0a0a0a0a0a01"
#define UUID_B "3f1e0a52-1c11-4d1b-9d4a-0a0a0a0a0a02"

/* A definition is "NAME UUID". */
typedef struct {
    char *name, *uuid;
} Def;

typedef struct {
    RegistryObject object;
    Def *def;
    bool runs;
} Thing;

typedef struct {
    Registry registry;
    char *dir;
    GString *warnings;
} Things;

static int n_things;

static void
def_free(void *opaque)
{
    Def *def = opaque;

    if (!def)
        return;
    g_free(def->name);
    g_free(def->uuid);
    g_free(def);
}

static void *
def_parse(const char *text, unsigned flags, GError **err)
{
    const char *last = strstr(text, "-->\n");
    g_auto(GStrv) words = g_strsplit(last ? last + 4 : text, " ", 2);
    Def *def;

    assert_int_equal(flags, 0);
    if (g_strv_length(words) != 2) {
        kiln_error_set(err, VIR_ERR_XML_ERROR, "not two words");
        return NULL;
    }
    def = g_new0(Def, 1);
    def->name = g_strdup(words[0]);
    def->uuid = g_strdup(words[1]);
    return def;
}

static char *
def_format(const void *opaque)
{
    const Def *def = opaque;

    return g_strdup_printf("%s %s", def->name, def->uuid);
}

static void
thing_free(RegistryObject *object)
{
    def_free(((Thing *)object)->def);
    g_free(object);
    n_things--;
}

static void
things_free(Registry *registry)
{
    Things *things = (Things *)registry;

    g_string_free(things->warnings, TRUE);
    g_free(things->dir);
    g_free(things);
}

static const RegistryClass things_class = {
    .what = "thing",
    .brief = "thg",
    .edit = "virsh thing-edit",
    .missing = VIR_ERR_NO_NETWORK,
    .parse = def_parse,
    .format = def_format,
    .free = def_free,
    .def_name = offsetof(Def, name),
    .def_uuid = offsetof(Def, uuid),
    .object_free = thing_free,
    .registry_free = things_free,
};

static void
warn(void *opaque, const char *message)
{
    g_string_append_printf(((Things *)opaque)->warnings, "%s\n", message);
}

static int
setup(void **state)
{
    Things *things = g_new0(Things, 1);
    g_autofree char *config = NULL, *run = NULL;

    things->dir = g_dir_make_tmp("kiln-registry-XXXXXX", NULL);
    things->warnings = g_string_new("");
    config = g_strdup_printf("%s/config", things->dir);
    run = g_strdup_printf("%s/run", things->dir);
    g_mkdir(config, 0700);
    g_mkdir(run, 0700);
    registry_init(&things->registry, &things_class, config, run, warn, things);
    *state = things;
    return 0;
}

static int
teardown(void **state)
{
    Things *things = *state;
    g_autofree char *command = g_strdup_printf("rm -r '%s'", things->dir);
    int left, rc = system(command);

    registry_close(&things->registry);
    left = n_things;
    n_things = 0;
    return rc == 0 && left == 0 ? 0 : -1;
}

static Thing *
add(Things *things, const char *text)
{
    Thing *thing = g_new0(Thing, 1);

    n_things++;
    thing->def = def_parse(text, 0, NULL);
    registry_object_init(&things->registry, &thing->object, thing->def);
    registry_enter(&thing->object);
    return thing;
}

static void
test_find(void **state)
{
    Things *things = *state;
    Registry *r = &things->registry;
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) all = NULL;
    uint8_t uuid[16];
    Thing *thing, *found;

    add(things, "b " UUID_B);
    thing = add(things, "a " UUID_A);
    found = registry_lookup_name(r, "a", NULL);
    assert_ptr_equal(found, thing);
    registry_unref(found);
    assert_true(kiln_uuid_parse(UUID_A, uuid));
    found = registry_lookup_uuid(r, uuid, NULL);
    assert_ptr_equal(found, thing);
    all = registry_list(r, NULL, NULL);
    assert_int_equal(all->len, 2);
    assert_ptr_equal(all->pdata[0], thing);
    assert_null(registry_lookup_name(r, "c", &err));
    assert_int_equal(err->code, VIR_ERR_NO_NETWORK);
    assert_string_equal(err->message, "no thing with matching name 'c'");
    g_clear_error(&err);

    /* what is dropped stays readable for who holds it, and is known as gone */
    registry_drop(&thing->object);
    assert_string_equal(found->object.name, "a");
    assert_false(registry_check(&found->object, &err));
    assert_string_equal(err->message, "no thing with matching name 'a'");
    g_clear_error(&err);
    assert_null(registry_lookup_uuid(r, uuid, &err));
    assert_string_equal(err->message, "no thing with matching uuid '" UUID_A "'");
    registry_unref(found);
}

static void
test_same(void **state)
{
    Things *things = *state;
    g_autoptr(GError) err = NULL;
    Def same = { (char *)"a", (char *)UUID_A }, other = { (char *)"a", (char *)UUID_B },
        renamed = { (char *)"b", (char *)UUID_A }, fresh = { (char *)"b", (char *)UUID_B };
    Thing *thing = add(things, "a " UUID_A), *found = NULL;

    assert_true(registry_find_same(&things->registry, &same, &found, NULL));
    assert_ptr_equal(found, thing);
    assert_true(registry_find_same(&things->registry, &fresh, &found, NULL));
    assert_null(found);
    assert_false(registry_find_same(&things->registry, &other, &found, &err));
    assert_string_equal(err->message, "thg 'a' already exists with uuid " UUID_A);
    g_clear_error(&err);
    assert_false(registry_find_same(&things->registry, &renamed, &found, &err));
    assert_string_equal(err->message, "thg 'a' is already defined with uuid " UUID_A);
    assert_int_equal(err->code, VIR_ERR_OPERATION_FAILED);
}

static void
put(Things *things, const char *file, const char *text)
{
    g_autofree char *path = g_strdup_printf("%s/config/%s", things->dir, file);

    assert_true(file_write_atomic(path, text, strlen(text), 0600, NULL));
}

static void
test_files(void **state)
{
    Things *things = *state;
    Registry *r = &things->registry;
    g_autoptr(GPtrArray) defs = NULL;
    g_autofree char *path = g_strdup_printf("%s/config/a.xml", things->dir), *text = NULL,
                    *expect = NULL;
    Thing *thing = add(things, "a " UUID_A);

    assert_true(registry_store(r, thing->def, NULL));
    text = file_read_limited(path, DEF_FILE_MAX, NULL, NULL);
    assert_string_equal(text, "<!--\n"
                              "Kiln writes this file; changes to it may be lost. Use instead:\n"
                              "  virsh thing-edit\n"
                              "-->\n"
                              "a " UUID_A);
    put(things, "b.xml", "b " UUID_A);
    put(things, "c.xml", "nothing");
    put(things, "d.xml", "e " UUID_B);
    put(things, "f.txt", "f " UUID_B);
    defs = registry_load(r, r->config_dir, NULL);
    assert_int_equal(defs->len, 1);
    assert_string_equal(((const Def *)defs->pdata[0])->name, "a");
    expect = g_strdup_printf(
        "thing 'b' is passed over: thing 'a' has the same uuid " UUID_A "\n"
        "thing definition '%s/config/c.xml' is passed over: not two words\n"
        "thing definition '%s/config/d.xml' is passed over: it defines 'e', whose file is "
        "'e.xml'\n",
        things->dir, things->dir);
    assert_string_equal(things->warnings->str, expect);

    assert_true(registry_set_autostart(&thing->object, true, NULL));
    assert_true(def_file_is_autostart(r->config_dir, "a"));
    assert_true(registry_flag(&thing->object, &thing->object.autostart));
    assert_true(registry_remove(&thing->object, NULL));
    assert_false(def_file_exists(r->config_dir, "a"));
    assert_false(def_file_is_autostart(r->config_dir, "a"));
    assert_true(registry_store_active(r, thing->def, NULL));
    assert_true(def_file_exists(r->run_dir, "a"));
    registry_remove_active(&thing->object);
    assert_false(def_file_exists(r->run_dir, "a"));
}

static bool
start(RegistryObject *object, GError **err)
{
    return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "%s is broken", object->name);
}

static void
test_autostart(void **state)
{
    Things *things = *state;
    Registry *r = &things->registry;
    Thing *thing = add(things, "a " UUID_A);

    assert_true(registry_wants_default(r));
    add(things, "b " UUID_B);
    assert_true(registry_store(r, thing->def, NULL));
    assert_true(registry_set_autostart(&thing->object, true, NULL));
    assert_false(registry_wants_default(r));
    registry_autostart(r, start);
    registry_autostart(r, start);
    assert_string_equal(things->warnings->str, "thing 'a' does not start: a is broken\n");
}

/* What a client asks while the object starts. */
static void *
ask(void *opaque)
{
    Thing *thing = opaque;
    bool is;

    registry_lock_settled(&thing->object);
    is = thing->runs;
    g_mutex_unlock(&thing->object.registry->lock);
    return GINT_TO_POINTER(is);
}

static void
test_turn(void **state)
{
    Things *things = *state;
    Registry *r = &things->registry;
    Thing *thing = add(things, "a " UUID_A), *other = add(things, "b " UUID_B);
    GThread *asking;

    registry_set_turning(&thing->object, true);
    assert_null(ask(other));
    asking = g_thread_new("ask", ask, thing);
    g_usleep(50000); /* without the wait it would have its answer by now */
    g_mutex_lock(&r->lock);
    thing->runs = true;
    g_mutex_unlock(&r->lock);
    registry_set_turning(&thing->object, false);
    assert_non_null(g_thread_join(asking));
    assert_non_null(ask(thing));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_find, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_autostart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_turn, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
