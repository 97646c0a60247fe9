"""A short run of benchmarks/statistics.py: the procedures still do what docs/statistics.md says of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.statistics import CELLS, Cell, measure

by_name = pytest.mark.parametrize("cell", CELLS, ids=[cell.name for cell in CELLS])


@pytest.mark.slow
@by_name
def test_simulated_coverage_width_and_bias(cell: Cell) -> None:
    """240 repetitions: a coverage of .97 is seen as .94 or more. What the last half says of a lane that rises to the
    end is too low, and is not held to it, but for the lower end of tuning's lead.

    Break seen to fail: 1.96 for the quantile over lanes; the plain mean for the point; all rows effective (five seeds).
    """
    found = measure(cell, 60, 240)
    assert found["prequential_coverage"] >= 0.935
    assert 1.05 < found["prequential_width"] / found["prequential_width_fixed"] < 1.35
    assert -0.02 < found["prequential_point_bias"] < 0.025
    assert found["prequential_point_bias"] < found["prequential_plain_bias"]
    assert found["stream_difference_coverage"] >= 0.95
    assert found["stream_difference_width"] / found["stream_difference_width_fixed"] < 1.4
    assert abs(found["stream_difference_point_bias"]) < 0.03
    assert found["late_difference_low_holds"] >= 0.96
    if not cell.name.startswith("rising"):
        assert found["score_coverage"] >= 0.925
        assert found["late_difference_coverage"] >= 0.90


@pytest.mark.slow
def test_twelve_points_are_found_as_often_as_said() -> None:
    """At n = 100 with neighbours alike: about two of three runs.

    Break seen to fail: 2.8 for the least quantile."""
    cell = next(cell for cell in CELLS if "neighbours" in cell.name)
    assert 0.5 < measure(cell, 100, 240)["stream_difference_found_tuning"] < 0.85
