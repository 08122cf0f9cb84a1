/* domain_disk.c - the table of <disk> (libvirt formatdomain "Hard drives, floppy disks, CDROMs",
 * schema of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_disk.h"

#include "util/error.h"

const char *const domain_disk_types[] = {
    "", "file", "block", "dir", "network", "volume", "nvme", "vhostuser", NULL,
};
const char *const domain_disk_devices[] = { "", "disk", "cdrom", "floppy", "lun", NULL };
const char *const domain_disk_buses[] = {
    "", "ide", "fdc", "scsi", "virtio", "xen", "usb", "uml", "sata", "sd", NULL,
};
const char *const domain_disk_caches[] = {
    "", "default", "none", "writethrough", "writeback", "directsync", "unsafe", NULL,
};
const char *const domain_disk_ios[] = { "", "native", "threads", "io_uring", NULL };
const char *const domain_error_policies[] = { "", "stop", "report", "ignore", "enospace", NULL };
const char *const domain_discards[] = { "", "unmap", "ignore", NULL };
const char *const domain_detect_zeroes[] = { "", "off", "on", "unmap", NULL };
const char *const domain_startup_policies[] = { "", "mandatory", "requisite", "optional", NULL };
static const char *const sgios[] = { "", "filtered", "unfiltered", NULL };
static const char *const snapshots[] = { "", "no", "internal", "external", "manual", NULL };
static const char *const trays[] = { "", "closed", "open", NULL };
static const char *const translations[] = { "", "none", "auto", "lba", NULL };

const char *const domain_encryption_formats[] = {
    "", "default", "qcow", "luks", "luks2", NULL,
};
static const char *const engines[] = { "", "qemu", "librbd", NULL };
const char *const domain_disk_transports[] = { "", "tcp", "unix", "rdma", NULL };

static const char *const secret_kinds[] = { "", "passphrase", NULL };

#define S(field) offsetof(DomainDiskSecret, field)
static const XmlRow secret_rows[] = {
    { NULL, "type", XML_ENUM, S(type), XML_REQUIRED | XML_UNKNOWN_WORD, .names = secret_kinds },
    { NULL, "uuid", XML_UUID, S(uuid) },
    { NULL, "usage", XML_STRING, S(usage) },
};

static bool
secret_check(const void *obj, GError **err)
{
    const DomainDiskSecret *secret = obj;

    return !secret->uuid != !secret->usage ||
           kiln_error_set(err, VIR_ERR_XML_ERROR,
                          "a <secret> wants either 'uuid' or 'usage', and not both");
}

const XmlType domain_secret_type =
    XML_TYPE("secret", DomainDiskSecret, secret_rows, .check = secret_check);

#define C(field) offsetof(DomainCipher, field)
static const XmlRow cipher_rows[] = {
    { NULL, "name", XML_STRING, C(name), XML_REQUIRED },
    { NULL, "size", XML_UINT, C(size), XML_REQUIRED, .max = UINT32_MAX },
    { NULL, "mode", XML_STRING, C(mode) },
    { NULL, "hash", XML_STRING, C(hash) },
};
static const XmlType cipher_type = XML_TYPE("cipher", DomainCipher, cipher_rows);

#define I(field) offsetof(DomainIvgen, field)
static const XmlRow ivgen_rows[] = {
    { NULL, "name", XML_STRING, I(name), XML_REQUIRED },
    { NULL, "hash", XML_STRING, I(hash) },
};
static const XmlType ivgen_type = XML_TYPE("ivgen", DomainIvgen, ivgen_rows);

static bool
encryption_check(const void *obj, GError **err)
{
    const DomainEncryption *encryption = obj;

    return !encryption->ivgen || encryption->cipher ||
           kiln_error_set(err, VIR_ERR_XML_ERROR, "<ivgen> is there without <cipher>");
}

#define E(field) offsetof(DomainEncryption, field)
static const XmlRow encryption_rows[] = {
    { NULL, "format", XML_ENUM, E(format), XML_REQUIRED | XML_UNKNOWN_WORD,
      .names = domain_encryption_formats },
    { NULL, "engine", XML_ENUM, E(engine), .names = engines },
    { "secret", NULL, XML_LIST, E(secrets), .type = &domain_secret_type },
    { "cipher", NULL, XML_STRUCT, E(cipher), .type = &cipher_type },
    { "ivgen", NULL, XML_STRUCT, E(ivgen), .type = &ivgen_type },
};
const XmlType domain_encryption_type =
    XML_TYPE("encryption", DomainEncryption, encryption_rows, .check = encryption_check);

#define H(field) offsetof(DomainDiskHost, field)
static const XmlRow host_rows[] = {
    { NULL, "name", XML_STRING, H(name) },
    { NULL, "port", XML_STRING, H(port), .pattern = "[0-9]{1,5}", .legal = "the number of a port" },
    { NULL, "transport", XML_ENUM, H(transport), .names = domain_disk_transports },
    { NULL, "socket", XML_STRING, H(socket), .pattern = "/.*", .legal = "an absolute path" },
};

static bool
host_check(const void *obj, GError **err)
{
    const DomainDiskHost *host = obj;

    if (host->transport == DOMAIN_HOST_UNIX)
        return host->socket || kiln_error_set(err, VIR_ERR_XML_ERROR,
                                              "missing socket for unix transport of a <host>");
    if (host->socket)
        return kiln_error_set(
            err, VIR_ERR_XML_ERROR, "transport '%s' of a <host> does not support socket attribute",
            domain_disk_transports[host->transport ? host->transport : DOMAIN_HOST_TCP]);
    return host->name || kiln_error_set(err, VIR_ERR_XML_ERROR, "missing name for host");
}

const XmlType domain_disk_host_type =
    XML_TYPE("host", DomainDiskHost, host_rows, .check = host_check);

#define T(field) offsetof(DomainIotune, field)
#define TUNE(field)                                                                                \
    {                                                                                              \
#field, NULL, XML_UINT, T(field), XML_NOT_ZERO, .max = INT64_MAX                           \
    }
static const XmlRow iotune_rows[] = {
    TUNE(total_bytes_sec),
    TUNE(read_bytes_sec),
    TUNE(write_bytes_sec),
    TUNE(total_iops_sec),
    TUNE(read_iops_sec),
    TUNE(write_iops_sec),
    TUNE(total_bytes_sec_max),
    TUNE(read_bytes_sec_max),
    TUNE(write_bytes_sec_max),
    TUNE(total_iops_sec_max),
    TUNE(read_iops_sec_max),
    TUNE(write_iops_sec_max),
    TUNE(size_iops_sec),
    { "group_name", NULL, XML_STRING, T(group_name) },
    TUNE(total_bytes_sec_max_length),
    TUNE(read_bytes_sec_max_length),
    TUNE(write_bytes_sec_max_length),
    TUNE(total_iops_sec_max_length),
    TUNE(read_iops_sec_max_length),
    TUNE(write_iops_sec_max_length),
};

static bool
both(uint64_t total, uint64_t part)
{
    return total != XML_UNSET && total && part != XML_UNSET && part;
}

static bool
iotune_check(const void *obj, GError **err)
{
    const DomainIotune *t = obj;

    if (both(t->total_bytes_sec, t->read_bytes_sec) ||
        both(t->total_bytes_sec, t->write_bytes_sec) ||
        both(t->total_bytes_sec_max, t->read_bytes_sec_max) ||
        both(t->total_bytes_sec_max, t->write_bytes_sec_max))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "total and read/write bytes_sec cannot be set at the same time");
    if (both(t->total_iops_sec, t->read_iops_sec) || both(t->total_iops_sec, t->write_iops_sec) ||
        both(t->total_iops_sec_max, t->read_iops_sec_max) ||
        both(t->total_iops_sec_max, t->write_iops_sec_max))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "total and read/write iops_sec cannot be set at the same time");
    return true;
}

const XmlType domain_iotune_type =
    XML_TYPE("iotune", DomainIotune, iotune_rows, .check = iotune_check);

#define D(field) offsetof(DomainDisk, field)
#define NETWORK XML_WHEN(DOMAIN_DISK_NETWORK)
#define UNDERSTOOD (XML_WHEN(DOMAIN_DISK_FILE) | XML_WHEN(DOMAIN_DISK_BLOCK) | NETWORK)
#define PRINTABLE "[ -~]"
/* What is in and about <source>, in disks and in what they lie on. */
/* clang-format off */
#define SOURCE_ATTRIBUTES                                                                          \
    { "source", "file", XML_STRING, D(file), .when = XML_WHEN(DOMAIN_DISK_FILE) },                 \
    { "source", "fdgroup", XML_STRING, D(fdgroup), .when = XML_WHEN(DOMAIN_DISK_FILE) },           \
    { "source", "dev", XML_STRING, D(dev), .when = XML_WHEN(DOMAIN_DISK_BLOCK) },                  \
    { "source", "protocol", XML_STRING, D(protocol), .when = NETWORK,                              \
      .pattern = "nbd|rbd|iscsi|http|https|sheepdog|gluster|ftp|ftps|tftp|vxhs|nfs|ssh",           \
      .legal = "a protocol such as 'nbd'" },                                                       \
    { "source", "name", XML_STRING, D(export_name), .when = NETWORK },                             \
    { "source", "query", XML_STRING, D(query), .when = NETWORK },                                  \
    { "source", "tls", XML_YESNO, D(tls), .when = NETWORK },                                       \
    { "source", "tlsHostname", XML_STRING, D(tls_hostname), .when = NETWORK },                     \
    { "source", "startupPolicy", XML_ENUM, D(startup_policy), .names = domain_startup_policies,    \
      .when = UNDERSTOOD }
