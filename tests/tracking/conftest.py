"""The networks that sessions are tested with."""

from __future__ import annotations

import pytest

from napari_sam2.model.sam2 import SAM2
from tests.remembering import remembering
from tests.tracking.toy import toy_model


@pytest.fixture(scope="module")
def model() -> SAM2:
    """Random weights: tracks fast, finds nothing."""
    return remembering(toy_model())


@pytest.fixture
def micro(shared_micro: SAM2) -> SAM2:
    """The weights that are in the package: finds cells and follows them."""
    return shared_micro
