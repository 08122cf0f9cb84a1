/* scsi.c - virtio SCSI host (virtio 1.2, section 5.6): a bus of scsi-hd and scsi-cd units.
 *
 * All queues are served by one I/O loop, as the units' drives are. A task management function that
 * ends tasks lets them finish first, which it may (SAM-5, 7.2), so nothing writes to a buffer that
 * the driver has taken back.
 *
 * Leaves out: T10 protection information, bidirectional commands, asynchronous notifications.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/scsi/scsi.h"

#include <string.h>

#include "hw/core/bytes.h"
#include "hw/virtio/virtio.h"
#include "util/error.h"

enum {
    F_HOTPLUG = 1,
    F_CHANGE = 2,

    CONFIG_SIZE = 36,
    CONFIG_SENSE_SIZE = 20,
    CONFIG_CDB_SIZE = 24,
    QUEUE_CONTROL = 0,
    QUEUE_EVENT = 1,
    QUEUE_REQUEST = 2,
    REQUEST_HEAD = 19, /* before the CDB */
    RESPONSE_HEAD = 12,
    EVENT_SIZE = 16,
    CDB_DEFAULT = 32,
    SENSE_DEFAULT = 96,
    SIZES_MAX = 252,
    MAX_TARGET = 255,
    MAX_UNIT = 255,

    S_OK = 0,
    S_OVERRUN = 1,
    S_BAD_TARGET = 3,
    S_FAILURE = 9,
    S_FUNCTION_SUCCEEDED = 10,
    S_FUNCTION_REJECTED = 11,
    S_INCORRECT_LUN = 12,

    T_TMF = 0,
    T_AN_QUERY = 1,
    T_AN_SUBSCRIBE = 2,
    TMF_ABORT_TASK = 0,
    TMF_ABORT_TASK_SET = 1,
    TMF_CLEAR_ACA = 2,
    TMF_CLEAR_TASK_SET = 3,
    TMF_NEXUS_RESET = 4,
    TMF_UNIT_RESET = 5,
    TMF_QUERY_TASK = 6,
    TMF_QUERY_TASK_SET = 7,

    EVENT_TRANSPORT_RESET = 1,
    EVENT_PARAM_CHANGE = 3,
    REASON_RESCAN = 1,
    REASON_REMOVED = 2,
};
#define EVENTS_MISSED 0x80000000u

typedef struct VirtioScsi VirtioScsi;

typedef struct {
    ScsiRequest scsi; /* first */
    VirtioScsi *hba;
    VirtQueue *queue;
    VirtChain chain;
    uint8_t lun[8];
    uint64_t tag;
    unsigned sense_size;
    struct iovec *data; /* of the data phase */
    unsigned data_room;
    GList link; /* in active or free */
} Task;

struct VirtioScsi {
    VirtioDevice virtio; /* first */
    PropObject iothread;
    uint16_t num_queues, queue_size;
    uint32_t max_sectors, cmd_per_lun, seg_max;
    bool hotplug, param_change;

    IoLoop *loop;
    ScsiBus bus;
    char *bus_name;
    GQueue active, free;      /* Task; in the loop */
    VirtChain control, event; /* of the control and event queues; in the loop */
    bool events_missed;
    int sense_size, cdb_size; /* atomic: the driver's choice */
    uint32_t saved_sense_size, saved_cdb_size;
};

/* ---- requests ---- */

static Task *
task_get(VirtioScsi *hba)
{
    GList *link = g_queue_pop_head_link(&hba->free);
    Task *task = link ? link->data : g_new0(Task, 1);

    task->link.data = task;
    task->hba = hba;
    return task;
}

static void
task_put(Task *task)
{
    g_queue_push_head_link(&task->hba->free, &task->link);
}

static void
task_free(Task *task)
{
    scsi_request_clear(&task->scsi);
    virt_chain_clear(&task->chain);
    g_free(task->data);
    g_free(task);
}

