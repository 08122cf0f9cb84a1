/* vcpu_save.c - a virtual processor's state in the stream of a saved guest.
 *
 * Linux Documentation/virt/kvm/api.rst: structures as the ioctls give and take them. The order of
 * loading follows from what depends on what: special registers decide the format of the local APIC,
 * a deadline wants the APIC's timer in its mode, registers drop what waits to be injected.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/vcpu_save.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "hw/core/saved.h"
#include "launcher/vcpu_private.h"
#include "util/error.h"

enum {
    MSR_TSC = 0x10,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC = 0x800,
    MSR_X2APIC_END = 0x900,
    MSR_LIST_MAX = 1024,
    MSR_ENTRY = 12, /* u32 index, u64 value */
    XSAVE_LEGACY = 4096,
    XSAVE_MAX = 1 << 16,
    NESTED_MAX = 1 << 16,
};

typedef struct {
    Vcpu *vcpu;
    uint32_t apic_id;
    uint32_t tsc_khz;
    struct kvm_mp_state mp_state;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    uint64_t sregs2_flags, pdptrs[4]; /* of struct kvm_sregs2; flags 0 without it */
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_lapic_state lapic;
    struct kvm_vcpu_events events;
    GByteArray *xsave, *msrs, *nested; /* nested is empty when there is none */
} VcpuState;

#define VCPU_BYTES(f) SAVED_BYTES(VcpuState, f, 1)
static const SavedField vcpu_fields[] = {
    SAVED(VcpuState, apic_id, 1),
    SAVED(VcpuState, tsc_khz, 1),
    VCPU_BYTES(mp_state),
    VCPU_BYTES(regs),
    VCPU_BYTES(sregs),
    SAVED(VcpuState, sregs2_flags, 1),
    SAVED_ARRAY(VcpuState, pdptrs, 1),
    VCPU_BYTES(xcrs),
    VCPU_BYTES(debugregs),
    VCPU_BYTES(lapic),
    VCPU_BYTES(events),
    SAVED_BLOB(VcpuState, xsave, XSAVE_MAX, 1),
    SAVED_BLOB(VcpuState, msrs, MSR_LIST_MAX *MSR_ENTRY, 1),
    SAVED_BLOB(VcpuState, nested, NESTED_MAX, 1),
};

static bool
state_check(void *opaque, GError **err)
{
    const VcpuState *s = opaque;

    if (s->apic_id != s->vcpu->apic_id)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "it has APIC id %u, that of this guest is %u: another topology",
                              s->apic_id, s->vcpu->apic_id);
    return (s->xsave->len >= XSAVE_LEGACY && s->msrs->len % MSR_ENTRY == 0) ||
           kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "its saved registers are damaged");
}

static const SavedTable vcpu_table = {
    .name = "vcpu",
    .version = 1,
    .oldest = 1,
    .fields = vcpu_fields,
    .n_fields = G_N_ELEMENTS(vcpu_fields),
    .after_load = state_check,
};

static void
state_init(VcpuState *s, Vcpu *v)
{
    *s = (VcpuState){ .vcpu = v };
    s->xsave = g_byte_array_new();
    s->msrs = g_byte_array_new();
    s->nested = g_byte_array_new();
}

static void
state_clear(VcpuState *s)
{
    g_byte_array_unref(s->xsave);
    g_byte_array_unref(s->msrs);
    g_byte_array_unref(s->nested);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VcpuState, state_clear)

static bool
state_ioctl(const VcpuState *s, unsigned long request, const char *name, void *argument,
            GError **err)
{
    return ioctl(s->vcpu->fd, request, argument) >= 0 ||
           kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, errno, "%s", name);
}
#define STATE_IOCTL(s, request, argument, err) state_ioctl(s, request, #request, argument, err)

/* ---- saving ---- */

/* Those that are part of other state, and the TSC's deadline, which comes last. */
static bool
msr_is_elsewhere(uint32_t index)
{
    return index == MSR_TSC_DEADLINE || (index >= MSR_X2APIC && index < MSR_X2APIC_END);
}

static void
msr_append(VcpuState *s, uint32_t index)
{
    uint64_t value;

    if (kvm_get_msr(s->vcpu->fd, index, &value) < 0)
        return;
    g_byte_array_append(s->msrs, (const guint8 *)&index, sizeof(index));
    g_byte_array_append(s->msrs, (const guint8 *)&value, sizeof(value));
}

