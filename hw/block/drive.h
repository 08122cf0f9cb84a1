/* drive.h - how a disk model holds its image: the properties all disks share, I/O with the error
 * policies werror= and rerror=, and the tray of a removable medium.
 *
 * A Drive is embedded in the state of virtio-blk, ide-hd, ide-cd, scsi-hd, scsi-cd, usb-storage.
 * Everything that moves data runs in the thread of the drive's loop; a model that has registers
 * takes its own lock in the callbacks. Functions marked "main thread" wait for the loop and are
 * called with no lock held.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_BLOCK_DRIVE_H
#define KILN_HW_BLOCK_DRIVE_H

#include "block/block.h"
#include "hw/core/device.h"

typedef struct Drive Drive;
typedef struct DriveIo DriveIo;

typedef enum { DRIVE_READ, DRIVE_WRITE, DRIVE_FLUSH, DRIVE_UNMAP, DRIVE_KINDS } DriveKind;

/* Since the start of the device; a failed request counts in failed only. */
typedef struct {
    struct {
        uint64_t operations, failed, bytes, time_ns;
    } kind[DRIVE_KINDS];
} DriveStats;

typedef enum { DRIVE_STATUS_OK, DRIVE_STATUS_FAILED, DRIVE_STATUS_NOSPACE } DriveStatus;

/* What a model with a removable medium is told; in the loop, optional. */
typedef struct {
    /* A medium has come (@loaded) or gone. */
    void (*medium)(Drive *drive, bool loaded);
    /* Somebody outside the guest wants the locked tray open. */
    void (*eject_request)(Drive *drive);
    /* The disk has another size. */
    void (*resized)(Drive *drive);
} DriveOps;

struct Drive {
    /* properties */
    PropObject image; /* object: BlockNode, NULL: no medium */
    char *serial;
    int write_cache; /* OnOffAuto */
    bool share_rw;
    int werror, rerror;
    int32_t bootindex;
    uint32_t logical_block_size, physical_block_size, min_io_size, opt_io_size, discard_granularity;

    Device *dev;
    const DriveOps *ops;
    bool removable;
    IoLoop *loop;
    BlockQueue *queue;
    BlockNode *node; /* as the loop sees it: NULL without a medium or with an open tray */
    bool claimed, paused;
    GQueue held;           /* DriveIo waiting for the guest to go on */
    GQueue failed;         /* DriveIo that found no medium, to be told so */
    int writeback;         /* atomic: writes need not be on stable storage before a flush */
    int tray_open, locked; /* atomic; changed in the loop */
    int status;            /* atomic DriveStatus: the error that stopped the guest */
    uint8_t saved_writeback, saved_tray_open, saved_locked;
    DriveStats stats; /* written by the loop alone, read by anybody */
};

/* One request; embedded in the model's own, zeroed once, used again and again. */
struct DriveIo {
    Drive *drive;
    DriveKind kind;
    bool zeroes;             /* DRIVE_WRITE of zeroes instead of @iov */
    bool unmap;              /* with zeroes: may give the space back */
    bool fua;                /* on stable storage when done, whatever the cache mode */
    uint64_t offset, length; /* bytes, multiples of BLOCK_SECTOR; the iov is that long */
    const struct iovec *iov; /* lives until @done */
    unsigned n_iov;          /* any number */
    /* 0 or -errno: after the policy has spoken. -ENOMEDIUM when there is none. In the loop, never
     * before drive_io_start() has returned. */
    void (*done)(DriveIo *io, int ret);

    /*< private >*/
    GList link;
    int64_t start;
    uint64_t moved, step;
    struct iovec *cut; /* pieces of one step, when they had to be cut */
};

/* Rows for a model's property table; @member is its Drive. */
#define DRIVE_PROPS(T, member)                                                                     \
    { "serial", PROP_STRING, offsetof(T, member.serial), .help = "the disk's serial number" },     \
        { "write-cache", PROP_ONOFFAUTO, offsetof(T, member.write_cache), "auto",                  \
          .help = "off: every write is on stable storage when it is done" },                       \
        { "share-rw", PROP_BOOL, offsetof(T, member.share_rw), "off",                              \
          .help = "others may write to the image as well" },                                       \
        { "werror",                                                                                \
          PROP_ENUM,                                                                               \
          offsetof(T, member.werror),                                                              \
          "auto",                                                                                  \
          .names = drive_werrors,                                                                  \
          .help = "what a failed write does; auto: stop when the disk is full, else report" },     \
        { "rerror",                                                                                \
          PROP_ENUM,                                                                               \
          offsetof(T, member.rerror),                                                              \
          "auto",                                                                                  \
          .names = drive_rerrors,                                                                  \
          .help = "what a failed read does; auto: report" },                                       \
    {                                                                                              \
        "bootindex", PROP_INT32, offsetof(T, member.bootindex), "-1",                              \
            .help = "place in boot order"                                                          \
    }
