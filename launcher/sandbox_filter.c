/* sandbox_filter.c - seccomp lists for each kind of thread.
 *
 * seccomp(2), libseccomp. What a list does not name ends the process, and the kernel's audit log
 * names the call. Files cannot be opened; asking for one is answered as by an empty directory,
 * since libraries do so and cope. The lists of devices and back ends are added by sandbox.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher/sandbox_private.h"
#include "util/error.h"

/* Every thread: memory, time, locks, its own end, descriptors it was given. */
static const char *const filter_common[] = {
    "brk",          "clock_getres",  "clock_gettime",  "clock_nanosleep", "close",
    "epoll_ctl",    "epoll_create1", "epoll_pwait",    "epoll_pwait2",    "epoll_wait",
    "eventfd2",     "exit",          "exit_group",     "fcntl",           "fstat",
    "futex",        "futex_waitv",   "getpid",         "getrandom",       "gettid",
    "gettimeofday", "getuid",        "geteuid",        "lseek",           "madvise",
    "membarrier",   "mremap",        "munmap",         "nanosleep",       "poll",
    "ppoll",        "pread64",       "preadv",         "pwrite64",        "pwritev",
    "read",         "readv",         "recvfrom",       "recvmsg",         "restart_syscall",
    "rseq",         "rt_sigaction",  "rt_sigprocmask", "rt_sigreturn",    "sched_getaffinity",
    "sched_yield",  "sendmsg",       "sendto",         "set_robust_list", "sigaltstack",
    "sysinfo",      "tgkill",        "time",           "write",           "writev",
    NULL,
};

/* seccomp itself can only narrow: threads begin under this list and then take their own. */
static const char *const filter_main[] = {
    "accept4",
    "clone",
    "clone3",
    "dup",
    "dup2",
    "fallocate",
    "fdatasync",
    "fstatfs", /* of images that come later */
    "fsync",
    "ftruncate",
    "getpeername",
    "getppid", /* a seed of GLib's, for user networking that comes later */
    "getsockname",
    "getsockopt",
    "inotify_add_watch",
    "inotify_init1",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "prlimit64",
    "seccomp",
    "sendfile",
    "setsockopt",
    "shutdown",
    "sched_setaffinity",
    "timerfd_settime",
    NULL,
};

static const char *const filter_io[] = {
    "fallocate", "fdatasync",       "fsync", "io_uring_enter", "io_uring_register", "preadv2",
    "pwritev2",  "timerfd_settime", NULL,
};

static const char *const filter_none[] = { NULL };

static const char *const *const filter_lists[SANDBOX_KINDS] = {
    [SANDBOX_MAIN] = filter_main,
    [SANDBOX_VCPU] = filter_none,
    [SANDBOX_IO] = filter_io,
};

/* ioctl numbers by their type byte: KVM, vhost, tun and terminals, block devices. */
enum { IOCTL_KVM = 0xae, IOCTL_VHOST = 0xaf, IOCTL_BLOCK = 0x12 };
enum { TYPE_MASK = 0xff00 };
static const uint32_t filter_ioctls[] = {
    0x5401, 0x5402, 0x5403, 0x5404, /* TCGETS, TCSETS, TCSETSW, TCSETSF */
    0x5413, 0x541b, 0x5421,         /* TIOCGWINSZ, FIONREAD, FIONBIO */
    0x5441, 0x80045430,             /* TIOCGPTPEER, TIOCGPTN */
    0x400454d0, 0x400454d8, 0x400454d9, 0x800454cf, 0x400454cd,
    /* TUNSETOFFLOAD, VNETHDRSZ, QUEUE, GETFEATURES, LINK */
    0x801c581f, 0x401c5820, /* FS_IOC_FSGETXATTR, FSSETXATTR: images that block jobs make */
    0x800454d2, 0x400454d4, /* TUNGETIFF, TUNSETSNDBUF: for a tap that comes later */
};

/* Calls that look for files, or take away the path of a socket at the end. */
static const char *const filter_files[] = {
    "access",  "faccessat", "faccessat2", "getcwd", "lstat",  "open",     "openat",
    "openat2", "readlink",  "readlinkat", "stat",   "unlink", "unlinkat", NULL,
};

static int
filter_allow(scmp_filter_ctx ctx, const char *name, uint32_t action)
{
    int nr = seccomp_syscall_resolve_name(name);
    int ret = nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(ctx, action, nr, 0);

    return ret == -EEXIST ? 0 : ret;
}

