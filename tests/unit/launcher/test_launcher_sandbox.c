/* test_launcher_sandbox.c - where no namespaces can be had, Landlock takes the files away.
 *
 * landlock(7). What the sandbox does with namespaces is seen in a running guest, in the lab.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/sandbox_private.h"

enum { DONE, NOT_CONFINED, OPENED, WRONG_ERROR, NO_RESOLVER, MADE_FILE };

static bool
is_refused(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    return fd < 0 && errno == EACCES;
}

static int
confined(bool resolver)
{
    const SandboxRoot root = { .resolver = resolver, .network = -1 };
    struct stat st;
    bool has_resolver = stat("/etc/resolv.conf", &st) == 0;

    if (is_refused("/etc/passwd", O_RDONLY))
        return WRONG_ERROR;
    if (sandbox_root_thread(&root) != 0)
        return NOT_CONFINED;
    if (!is_refused("/etc/passwd", O_RDONLY) || !is_refused("/", O_RDONLY | O_DIRECTORY))
        return OPENED;
    if (!is_refused("/tmp/kiln-sandbox-test", O_WRONLY | O_CREAT))
        return MADE_FILE;
    if (has_resolver && is_refused("/etc/resolv.conf", O_RDONLY) == resolver)
        return NO_RESOLVER;
    return DONE;
}

static void
check(bool resolver)
{
    pid_t pid;
    int status;

    /* its version is asked for by a call without arguments */
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 0) {
        print_message("this kernel has no Landlock\n");
        skip();
    }
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(confined(resolver));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), DONE);
}

static void
test_landlock_takes_all_files(void **state)
{
    (void)state;
    check(false);
}

static void
test_landlock_leaves_the_resolver(void **state)
{
    (void)state;
    check(true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_landlock_takes_all_files),
        cmocka_unit_test(test_landlock_leaves_the_resolver),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
