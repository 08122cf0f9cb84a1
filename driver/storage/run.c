/* run.c - the programs that make and look into file systems, volume groups and images.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/storage/backend.h"
#include "util/error.h"
#include "util/file.h"

static char *
find_program(const char *name)
{
    static const char *const dirs[] = { "/usr/sbin", "/sbin", "/usr/local/sbin" };
    char *path = g_find_program_in_path(name);

    for (size_t i = 0; !path && i < G_N_ELEMENTS(dirs); i++) {
        g_autofree char *full = g_build_filename(dirs[i], name, NULL);

        path = g_find_program_in_path(full);
    }
    return path;
}

bool
storage_has_program(const char *name)
{
    g_autofree char *path = find_program(name);

    return path != NULL;
}

static char *
valid_text(GBytes *bytes)
{
    gsize length;
    const char *text = g_bytes_get_data(bytes, &length);

    return g_utf8_make_valid(text ? text : "", text ? (gssize)length : 0);
}

/* @fds as storage_run_given() has them, or NULL. */
static bool
run(const char *const *words, int input, GArray *fds, char **ret_out, GError **err)
{
    g_autoptr(GSubprocessLauncher) launcher =
        g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
    g_autofree char *program = find_program(words[0]), *out = NULL, *said = NULL;
    g_autoptr(GBytes) out_bytes = NULL, said_bytes = NULL;
    g_autofree const char **argv =
        g_memdup2(words, (g_strv_length((char **)words) + 1) * sizeof(*words));
    g_autoptr(GSubprocess) child = NULL;

    if (input >= 0)
        g_subprocess_launcher_take_stdin_fd(launcher, input);
    for (guint i = 0; fds && i < fds->len; i++)
        g_subprocess_launcher_take_fd(launcher, g_array_index(fds, int, i),
                                      STORAGE_FD_FIRST + (int)i);
    if (fds)
        g_array_set_size(fds, 0);
    if (!program)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "it takes the program '%s', which is not installed", words[0]);
    /* Their tables are read by this room: no translations. */
    g_subprocess_launcher_setenv(launcher, "LC_ALL", "C", TRUE);
    argv[0] = program;
    child = g_subprocess_launcher_spawnv(launcher, argv, err);
    if (!child || !g_subprocess_communicate(child, NULL, NULL, &out_bytes, &said_bytes, err))
        return false;
    /* They may quote names of files and what is in them. */
    out = valid_text(out_bytes);
    said = valid_text(said_bytes);
    if (!g_subprocess_get_successful(child)) {
        g_strchomp(said);
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "'%s' failed: %s", words[0],
                              *said ? said : "it did not say why");
    }
    if (ret_out)
        *ret_out = g_steal_pointer(&out);
    return true;
}

bool
storage_run(const char *const *words, int input, char **ret_out, GError **err)
{
    return run(words, input, NULL, ret_out, err);
}

bool
storage_run_given(const char *const *words, GArray *fds, GError **err)
{
    return run(words, -1, fds, NULL, err);
}

JsonObject *
storage_run_json(const char *const *words, int input, GError **err)
{
    g_autofree char *out = NULL;
    g_autoptr(JsonNode) json = NULL;

    if (!storage_run(words, input, &out, err))
        return NULL;
    json = json_from_string(out, NULL);
    if (json && JSON_NODE_HOLDS_OBJECT(json))
        return json_node_dup_object(json);
    kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "'%s' did not answer with a JSON object", words[0]);
    return NULL;
}

bool
storage_run_told(const char *const *words, const char *text, GError **err)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : file_write_all(fd, text, strlen(text));

    if (r == 0 && lseek(fd, 0, SEEK_SET) == 0)
        return storage_run(words, fd, NULL, err);
    kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r, "cannot tell '%s' what to do", words[0]);
    if (fd >= 0)
        close(fd);
    return false;
}
