/* input.c - the routing of keys, pointer movements and lights between viewers and devices.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/input/input.h"

#include <string.h>

enum {
    TYPED_MAX = 256,       /* groups of typed keys that may wait */
    TYPED_KEYS_MAX = 64,   /* keys of one group */
    HOLD_DEFAULT_MS = 100, /* as QEMU's send-key */
    HOLD_MAX_MS = 60000,
    REL_MAX = 1 << 20, /* most steps of one movement */
};

struct InputSink {
    Input *input;
    const InputSinkOps *ops;
    void *opaque;
    /* Input.lock */
    unsigned rank; /* the highest of a kind takes it */
    unsigned order;
    unsigned leds;
    bool touched; /* has had events since the last sync; main thread */
};

typedef struct {
    unsigned id;
    void (*changed)(void *opaque);
    void *opaque;
} InputWatch;

typedef struct {
    KeyCode keys[TYPED_KEYS_MAX];
    unsigned n, hold_ms;
    bool down;
} TypedKeys;

struct Input {
    GMainContext *context;
    GPtrArray *watches; /* InputWatch */
    unsigned next_watch;
    GQueue typed; /* TypedKeys: the head is being typed */
    GSource *typed_timer;
    GSource *told; /* calls the watches */
    bool keys_down[KEYCODES], buttons_down[INPUT_BUTTONS];

    GMutex lock; /* guards the list and ranks; innermost */
    GPtrArray *sinks;
    unsigned next_rank, next_order;
};