#define SOURCE_CHILDREN                                                                            \
    { "source/host", NULL, XML_LIST, D(hosts), .type = &domain_disk_host_type, .when = NETWORK },  \
    { "source/snapshot", NULL, XML_KEPT, D(kept), .when = NETWORK },                               \
    { "source/config", NULL, XML_KEPT, D(kept), .when = NETWORK },                                 \
    { "source/initiator", NULL, XML_KEPT, D(kept), .when = NETWORK },                              \
    { "source/ssl", NULL, XML_KEPT, D(kept), .when = NETWORK },                                    \
    { "source/cookies", NULL, XML_KEPT, D(kept), .when = NETWORK },                                \
    { "source/readahead", NULL, XML_KEPT, D(kept), .when = NETWORK },                              \
    { "source/timeout", NULL, XML_KEPT, D(kept), .when = NETWORK },                                \
    { "source/knownHosts", NULL, XML_KEPT, D(kept), .when = NETWORK },                             \
    { "source/identity", NULL, XML_KEPT, D(kept), .when = NETWORK },                               \
    { "source/auth", NULL, XML_KEPT, D(kept), .when = NETWORK },                                   \
    { "source/slices", NULL, XML_KEPT, D(kept), .when = UNDERSTOOD },                              \
    { "source/seclabel", NULL, XML_KEPT, D(kept), .when = UNDERSTOOD },                            \
    { "source/encryption", NULL, XML_STRUCT, D(source_encryption),                                 \
      .type = &domain_encryption_type, .when = UNDERSTOOD },                                       \
    { "source/reservations", NULL, XML_KEPT, D(kept),                                              \
      .when = XML_WHEN(DOMAIN_DISK_BLOCK) | NETWORK },                                             \
    { "source", NULL, XML_KEPT, D(kept), .when = ~UNDERSTOOD }