static bool
state_read_msrs(VcpuState *s, GError **err)
{
    g_autofree struct kvm_msr_list *list =
        g_malloc0(sizeof(*list) + MSR_LIST_MAX * sizeof(list->indices[0]));

    list->nmsrs = MSR_LIST_MAX;
    if (ioctl(s->vcpu->kvm->fd, KVM_GET_MSR_INDEX_LIST, list) < 0)
        return kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, errno, "KVM_GET_MSR_INDEX_LIST");
    for (uint32_t i = 0; i < list->nmsrs; i++)
        if (!msr_is_elsewhere(list->indices[i]))
            msr_append(s, list->indices[i]);
    msr_append(s, MSR_TSC_DEADLINE);
    return true;
}

static bool
state_read_xsave(VcpuState *s, GError **err)
{
    const Kvm *kvm = s->vcpu->kvm;

    g_byte_array_set_size(s->xsave, (guint)kvm->xsave_size);
    memset(s->xsave->data, 0, s->xsave->len);
    if (kvm_extension(kvm, KVM_CAP_XSAVE2) > 0)
        return STATE_IOCTL(s, KVM_GET_XSAVE2, s->xsave->data, err);
    return STATE_IOCTL(s, KVM_GET_XSAVE, s->xsave->data, err);
}

/* struct kvm_sregs2 begins as struct kvm_sregs does; where that ends in pending interrupts it has
 * the PDPTRs, which are not in guest memory once it has changed them there. */
static bool
state_read_sregs(VcpuState *s, GError **err)
{
    struct kvm_sregs2 sregs2;

    if (!STATE_IOCTL(s, KVM_GET_SREGS, &s->sregs, err))
        return false;
    if (kvm_extension(s->vcpu->kvm, KVM_CAP_SREGS2) == 0)
        return true;
    if (!STATE_IOCTL(s, KVM_GET_SREGS2, &sregs2, err))
        return false;
    s->sregs2_flags = sregs2.flags;
    for (unsigned i = 0; i < G_N_ELEMENTS(s->pdptrs); i++)
        s->pdptrs[i] = sregs2.flags & KVM_SREGS2_FLAGS_PDPTRS_VALID ? sregs2.pdptrs[i] : 0;
    return true;
}

/* Of a guest that itself runs guests. */
static bool
state_read_nested(VcpuState *s, GError **err)
{
    int size = kvm_extension(s->vcpu->kvm, KVM_CAP_NESTED_STATE);
    g_autofree struct kvm_nested_state *nested = NULL;

    if (size < (int)sizeof(*nested) || size > NESTED_MAX)
        return true;
    nested = g_malloc0((size_t)size);
    nested->size = (uint32_t)size;
    if (ioctl(s->vcpu->fd, KVM_GET_NESTED_STATE, nested) < 0)
        return errno == EINVAL || errno == ENOTTY ||
               kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, errno, "KVM_GET_NESTED_STATE");
    g_byte_array_append(s->nested, (const guint8 *)nested, MIN(nested->size, (uint32_t)size));
    return true;
}

static bool
state_read(VcpuState *s, GError **err)
{
    int khz = ioctl(s->vcpu->fd, KVM_GET_TSC_KHZ, 0);

    s->apic_id = s->vcpu->apic_id;
    s->tsc_khz = (uint32_t)MAX(khz, 0);
    /* The run state first: asking for it may take in what other processors have sent. */
    return STATE_IOCTL(s, KVM_GET_MP_STATE, &s->mp_state, err) &&
           STATE_IOCTL(s, KVM_GET_REGS, &s->regs, err) && state_read_sregs(s, err) &&
           state_read_xsave(s, err) && STATE_IOCTL(s, KVM_GET_XCRS, &s->xcrs, err) &&
           STATE_IOCTL(s, KVM_GET_DEBUGREGS, &s->debugregs, err) && state_read_msrs(s, err) &&
           STATE_IOCTL(s, KVM_GET_LAPIC, &s->lapic, err) && state_read_nested(s, err) &&
           STATE_IOCTL(s, KVM_GET_VCPU_EVENTS, &s->events, err);
}

bool
vcpu_save(Vcpu *v, GByteArray *out, GError **err)
{
    g_auto(VcpuState) state;

    state_init(&state, v);
    if (!state_read(&state, err)) {
        g_prefix_error(err, "state of vCPU %u: ", v->index);
        return false;
    }
    saved_table_save(&vcpu_table, &state, out);
    return true;
}

/* ---- loading ---- */

static bool
state_write_tsc_rate(VcpuState *s, GError **err)
{
    int khz = ioctl(s->vcpu->fd, KVM_GET_TSC_KHZ, 0);

    /* The same host measures itself anew at each boot, a little differently. */
    if (s->tsc_khz == 0 || khz <= 0 ||
        (uint64_t)ABS((int64_t)s->tsc_khz - khz) * 1000000 <= (uint64_t)khz * 250)
        return true;
    return ioctl(s->vcpu->fd, KVM_SET_TSC_KHZ, (unsigned long)s->tsc_khz) == 0 ||
           kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                          "its time stamp counter runs at %u kHz, this host's at %d kHz, and it "
                          "cannot be scaled",
                          s->tsc_khz, khz);
}