static gboolean
input_tell_watches(gpointer opaque)
{
    Input *input = opaque;

    g_source_set_ready_time(input->told, -1);
    for (guint i = 0; i < input->watches->len; i++) {
        InputWatch *watch = g_ptr_array_index(input->watches, i);

        watch->changed(watch->opaque);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean
input_source_dispatch(GSource *source, GSourceFunc fn, gpointer opaque)
{
    (void)source;
    return fn(opaque);
}

static GSourceFuncs input_source_funcs = { .dispatch = input_source_dispatch };

static GSource *
input_source_new(Input *input, GSourceFunc fn)
{
    GSource *source = g_source_new(&input_source_funcs, sizeof(GSource));

    g_source_set_callback(source, fn, input, NULL);
    g_source_set_ready_time(source, -1);
    g_source_attach(source, input->context);
    return source;
}

/* The sink that takes @kind now. Lock held. */
static InputSink *
input_target_locked(Input *input, InputKind kind)
{
    InputSink *best = NULL;

    for (guint i = 0; i < input->sinks->len; i++) {
        InputSink *sink = g_ptr_array_index(input->sinks, i);

        if ((sink->ops->takes & 1u << kind) &&
            (!best || sink->rank > best->rank ||
             (sink->rank == best->rank && sink->order < best->order)))
            best = sink;
    }
    return best;
}

static InputSink *
input_target(Input *input, InputKind kind)
{
    InputSink *sink;

    g_mutex_lock(&input->lock);
    sink = input_target_locked(input, kind);
    g_mutex_unlock(&input->lock);
    return sink;
}

/* Buttons belong to the pointer that moves. */
static InputSink *
input_pointer(Input *input)
{
    InputSink *abs, *rel, *best;

    g_mutex_lock(&input->lock);
    abs = input_target_locked(input, INPUT_ABS);
    rel = input_target_locked(input, INPUT_REL);
    best = !abs || (rel && (rel->rank > abs->rank ||
                            (rel->rank == abs->rank && rel->order < abs->order)))
               ? rel
               : abs;
    g_mutex_unlock(&input->lock);
    return best;
}

static void
input_deliver(InputSink *sink, InputKind kind, int code, int value)
{
    InputEvent event = { kind, code, value };

    if (!sink)
        return;
    sink->touched = true;
    sink->ops->event(sink->opaque, &event);
}

void
input_send_key(Input *input, KeyCode key, bool down)
{
    if ((unsigned)key >= KEYCODES || key == KEYCODE_unmapped)
        return;
    input->keys_down[key] = down;
    input_deliver(input_target(input, INPUT_KEY), INPUT_KEY, (int)key, down);
}

void
input_send_button(Input *input, InputButton button, bool down)
{
    if ((unsigned)button >= INPUT_BUTTONS)
        return;
    input->buttons_down[button] = down;
    input_deliver(input_pointer(input), INPUT_BUTTON, (int)button, down);
}

void
input_send_rel(Input *input, InputAxis axis, int steps)
{
    if ((unsigned)axis > INPUT_Y || steps == 0)
        return;
    input_deliver(input_target(input, INPUT_REL), INPUT_REL, (int)axis,
                  CLAMP(steps, -REL_MAX, REL_MAX));
}

void
input_send_abs_scaled(Input *input, InputAxis axis, int position)
{
    if ((unsigned)axis <= INPUT_Y)
        input_deliver(input_target(input, INPUT_ABS), INPUT_ABS, (int)axis,
                      CLAMP(position, 0, INPUT_ABS_MAX));
}

void
input_send_abs(Input *input, InputAxis axis, int position, int size)
{
    if (size <= 0)
        return;
    position = CLAMP(position, 0, size - 1);
    input_send_abs_scaled(input, axis,
                          size == 1 ? 0 : (int)((int64_t)position * INPUT_ABS_MAX / (size - 1)));
}

void
input_sync(Input *input)
{
    for (guint i = 0; i < input->sinks->len; i++) {
        InputSink *sink = g_ptr_array_index(input->sinks, i);

        if (!sink->touched)
            continue;
        sink->touched = false;
        if (sink->ops->sync)
            sink->ops->sync(sink->opaque);
    }
}

static gboolean
input_type_next(gpointer opaque)
{
    Input *input = opaque;
    TypedKeys *typed = g_queue_peek_head(&input->typed);

    g_source_set_ready_time(input->typed_timer, -1);
    if (!typed)
        return G_SOURCE_CONTINUE;
    if (!typed->down) {
        for (unsigned i = 0; i < typed->n; i++) {
            input_send_key(input, typed->keys[i], true);
            input_sync(input);
        }
        typed->down = true;
    } else {
        for (unsigned i = typed->n; i-- > 0;) {
            input_send_key(input, typed->keys[i], false);
            input_sync(input);
        }
        g_free(g_queue_pop_head(&input->typed));
        typed = g_queue_peek_head(&input->typed);
    }
    if (typed)
        g_source_set_ready_time(input->typed_timer,
                                g_get_monotonic_time() + (int64_t)typed->hold_ms * 1000);
    return G_SOURCE_CONTINUE;
}

bool
input_type_keys(Input *input, const KeyCode *keys, unsigned n, unsigned hold_ms)
{
    bool idle = g_queue_is_empty(&input->typed);
    TypedKeys *typed;

    if (n > TYPED_KEYS_MAX || g_queue_get_length(&input->typed) >= TYPED_MAX)
        return false;
    typed = g_new0(TypedKeys, 1);
    memcpy(typed->keys, keys, n * sizeof(*keys));
    typed->n = n;
    typed->hold_ms = hold_ms ? MIN(hold_ms, HOLD_MAX_MS) : HOLD_DEFAULT_MS;
    g_queue_push_tail(&input->typed, typed);
    if (idle)
        input_type_next(input);
    return true;
}

void
input_release_all(Input *input)
{
    for (int i = 1; i < KEYCODES; i++) {
        if (input->keys_down[i])
            input_send_key(input, (KeyCode)i, false);
    }
    for (int i = 0; i < INPUT_BUTTONS; i++) {
        if (input->buttons_down[i])
            input_send_button(input, (InputButton)i, false);
    }
    input_sync(input);
}

bool
input_is_absolute(Input *input)
{
    InputSink *sink = input_pointer(input);

    return sink && (sink->ops->takes & 1u << INPUT_ABS);
}

bool
input_has(Input *input, InputKind kind)
{
    return input_target(input, kind) != NULL;
}

unsigned
input_leds(Input *input)
{
    InputSink *sink;
    unsigned leds;

    g_mutex_lock(&input->lock);
    sink = input_target_locked(input, INPUT_KEY);
    leds = sink ? sink->leds : 0;
    g_mutex_unlock(&input->lock);
    return leds;
}

unsigned
input_watch(Input *input, void (*changed)(void *opaque), void *opaque)
{
    InputWatch *watch = g_new(InputWatch, 1);

    *watch = (InputWatch){ ++input->next_watch, changed, opaque };
    g_ptr_array_add(input->watches, watch);
    return watch->id;
}

void
input_unwatch(Input *input, unsigned id)
{
    for (guint i = 0; i < input->watches->len; i++) {
        if (((InputWatch *)g_ptr_array_index(input->watches, i))->id == id) {
            g_ptr_array_remove_index(input->watches, i);
            return;
        }
    }
}

void
input_visit_mice(Input *input, InputVisit fn, void *opaque)
{
    InputSink *current = input_pointer(input);

    for (int pass = 0; pass < 2; pass++) {
        for (guint i = 0; i < input->sinks->len; i++) {
            InputSink *sink = g_ptr_array_index(input->sinks, i);

            if ((sink->ops->takes & (1u << INPUT_REL | 1u << INPUT_ABS)) &&
                (sink == current) == (pass == 0))
                fn(sink->ops->name, sink->order, sink->ops->takes & 1u << INPUT_ABS, pass == 0,
                   opaque);
        }
    }
}

/* ---- devices' side ---- */

/* Lock held. */
static void
input_changed(Input *input)
{
    g_source_set_ready_time(input->told, 0);
}

InputSink *
input_sink_new(Input *input, const InputSinkOps *ops, void *opaque)
{
    InputSink *sink = g_new0(InputSink, 1);

    sink->input = input;
    sink->ops = ops;
    sink->opaque = opaque;
    g_mutex_lock(&input->lock);
    sink->order = input->next_order++;
    g_ptr_array_add(input->sinks, sink);
    input_changed(input);
    g_mutex_unlock(&input->lock);
    return sink;
}

void
input_sink_free(InputSink *sink)
{
    if (!sink)
        return;
    g_mutex_lock(&sink->input->lock);
    g_ptr_array_remove(sink->input->sinks, sink);
    input_changed(sink->input);
    g_mutex_unlock(&sink->input->lock);
    g_free(sink);
}

void
input_sink_activate(InputSink *sink)
{
    Input *input = sink->input;

    g_mutex_lock(&input->lock);
    if (sink->rank == 0 || sink->rank != input->next_rank) {
        sink->rank = ++input->next_rank;
        input_changed(input);
    }
    g_mutex_unlock(&input->lock);
}

void
input_sink_deactivate(InputSink *sink)
{
    g_mutex_lock(&sink->input->lock);
    if (sink->rank) {
        sink->rank = 0;
        input_changed(sink->input);
    }
    g_mutex_unlock(&sink->input->lock);
}

void
input_sink_set_leds(InputSink *sink, unsigned leds)
{
    g_mutex_lock(&sink->input->lock);
    if (sink->leds != leds) {
        sink->leds = leds;
        input_changed(sink->input);
    }
    g_mutex_unlock(&sink->input->lock);
}

Input *
input_new(GMainContext *context)
{
    Input *input = g_new0(Input, 1);

    input->context = context;
    input->watches = g_ptr_array_new_with_free_func(g_free);
    input->sinks = g_ptr_array_new();
    g_queue_init(&input->typed);
    g_mutex_init(&input->lock);
    input->typed_timer = input_source_new(input, input_type_next);
    input->told = input_source_new(input, input_tell_watches);
    return input;
}

void
input_free(Input *input)
{
    if (!input)
        return;
    g_source_destroy(input->typed_timer);
    g_source_unref(input->typed_timer);
    g_source_destroy(input->told);
    g_source_unref(input->told);
    g_queue_clear_full(&input->typed, g_free);
    g_ptr_array_unref(input->watches);
    g_ptr_array_unref(input->sinks);
    g_mutex_clear(&input->lock);
    g_free(input);
}