/* clang-format on */

static const XmlRow disk_rows[] = {
    { NULL, "type", XML_ENUM, D(type), .names = domain_disk_types, .min = DOMAIN_DISK_FILE },
    { NULL, "device", XML_ENUM, D(device), XML_ABI, .names = domain_disk_devices,
      .min = DOMAIN_DISK_DEVICE_DISK },
    { NULL, "model", XML_ENUM, D(model), XML_ABI, .names = domain_virtio_models },
    { NULL, "rawio", XML_YESNO, D(rawio) },
    { NULL, "sgio", XML_ENUM, D(sgio), .names = sgios },
    { NULL, "snapshot", XML_ENUM, D(snapshot), .names = snapshots },
    { "driver", "name", XML_STRING, D(driver_name), .pattern = "[a-zA-Z0-9_+-]+",
      .legal = "letters, digits, '_', '+' and '-'" },
    { "driver", "type", XML_STRING, D(format),
      .pattern = "raw|dir|bochs|cloop|dmg|iso|vpc|vdi|fat|vhd|ploop|cow|qcow|qcow2|qed|vmdk|aio",
      .legal = "an image format such as 'raw' or 'qcow2'" },
    { "driver", "cache", XML_ENUM, D(cache), .names = domain_disk_caches },
    { "driver", "error_policy", XML_ENUM, D(error_policy), .names = domain_error_policies },
    { "driver", "rerror_policy", XML_ENUM, D(rerror_policy), .names = domain_error_policies },
    { "driver", "io", XML_ENUM, D(io), .names = domain_disk_ios },
    { "driver", "ioeventfd", XML_ONOFF, D(ioeventfd), XML_ABI },
    { "driver", "event_idx", XML_ONOFF, D(event_idx), XML_ABI },
    { "driver", "copy_on_read", XML_ONOFF, D(copy_on_read) },
    { "driver", "discard", XML_ENUM, D(discard), .names = domain_discards },
    { "driver", "iothread", XML_UINT, D(iothread), .min = 1, .max = UINT32_MAX },
    { "driver", "detect_zeroes", XML_ENUM, D(detect_zeroes), .names = domain_detect_zeroes },
    { "driver", "queues", XML_UINT, D(queues), XML_ABI, .min = 1, .max = UINT32_MAX },
    { "driver", "queue_size", XML_UINT, D(queue_size), XML_ABI, .min = 1, .max = UINT32_MAX },
    { "driver", NULL, XML_INLINE, D(virtio), XML_ABI, .type = &domain_virtio_options_type },
    { "driver/metadata_cache", NULL, XML_KEPT, D(kept) },
    { "auth", NULL, XML_KEPT, D(kept) },
    SOURCE_ATTRIBUTES,
    { "source", "index", XML_UINT, D(source_index), XML_LIVE, .min = 1, .max = UINT32_MAX,
      .when = UNDERSTOOD },
    SOURCE_CHILDREN,
    { "backingStore", NULL, XML_VERBATIM, D(backing_store), XML_OWN_LOOK },
    { "backenddomain", NULL, XML_KEPT, D(kept) },
    { "geometry", "cyls", XML_UINT, D(cyls), XML_ABI, .max = UINT32_MAX },
    { "geometry", "heads", XML_UINT, D(heads), XML_ABI, .max = UINT32_MAX },
    { "geometry", "secs", XML_UINT, D(secs), XML_ABI, .max = UINT32_MAX },
    { "geometry", "trans", XML_ENUM, D(trans), XML_ABI, .names = translations },
    { "blockio", "logical_block_size", XML_UINT, D(logical_block_size), XML_ABI | XML_NOT_ZERO,
      .max = UINT32_MAX },
    { "blockio", "physical_block_size", XML_UINT, D(physical_block_size), XML_ABI | XML_NOT_ZERO,
      .max = UINT32_MAX },
    { "mirror", NULL, XML_VERBATIM, D(mirror), XML_LIVE | XML_OWN_LOOK },
    { "target", "dev", XML_STRING, D(target), XML_REQUIRED | XML_ABI,
      .pattern = "(ioemu:)?(fd|hd|sd|vd|xvd|ubd)[a-zA-Z0-9_]+",
      .legal = "a device name such as 'vda', 'sda', 'hda' or 'fda'" },
    { "target", "bus", XML_ENUM, D(bus), XML_ABI, .names = domain_disk_buses },
    { "target", "tray", XML_ENUM, D(tray), .names = trays },
    { "target", "removable", XML_ONOFF, D(removable), XML_ABI },
    { "target", "rotation_rate", XML_UINT, D(rotation_rate), XML_ABI, .min = 1, .max = 65534 },
    { "iotune", NULL, XML_STRUCT, D(iotune), .type = &domain_iotune_type },
    { "readonly", NULL, XML_PRESENT, D(readonly), XML_ABI },
    { "shareable", NULL, XML_PRESENT, D(shareable) },
    { "transient", NULL, XML_PRESENT, D(transient) },
    { "transient", "shareBacking", XML_YESNO, D(transient_share) },
    { "serial", NULL, XML_STRING, D(serial), XML_ABI, .pattern = "[A-Za-z0-9_.+ -]+",
      .legal = "letters, digits, spaces, '_', '.', '+' and '-'" },
    { "wwn", NULL, XML_STRING, D(wwn), XML_ABI, .pattern = "(0x)?[0-9a-fA-F]{16}",
      .legal = "16 hexadecimal digits" },
    { "vendor", NULL, XML_STRING, D(vendor), XML_ABI, .pattern = PRINTABLE "{0,8}",
      .legal = "at most 8 printable characters" },
    { "product", NULL, XML_STRING, D(product), XML_ABI, .pattern = PRINTABLE "{0,16}",
      .legal = "at most 16 printable characters" },
    { "encryption", NULL, XML_STRUCT, D(encryption), .type = &domain_encryption_type },
    { NULL, NULL, XML_INLINE, D(info), XML_ABI, .type = &domain_device_info_type },
};