/* The image, required for disks and optional for drives with a tray; and the sizes of disks. */
#define DRIVE_IMAGE_PROP(T, member, must)                                                          \
    {                                                                                              \
        "drive", PROP_BLOCK_NODE, offsetof(T, member.image),                                       \
            .required = (must), .help = "node-name of a -blockdev, or id of a -drive"              \
    }
#define DRIVE_SIZE_PROPS(T, member)                                                                \
    { "logical_block_size", PROP_UINT32, offsetof(T, member.logical_block_size), "512",            \
      .min = 512,           .max = 32768 },                                                        \
        { "physical_block_size",                                                                   \
          PROP_UINT32,                                                                             \
          offsetof(T, member.physical_block_size),                                                 \
          "512",                                                                                   \
          .min = 512,                                                                              \
          .max = 1 << 21 },                                                                        \
        { "min_io_size", PROP_UINT32, offsetof(T, member.min_io_size), "0", .max = 1 << 25 },      \
        { "opt_io_size", PROP_UINT32, offsetof(T, member.opt_io_size), "0" },                      \
    {                                                                                              \
        "discard_granularity", PROP_UINT32, offsetof(T, member.discard_granularity), "0"           \
    }
extern const char *const drive_werrors[];
extern const char *const drive_rerrors[];

/* Takes the image of the properties (refusing sizes that do not fit each other, and no image unless
 * @removable) and opens a queue of @depth requests in @loop. Removable drives are read-only here.
 * After a failure drive_close() undoes it. Main thread. */
bool drive_open(Drive *drive, Device *dev, IoLoop *loop, unsigned depth, bool removable,
                const DriveOps *ops, GError **err);
/* Requests are finished or cancelled. A drive that was never opened is accepted. Main thread. */
void drive_close(Drive *drive);

/* ---- in the loop ---- */

void drive_io_start(DriveIo *io);
/* Hands what was started to the kernel: once for a batch. */
void drive_submit(Drive *drive);
/* Completes everything under way: what waits for the guest to go on ends with -ECANCELED. */
void drive_drain(Drive *drive);
/* Frees what a DriveIo keeps between uses. */
void drive_io_clear(DriveIo *io);

/* Size of the medium in bytes, 0 without one. */
uint64_t drive_size(const Drive *drive);
bool drive_read_only(const Drive *drive);
/* A medium is there and the tray closed. */
bool drive_ready(const Drive *drive);

/* The guest moves or locks the tray. A locked tray does not open: -EBUSY. */
int drive_tray(Drive *drive, bool open);
void drive_lock_tray(Drive *drive, bool locked);

/* The guest stops and goes on: pause finishes what is under way; what begins later, or has stopped
 * the guest by failing, waits for resume. In the loop. */
void drive_pause(Drive *drive);
void drive_resume(Drive *drive);
/* Power-on state: everything cancelled, tray closed and unlocked, cache as the property says. In
 * the loop. */
void drive_reset(Drive *drive);

/* ---- any thread ---- */

static inline bool
drive_writeback(const Drive *drive)
{
    return g_atomic_int_get(&drive->writeback);
}

static inline void
drive_set_writeback(Drive *drive, bool on)
{
    g_atomic_int_set(&drive->writeback, on);
}

void drive_stats(const Drive *drive, DriveStats *ret);
/* Counts a request that was refused before it began. */
void drive_count_failed(Drive *drive, DriveKind kind);

/* ---- QMP's side; main thread ---- */

/* The drive of a disk model, by its class's DeviceClass.drive_offset; NULL when it has none. */
Drive *drive_of(Device *dev);
/* Opens or closes the tray from outside. A locked tray asks the guest and fails, unless @force;
 * *ret_asked (may be NULL) tells this failure from others. */
bool drive_move_tray(Drive *drive, bool open, bool force, bool *ret_asked, GError **err);
/* Takes the medium out of the open tray, or puts image @id in. */
bool drive_remove_medium(Drive *drive, GError **err);
bool drive_insert_medium(Drive *drive, const char *id, GError **err);
bool drive_has_medium(const Drive *drive);
/* The drive lies on image @id, which is @node, from now on, and has the claim on it; or its image
 * has another size. Its queue has the node already or gets it, and its loop stands still. */
void drive_image_changed(Drive *drive, BlockNode *node, const char *id);

extern const SavedTable drive_saved;

#endif
