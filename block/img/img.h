/* img.h - inside of kiln-img: the table of sub-commands, their arguments, and what they share.
 *
 * A sub-command is one const ImgCommand in a file of its own and one row of commands.def. Its
 * options are rows of a table too, from which parsing and the usage text are made.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_IMG_IMG_H
#define KILN_BLOCK_IMG_IMG_H

#include <errno.h>
#include <inttypes.h>
#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block/image.h"
#include "block/tools/keyval.h"
#include "block/tools/objects.h"
#include "block/tools/sandbox.h"
#include "block/tools/snapshot.h"

/* Exit codes that qemu-img documents. */
enum {
    IMG_OK = 0,
    IMG_FAILED = 1,
    IMG_CHECK_CORRUPT = 2,
    IMG_CHECK_LEAKS = 3,
    IMG_CHECK_UNSUPPORTED = 63,
    IMG_COMPARE_DIFFERENT = 1,
    IMG_COMPARE_FAILED = 2,
    IMG_COMPARE_STATUS_FAILED = 3, /* where there is data cannot be told */
    IMG_COMPARE_READ_FAILED = 4,
};

#define IMG_UNSET UINT64_MAX /* a number that was not given */

typedef struct ImgCommand ImgCommand;

/* One --add, --merge NAME …: they are carried out in the order given. */
typedef struct {
    const char *name, *value;
} ImgAction;

typedef struct {
    const ImgCommand *command;
    const char *format, *format2, *out_format; /* -f, -F, -O */
    const char *backing, *cache, *src_cache;   /* -b or -B, -t, -T */
    const char *output, *snapshot, *repair, *prealloc, *aio;
    const char *snapshot_create, *snapshot_apply, *snapshot_delete;
    bool image_opts, target_image_opts, force_share, quiet, progress, unsafe, list, help;
    bool keyless; /* encrypted images are changed without their secret */
    bool told;    /* what was asked for was said already: --object help */
    bool no_create, compress, copy_offload, out_of_order, salvage, target_is_zero, bitmaps;
    bool skip_broken_bitmaps, strict, keep_top, backing_chain, shrink, write, no_drain, force;
    uint64_t sparse, rate, parallel, start_offset, max_length, size, granularity;
    uint64_t count, depth, buffer_size, step, offset, flush_interval, pattern;
    GPtrArray *objects, *options; /* texts of each --object and -o */
    GArray *actions;              /* of ImgAction */
    const char *last;             /* of commands whose last argument may begin with a dash */
    char **files;
    int n_files;

    ToolObjects *by_id; /* of objects */
} ImgArgs;

typedef enum { IMG_FLAG, IMG_TEXT, IMG_SIZE, IMG_NUMBER, IMG_LIST, IMG_ACTION } ImgOptionKind;

typedef struct {
    char letter;       /* 0: only the long name */
    const char *name;  /* NULL: only the letter */
    const char *value; /* what follows, for the usage text; NULL when nothing does */
    ImgOptionKind kind;
    size_t at; /* of the field in ImgArgs */
} ImgOption;

#define IMG_AT(field) offsetof(ImgArgs, field)

struct ImgCommand {
    const char *name, *operands, *summary;
    const ImgOption *options; /* ended by a row without letter and name */
    bool last_is_size;        /* the last argument may be "-1G" */
    int (*run)(ImgArgs *args);
};

extern const ImgCommand *const img_commands[]; /* NULL-terminated, by name */

/* args.c */

/* Fills @args from the words after the sub-command; false when a message was written. */
bool img_args_parse(const ImgCommand *command, int argc, char **argv, ImgArgs *args);
void img_args_clear(ImgArgs *args);
/* "64k", "1.5G", "4096", "0x1000"; false when @text is no size below 2^63. */
bool img_size_parse(const char *text, uint64_t *ret);
/* All -o of @args; NULL with @err set on a syntax error. @ret_help: "help" or "?" was among them.
 */
GHashTable *img_options(const ImgArgs *args, bool *ret_help, GError **err);
char *img_usage(const ImgCommand *command);

/* Writes "kiln-img: MESSAGE" to stderr; returns IMG_FAILED. */
int img_fail(const char *format, ...) G_GNUC_PRINTF(1, 2);
int img_fail_error(const GError *err);
/* Puts @node, an image that was changed, onto stable storage; else the error names it and the
 * cause. */