static bool
disk_check(const void *obj, GError **err)
{
    const DomainDisk *disk = obj;

    if (!disk->target)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "missing <target dev='…'/>");
    if (disk->device == DOMAIN_DISK_DEVICE_LUN && disk->type == DOMAIN_DISK_FILE)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "device 'lun' needs a source of type 'block', "
                              "'network' or 'volume', not 'file' (target '%s')",
                              disk->target);
    if ((disk->device == DOMAIN_DISK_DEVICE_CDROM && disk->bus == DOMAIN_BUS_VIRTIO) ||
        (disk->device == DOMAIN_DISK_DEVICE_FLOPPY && disk->bus && disk->bus != DOMAIN_BUS_FDC))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "device '%s' (target '%s') cannot be on "
                              "bus '%s'",
                              domain_disk_devices[disk->device], disk->target,
                              domain_disk_buses[disk->bus]);
    if (disk->source_index == XML_UNSET && disk->device != DOMAIN_DISK_DEVICE_CDROM &&
        disk->device != DOMAIN_DISK_DEVICE_FLOPPY &&
        ((disk->type == DOMAIN_DISK_FILE && !disk->file && !disk->fdgroup) ||
         (disk->type == DOMAIN_DISK_BLOCK && !disk->dev)))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "disk '%s' has no <source %s='…'/>; only cdrom "
                              "and floppy drives may be empty",
                              disk->target, disk->type == DOMAIN_DISK_FILE ? "file" : "dev");
    if (disk->type == DOMAIN_DISK_NETWORK && !disk->protocol &&
        disk->device != DOMAIN_DISK_DEVICE_CDROM && disk->device != DOMAIN_DISK_DEVICE_FLOPPY)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "missing network source protocol type of disk '%s'", disk->target);
    if (disk->copy_on_read == TRISTATE_ON && (disk->readonly || disk->shareable))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "copy_on_read of disk '%s' is not "
                              "possible with a read-only or shareable disk",
                              disk->target);
    return true;
}

