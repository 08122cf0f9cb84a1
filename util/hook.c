/* hook.c - runs the administrator's hook scripts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/hook.h"

#include "util/error.h"

#include <errno.h>
#include <gio/gio.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { HOOK_ERROR_MAX = 4096 }; /* bytes of a script's complaint that go into the error */

/* A file in memory, not a pipe: a script may end without reading it. */
static int
input_fd(const char *input, const char *program, GError **err)
{
    size_t len = strlen(input);
    int fd = memfd_create("hook", MFD_CLOEXEC);

    if (fd < 0 || write(fd, input, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) != 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                             "cannot hand its input to hook script %s", program);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

/* What a script wrote, as far as it is text. */
static char *
text_of(GBytes *bytes, size_t max)
{
    gsize len = 0;
    const char *data = bytes ? g_bytes_get_data(bytes, &len) : NULL;

    return g_utf8_make_valid(data ? data : "", (gssize)MIN(len, max));
}

static bool
script_failed(GSubprocess *child, const HookCall *call, const char *program, GBytes *said,
              GError **err)
{
    g_autofree char *text = text_of(said, HOOK_ERROR_MAX);

    g_strstrip(text);
    if (g_subprocess_get_if_exited(child))
        return kiln_error_set(err, VIR_ERR_HOOK_SCRIPT_FAILED,
                              "%s %s %s %s - exited with status %d: %s", program, call->name,
                              call->operation, call->sub_operation,
                              g_subprocess_get_exit_status(child), *text ? text : "no output");
    return kiln_error_set(err, VIR_ERR_HOOK_SCRIPT_FAILED,
                          "%s %s %s %s - was killed by signal %d: %s", program, call->name,
                          call->operation, call->sub_operation, g_subprocess_get_term_sig(child),
                          *text ? text : "no output");
}

/* @text: where a filter's output is; what it wrote takes the place of what it read. */
static bool
script_run(const HookCall *call, const char *program, char **text, GError **err)
{
    const char *argv[] = { program, call->name, call->operation, call->sub_operation, "-", NULL };
    GSubprocessFlags output =
        text ? G_SUBPROCESS_FLAGS_STDOUT_PIPE : G_SUBPROCESS_FLAGS_STDOUT_SILENCE;
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDERR_PIPE | output);
    g_autoptr(GSubprocess) child = NULL;
    g_autoptr(GBytes) wrote = NULL, said = NULL;
    g_autoptr(GError) reason = NULL;
    g_autofree char *filtered = NULL;
    int input = input_fd(text && *text ? *text : call->input, program, err);

    if (input < 0)
        return false;
    g_subprocess_launcher_take_stdin_fd(launcher, input);
    child = g_subprocess_launcher_spawnv(launcher, argv, &reason);
    if (!child || !g_subprocess_communicate(child, NULL, NULL, &wrote, &said, &reason))
        return kiln_error_set(err, VIR_ERR_HOOK_SCRIPT_FAILED, "cannot run hook script %s: %s",
                              program, reason->message);
    if (!g_subprocess_get_successful(child))
        return script_failed(child, call, program, said, err);
    filtered = text_of(wrote, SIZE_MAX);
    if (filtered[strspn(filtered, " \t\r\n")] && text) {
        g_free(*text);
        *text = g_steal_pointer(&filtered);
    }
    return true;
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The scripts in their order. */
static GPtrArray *
scripts_of(const char *program)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *folder = g_strconcat(program, ".d", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir)))
        g_ptr_array_add(names, g_build_filename(folder, name, NULL));
    g_ptr_array_sort(names, compare_names);
    g_ptr_array_insert(names, 0, g_strdup(program));
    for (unsigned i = names->len; i-- > 0;)
        if (!g_file_test(names->pdata[i], G_FILE_TEST_IS_REGULAR) ||
            access(names->pdata[i], X_OK) < 0)
            g_ptr_array_remove_index(names, i);
    return g_steal_pointer(&names);
}

bool
hook_is_disabled(const char *program)
{
    return program && access(program, F_OK) == 0 && access(program, X_OK) < 0;
}

bool
hook_run(const HookCall *call, char **ret_output, GError **err)
{
    g_autoptr(GPtrArray) scripts = NULL;
    g_autofree char *text = NULL;

    if (ret_output)
        *ret_output = NULL;
    if (!call->program)
        return true;
    scripts = scripts_of(call->program);
    for (unsigned i = 0; i < scripts->len; i++)
        if (!script_run(call, scripts->pdata[i], ret_output ? &text : NULL, err))
            return false;
    if (ret_output)
        *ret_output = g_steal_pointer(&text);
    return true;
}
