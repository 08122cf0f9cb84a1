/* state.h - all of a guest's state but its RAM, as sections of the stream of a saved guest.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_STATE_H
#define KILN_LAUNCHER_STATE_H

#include "launcher/state_stream.h"
#include "launcher/vm.h"

/* What was read or is to be written; members are NULL until then. */
typedef struct {
    GByteArray *machine, *chips, *devices;
    GPtrArray *vcpus; /* of GByteArray */
    bool was_running; /* as it says in @machine */
} State;

State *state_new(void);
void state_free(State *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(State, state_free)

/* What the guest is made of, with nothing else yet. @was_running is for who loads it. Main thread.
 */
State *state_begin(Vm *vm, bool was_running);

/* Takes the rest, of a guest that stands still. Refuses where devices or processors have come or
 * gone since. Main thread. */
bool state_take(Vm *vm, State *state, GError **err);

/* Whether @machine, a section of a stream, describes this guest: board, processors, memory and
 * devices. Refuses by name what differs. Any thread, while no device comes or goes. */
bool state_check_machine(Vm *vm, const GByteArray *machine, bool *ret_was_running, GError **err);

/* Gives a guest that never ran what @state, complete and checked, holds. After a failure it must
 * not run. Main thread. */
bool state_give(Vm *vm, const State *state, GError **err);

#endif
