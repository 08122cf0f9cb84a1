/* img_call.h - one call of kiln-img, with the secrets of encrypted images in pipes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_STORAGE_IMG_CALL_H
#define KILN_DRIVER_STORAGE_IMG_CALL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    GPtrArray *words; /* char * */
    GArray *pipes;    /* int: the secrets' values */
} ImgCall;

/* `@program @command -q`; quiet, and what follows is added. */
void img_call_init(ImgCall *call, const char *program, const char *command);
/* Of one that was not begun (all zero), nothing. */
void img_call_clear(ImgCall *call);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImgCall, img_call_clear)

void img_call_add(ImgCall *call, const char *word);
void img_call_add_size(ImgCall *call, uint64_t bytes);
/* -o @key=@value, whatever @value is. */
void img_call_add_option(ImgCall *call, const char *key, const char *value);
/* Makes the secret known whose value comes out of the descriptor @pipe, which is taken; its id
 * there, g_free(). */
char *img_call_add_secret(ImgCall *call, int pipe);
/* Once; waits for the end. Any thread. */
bool img_call_run(ImgCall *call, GError **err);

#endif