/* Puts the answer into the writable part, and gives the chain back. */
static void
task_respond(Task *task, uint8_t response, uint64_t data_len, uint64_t moved, bool in)
{
    const struct iovec *iov = virt_chain_in(&task->chain);
    uint8_t head[RESPONSE_HEAD] = { 0 };
    unsigned sense = MIN(task->scsi.sense_len, task->sense_size);

    if (task->queue->running) { /* else it was cancelled by a reset */
        if (response == S_OK) {
            bytes_store(head, sense, 4);
            bytes_store(head + 4, MIN(data_len - moved, UINT32_MAX), 4);
            head[10] = task->scsi.status;
        }
        head[11] = response;
        iov_write(iov, task->chain.n_in, 0, head, sizeof(head));
        if (response == S_OK)
            iov_write(iov, task->chain.n_in, RESPONSE_HEAD, task->scsi.sense, sense);
        virt_queue_push(task->queue, task->chain.head,
                        RESPONSE_HEAD + task->sense_size + (in ? moved : 0));
    }
    scsi_request_end(&task->scsi);
    task_put(task);
}

/* The buffers behind the head of the readable or writable part. */
static unsigned
task_data(Task *task, bool in, uint64_t skip)
{
    const struct iovec *iov = in ? virt_chain_in(&task->chain) : virt_chain_out(&task->chain);
    unsigned n = in ? task->chain.n_in : task->chain.n_out;

    if (task->data_room < n) {
        g_free(task->data);
        task->data = g_new(struct iovec, n);
        task->data_room = n;
    }
    return iov_slice(iov, n, skip, SIZE_MAX, task->data);
}

static uint64_t
task_out_len(const Task *task, unsigned cdb_size)
{
    return task->chain.out_len - REQUEST_HEAD - cdb_size;
}

static uint64_t
task_in_len(const Task *task)
{
    return task->chain.in_len - RESPONSE_HEAD - task->sense_size;
}

/* Goes on with a task whose phase is not SCSI_WAIT. */
static void
task_advance(Task *task, unsigned cdb_size)
{
    ScsiRequest *scsi = &task->scsi;
    bool in = scsi->phase == SCSI_DATA_IN;

    if (in || scsi->phase == SCSI_DATA_OUT) {
        uint64_t room = in ? task_in_len(task) : task_out_len(task, cdb_size);
        unsigned n;

        if (scsi->length > room) {
            task_respond(task, S_OVERRUN, 0, 0, false);
            return;
        }
        n = task_data(task, in, in ? RESPONSE_HEAD + task->sense_size : REQUEST_HEAD + cdb_size);
        scsi_request_move(scsi, task->data, n);
    }
    if (scsi->phase == SCSI_WAIT) {
        g_queue_push_tail_link(&task->hba->active, &task->link);
        return;
    }
    task_respond(task, S_OK, task_in_len(task) ? task_in_len(task) : task_out_len(task, cdb_size),
                 scsi->moved, in);
}

static void
task_step(ScsiRequest *scsi)
{
    Task *task = (Task *)scsi;
    uint64_t out = task->chain.out_len > REQUEST_HEAD ? task->chain.out_len - REQUEST_HEAD : 0;

    g_queue_unlink(&task->hba->active, &task->link);
    out -= MIN(out, (uint64_t)g_atomic_int_get(&task->hba->cdb_size));
    task_respond(task, S_OK, task_in_len(task) ? task_in_len(task) : MAX(out, scsi->moved),
                 scsi->moved, task_in_len(task) > 0);
}

/* The target and unit of an address (5.6.6.1); false when it has another form. */
static bool
task_address(const uint8_t *lun, unsigned *target, unsigned *unit)
{
    if (lun[0] != 1)
        return false;
    *target = lun[1];
    *unit = (unsigned)(lun[2] << 8 | lun[3]) & 0x3fff;
    return true;
}

