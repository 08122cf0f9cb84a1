/* fake_machine.h - a machine without KVM: ops that record what devices ask for, and readers that
 * make accesses as a vCPU would.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_HW_FAKE_MACHINE_H
#define KILN_TESTS_HW_FAKE_MACHINE_H

#include "hw/core/device.h"

enum {
    FAKE_GSIS = 64,    /* interrupt lines */
    FAKE_ROUTES = 256, /* MSI routes; their GSI numbers begin at FAKE_ROUTE_BASE */
    FAKE_ROUTE_BASE = 1000,
};

typedef struct {
    bool used;
    MsiMessage message;
    int fd; /* bound irqfd, -1 for none */
} FakeRoute;

typedef struct {
    Machine *machine;
    uint8_t *ram;
    AddressReader *mmio, *pio;
    GMainContext *context;

    GMutex lock; /* guards all below */
    bool gsi[FAKE_GSIS];
    unsigned gsi_edges[FAKE_GSIS]; /* how often each line rose */
    FakeRoute routes[FAKE_ROUTES];
    unsigned commits;
    GArray *sent;        /* MsiMessage, by msi_send */
    GArray *events;      /* IoEvent, registered now */
    GArray *requests;    /* MachineRequest */
    uint32_t ejected;    /* processors, a bit each */
    uint32_t cpu_event, cpu_status;
    int last_value;      /* of the last request */
    GPtrArray *qmp;      /* names of QMP events */
    int64_t clock, wall; /* nanoseconds */
} FakeMachine;

/* A machine with @ram bytes from address 0 and one CPU, or as @config says (may be NULL). It is not
 * running. Ends the test on failure. */
FakeMachine *fake_machine_new(uint64_t ram, const MachineConfig *config);
/* The same with the Q35 board. */
FakeMachine *fake_machine_new_q35(uint64_t ram);
void fake_machine_free(FakeMachine *fake);

/* One access; refused reads give all ones. */
uint64_t fake_read(FakeMachine *fake, uint64_t addr, unsigned size);
void fake_write(FakeMachine *fake, uint64_t addr, unsigned size, uint64_t value);
uint64_t fake_in(FakeMachine *fake, uint16_t port, unsigned size);
void fake_out(FakeMachine *fake, uint16_t port, unsigned size, uint64_t value);

/* A device from NAME, VALUE, …, NULL; ends the test with the error when it cannot be made. */
Device *fake_device(FakeMachine *fake, const char *driver, ...) G_GNUC_NULL_TERMINATED;
/* Expects device_new() to refuse, with @text in the message. */
void fake_device_refused(FakeMachine *fake, const char *text, const char *driver,
                         ...) G_GNUC_NULL_TERMINATED;

/* Runs the main loop until nothing is ready. */
void fake_iterate(FakeMachine *fake);
/* Lets @ns of guest and wall time pass and then runs the main loop, timers included. */
void fake_advance(FakeMachine *fake, int64_t ns);
/* Runs the main loop until @done(@opaque) or, failing the test, ten seconds. */
void fake_wait(FakeMachine *fake, bool (*done)(void *opaque), void *opaque);

/* The route that has an MSI message with @data, NULL for none. */
FakeRoute *fake_route(FakeMachine *fake, uint32_t data);
/* Takes what was signalled on the route's irqfd; 0 when nothing was. */
uint64_t fake_route_take(FakeRoute *route);
/* The registered doorbell at @address, NULL for none. */
const IoEvent *fake_event_at(FakeMachine *fake, uint64_t address);

#endif
