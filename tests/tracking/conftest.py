"""The networks that sessions are tested with."""

from __future__ import annotations

import pytest

from napari_sam2.model.sam2 import SAM2
from napari_sam2.weights import load_model
from tests.remembering import remembering
from tests.tracking.toy import toy_model


@pytest.fixture(scope="module")
def model() -> SAM2:
    """Random weights: tracks fast, finds nothing."""
    return remembering(toy_model())


@pytest.fixture(scope="module")
def micro() -> SAM2:
    """The weights that are in the package: finds cells and follows them."""
    return remembering(load_model("micro", device="cpu"))