static void
task_start(Task *task, unsigned cdb_size)
{
    VirtioScsi *hba = task->hba;
    uint8_t head[REQUEST_HEAD];
    unsigned target = 0, unit = 0;

    iov_read(virt_chain_out(&task->chain), task->chain.n_out, 0, head, sizeof(head));
    memcpy(task->lun, head, sizeof(task->lun));
    task->tag = bytes_load64(head + 8);
    memset(task->scsi.cdb, 0, sizeof(task->scsi.cdb));
    iov_read(virt_chain_out(&task->chain), task->chain.n_out, REQUEST_HEAD, task->scsi.cdb,
             MIN(cdb_size, SCSI_CDB_MAX));
    task->scsi.step = task_step;
    task->scsi.sense_len = 0;
    if (!task_address(task->lun, &target, &unit)) {
        task_respond(task, S_BAD_TARGET, 0, 0, false);
        return;
    }
    task->scsi.lun = scsi_bus_find(&hba->bus, target, unit);
    if (task->scsi.lun) {
        scsi_request_start(&task->scsi);
    } else {
        uint16_t units[MAX_UNIT + 1];
        unsigned n = scsi_bus_units(&hba->bus, target, units, G_N_ELEMENTS(units));

        if (n == 0) {
            task_respond(task, S_BAD_TARGET, 0, 0, false);
            return;
        }
        scsi_request_start_no_unit(&task->scsi, units, n);
    }
    if (task->scsi.phase == SCSI_WAIT)
        g_queue_push_tail_link(&hba->active, &task->link);
    else
        task_advance(task, cdb_size);
}

static void
scsi_handle_request(VirtQueue *q)
{
    VirtioScsi *hba = (VirtioScsi *)q->dev;
    unsigned cdb_size = (unsigned)g_atomic_int_get(&hba->cdb_size), turn = 0;
    Task *task = task_get(hba);

    while (virt_queue_next(q, &task->chain, &turn)) {
        task->queue = q;
        task->sense_size = (unsigned)g_atomic_int_get(&hba->sense_size);
        if (task->chain.out_len < REQUEST_HEAD + cdb_size ||
            task->chain.in_len < RESPONSE_HEAD + task->sense_size) {
            virtio_device_break(q->dev);
            break;
        }
        task_start(task, cdb_size);
        task = task_get(hba);
    }
    task_put(task);
    scsi_bus_submit(&hba->bus);
}

/* ---- control ---- */

static bool
task_exists(VirtioScsi *hba, const uint8_t *lun, const uint64_t *tag)
{
    for (GList *l = hba->active.head; l; l = l->next) {
        const Task *task = l->data;

        if (!memcmp(task->lun, lun, sizeof(task->lun)) && (!tag || task->tag == *tag))
            return true;
    }
    return false;
}

static uint8_t
control_tmf(VirtioScsi *hba, uint32_t subtype, const uint8_t *lun, uint64_t tag)
{
    unsigned target = 0, unit = 0;
    ScsiLun *found;
    uint16_t any;

    if (!task_address(lun, &target, &unit) || scsi_bus_units(&hba->bus, target, &any, 1) == 0)
        return S_BAD_TARGET;
    found = scsi_bus_find(&hba->bus, target, unit);
    if (!found && subtype != TMF_NEXUS_RESET)
        return S_INCORRECT_LUN;
    switch (subtype) {
    case TMF_ABORT_TASK:
    case TMF_ABORT_TASK_SET:
    case TMF_CLEAR_TASK_SET:
        drive_drain(found->drive);
        return S_OK;
    case TMF_UNIT_RESET:
        drive_drain(found->drive);
        scsi_lun_reset(found);
        return S_OK;
    case TMF_NEXUS_RESET:
        for (unsigned i = 0; i <= MAX_UNIT; i++) {
            found = scsi_bus_find(&hba->bus, target, i);
            if (!found)
                continue;
            drive_drain(found->drive);
            scsi_lun_reset(found);
        }
        return S_OK;
    case TMF_QUERY_TASK:
        return task_exists(hba, lun, &tag) ? S_FUNCTION_SUCCEEDED : S_OK;
    case TMF_QUERY_TASK_SET:
        return task_exists(hba, lun, NULL) ? S_FUNCTION_SUCCEEDED : S_OK;
    default: /* CLEAR ACA, and what nobody knows */
        return S_FUNCTION_REJECTED;
    }
}

