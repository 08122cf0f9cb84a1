/* test_util_error.c - GError with libvirt's codes. SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <gio/gio.h>

#include "util/error.h"

static void
test_set_keeps_code_and_detail(void **state)
{
    g_autoptr(GError) err = NULL;

    (void)state;
    assert_false(kiln_error_set(&err, VIR_ERR_NO_DOMAIN, "no domain '%s'", "x"));
    assert_int_equal(kiln_error_code(err), VIR_ERR_NO_DOMAIN);
    assert_string_equal(err->message, "no domain 'x'");
}

static void
test_errno_is_spelled_out_for_either_sign(void **state)
{
    g_autoptr(GError) plus = NULL;
    g_autoptr(GError) minus = NULL;

    (void)state;
    kiln_error_set_errno(&plus, VIR_ERR_SYSTEM_ERROR, ENOENT, "open");
    kiln_error_set_errno(&minus, VIR_ERR_SYSTEM_ERROR, -ENOENT, "open");
    assert_string_equal(plus->message, "open: No such file or directory");
    assert_string_equal(plus->message, minus->message);
}

static void
test_foreign_domains_are_mapped(void **state)
{
    g_autoptr(GError) io = g_error_new(G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "x");
    g_autoptr(GError) key = g_error_new(G_KEY_FILE_ERROR, 0, "x");

    (void)state;
    assert_int_equal(kiln_error_code(io), VIR_ERR_SYSTEM_ERROR);
    assert_int_equal(kiln_error_code(key), VIR_ERR_INTERNAL_ERROR);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_keeps_code_and_detail),
        cmocka_unit_test(test_errno_is_spelled_out_for_either_sign),
        cmocka_unit_test(test_foreign_domains_are_mapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