static bool
state_write_sregs(VcpuState *s, GError **err)
{
    struct kvm_sregs2 sregs2 = { .flags = s->sregs2_flags };

    if (kvm_extension(s->vcpu->kvm, KVM_CAP_SREGS2) == 0 || s->sregs2_flags == 0)
        return STATE_IOCTL(s, KVM_SET_SREGS, &s->sregs, err);
    memcpy(&sregs2, &s->sregs, offsetof(struct kvm_sregs2, flags));
    memcpy(sregs2.pdptrs, s->pdptrs, sizeof(sregs2.pdptrs));
    /* an interrupt that waits to be injected is known to the older call only */
    return STATE_IOCTL(s, KVM_SET_SREGS, &s->sregs, err) &&
           STATE_IOCTL(s, KVM_SET_SREGS2, &sregs2, err);
}

static bool
state_write_xsave(VcpuState *s, GError **err)
{
    guint size = (guint)s->vcpu->kvm->xsave_size, len = s->xsave->len;

    for (guint i = size; i < len; i++)
        if (s->xsave->data[i])
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "it uses processor state that this host does not have");
    g_byte_array_set_size(s->xsave, MAX(len, size));
    memset(s->xsave->data + len, 0, s->xsave->len - len);
    return STATE_IOCTL(s, KVM_SET_XSAVE, s->xsave->data, err);
}

/* Some can only be read, and some only be set to what they are: writing is for what differs. */
static bool
state_write_msrs(VcpuState *s, bool deadline, GError **err)
{
    for (guint at = 0; at < s->msrs->len; at += MSR_ENTRY) {
        uint64_t value, now = 0;
        uint32_t index;
        int known;

        memcpy(&index, s->msrs->data + at, sizeof(index));
        memcpy(&value, s->msrs->data + at + sizeof(index), sizeof(value));
        if (deadline != (index == MSR_TSC_DEADLINE))
            continue;
        known = kvm_get_msr(s->vcpu->fd, index, &now);
        if ((known == 0 && now == value && index != MSR_TSC) || (known < 0 && value == 0))
            continue;
        if (kvm_set_msr(s->vcpu->fd, index, value) < 0)
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "KVM refuses 0x%" G_GINT64_MODIFIER
                                  "x for MSR 0x%x: saved on a host of another kind",
                                  value, index);
    }
    return true;
}

static bool
state_write_nested(VcpuState *s, GError **err)
{
    struct kvm_nested_state head;

    if (s->nested->len == 0)
        return true;
    if (s->nested->len < sizeof(head))
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "its nested state is damaged");
    memcpy(&head, s->nested->data, sizeof(head));
    if (head.size > s->nested->len)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "its nested state is damaged");
    /* Nothing in it. AMD's without flags says that interrupts are held back (CLGI). */
    if (head.format == KVM_STATE_NESTED_FORMAT_VMX && head.flags == 0 && head.size == sizeof(head))
        return true;
    return STATE_IOCTL(s, KVM_SET_NESTED_STATE, s->nested->data, err);
}

static bool
state_write(VcpuState *s, GError **err)
{
    return state_write_sregs(s, err) && STATE_IOCTL(s, KVM_SET_XCRS, &s->xcrs, err) &&
           state_write_xsave(s, err) && state_write_tsc_rate(s, err) &&
           state_write_msrs(s, false, err) && state_write_nested(s, err) &&
           STATE_IOCTL(s, KVM_SET_LAPIC, &s->lapic, err) && state_write_msrs(s, true, err) &&
           STATE_IOCTL(s, KVM_SET_REGS, &s->regs, err) &&
           STATE_IOCTL(s, KVM_SET_DEBUGREGS, &s->debugregs, err) &&
           STATE_IOCTL(s, KVM_SET_MP_STATE, &s->mp_state, err) &&
           STATE_IOCTL(s, KVM_SET_VCPU_EVENTS, &s->events, err);
}

bool
vcpu_load(Vcpu *v, const uint8_t *data, size_t len, GError **err)
{
    g_auto(VcpuState) state;
    size_t pos = 0;

    state_init(&state, v);
    if (!saved_table_load(&vcpu_table, &state, data, len, &pos, err) || !state_write(&state, err)) {
        g_prefix_error(err, "state of vCPU %u: ", v->index);
        return false;
    }
    return pos == len || kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                        "state of vCPU %u: it has more than is expected", v->index);
}
