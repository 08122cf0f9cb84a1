/* test_util_hook.c - the administrator's scripts. SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "util/error.h"
#include "util/hook.h"

typedef struct {
    char *dir, *program, *folder, *seen;
} Hooks;

static int
hooks_setup(void **state)
{
    Hooks *h = g_new0(Hooks, 1);

    *state = h;
    h->dir = g_dir_make_tmp("kiln-hook-XXXXXX", NULL);
    h->program = g_build_filename(h->dir, "qemu", NULL);
    h->folder = g_build_filename(h->dir, "qemu.d", NULL);
    h->seen = g_build_filename(h->dir, "seen", NULL);
    return h->dir && g_mkdir(h->folder, 0700) == 0 ? 0 : -1;
}

static void
remove_in(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        g_remove(file);
    }
    g_rmdir(path);
}

static int
hooks_teardown(void **state)
{
    Hooks *h = *state;

    remove_in(h->folder);
    remove_in(h->dir);
    g_free(h->dir);
    g_free(h->program);
    g_free(h->folder);
    g_free(h->seen);
    g_free(h);
    return 0;
}

/* A script named as @program, or in the folder beside it; it appends @name's line to `seen`. */
static void
hooks_add(Hooks *h, const char *name, const char *rest, int mode)
{
    g_autofree char *path = name ? g_build_filename(h->folder, name, NULL) : g_strdup(h->program);
    g_autofree char *text = g_strdup_printf("#!/bin/sh\necho \"%s: $*\" >> '%s'\n%s\n",
                                            name ? name : "qemu", h->seen, rest);

    assert_true(g_file_set_contents(path, text, -1, NULL));
    assert_int_equal(chmod(path, (mode_t)mode), 0);
}

static HookCall
call_of(const Hooks *h)
{
    return (HookCall){ h->program, "vm", "start", "begin", "<domain/>\n" };
}

static void
check_seen(const Hooks *h, const char *expected)
{
    g_autofree char *text = NULL;

    assert_true(g_file_get_contents(h->seen, &text, NULL, NULL));
    assert_string_equal(text, expected);
}

static void
test_none(void **state)
{
    Hooks *h = *state;
    HookCall call = call_of(h), no_hooks = { .program = NULL };
    g_autofree char *output = g_strdup("x");

    assert_true(hook_run(&no_hooks, NULL, NULL));
    assert_false(hook_is_disabled(NULL));
    assert_false(hook_is_disabled(h->program));
    g_clear_pointer(&output, g_free);
    assert_true(hook_run(&call, &output, NULL));
    assert_null(output);
}

static void
test_order(void **state)
{
    Hooks *h = *state;
    HookCall call = call_of(h);
    g_autoptr(GError) err = NULL;

    hooks_add(h, NULL, "[ \"$(cat)\" = '<domain/>' ] || exit 9", 0700);
    hooks_add(h, "20-b", "[ \"$(cat)\" = '<domain/>' ] || exit 9; echo ignored", 0700);
    hooks_add(h, "10-a", ":", 0700);
    hooks_add(h, "30-README", ":", 0600);
    if (!hook_run(&call, NULL, &err))
        fail_msg("%s", err->message);
    check_seen(h, "qemu: vm start begin -\n10-a: vm start begin -\n20-b: vm start begin -\n");
}

static void
test_disabled(void **state)
{
    Hooks *h = *state;
    HookCall call = call_of(h);

    hooks_add(h, NULL, ":", 0600);
    hooks_add(h, "a", ":", 0700);
    assert_true(hook_is_disabled(h->program));
    assert_true(hook_run(&call, NULL, NULL));
    check_seen(h, "a: vm start begin -\n");
}

static void
test_failures_end_it(void **state)
{
    Hooks *h = *state;
    HookCall call = call_of(h);
    g_autoptr(GError) err = NULL;

    hooks_add(h, NULL, ":", 0700);
    hooks_add(h, "a", "echo no such day >&2; exit 3", 0700);
    hooks_add(h, "b", ":", 0700);
    assert_false(hook_run(&call, NULL, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_HOOK_SCRIPT_FAILED));
    assert_non_null(strstr(err->message, "qemu.d/a vm start begin"));
    assert_non_null(strstr(err->message, "status 3: no such day"));
    check_seen(h, "qemu: vm start begin -\na: vm start begin -\n");
    g_clear_error(&err);
    hooks_add(h, "a", "kill -9 $$", 0700);
    assert_false(hook_run(&call, NULL, &err));
    assert_non_null(strstr(err->message, "killed by signal 9: no output"));
    g_clear_error(&err);
    hooks_add(h, "a", "printf '\\377\\376' >&2; exit 1", 0700);
    assert_false(hook_run(&call, NULL, &err));
    assert_true(g_utf8_validate(err->message, -1, NULL));
    g_clear_error(&err);
    assert_true(g_file_set_contents(h->program, "#!/nowhere/interpreter\n", -1, NULL));
    assert_int_equal(chmod(h->program, 0700), 0);
    assert_false(hook_run(&call, NULL, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_HOOK_SCRIPT_FAILED));
    assert_non_null(strstr(err->message, h->program));
}

/* What one has written the next one reads; who writes nothing changes nothing. */
static void
test_filters(void **state)
{
    Hooks *h = *state;
    HookCall call = call_of(h);
    g_autofree char *output = NULL;
    g_autoptr(GError) err = NULL;

    hooks_add(h, NULL, "echo", 0700);
    assert_true(hook_run(&call, &output, &err));
    assert_null(output);
    hooks_add(h, "a", "sed s/domain/guest/", 0700);
    hooks_add(h, "b", ":", 0700);
    hooks_add(h, "c", "sed s/gu/b/", 0700);
    if (!hook_run(&call, &output, &err))
        fail_msg("%s", err->message);
    assert_string_equal(output, "<best/>\n");
    g_clear_pointer(&output, g_free);
    hooks_add(h, "d", "exit 1", 0700);
    assert_false(hook_run(&call, &output, &err));
    assert_null(output);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, hooks_setup, hooks_teardown)
        TEST(test_none),    TEST(test_order), TEST(test_disabled), TEST(test_failures_end_it),
        TEST(test_filters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
