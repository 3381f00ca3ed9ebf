# SPDX-License-Identifier: GPL-2.0-or-later
"""The feature bits of virtio and vhost-user by name, and why one may be left unused.

Numbers and names are those of virtio 1.2 (sections 5.2.3, 5.6.3 and 6) and of vhost-user's
"Protocol features". The engine decides which bits it uses, not this table. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

BLK, SCSI = 2, 8  # virtio 1.2, section 5: device ids
NOT_OFFERED = "not offered"
_NO_USE = "the engine has no use for it"
_MIGRATION = "for the migration of virtual machines"
_NETWORK = "for network cards"


@dataclass(frozen=True)
class Feature:
    bit: int
    name: str
    meaning: str
    unused: str = _NO_USE  # why the engine may not use it, although it is offered


@dataclass(frozen=True)
class State:
    """Whether one back-end offers a feature, and whether it is used."""

    feature: Feature
    offered: bool
    negotiated: bool

    @property
    def why_not(self) -> str:
        if self.negotiated:
            return ""
        return self.feature.unused if self.offered else NOT_OFFERED


BLK_FEATURES = (
    Feature(0, "VIRTIO_BLK_F_BARRIER", "request barriers (legacy)", "virtio 1 has none"),
    Feature(1, "VIRTIO_BLK_F_SIZE_MAX", "limits the bytes of a segment"),
    Feature(2, "VIRTIO_BLK_F_SEG_MAX", "limits the segments of a request"),
    Feature(4, "VIRTIO_BLK_F_GEOMETRY", "cylinders, heads, sectors"),
    Feature(5, "VIRTIO_BLK_F_RO", "the disk is read-only"),
    Feature(6, "VIRTIO_BLK_F_BLK_SIZE", "logical block size"),
    Feature(7, "VIRTIO_BLK_F_SCSI", "SCSI commands in blk (legacy)", "virtio 1 has none"),
    Feature(9, "VIRTIO_BLK_F_FLUSH", "cache flush: fsync and fdatasync"),
    Feature(10, "VIRTIO_BLK_F_TOPOLOGY", "physical blocks and optimal I/O size"),
    Feature(11, "VIRTIO_BLK_F_CONFIG_WCE", "the write cache can be turned on and off"),
    Feature(12, "VIRTIO_BLK_F_MQ", "several request queues"),
    Feature(13, "VIRTIO_BLK_F_DISCARD", "trim by discard"),
    Feature(14, "VIRTIO_BLK_F_WRITE_ZEROES", "trim by write zeroes"),
    Feature(15, "VIRTIO_BLK_F_LIFETIME", "wear of the medium"),
    Feature(16, "VIRTIO_BLK_F_SECURE_ERASE", "erasing for good"),
    Feature(17, "VIRTIO_BLK_F_ZONED", "zoned storage", "the engine treats the disk as plain"),
)
SCSI_FEATURES = (
    Feature(0, "VIRTIO_SCSI_F_INOUT", "data both ways in one request"),
    Feature(1, "VIRTIO_SCSI_F_HOTPLUG", "disks come and go"),
    Feature(2, "VIRTIO_SCSI_F_CHANGE", "a disk says that it changed"),
    Feature(3, "VIRTIO_SCSI_F_T10_PI", "protection information"),
)
RING_FEATURES = (
    Feature(24, "VIRTIO_F_NOTIFY_ON_EMPTY", "a call when the ring is empty (legacy)"),
    Feature(26, "VHOST_F_LOG_ALL", "log of written memory", _MIGRATION),
    Feature(27, "VIRTIO_F_ANY_LAYOUT", "any framing (legacy)", "virtio 1 allows it anyway"),
    Feature(
        28, "VIRTIO_F_INDIRECT_DESC", "a request takes one ring entry", "the engine was told not to"
    ),
    Feature(29, "VIRTIO_F_EVENT_IDX", "fewer kicks and calls", "the engine was told not to"),
    Feature(30, "VHOST_USER_F_PROTOCOL_FEATURES", "protocol features, below"),
    Feature(32, "VIRTIO_F_VERSION_1", "virtio 1, not legacy"),
    Feature(33, "VIRTIO_F_ACCESS_PLATFORM", "an IOMMU translates addresses", "there is no IOMMU"),
    Feature(34, "VIRTIO_F_RING_PACKED", "packed ring", "split rings are used"),
    Feature(35, "VIRTIO_F_IN_ORDER", "requests complete in order"),
    Feature(36, "VIRTIO_F_ORDER_PLATFORM", "order of memory as a device sees it"),
    Feature(37, "VIRTIO_F_SR_IOV", "virtual functions", "for PCI devices"),
    Feature(38, "VIRTIO_F_NOTIFICATION_DATA", "kicks carry data", "an eventfd carries none"),
    Feature(39, "VIRTIO_F_NOTIF_CONFIG_DATA", "configured kicks", "for PCI devices"),
    Feature(40, "VIRTIO_F_RING_RESET", "one queue is reset alone"),
)
PROTOCOL_FEATURES = (
    Feature(0, "VHOST_USER_PROTOCOL_F_MQ", "several queues"),
    Feature(1, "VHOST_USER_PROTOCOL_F_LOG_SHMFD", "shared log of writes", _MIGRATION),
    Feature(2, "VHOST_USER_PROTOCOL_F_RARP", "announces a guest", _NETWORK),
    Feature(3, "VHOST_USER_PROTOCOL_F_REPLY_ACK", "each request is acknowledged"),
    Feature(4, "VHOST_USER_PROTOCOL_F_MTU", "size of packets", _NETWORK),
    Feature(
        5,
        "VHOST_USER_PROTOCOL_F_BACKEND_REQ",
        "the back-end tells of a new size of its disk",
        "without CONFIG the size cannot be read",
    ),
    Feature(6, "VHOST_USER_PROTOCOL_F_CROSS_ENDIAN", "foreign byte order", "ours is the same"),
    Feature(7, "VHOST_USER_PROTOCOL_F_CRYPTO_SESSION", "sessions", "for crypto devices"),
    Feature(8, "VHOST_USER_PROTOCOL_F_PAGEFAULT", "memory on demand", _MIGRATION),
    Feature(9, "VHOST_USER_PROTOCOL_F_CONFIG", "configuration can be read"),
    Feature(10, "VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD", "the back-end sends descriptors"),
    Feature(11, "VHOST_USER_PROTOCOL_F_HOST_NOTIFIER", "doorbells", "for devices in hardware"),
    Feature(
        12,
        "VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD",
        "requests outlive the back-end",
        "used with reconnect_timeout alone",
    ),
    Feature(13, "VHOST_USER_PROTOCOL_F_RESET_DEVICE", "reset without a new connection"),
    Feature(
        14,
        "VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS",
        "kicks as messages",
        "an eventfd costs less",
    ),
    Feature(15, "VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS", "memory is added region by region"),
    Feature(16, "VHOST_USER_PROTOCOL_F_STATUS", "device status"),
    Feature(17, "VHOST_USER_PROTOCOL_F_XEN_MMAP", "Xen's memory", "for Xen"),
    Feature(18, "VHOST_USER_PROTOCOL_F_SHARED_OBJECT", "shared buffers", "for graphics"),
    Feature(19, "VHOST_USER_PROTOCOL_F_DEVICE_STATE", "saved state", _MIGRATION),
    Feature(
        20,
        "VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT",
        "a ring stops with requests in flight",
    ),
)


def virtio_features(device_type: int) -> tuple[Feature, ...]:
    """The bits of a device type, and those of all types. Bits without a name are left out."""
    own = {BLK: BLK_FEATURES, SCSI: SCSI_FEATURES}.get(device_type, ())
    return (*own, *RING_FEATURES)


def states(known: Sequence[Feature], offered: int, negotiated: int) -> list[State]:
    """Each known feature and each unknown bit that is offered, in the order of their numbers."""
    named = {feature.bit: feature for feature in known}
    unnamed = [bit for bit in range(64) if offered >> bit & 1 and bit not in named]
    unknown = (Feature(bit, f"bit {bit}", "unknown to this version") for bit in unnamed)
    features = sorted((*known, *unknown), key=lambda feature: feature.bit)
    return [
        State(feature, bool(offered >> feature.bit & 1), bool(negotiated >> feature.bit & 1))
        for feature in features
    ]
