"""The network that tests share gives what the network gives, and one test nothing to another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.remembering import remembering
from tests.tracking.toy import a_session, disk, toy_model


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_it_answers_once_and_as_the_network_does(image) -> None:
    model, asked = toy_model(), []
    expected = model.encode_image(image)
    encode = model.encode_image
    model.encode_image = lambda x: asked.append(x) or encode(x)
    model = remembering(model)
    first = model.encode_image(image)
    torch.testing.assert_close(first.stride4, expected.stride4, rtol=0, atol=0)
    assert first.grid == expected.grid
    first.stride4.zero_()
    again = model.encode_image(image.clone())
    torch.testing.assert_close(again.stride4, expected.stride4, rtol=0, atol=0)
    assert len(asked) == 1
    image[0, 2, 63, 63] += 1e-6
    model.encode_image(image)
    model.encode_image(image.reshape(1, 3, 32, 128))
    assert len(asked) == 3


def test_what_it_has_no_room_for_is_computed_again(image, monkeypatch) -> None:
    monkeypatch.setattr("tests.remembering.ROOM", 0)
    model, asked = toy_model(), []
    encode = model.encode_image
    model.encode_image = lambda x: asked.append(x) or encode(x)
    model = remembering(model)
    with torch.inference_mode():
        model.encode_image(image)
        model.encode_image(image)
    assert len(asked) == 2


@pytest.mark.parametrize("attention", ["windowed", "exact"])
def test_sessions_are_the_same_with_it(attention) -> None:
    plain, shared = toy_model(), remembering(toy_model())
    found = []
    for model in (plain, shared, shared):
        session = a_session(model, attention)
        session.add_points(1, 3, [[30, 29]], [True])
        session.add_mask(2, 5, disk(40, 60, 8))
        list(session.propagate("both"))
        session.add_points(1, 6, [[30, 38], [10, 10]], [True, False])
        list(session.repair())
        found.append([session.result(t).labels for t in range(len(session.frames))])
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])