static const XmlRow backing_rows[] = {
    { NULL, "type", XML_ENUM, D(type), .names = domain_disk_types },
    { NULL, "index", XML_UINT, D(source_index), XML_LIVE, .min = 1, .max = UINT32_MAX },
    { "format", "type", XML_STRING, D(format) },
    { "format/metadata_cache", NULL, XML_KEPT, D(kept) },
    SOURCE_ATTRIBUTES,
    SOURCE_CHILDREN,
    { "backingStore", NULL, XML_VERBATIM, D(backing_store), XML_OWN_LOOK },
};
const XmlType domain_backing_type =
    XML_TYPE("backingStore", DomainDisk, backing_rows, .selector = XML_SELECTOR(DomainDisk, type));

static const XmlRow mirror_rows[] = {
    { NULL, "type", XML_ENUM, D(type), .names = domain_disk_types, .min = DOMAIN_DISK_FILE },
    { NULL, "job", XML_STRING, D(mirror_job) },
    { NULL, "ready", XML_STRING, D(mirror_ready) },
    { "format", "type", XML_STRING, D(format) },
    SOURCE_ATTRIBUTES,
    { "source", "index", XML_UINT, D(source_index), .min = 1, .max = UINT32_MAX,
      .when = UNDERSTOOD },
    SOURCE_CHILDREN,
};
const XmlType domain_mirror_type =
    XML_TYPE("mirror", DomainDisk, mirror_rows, .selector = XML_SELECTOR(DomainDisk, type));