bool img_flush(BlockNode *node, GError **err);
void img_warn(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* --output: true for json; *ret_ok false (message written) when it is neither json nor human. */
bool img_output_is_json(const ImgArgs *args, bool *ret_ok);

/* open.c */

typedef enum {
    IMG_OPEN_WRITE = 1 << 0,
    IMG_OPEN_CHAIN = 1 << 1,   /* with its backing files */
    IMG_OPEN_CHECK = 1 << 2,   /* even if it is marked corrupt */
    IMG_OPEN_OPTIONS = 1 << 3, /* the name is key=value,… */
    IMG_OPEN_QUIET = 1 << 4,   /* no warning about a raw image that was not said to be raw */
    IMG_OPEN_NO_IO = 1 << 5,   /* only to be told about: encrypted images need no secret */
    IMG_OPEN_AGAIN = 1 << 6,   /* a second try: what was warned of is known */
    IMG_OPEN_SHARE = 1 << 7,   /* also while others write to it */
} ImgOpen;

/* What --object secret and the cache mode say. @cache NULL: writeback. */
bool img_image_options(const ImgArgs *args, unsigned how, const char *cache, BlockImageOptions *ret,
                       GError **err);
/* Whether each write is to be on stable storage when it is done. */
bool img_cache_is_writethrough(const char *cache);
/* Warns of options of an image that still work and will not for ever. */
void img_warn_of_old_options(JsonObject *options);
BlockNode *img_open(const ImgArgs *args, const char *name, const char *format, unsigned how,
                    const char *cache, GError **err);
/* The name of @backing as a path from here, when the image at @filename names it. */
char *img_backing_path(const char *filename, const char *backing);
/* Makes an image and prints nothing. @options is filled with the defaults of the format's rows. */
bool img_create(const ImgArgs *args, const char *filename, const char *format, GHashTable *options,
                GError **err);
/* Checks names and values of @options against the format's rows and makes sizes plain numbers. */
bool img_create_options_check(const char *format, GHashTable *options, bool amend, GError **err);
/* Writes what was checked as the formats have it: "on" and "off" for "yes", "false" and others. */
void img_create_options_settle(const char *format, GHashTable *options);
/* Whether images of @format can be made. */
bool img_create_format_check(const char *format, GError **err);
/* @file: whether the image's name is known; what its file takes is listed then as well. */
void img_create_options_print_help(const char *format, bool amend, bool file);

/* print.c */

/* "1.5 GiB": three digits, QEMU's rounding. */
char *img_size_text(uint64_t bytes);
/* To stdout, members in the order in which QEMU prints them. */
void img_json_print(JsonNode *node);
/* The same in one line, for the caller. */
char *img_json_text(JsonNode *node);
/* Takes @object. */
void img_json_print_object(JsonObject *object);
/* "key: value" lines of @object, QEMU's form, indented by @indent steps of four. */
void img_dump_object(JsonObject *object, unsigned indent);
void img_snapshots_print(GPtrArray *snapshots);

/* name.c */

/* What QEMU calls the image: the name of its file, or json:{…} with those of @options, by which it
 * was opened, that a file name does not say. NULL: it was opened by a file's name. For g_free(). */
char *img_name(const BlockNode *node, JsonObject *options);

/* progress.c */

typedef struct ImgProgress ImgProgress;
/* Draws "(12.34/100%)" if @enabled, and tells its state on SIGUSR1 in any case. */
ImgProgress *img_progress_new(bool enabled);
void img_progress_set(ImgProgress *progress, double part); /* any thread */
bool img_progress_report(void *progress, double part);     /* a BlockProgress; always goes on */
void img_progress_free(ImgProgress *progress);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImgProgress, img_progress_free)

typedef enum { IMG_COPY_DATA, IMG_COPY_ZERO, IMG_COPY_SKIP } ImgCopyKind;

/* What a range of a chain is. */
typedef struct {
    ImgCopyKind kind;
    uint64_t length;
    BlockStatus status; /* with depth and layer counted from the top */
} ImgRange;

/* walk.c */

/* A walk through a chain whose layers do not change ahead of it. One thread at a time. */
typedef struct {
    BlockNode *node, *base;
    GArray *layers;
} ImgWalk;
/* From @node down to but not including @base (may be NULL); neither is referenced. */
void img_walk_begin(ImgWalk *walk, BlockNode *node, BlockNode *base);
void img_walk_end(ImgWalk *walk);
/* What [offset, offset + length) starts with; SKIP: it is not above the base. 0 or -errno. */
int img_walk_range(ImgWalk *walk, uint64_t offset, uint64_t length, ImgRange *ret);

/* copy.c */


typedef struct {
    BlockNode *source, *base, *target;
    uint64_t source_offset, target_offset, length;
    unsigned threads;
    uint64_t sparse;  /* least run of zeroes that is left out; 0: write all */
    bool target_zero; /* what is not written reads as zeroes already */
    bool own_blocks;  /* the target's space was taken for it: no sharing of the source's */
    bool compress, offload, salvage;
    uint64_t rate; /* bytes per second; 0: no limit */
    BlockFlags write_flags;
    ImgProgress *progress;
    uint64_t progress_done, progress_total; /* bytes before this copy, and in all */
    const char *source_name, *target_name;
} ImgCopy;
bool img_copy(const ImgCopy *copy, GError **err);
/* Shorter runs of zeroes are not worth leaving out: they share a cluster with data. */
uint64_t img_sparse_unit(const BlockNode *target);
/* Processors to use: what the scheduler gives us, at most @limit. */
unsigned img_threads(uint64_t limit);
bool img_is_zero(const void *buf, size_t length);

/* strict.c: the run that begins at @at, at most @length long, as `compare -s` compares it: flags of
 * BlockStatusFlags, and how far they hold. Chains are looked through. 0 or -errno. */
int img_strict_status(BlockNode *node, uint64_t at, uint64_t length, uint64_t *ret_length,
                      unsigned *ret_flags);

/* Once all files of a command are open. */
static inline bool
img_sandbox_enter(GError **err)
{
    return tool_sandbox_enter(NULL, err);
}

#endif
