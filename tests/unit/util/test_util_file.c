/* test_util_file.c - atomic files. SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

static int
dir_setup(void **state)
{
    *state = g_dir_make_tmp("kiln-file-XXXXXX", NULL);
    return *state ? 0 : -1;
}

static unsigned
dir_count(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(dir))
        n++;
    return n;
}

static int
dir_teardown(void **state)
{
    g_autoptr(GDir) dir = g_dir_open(*state, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(*state, name, NULL);

        g_remove(path);
    }
    g_rmdir(*state);
    g_free(*state);
    return 0;
}

static void
test_write_replaces_and_sets_the_mode(void **state)
{
    g_autofree char *path = g_build_filename(*state, "a", NULL);
    g_autofree char *text = NULL;
    struct stat st;
    size_t len;

    assert_true(file_write_atomic(path, "old", 3, 0644, NULL));
    assert_true(file_write_atomic(path, "newer", 5, 0600, NULL));
    text = file_read_limited(path, 100, &len, NULL);
    assert_string_equal(text, "newer");
    assert_int_equal(len, 5);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(dir_count(*state), 1);
}

/* A file-size limit makes write(2) fail half-way, as a full disk does. */
static void
test_a_failed_write_keeps_the_old_file(void **state)
{
    g_autofree char *path = g_build_filename(*state, "a", NULL);
    g_autofree char *big = g_strnfill(1 << 20, 'x');
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;
    struct rlimit saved, small;

    assert_true(file_write_atomic(path, "old", 3, 0644, NULL));
    getrlimit(RLIMIT_FSIZE, &saved);
    small = saved;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    assert_false(file_write_atomic(path, big, 1 << 20, 0644, &err));
    setrlimit(RLIMIT_FSIZE, &saved);
    assert_int_equal(kiln_error_code(err), VIR_ERR_SYSTEM_ERROR);
    assert_non_null(strstr(err->message, path));
    text = file_read_limited(path, 100, NULL, NULL);
    assert_string_equal(text, "old");
    assert_int_equal(dir_count(*state), 1);
}

static void
test_links_replace_links_only(void **state)
{
    g_autofree char *link = g_build_filename(*state, "l", NULL);
    g_autofree char *file = g_build_filename(*state, "f", NULL);
    g_autofree char *target = NULL;
    g_autoptr(GError) err = NULL;

    assert_true(file_link_atomic("one", link, NULL));
    assert_true(file_link_atomic("two", link, NULL));
    target = g_file_read_link(link, NULL);
    assert_string_equal(target, "two");
    assert_true(file_write_atomic(file, "x", 1, 0644, NULL));
    assert_false(file_link_atomic("one", file, &err));
    assert_non_null(strstr(err->message, "not a symbolic link"));
    assert_true(file_remove(link, NULL));
    assert_true(file_remove(link, NULL));
}

static void
test_reading_is_bounded(void **state)
{
    g_autofree char *path = g_build_filename(*state, "a", NULL);
    g_autoptr(GError) err = NULL;

    assert_true(file_write_atomic(path, "0123456789", 10, 0644, NULL));
    assert_null(file_read_limited(path, 9, NULL, &err));
    assert_non_null(strstr(err->message, "limit of 9 bytes"));
}

static void
test_temporaries_are_swept(void **state)
{
    static const char *const stay[] = { "a.xml",         "a.xml.ABC",        "a.xml.ABCDE.",
                                        "a.save.ABCDEF", "a.xml.ABCDEF.xml", ".xmlABCDEFG" };
    static const char *const go[] = { "a.xml.ABCDEF", "a.b.xml.x1Y2z3", "a.xml.xml.ABCDEF" };
    const char *dir = *state;

    file_sweep_temporaries("/nonexistent", ".xml");
    for (size_t i = 0; i < G_N_ELEMENTS(stay) + G_N_ELEMENTS(go); i++) {
        const char *name = i < G_N_ELEMENTS(stay) ? stay[i] : go[i - G_N_ELEMENTS(stay)];
        g_autofree char *path = g_build_filename(dir, name, NULL);

        assert_true(g_file_set_contents(path, "x", 1, NULL));
    }
    file_sweep_temporaries(dir, ".xml");
    for (size_t i = 0; i < G_N_ELEMENTS(go); i++) {
        g_autofree char *path = g_build_filename(dir, go[i], NULL);

        assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    }
    assert_int_equal(dir_count(dir), G_N_ELEMENTS(stay));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write_replaces_and_sets_the_mode, dir_setup,
                                        dir_teardown),
        cmocka_unit_test_setup_teardown(test_a_failed_write_keeps_the_old_file, dir_setup,
                                        dir_teardown),
        cmocka_unit_test_setup_teardown(test_links_replace_links_only, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(test_temporaries_are_swept, dir_setup, dir_teardown),
        cmocka_unit_test_setup_teardown(test_reading_is_bounded, dir_setup, dir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