/* False when the chain is no request at all. */
static bool
control_run(VirtioScsi *hba, VirtQueue *q, VirtChain *chain)
{
    uint8_t in[24] = { 0 }, out[5] = { 0 };
    size_t got = iov_read(virt_chain_out(chain), chain->n_out, 0, in, sizeof(in));
    uint32_t type = bytes_load32(in);
    size_t answer = type == T_TMF ? 1 : 5;

    if (got < 4 || (type == T_TMF && got < 24) || (type != T_TMF && got < 16) ||
        chain->in_len < answer)
        return false;
    if (type == T_TMF)
        out[0] = control_tmf(hba, bytes_load32(in + 4), in + 8, bytes_load64(in + 16));
    else /* no notification is offered: none is pending, none subscribed */
        out[4] = type == T_AN_QUERY || type == T_AN_SUBSCRIBE ? S_OK : S_FAILURE;
    iov_write(virt_chain_in(chain), chain->n_in, 0, out, answer);
    virt_queue_push(q, chain->head, answer);
    return true;
}

static void
scsi_handle_control(VirtQueue *q)
{
    VirtioScsi *hba = (VirtioScsi *)q->dev;
    unsigned turn = 0;

    while (virt_queue_next(q, &hba->control, &turn)) {
        if (!control_run(hba, q, &hba->control)) {
            virtio_device_break(q->dev);
            break;
        }
    }
}

/* ---- events ---- */

static void
scsi_event(VirtioScsi *hba, uint32_t event, unsigned target, unsigned unit, uint32_t reason)
{
    VirtQueue *q = &hba->virtio.queues[QUEUE_EVENT];
    uint8_t buf[EVENT_SIZE] = { 0 };
    int r = 0;

    if (virtio_device_broken(q->dev))
        return;
    if (!q->running) { /* paused: it hears when it goes on; without a driver a reset clears it */
        hba->events_missed = true;
        return;
    }
    /* The driver is asked to tell when it has buffers again. */
    do
        r = virt_queue_pop(q, &hba->event);
    while (r == 0 && virt_queue_enable_notify(q));
    if (r <= 0) {
        hba->events_missed = true;
        return;
    }
    if (hba->event.in_len < EVENT_SIZE) {
        virtio_device_break(q->dev);
        return;
    }
    bytes_store(buf, event | (hba->events_missed ? EVENTS_MISSED : 0), 4);
    hba->events_missed = false;
    if (event != 0) {
        buf[4] = 1;
        buf[5] = (uint8_t)target;
        buf[6] = (uint8_t)(unit >> 8 | (unit > 255 ? 0x40 : 0));
        buf[7] = (uint8_t)unit;
    }
    bytes_store(buf + 12, reason, 4);
    iov_write(virt_chain_in(&hba->event), hba->event.n_in, 0, buf, sizeof(buf));
    virt_queue_push(q, hba->event.head, EVENT_SIZE);
}

/* The driver has given buffers: now it can hear that it missed something. */
static void
scsi_handle_event(VirtQueue *q)
{
    VirtioScsi *hba = (VirtioScsi *)q->dev;

    if (hba->events_missed)
        scsi_event(hba, 0, 0, 0, 0);
}

static VirtioScsi *
bus_hba(ScsiBus *bus)
{
    return (VirtioScsi *)((uint8_t *)bus - offsetof(VirtioScsi, bus));
}

static void
scsi_plugged(ScsiBus *bus, unsigned target, unsigned unit, bool present)
{
    VirtioScsi *hba = bus_hba(bus);

    if (virtio_has_feature(&hba->virtio, F_HOTPLUG))
        scsi_event(hba, EVENT_TRANSPORT_RESET, target, unit,
                   present ? REASON_RESCAN : REASON_REMOVED);
}

static void
scsi_attention(ScsiBus *bus, unsigned target, unsigned unit, uint8_t asc, uint8_t ascq)
{
    VirtioScsi *hba = bus_hba(bus);

    if (asc == 0x2a && virtio_has_feature(&hba->virtio, F_CHANGE))
        scsi_event(hba, EVENT_PARAM_CHANGE, target, unit, asc | (uint32_t)ascq << 8);
}

/* ---- configuration, life ---- */

static void
scsi_config_read(VirtioDevice *dev, uint8_t *config)
{
    VirtioScsi *hba = (VirtioScsi *)dev;

    bytes_store(config, hba->num_queues, 4);
    bytes_store(config + 4, hba->seg_max, 4);
    bytes_store(config + 8, hba->max_sectors, 4);
    bytes_store(config + 12, hba->cmd_per_lun, 4);
    bytes_store(config + 16, EVENT_SIZE, 4);
    bytes_store(config + CONFIG_SENSE_SIZE, (uint64_t)g_atomic_int_get(&hba->sense_size), 4);
    bytes_store(config + CONFIG_CDB_SIZE, (uint64_t)g_atomic_int_get(&hba->cdb_size), 4);
    bytes_store(config + 28, 0, 2);
    bytes_store(config + 30, MAX_TARGET, 2);
    bytes_store(config + 32, MAX_UNIT, 4);
}

