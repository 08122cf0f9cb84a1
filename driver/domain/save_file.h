/* save_file.h - the file that holds a saved guest: our head, its definition, and the VMM's stream.
 *
 *   head   := "KILNSAVE", u32 version, u32 size of the head, u32 length of the definition,
 *             u32 flags, u32 format, u32 0, SHA-256 of those 32 bytes and the definition
 *   file   := head, the definition (XML), zeroes up to the size of the head, the stream
 *
 * Numbers are little-endian. The head is whole 4096 bytes long and has room for a definition that
 * is longer. The stream is written and read by the VMM alone (launcher/state_stream.h), here it is
 * but packed on its way.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_SAVE_FILE_H
#define KILN_DRIVER_DOMAIN_SAVE_FILE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "xml/domain.h"

typedef enum { SAVE_FORMAT_RAW, SAVE_FORMAT_ZSTD, SAVE_FORMATS } SaveFormat;

typedef struct {
    char *xml;    /* as domain_def_format() gives a live definition, with passwords */
    bool running; /* to be let run once loaded */
    SaveFormat format;
    uint32_t size; /* of the head; set by reading and writing */
} SaveHead;

void save_head_clear(SaveHead *head);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SaveHead, save_head_clear)

/* A file being written under another name. */
typedef struct {
    int fd; /* -1: none. Stands behind the head */
    char *path, *temp;
} SaveFile;

/* Makes the file that shall be @path, with @head (whose size is set). One that is there keeps owner
 * and mode. */
bool save_file_create(SaveFile *file, const char *path, SaveHead *head, GError **err);
/* Everything is on the disk and under its name. */
bool save_file_commit(SaveFile *file, GError **err);
/* Removes it, unless it was committed; closes. */
void save_file_clear(SaveFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SaveFile, save_file_clear)

/* Opens @path and reads its head; the descriptor then stands at the stream. @flags are added to
 * those of open(2). -1 with @err: VIR_ERR_OPERATION_FAILED for what is no such file or damaged. */
int save_file_open(const char *path, int flags, SaveHead *ret_head, GError **err);
/* Replaces the head of an open file, leaving its size. Refuses a definition that does not fit. */
bool save_file_set_head(int fd, const char *path, const SaveHead *head, GError **err);
/* From here on past the host's page cache. */
bool save_file_bypass_cache(int fd, const char *path, GError **err);

/* The definition in @head, live, or as it would be defined (@inactive) with the aliases it ran
 * with. */
DomainDef *save_head_def(const SaveHead *head, const DomainDefaults *defaults, bool inactive,
                         GError **err);
/* @def replaced by the one in @xml, which the guest must not be able to tell from it. Takes @def.
 */
DomainDef *save_def_replace(DomainDef *def, const char *xml, const DomainDefaults *defaults,
                            GError **err);

/* Packs what comes from descriptor @from until its end into @to (RFC 8878). Both stay the caller's.
 * Returns 0 or -errno. */
int save_pack(int from, int to);

#endif
