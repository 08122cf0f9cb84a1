/* sandbox.c - what a tool gives up once its files are open: the names of all other files
 * (Landlock, Linux 5.13) and every system call but those of reading, writing and threads (seccomp).
 *
 * Images are hostile: whoever takes over the process by one has only the open images.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/tools/sandbox.h"

#include <errno.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/error.h"

/* Kernels before 5.13 and those started without Landlock have only seccomp: there every call that
 * takes a name is refused too. */
static void
landlock_enter(void)
{
    const struct landlock_ruleset_attr attr = {
        .handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                             LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                             LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                             LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
                             LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                             LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
                             LANDLOCK_ACCESS_FS_MAKE_SYM,
    };
    int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

    if (fd < 0)
        return;
    syscall(SYS_landlock_restrict_self, fd, 0);
    close(fd);
}

static int
seccomp_allow(scmp_filter_ctx ctx, const char *const *names)
{
    int r = 0;

    for (; names && *names && r == 0; names++) {
        int number = seccomp_syscall_resolve_name(*names);

        if (number != __NR_SCMP_ERROR)
            r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 0);
    }
    return r;
}

static bool
seccomp_enter(const char *const *more, GError **err)
{
    static const char *const common[] = {
        "read",
        "write",
        "readv",
        "writev",
        "pread64",
        "pwrite64",
        "preadv",
        "pwritev",
        "preadv2",
        "pwritev2",
        "lseek",
        "fallocate",
        "ftruncate",
        "fdatasync",
        "fsync",
        "sync_file_range",
        "copy_file_range",
        "fadvise64",
        "fcntl",
        "ioctl",
        "fstat",
        "close",
        "dup",
        "brk",
        "mmap",
        "munmap",
        "mremap",
        "mprotect",
        "madvise",
        "futex",
        "clone",
        "clone3",
        "exit",
        "exit_group",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "rt_sigtimedwait",
        "sigaltstack",
        "set_robust_list",
        "rseq",
        "sched_getaffinity",
        "sched_yield",
        "sched_getattr",
        "sched_setattr",
        "getpid",
        "gettid",
        "tgkill",
        "getrandom",
        "clock_gettime",
        "clock_nanosleep",
        "nanosleep",
        "gettimeofday",
        "getcpu",
        "sysinfo",
        "prctl",
        "restart_syscall",
        "poll",
        "ppoll",
        "eventfd2",
        "epoll_create1",
        "epoll_ctl",
        "epoll_wait",
        "epoll_pwait",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "sendto",
        "recvfrom",
        "sendmsg",
        "recvmsg",
        "shutdown",
        "getsockopt",
        "membarrier",
        NULL,
    };
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int r = ctx ? seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1) : -ENOMEM;

    if (r == 0)
        r = seccomp_allow(ctx, common);
    if (r == 0)
        r = seccomp_allow(ctx, more);
    /* newfstatat is also fstat() of newer C libraries: allowed, it reveals no content */
    if (r == 0)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
                             SCMP_A3(SCMP_CMP_MASKED_EQ, 0x1000, 0x1000));
    if (r == 0)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(statx), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, 0x1000, 0x1000));
    if (r == 0)
        r = seccomp_load(ctx);
    seccomp_release(ctx);
    if (r < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r,
                                    "the list of allowed system calls cannot be set");
    return true;
}

bool
tool_sandbox_enter(const char *const *more, GError **err)
{
#if defined(__SANITIZE_ADDRESS__)
    (void)more;
    (void)err; /* its report at the end starts programs and reads /proc */
    (void)seccomp_enter;
    (void)landlock_enter;
    return true;
#else
    tzset(); /* reads a file */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "new privileges cannot be given up");
    landlock_enter();
    return seccomp_enter(more, err);
#endif
}