static void
scsi_config_write(VirtioDevice *dev, const uint8_t *config, unsigned offset, unsigned size)
{
    VirtioScsi *hba = (VirtioScsi *)dev;
    uint32_t sense = bytes_load32(config + CONFIG_SENSE_SIZE);
    uint32_t cdb = bytes_load32(config + CONFIG_CDB_SIZE);

    if (offset < CONFIG_SENSE_SIZE + 4 && offset + size > CONFIG_SENSE_SIZE && sense <= SIZES_MAX)
        g_atomic_int_set(&hba->sense_size, (int)sense);
    if (offset < CONFIG_CDB_SIZE + 4 && offset + size > CONFIG_CDB_SIZE && cdb > 0 &&
        cdb <= SIZES_MAX)
        g_atomic_int_set(&hba->cdb_size, (int)cdb);
}

static void
scsi_queue_start(VirtQueue *q)
{
    if (q->index >= QUEUE_REQUEST)
        scsi_bus_resume(&((VirtioScsi *)q->dev)->bus);
}

/* The driver resets, or the guest is paused: then what stopped it is kept. */
static void
scsi_queue_stop(VirtQueue *q)
{
    VirtioScsi *hba = (VirtioScsi *)q->dev;

    if (virtio_base(q->dev)->machine->running)
        scsi_bus_drain(&hba->bus);
    else
        scsi_bus_pause(&hba->bus);
}

static void
scsi_reset_call(void *opaque)
{
    VirtioScsi *hba = opaque;

    scsi_bus_reset(&hba->bus);
    hba->events_missed = false;
}

static void
scsi_reset(VirtioDevice *dev)
{
    VirtioScsi *hba = (VirtioScsi *)dev;

    io_loop_run_sync(hba->loop, scsi_reset_call, hba);
    g_atomic_int_set(&hba->sense_size, SENSE_DEFAULT);
    g_atomic_int_set(&hba->cdb_size, CDB_DEFAULT);
}

static bool
scsi_realize(VirtioDevice *dev, GError **err)
{
    VirtioScsi *hba = (VirtioScsi *)dev;
    Device *device = virtio_base(dev);

    if (hba->num_queues == 0)
        hba->num_queues = (uint16_t)CLAMP(device->machine->config.n_cpus, 1u, 256u);
    if (hba->queue_size & (hba->queue_size - 1))
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "virtqueue_size=%u is not a power of two", hba->queue_size);
    hba->seg_max = hba->queue_size - 2u;
    hba->sense_size = SENSE_DEFAULT;
    hba->cdb_size = CDB_DEFAULT;
    hba->loop = hba->iothread.object ? hba->iothread.object : machine_io_loop(device->machine, err);
    if (!hba->loop)
        return false;
    hba->bus_name = g_strconcat(device->id ? device->id : device->path, ".0", NULL);
    hba->bus.max_target = MAX_TARGET;
    hba->bus.max_unit = MAX_UNIT;
    hba->bus.depth = hba->cmd_per_lun;
    if (!scsi_bus_init(&hba->bus, device, hba->bus_name, hba->loop, err))
        return false;
    hba->bus.plugged = scsi_plugged;
    hba->bus.attention = scsi_attention;
    if (hba->hotplug)
        dev->host_features |= VIRTIO_F(F_HOTPLUG);
    if (hba->param_change)
        dev->host_features |= VIRTIO_F(F_CHANGE);
    virtio_queues_reserve(dev, QUEUE_REQUEST + hba->num_queues);
    virtio_queue_add(dev, hba->queue_size, hba->loop, scsi_handle_control);
    virtio_queue_add(dev, hba->queue_size, hba->loop, scsi_handle_event);
    for (unsigned i = 0; i < hba->num_queues; i++)
        virtio_queue_add(dev, hba->queue_size, hba->loop, scsi_handle_request);
    return true;
}

