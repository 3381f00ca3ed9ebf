# SPDX-License-Identifier: GPL-2.0-or-later
"""engine/features.py: feature bits by name."""

import re
from pathlib import Path

import pytest

from pyfio_virtio.engine import features

ROOT = Path(__file__).resolve().parents[3]
HEADERS = Path("/usr/include/linux")
ALL = (
    features.BLK_FEATURES,
    features.SCSI_FEATURES,
    features.RING_FEATURES,
    features.PROTOCOL_FEATURES,
)


def _defined(text: str) -> dict[str, int]:
    found = re.findall(r"^\s*(?:#define\s+)?(V\w+_F_\w+)[\s=]+(\d+)\b", text, re.MULTILINE)
    return {name: int(bit) for name, bit in found}


@pytest.mark.parametrize("known", ALL)
def test_bits_rise_and_names_differ(known: tuple[features.Feature, ...]) -> None:
    assert [each.bit for each in known] == sorted({each.bit for each in known})
    assert len({each.name for each in known}) == len(known)


@pytest.mark.parametrize(
    ("header", "known"),
    [
        ("virtio_blk.h", features.BLK_FEATURES),
        ("virtio_scsi.h", features.SCSI_FEATURES),
        ("virtio_config.h", features.RING_FEATURES),
        ("virtio_ring.h", features.RING_FEATURES),
    ],
)
def test_numbers_are_those_of_the_kernel(header: str, known: tuple[features.Feature, ...]) -> None:
    path = HEADERS / header
    if not path.exists():
        pytest.skip(f"no {path}: install linux-libc-dev")
    kernel = {
        name.replace("VIRTIO_RING_F_", "VIRTIO_F_"): bit
        for name, bit in _defined(path.read_text()).items()
    }
    both = [each for each in known if each.name in kernel]
    assert both
    assert {each.name: each.bit for each in both} == {each.name: kernel[each.name] for each in both}


def test_protocol_features_are_those_of_the_engine() -> None:
    ours = _defined((ROOT / "engine" / "vhost/proto.h").read_text())
    del ours["VHOST_USER_F_PROTOCOL_FEATURES"]
    assert {each.name: each.bit for each in features.PROTOCOL_FEATURES} == ours


def test_a_feature_not_offered_says_so() -> None:
    [state] = features.states(features.BLK_FEATURES[:1], 0, 0)
    assert state.why_not == features.NOT_OFFERED


def test_a_feature_left_unused_says_why() -> None:
    packed = [each for each in features.RING_FEATURES if each.bit == 34]
    [state] = features.states(packed, 1 << 34, 0)
    assert state.why_not == "split rings are used"


def test_a_feature_in_use_needs_no_reason() -> None:
    [state] = features.states(features.BLK_FEATURES[:1], 1, 1)
    assert state.why_not == ""


def test_a_bit_without_a_name_is_shown() -> None:
    [state] = features.states((), 1 << 63, 0)
    assert (state.feature.bit, state.offered) == (63, True)
