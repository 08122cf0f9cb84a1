/* gdb_private.h - between the files of the GDB server: gdb.c has the connection, gdb_commands.c the
 * packets, gdb_run.c what makes the guest run and stop, gdb_break.c breakpoints.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_GDB_PRIVATE_H
#define KILN_LAUNCHER_GDB_PRIVATE_H

#include "hw/char/chardev.h"
#include "launcher/gdb.h"
#include "launcher/gdb_packet.h"

/* Signals by the numbers that GDB gives them (its include/gdb/signals.def). */
enum {
    GDB_SIGNAL_INT = 2,
    GDB_SIGNAL_QUIT = 3,
    GDB_SIGNAL_TRAP = 5,
    GDB_SIGNAL_ABRT = 6,
    GDB_SIGNAL_ALRM = 14,
    GDB_SIGNAL_STOP = 17,
};

/* Kinds of breakpoints by the numbers of the packets Z and z. */
typedef enum {
    GDB_BREAK_SOFTWARE,
    GDB_BREAK_HARDWARE,
    GDB_WATCH_WRITE,
    GDB_WATCH_READ,
    GDB_WATCH_ACCESS,
} GdbBreakKind;

typedef struct {
    GdbBreakKind kind;
    uint64_t address; /* linear */
    unsigned len;
    uint64_t gpa; /* of a software breakpoint */
    uint8_t old;  /* the byte that was there */
} GdbBreak;

enum { GDB_HARDWARE_MAX = 4 };

/* Why a vCPU stopped for the debugger. */
typedef enum { GDB_HIT_STEP, GDB_HIT_SOFTWARE, GDB_HIT_HARDWARE, GDB_HIT_WATCH } GdbHitKind;
typedef struct {
    unsigned thread;
    GdbHitKind kind;
    GdbBreak at; /* GDB_HIT_WATCH */
} GdbHit;

struct Gdb {
    Vm *vm;
    QmpSession *session;
    Chardev *chardev;
    char *own_chardev; /* id of one that was made for it; NULL: somebody else's */
    GdbParser in;
    GByteArray *out;  /* what the character device did not take yet */
    GByteArray *last; /* the packet that would be sent again */
    bool no_ack;
    bool knows_breaks;    /* the other side takes "swbreak" and "hwbreak" */
    bool physical;        /* addresses are physical ones */
    bool busy;            /* with a packet */
    bool waiting;         /* it has let the guest go and waits to hear why it stopped */
    unsigned thread;      /* of registers and memory; threads are indexes of vCPUs, plus 1 */
    unsigned run_thread;  /* of the packets c and s; 0: all */
    unsigned stop_thread; /* as it was told last */
    GArray *breaks;       /* of GdbBreak */
    GArray *hits;         /* of GdbHit, not told yet */
    GArray *stepping;     /* of unsigned: threads */
};

/* gdb.c. Without its character device. */
Gdb *gdb_new(Vm *vm, QmpSession *session);
void gdb_send(Gdb *gdb, const char *text);
void gdb_send_bytes(Gdb *gdb, const char *data, size_t len);
void gdb_printf(Gdb *gdb, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* The vCPU of a thread, 0 for any; NULL when there is none. */
Vcpu *gdb_vcpu(const Gdb *gdb, unsigned thread);

/* gdb_commands.c: one packet. @text has @len bytes and a zero behind them, and may be changed. */
void gdb_command(Gdb *gdb, char *text, size_t len);

/* gdb_run.c */
void gdb_run_all(Gdb *gdb, char action);
void gdb_run_vcont(Gdb *gdb, const char *actions);
void gdb_tell_stop(Gdb *gdb, int signal);
int gdb_stop_signal(const Gdb *gdb);

/* gdb_break.c. Return 0 or -errno; -ENOTSUP for a kind that there is not. */
int gdb_break_insert(Gdb *gdb, GdbBreakKind kind, uint64_t address, uint64_t len);
int gdb_break_remove(Gdb *gdb, GdbBreakKind kind, uint64_t address, uint64_t len);
void gdb_break_remove_all(Gdb *gdb);
/* Tells KVM which exceptions of @vcpu are ours. */
void gdb_break_arm(Gdb *gdb, Vcpu *vcpu, bool step);
/* Whether the debug exception of @vcpu is ours, and then what it is. */
bool gdb_break_judge(Gdb *gdb, Vcpu *vcpu, const struct kvm_debug_exit_arch *stop, GdbHit *ret);
/* Gives it to the guest. */
void gdb_break_inject(Gdb *gdb, Vcpu *vcpu, uint32_t exception);
/* Memory as it is without our breakpoints; and their bytes again after it was written. */
void gdb_break_hide(const Gdb *gdb, uint64_t address, uint8_t *data, size_t len);
void gdb_break_written(Gdb *gdb, uint64_t address, const uint8_t *data, size_t len);

#endif