static void
scsi_unrealize(VirtioDevice *dev)
{
    VirtioScsi *hba = (VirtioScsi *)dev;
    GList *link;

    while ((link = g_queue_pop_head_link(&hba->free)))
        task_free(link->data);
    virt_chain_clear(&hba->control);
    virt_chain_clear(&hba->event);
    scsi_bus_fini(&hba->bus);
    g_clear_pointer(&hba->bus_name, g_free);
}

static void
scsi_before_save(void *state)
{
    VirtioScsi *hba = state;

    hba->saved_sense_size = (uint32_t)g_atomic_int_get(&hba->sense_size);
    hba->saved_cdb_size = (uint32_t)g_atomic_int_get(&hba->cdb_size);
}

static bool
scsi_after_load(void *state, GError **err)
{
    VirtioScsi *hba = state;

    if (hba->saved_sense_size > SIZES_MAX || hba->saved_cdb_size == 0 ||
        hba->saved_cdb_size > SIZES_MAX)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved sizes of sense data (%u) and commands (%u) are beyond %u",
                              hba->saved_sense_size, hba->saved_cdb_size, (unsigned)SIZES_MAX);
    g_atomic_int_set(&hba->sense_size, (int)hba->saved_sense_size);
    g_atomic_int_set(&hba->cdb_size, (int)hba->saved_cdb_size);
    return true;
}

static const SavedField scsi_fields[] = {
    SAVED(VirtioScsi, saved_sense_size, 1),
    SAVED(VirtioScsi, saved_cdb_size, 1),
    SAVED(VirtioScsi, events_missed, 1),
};

static const SavedTable scsi_saved = {
    .name = "virtio-scsi",
    .version = 1,
    .oldest = 1,
    .fields = scsi_fields,
    .n_fields = G_N_ELEMENTS(scsi_fields),
    .before_save = scsi_before_save,
    .after_load = scsi_after_load,
};

static const DeviceProp scsi_props[] = {
    { "iothread", PROP_IOTHREAD, offsetof(VirtioScsi, iothread),
      .help = "id of an -object iothread" },
    { "num_queues", PROP_UINT16, offsetof(VirtioScsi, num_queues), "0", .max = 1021,
      .help = "request queues; 0: one per CPU" },
    { "virtqueue_size", PROP_UINT16, offsetof(VirtioScsi, queue_size), "256", .min = 4,
      .max = VIRTIO_QUEUE_MAX },
    { "max_sectors", PROP_UINT32, offsetof(VirtioScsi, max_sectors), "65535", .min = 8 },
    { "cmd_per_lun", PROP_UINT32, offsetof(VirtioScsi, cmd_per_lun), "128", .min = 1, .max = 1024 },
    { "hotplug", PROP_BOOL, offsetof(VirtioScsi, hotplug), "on" },
    { "param_change", PROP_BOOL, offsetof(VirtioScsi, param_change), "on" },
};

static const VirtioClass scsi_virtio_class = {
    .name = "virtio-scsi",
    .id = VIRTIO_ID_SCSI,
    .legacy_id = 0x1004,
    .class_code = 0x010000,
    .config_size = CONFIG_SIZE,
    .realize = scsi_realize,
    .unrealize = scsi_unrealize,
    .config_read = scsi_config_read,
    .config_write = scsi_config_write,
    .queue_start = scsi_queue_start,
    .queue_stop = scsi_queue_stop,
    .reset = scsi_reset,
};

static const char *const scsi_aliases[] = { "virtio-scsi", NULL };
static const DeviceVariant scsi_variants[] = VIRTIO_VARIANTS("virtio-scsi-pci");

const DeviceClass virtio_scsi_pci_class = {
    .name = "virtio-scsi-pci",
    .aliases = scsi_aliases,
    .variants = scsi_variants,
    .description = "virtio SCSI host adapter",
    .bus = BUS_PCI,
    .base = &virtio_device_class,
    .hotpluggable = true,
    .state_size = sizeof(VirtioScsi),
    .props = scsi_props,
    .n_props = G_N_ELEMENTS(scsi_props),
    .saved = &scsi_saved,
    .details = &scsi_virtio_class,
};