static int
filter_allow_list(scmp_filter_ctx ctx, const char *const *names)
{
    int ret = 0;

    for (; *names && ret == 0; names++)
        ret = filter_allow(ctx, *names, SCMP_ACT_ALLOW);
    return ret;
}

static int
filter_allow_ioctls(scmp_filter_ctx ctx)
{
    static const uint32_t types[] = { IOCTL_KVM, IOCTL_VHOST, IOCTL_BLOCK };
    int ret = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(types) && ret == 0; i++)
        ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                               SCMP_A1(SCMP_CMP_MASKED_EQ, TYPE_MASK, types[i] << 8));
    for (size_t i = 0; i < G_N_ELEMENTS(filter_ioctls) && ret == 0; i++)
        ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                               SCMP_A1(SCMP_CMP_EQ, filter_ioctls[i]));
    return ret;
}

/* Memory may be mapped and changed, never to be run. */
static int
filter_allow_memory(scmp_filter_ctx ctx)
{
    int ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

    return ret ? ret
               : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/* Names of threads, and nothing else that prctl can do. */
static int
filter_allow_prctl(scmp_filter_ctx ctx)
{
    int ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                               SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));

    return ret ? ret
               : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                  SCMP_A0(SCMP_CMP_EQ, PR_SET_VMA));
}

/* These serve open descriptors too, which is how libc asks about them. */
static int
filter_allow_stat(scmp_filter_ctx ctx, uint32_t otherwise)
{
    int ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
                               SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));

    if (ret == 0)
        ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(statx), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, AT_EMPTY_PATH));
    if (ret == 0)
        ret = seccomp_rule_add(ctx, otherwise, SCMP_SYS(newfstatat), 1,
                               SCMP_A3(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, 0));
    if (ret == 0)
        ret = seccomp_rule_add(ctx, otherwise, SCMP_SYS(statx), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, AT_EMPTY_PATH, 0));
    return ret;
}

static int
filter_fill(scmp_filter_ctx ctx, SandboxKind kind, GPtrArray *extra, bool files)
{
    uint32_t otherwise = files ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOENT);
    int ret = filter_allow_list(ctx, filter_common);

    if (ret == 0)
        ret = filter_allow_list(ctx, filter_lists[kind]);
    for (guint i = 0; i < extra->len && ret == 0; i++)
        ret = filter_allow(ctx, g_ptr_array_index(extra, i), SCMP_ACT_ALLOW);
    if (ret == 0)
        ret = filter_allow_ioctls(ctx);
    if (ret == 0)
        ret = filter_allow_memory(ctx);
    if (ret == 0)
        ret = filter_allow_prctl(ctx);
    if (ret == 0)
        ret = filter_allow_stat(ctx, otherwise);
    for (const char *const *name = filter_files; *name && ret == 0; name++)
        ret = filter_allow(ctx, *name, otherwise);
    return ret;
}

/* Reads the finished program back: threads load it by themselves, without libseccomp. */
static int
filter_export(scmp_filter_ctx ctx, SandboxFilter *ret_filter)
{
    int fd = memfd_create("seccomp", MFD_CLOEXEC), ret;
    struct stat st;

    if (fd < 0)
        return -errno;
    ret = seccomp_export_bpf(ctx, fd);
    if (ret == 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
        ret_filter->code = g_malloc(st.st_size);
        ret_filter->n = st.st_size / sizeof(struct sock_filter);
        ret = pread(fd, ret_filter->code, st.st_size, 0) == st.st_size ? 0 : -EIO;
    }
    close(fd);
    return ret;
}

bool
sandbox_filter_make(SandboxKind kind, GPtrArray *extra, bool files, SandboxFilter *ret_filter,
                    GError **err)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int ret = ctx ? filter_fill(ctx, kind, extra, files) : -ENOMEM;

    if (ret == 0)
        ret = filter_export(ctx, ret_filter);
    if (ctx)
        seccomp_release(ctx);
    return ret == 0 || kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, ret,
                                            "cannot make the list of system calls");
}

int
sandbox_filter_load(const SandboxFilter *filter, bool all_threads)
{
    const struct sock_fprog program = { .len = filter->n, .filter = filter->code };
    unsigned flags = SECCOMP_FILTER_FLAG_LOG | (all_threads ? SECCOMP_FILTER_FLAG_TSYNC : 0);
    long ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);

    if (ret > 0)
        return -ESRCH; /* a thread that went another way */
    return ret < 0 ? -errno : 0;
}
