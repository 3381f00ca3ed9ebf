# SPDX-License-Identifier: GPL-2.0-or-later
"""Each shape of fio's JSON is read with the right sums, and each mutation too, or it is refused."""

import json
import random
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyfio_virtio.fio.directions import PERCENTILE_COLUMNS, Summary, summarise
from pyfio_virtio.fio.output import FioJob, FioJsonError, parse_fio_json
from tests.pyfio_virtio.fio import shapes

SEEDS = st.integers(0, 1 << 40)


def check_shape(seed: int) -> None:
    """A document as fio writes it."""
    made = shapes.make(random.Random(seed))
    loads = parse_fio_json(json.dumps(made.document, indent=2)).loads()
    assert len(loads) == len(made.loads)
    for found, expected in zip(loads, made.loads, strict=True):
        check_load(found, expected)
        assert bool(found.error) == expected.failed


def check_mutation(seed: int) -> None:
    """A document with one thing changed."""
    chance = random.Random(seed)
    made = shapes.make(chance)
    text = shapes.mutated(made, chance)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            loads = parse_fio_json(text, "a.json").loads()
            found = [summarise(load.directions.values()) for load in loads]
        except FioJsonError as refusal:
            sentence = str(refusal)
            assert sentence.startswith("a.json")
            assert "\n" not in sentence
            assert len(sentence) < 300
            return
    assert len(found) == len(made.loads)
    for load, expected in zip(loads, made.loads, strict=True):
        check_load(load, expected)


def check_load(found: FioJob, expected: shapes.Load) -> None:
    total = summarise(found.directions.values())
    # fio 2.1 tells whole I/Os per second and no number of I/Os.
    assert total.iops == pytest.approx(expected.iops, rel=1e-4, abs=8)
    assert total.ios == pytest.approx(expected.ios, rel=1e-4, abs=8 * 40)
    assert total.bw_bytes == pytest.approx(expected.bw_bytes, rel=1e-3, abs=8 * 1024 * 4)
    if total.mean_of:
        assert total.lat_mean_ns == pytest.approx(expected.mean_ns(total.mean_of), rel=0.01, abs=1)
    check_percentiles(total, expected)


def check_percentiles(total: Summary, expected: shapes.Load) -> None:
    for column, percent in PERCENTILE_COLUMNS.items():
        value = getattr(total, column)
        if value is not None:
            assert total.percentiles_of
            assert value == expected.percentile_ns(total.percentiles_of, percent)


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_each_shape_has_the_right_sums(seed: int) -> None:
    check_shape(seed)


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_each_mutation_is_read_right_or_refused_in_a_sentence(seed: int) -> None:
    check_mutation(seed)


def test_percentiles_are_told_wherever_fio_tells_them() -> None:
    """So that the tests above are not satisfied by a reader that tells nothing."""
    told = 0
    for seed in range(200):
        made = shapes.make(random.Random(seed))
        loads = parse_fio_json(json.dumps(made.document)).loads()
        told += sum(summarise(load.directions.values()).p50_ns is not None for load in loads)
    assert told > 150
