/* log.c - where the daemon's own messages go. See log.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/log.h"

#include <stdbool.h>
#include <stdio.h>

static gint log_level = 3;
static bool log_to_journal;

static guint
log_rank(GLogLevelFlags level)
{
    if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
        return 4;
    if (level & G_LOG_LEVEL_WARNING)
        return 3;
    /* What g_message() says is for an administrator, without being a warning. */
    if (level & (G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO))
        return 2;
    return 1;
}

static GLogWriterOutput
log_write(GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
    static const char *const names[] = { "", "debug", "info", "warning", "error" };
    guint rank = log_rank(level);
    const char *text = "";

    if (rank < (guint)g_atomic_int_get(&log_level))
        return G_LOG_WRITER_HANDLED;
    if (log_to_journal)
        return g_log_writer_journald(level, fields, n_fields, data);
    for (gsize i = 0; i < n_fields; i++)
        if (g_str_equal(fields[i].key, "MESSAGE"))
            text = fields[i].value;
    {
        g_autoptr(GDateTime) now = g_date_time_new_now_utc();
        g_autofree char *time = g_date_time_format(now, "%Y-%m-%d %H:%M:%S");

        fprintf(stderr, "%s.%03dZ %s: %s\n", time, g_date_time_get_microsecond(now) / 1000,
                names[rank], text);
    }
    return G_LOG_WRITER_HANDLED;
}

void
daemon_log_init(void)
{
    log_to_journal = g_log_writer_is_journald(fileno(stderr));
    g_log_set_writer_func(log_write, NULL, NULL);
}

void
daemon_log_set_level(guint level)
{
    g_atomic_int_set(&log_level, (gint)level);
}
