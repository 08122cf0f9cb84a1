/* log.c - the log of a guest: what it was started with, what its VMM said, why it ended.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

enum { LOG_QUOTE_MAX = 2048 }; /* bytes of the VMM's words that go into an error */

static void
log_write(int fd, const char *text)
{
    size_t len = strlen(text);
    ssize_t n = write(fd, text, len);

    (void)n; /* a full disk must not keep a guest from running */
}

static char *
timestamp(void)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();

    return g_date_time_format(now, "%Y-%m-%d %H:%M:%S.%f+0000");
}

/* For a shell, so that the line can be run again by hand. */
static void
append_word(GString *out, const char *word)
{
    if (*word && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "-_=+,./:@%") == strlen(word)) {
        g_string_append(out, word);
    } else {
        g_autofree char *quoted = g_shell_quote(word);

        g_string_append(out, quoted);
    }
}

int
domain_log_open(const char *path, GError **err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open the log '%s'", path);
    return fd;
}

char *
domain_log_words(char *const *argv)
{
    GString *text = g_string_new(NULL);

    for (int i = 0; argv[i]; i++) {
        if (i > 0)
            g_string_append(text, argv[i][0] == '-' ? " \\\n" : " ");
        append_word(text, argv[i]);
    }
    g_string_append_c(text, '\n');
    return g_string_free(text, FALSE);
}

void
domain_log_command(int fd, char *const *argv)
{
    g_autofree char *time = timestamp(), *words = domain_log_words(argv);
    g_autoptr(GString) text = g_string_new(NULL);

    g_string_printf(text, "%s: starting up kiln version: " KILN_VERSION ", hostname: %s\n", time,
                    g_get_host_name());
    g_string_append(text, words);
    log_write(fd, text->str);
}

void
domain_log_end(const char *path, const char *reason)
{
    g_autofree char *time = timestamp();
    g_autofree char *text = g_strdup_printf("%s: shutting down, reason=%s\n", time, reason);
    int fd = domain_log_open(path, NULL);

    if (fd < 0)
        return;
    log_write(fd, text);
    close(fd);
}

off_t
domain_log_mark(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? st.st_size : 0;
}

char *
domain_log_since(const char *path, off_t mark)
{
    char buffer[LOG_QUOTE_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    off_t size;
    ssize_t n;
    char *text;

    if (fd < 0)
        return g_strdup("");
    size = domain_log_mark(fd);
    if (size - mark > LOG_QUOTE_MAX)
        mark = size - LOG_QUOTE_MAX;
    n = pread(fd, buffer, sizeof(buffer), mark);
    close(fd);
    text = g_utf8_make_valid(buffer, MAX(n, 0));
    return g_strstrip(text);
}
