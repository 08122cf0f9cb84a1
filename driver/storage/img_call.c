/* img_call.c - one call of kiln-img.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/storage/img_call.h"

#include <unistd.h>

#include "driver/storage/backend.h"

void
img_call_init(ImgCall *call, const char *program, const char *command)
{
    call->words = g_ptr_array_new_with_free_func(g_free);
    call->pipes = g_array_new(FALSE, FALSE, sizeof(int));
    img_call_add(call, program);
    img_call_add(call, command);
    img_call_add(call, "-q");
}

void
img_call_clear(ImgCall *call)
{
    if (!call->words)
        return;
    for (guint i = 0; i < call->pipes->len; i++)
        close(g_array_index(call->pipes, int, i));
    g_array_unref(call->pipes);
    g_ptr_array_unref(call->words);
}

void
img_call_add(ImgCall *call, const char *word)
{
    g_ptr_array_add(call->words, g_strdup(word));
}

void
img_call_add_size(ImgCall *call, uint64_t bytes)
{
    g_ptr_array_add(call->words, g_strdup_printf("%" G_GUINT64_FORMAT, bytes));
}

void
img_call_add_option(ImgCall *call, const char *key, const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    g_autofree char *escaped = g_strjoinv(",,", parts);

    img_call_add(call, "-o");
    g_ptr_array_add(call->words, g_strconcat(key, "=", escaped, NULL));
}

char *
img_call_add_secret(ImgCall *call, int pipe)
{
    char *id = g_strdup_printf("secret%u", call->pipes->len);

    img_call_add(call, "--object");
    g_ptr_array_add(call->words, g_strdup_printf("secret,id=%s,file=/dev/fd/%u", id,
                                                 (unsigned)STORAGE_FD_FIRST + call->pipes->len));
    g_array_append_val(call->pipes, pipe);
    return id;
}

bool
img_call_run(ImgCall *call, GError **err)
{
    g_ptr_array_add(call->words, NULL);
    return storage_run_given((const char *const *)call->words->pdata, call->pipes, err);
}
