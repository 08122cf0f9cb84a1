/* test_secret.c - secrets: their XML, compared with tests/golden/secret and checked against
 * libvirt's schema; the registry, its files, and what it refuses.
 *
 * KILN_GOLDEN_WRITE=1 writes what is missing or different instead; look at the difference then.
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

#include "driver/secret/secret.h"
#include "tests/unit/golden.h"
#include "util/error.h"
#include "xml/secret.h"

#define UUID "c1f11a6d-8c5d-4a3e-ac7a-4e171c5e0d4a"

static const char *const names[] = { "volume", "ceph", "iscsi", "tls", "vtpm", "plain" };

/* --- XML -------------------------------------------------------------------------------------- */

static void
test_xml(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *dir =
            g_strdup_printf("%s/tests/golden/secret/%s", g_getenv("KILN_SOURCE_ROOT"), names[i]);
        g_autofree char *path = g_strconcat(dir, ".xml", NULL);
        g_autofree char *path_out = g_strconcat(dir, ".out.xml", NULL);
        g_autofree char *in = NULL, *out = NULL, *twice = NULL;
        g_autoptr(SecretDef) def = NULL;
        g_autoptr(SecretDef) again = NULL;
        g_autoptr(SecretDef) copy = NULL;
        g_autoptr(GError) err = NULL;

        assert_true(g_file_get_contents(path, &in, NULL, NULL));
        def = secret_def_parse(in, SECRET_DEF_VALIDATE, &err);
        if (!def)
            fail_msg("%s: %s", names[i], err->message);
        copy = secret_def_copy(def);
        out = secret_def_format(copy);
        golden_check(path_out, out);
        golden_check_schema("secret.rng", names[i], out);
        again = secret_def_parse(out, SECRET_DEF_VALIDATE, &err);
        assert_non_null(again);
        twice = secret_def_format(again);
        assert_string_equal(out, twice);
    }
}

static void
test_xml_refused(void **state)
{
    static const struct {
        int code;
        const char *xml;
    } bad[] = {
        { VIR_ERR_XML_DETAIL, "<secret>" },
        { VIR_ERR_XML_ERROR, "<domain/>" },
        { VIR_ERR_XML_ERROR, "<secret ephemeral='maybe'/>" },
        { VIR_ERR_XML_ERROR, "<secret><usage/></secret>" },
        { VIR_ERR_CONFIG_UNSUPPORTED, "<secret><usage type='tape'/></secret>" },
        { VIR_ERR_XML_ERROR, "<secret><usage type='volume'/></secret>" },
        { VIR_ERR_XML_ERROR, "<secret><usage type='ceph'><target>x</target></usage></secret>" },
        { VIR_ERR_XML_ERROR, "<secret><uuid>nonsense</uuid></secret>" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;

        if (secret_def_parse(bad[i].xml, 0, &err))
            fail_msg("not refused: %s", bad[i].xml);
        if (!g_error_matches(err, KILN_ERROR, bad[i].code))
            fail_msg("%s: error %d: %s", bad[i].xml, err->code, err->message);
    }
}

/* --- the registry ----------------------------------------------------------------------------- */

typedef struct {
    char *dir;
    SecretManager *manager;
    int defined, undefined, changed, warned;
    SecretOps ops;
} World;

static void
note_lifecycle(void *opaque, const SecretName *name, int event)
{
    World *w = opaque;

    assert_non_null(name->usage_id);
    *(event == VIR_SECRET_EVENT_DEFINED ? &w->defined : &w->undefined) += 1;
}

static void
note_value(void *opaque, const SecretName *name)
{
    (void)name;
    ((World *)opaque)->changed++;
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
    g_autoptr(GError) err = NULL;

    secret_manager_free(w->manager);
    w->manager = secret_manager_new(w->dir, &w->ops, w);
    if (!secret_manager_load(w->manager, &err))
        fail_msg("%s", err->message);
}

static int
setup(void **state)
{
    World *w = g_new0(World, 1);

    w->dir = g_dir_make_tmp("kiln-secret-XXXXXX", NULL);
    w->ops = (SecretOps){ note_lifecycle, note_value, note_warning };
    load(w);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    World *w = *state;
    GDir *dir = g_dir_open(w->dir, 0, NULL);
    const char *file;

    secret_manager_free(w->manager);
    while ((file = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(w->dir, file, NULL);

        unlink(path);
    }
    g_dir_close(dir);
    rmdir(w->dir);
    g_free(w->dir);
    g_free(w);
    return 0;
}

static Secret *
define(World *w, const char *attributes, const char *uuid, const char *inside)
{
    g_autofree char *xml =
        g_strdup_printf("<secret %s><uuid>%s</uuid>%s</secret>", attributes, uuid, inside);
    g_autoptr(GError) err = NULL;
    Secret *secret = secret_manager_define(w->manager, xml, 0, &err);

    if (!secret)
        fail_msg("%s", err->message);
    return secret;
}

static void
refuse(World *w, const char *attributes, const char *uuid, const char *inside, int code)
{
    g_autofree char *xml =
        g_strdup_printf("<secret %s><uuid>%s</uuid>%s</secret>", attributes, uuid, inside);
    g_autoptr(GError) err = NULL;

    assert_null(secret_manager_define(w->manager, xml, 0, &err));
    if (!g_error_matches(err, KILN_ERROR, code))
        fail_msg("error %d: %s", err->code, err->message);
}

static bool
has_file(const World *w, const char *suffix)
{
    g_autofree char *path = g_strdup_printf("%s/" UUID ".%s", w->dir, suffix);
    struct stat st;

    if (stat(path, &st) < 0)
        return false;
    assert_int_equal(st.st_mode & 0777, 0600);
    return true;
}

static void
check_value(World *w, const char *uuid, const char *want)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GBytes) value =
        secret_manager_get_value(w->manager, uuid, VIR_SECRET_USAGE_TYPE_VOLUME, "/v", &err);

    if (!value)
        fail_msg("%s", err->message);
    assert_int_equal(g_bytes_get_size(value), strlen(want));
    assert_memory_equal(g_bytes_get_data(value, NULL), want, strlen(want));
}