static const XmlRow copy_rows[] = {
    { NULL, "type", XML_ENUM, D(type), .names = domain_disk_types, .min = DOMAIN_DISK_FILE },
    { "driver", "type", XML_STRING, D(format) },
    SOURCE_ATTRIBUTES,
    SOURCE_CHILDREN,
    { "encryption", NULL, XML_STRUCT, D(encryption), .type = &domain_encryption_type },
};
const XmlType domain_copy_type =
    XML_TYPE("disk", DomainDisk, copy_rows, .selector = XML_SELECTOR(DomainDisk, type));

const char *
domain_disk_path(const DomainDisk *disk)
{
    return disk->type == DOMAIN_DISK_FILE    ? disk->file
           : disk->type == DOMAIN_DISK_BLOCK ? disk->dev
                                             : NULL;
}

bool
domain_disk_has_source(const DomainDisk *disk)
{
    return domain_disk_path(disk) || (disk->type == DOMAIN_DISK_NETWORK && disk->protocol);
}

static void
take_text(char **field, const char *value)
{
    char *old = *field;

    *field = g_strdup(value);
    g_free(old);
}

void
domain_disk_take_source(DomainDisk *to, const DomainDisk *from)
{
    const DomainEncryption *encryption = domain_disk_encryption(from);
    DomainEncryption *copy = encryption ? xml_type_copy(&domain_encryption_type, encryption) : NULL;
    g_autoptr(GPtrArray) hosts = g_ptr_array_new();

    for (guint i = 0; i < from->hosts->len; i++)
        g_ptr_array_add(hosts, xml_type_copy(&domain_disk_host_type, from->hosts->pdata[i]));
    for (guint i = 0; i < to->hosts->len; i++)
        xml_type_free(&domain_disk_host_type, to->hosts->pdata[i]);
    g_ptr_array_set_size(to->hosts, 0);
    g_ptr_array_extend(to->hosts, hosts, NULL, NULL);
    to->type = from->type;
    to->tls = from->tls;
    take_text(&to->format, from->format);
    take_text(&to->file, from->file);
    take_text(&to->fdgroup, from->fdgroup);
    take_text(&to->dev, from->dev);
    take_text(&to->protocol, from->protocol);
    take_text(&to->export_name, from->export_name);
    take_text(&to->query, from->query);
    take_text(&to->tls_hostname, from->tls_hostname);
    xml_type_free(&domain_encryption_type, to->encryption);
    xml_type_free(&domain_encryption_type, to->source_encryption);
    to->encryption = NULL;
    to->source_encryption = copy;
}

const DomainEncryption *
domain_disk_encryption(const DomainDisk *disk)
{
    return disk->source_encryption ? disk->source_encryption : disk->encryption;
}

const XmlType domain_disk_type = XML_TYPE(
    "disk", DomainDisk, disk_rows, .selector = XML_SELECTOR(DomainDisk, type), .check = disk_check);
