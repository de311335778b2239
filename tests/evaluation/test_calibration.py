from __future__ import annotations

import numpy as np
import pytest

from napari_sam2.evaluation.calibration import calibration


def test_a_prediction_that_orders_masks_right_catches_what_it_can() -> None:
    true = np.linspace(0, 1, 101)
    found = calibration(true**2, true)
    assert found.count == 101
    assert found.spearman == pytest.approx(1)
    assert found.caught == found.possible == pytest.approx(10 / 50)


def test_a_prediction_that_knows_nothing_catches_its_share() -> None:
    rng = np.random.default_rng(0)
    found = calibration(rng.random(20_000), rng.random(20_000))
    assert abs(found.spearman) < 0.03
    assert found.caught == pytest.approx(0.1, abs=0.01)


def test_few_failures_can_all_be_caught() -> None:
    true = np.full(40, 0.9)
    true[[3, 7]] = 0.1
    found = calibration(true, true)
    assert found.caught == found.possible == 1


def test_what_cannot_be_said_is_not_a_number() -> None:
    found = calibration([0.5, 0.5], [0.9, 0.8])
    assert np.isnan(found.spearman)
    assert np.isnan(found.caught)
    with pytest.raises(ValueError, match="1 predicted and 2 true"):
        calibration([0.5], [0.9, 0.8])