#define VOLUME "<usage type='volume'><volume>/v</volume></usage>"

static void
test_life(void **state)
{
    World *w = *state;
    g_autoptr(GError) err = NULL;
    g_autoptr(Secret) secret = define(w, "", UUID, VOLUME);

    assert_null(secret_get_value(secret, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_NO_SECRET));
    assert_true(has_file(w, "xml") && !has_file(w, "base64"));
    assert_true(secret_set_value(secret, "open sesame", 11, NULL));
    assert_true(has_file(w, "base64"));
    check_value(w, UUID, "open sesame");
    check_value(w, NULL, "open sesame");
    assert_true(w->defined == 1 && w->changed == 1);

    load(w); /* a new daemon */
    check_value(w, UUID, "open sesame");
    g_clear_pointer(&secret, secret_unref);
    secret = define(w, "ephemeral='yes'", UUID, VOLUME);
    assert_true(!has_file(w, "xml") && !has_file(w, "base64"));
    check_value(w, UUID, "open sesame");
    g_clear_pointer(&secret, secret_unref);
    secret = define(w, "", UUID, VOLUME);
    assert_true(has_file(w, "xml") && has_file(w, "base64"));
    assert_true(secret_undefine(secret, NULL));
    assert_true(!has_file(w, "xml") && !has_file(w, "base64") && w->undefined == 1);
    g_clear_error(&err);
    assert_false(secret_undefine(secret, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_NO_SECRET));
}

static void
test_empty_value(void **state)
{
    World *w = *state;
    g_autoptr(Secret) secret = define(w, "", UUID, VOLUME);

    assert_true(secret_set_value(secret, "", 0, NULL));
    check_value(w, UUID, "");
    load(w);
    check_value(w, UUID, "");
}

static void
test_private(void **state)
{
    World *w = *state;
    g_autoptr(GError) err = NULL;
    g_autoptr(Secret) secret = define(w, "private='yes'", UUID, VOLUME);

    assert_true(secret_set_value(secret, "x", 1, NULL));
    assert_null(secret_get_value(secret, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_INVALID_SECRET));
    check_value(w, UUID, "x");
    refuse(w, "private='no'", UUID, VOLUME, VIR_ERR_OPERATION_DENIED);
}

static void
test_clashes(void **state)
{
    World *w = *state;
    g_autoptr(Secret) secret = define(w, "", UUID, VOLUME);
    g_autoptr(Secret) plain = define(w, "", "c1f11a6d-8c5d-4a3e-ac7a-4e171c5e0d4b", "");
    g_autoptr(Secret) other = define(w, "", "c1f11a6d-8c5d-4a3e-ac7a-4e171c5e0d4c", "");
    g_autoptr(GPtrArray) list = secret_manager_list(w->manager, 0);

    assert_int_equal(list->len, 3);
    refuse(w, "", UUID, "<usage type='volume'><volume>/w</volume></usage>", VIR_ERR_INTERNAL_ERROR);
    refuse(w, "", "c1f11a6d-8c5d-4a3e-ac7a-4e171c5e0d4d", VOLUME, VIR_ERR_INTERNAL_ERROR);
}

/* What cannot be used is told and passed over. */
static void
test_bad_files(void **state)
{
    World *w = *state;
    g_autofree char *bad = g_strdup_printf("%s/bad.xml", w->dir);
    g_autofree char *wrong = g_strdup_printf("%s/wrong.xml", w->dir);
    g_autoptr(Secret) secret = define(w, "", UUID, VOLUME);
    g_autoptr(GPtrArray) list = NULL;

    g_file_set_contents(bad, "<secret", -1, NULL);
    g_file_set_contents(wrong, "<secret><uuid>" UUID "</uuid></secret>", -1, NULL);
    load(w);
    list = secret_manager_list(w->manager, 0);
    assert_true(list->len == 1 && w->warned == 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xml),
        cmocka_unit_test(test_xml_refused),
        cmocka_unit_test_setup_teardown(test_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_value, setup, teardown),
        cmocka_unit_test_setup_teardown(test_private, setup, teardown),
        cmocka_unit_test_setup_teardown(test_clashes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_files, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
