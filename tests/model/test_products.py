"""Products by oneDNN are those of torch, and torch's own wherever they should be."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from napari_sam2.model import products
from napari_sam2.model.products import Linear, linear
from tests.ways import multiplied_by

ACTIVATIONS = {"none": lambda x: x, "relu": F.relu, "gelu": F.gelu}


def test_small_products_are_left_to_torch(monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", None)
    with multiplied_by("torch"), torch.inference_mode():
        monkeypatch.setattr(products, "pays", lambda x: True)
        x, weight = torch.randn(8, 16), torch.randn(4, 16)
        assert torch.equal(linear(x, weight), F.linear(x, weight))


@pytest.fixture
def onednn(monkeypatch):
    monkeypatch.setattr(products, "_LEAST", 0)
    with multiplied_by("oneDNN") as there, torch.inference_mode():
        if not there:
            pytest.skip("this torch has no products by oneDNN")
        yield


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(7, 12), (2, 5, 12), (1, 3, 4, 12), (0, 12), (1, 12)])
def test_products_are_those_of_torch(onednn, shape, activation):
    x, weight, bias = torch.randn(shape), torch.randn(9, 12), torch.randn(9)
    wanted = ACTIVATIONS[activation](F.linear(x, weight, bias))
    torch.testing.assert_close(linear(x, weight, bias, activation), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(linear(x, weight), F.linear(x, weight), rtol=1e-5, atol=1e-5)


def test_what_has_gaps_is_copied_first(onednn, monkeypatch):
    seen: list[torch.Tensor] = []
    plain = torch.ops.mkldnn._linear_pointwise

    def watched(x, weight, *rest):
        seen.extend([x, weight])
        return plain(x, weight, *rest)

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", watched)
    wide = torch.randn(20, 30)
    for x, weight in [
        (wide[:, :12], wide[:8, 5:17]),
        (wide.t()[:12].t(), wide[:12].t()),
        (torch.randn(4, 12, 6).transpose(1, 2), torch.randn(1, 12).expand(5, -1)),
    ]:
        seen.clear()
        torch.testing.assert_close(linear(x, weight), F.linear(x, weight), rtol=1e-5, atol=1e-5)
        assert all(part.is_contiguous() or part.t().is_contiguous() for part in seen)


def test_only_inference_in_single_precision_on_a_cpu_is_concerned(onednn):
    assert products.pays(torch.randn(2, 3))
    assert not products.pays(torch.randn(2, 3).double())
    assert not products.pays(torch.randn(2, 3, device="meta"))
    with torch.inference_mode(False), torch.enable_grad():
        layer = Linear(3, 4)
        layer(torch.randn(2, 3)).sum().backward()
        assert layer.weight.grad is not None


@pytest.mark.parametrize("broken", ["missing", "raises", "wrong"])
def test_torch_takes_over_where_its_product_by_onednn_is_not_what_it_was(monkeypatch, broken):
    def gone(*_):
        raise {"missing": AttributeError, "raises": RuntimeError}[broken]("no such thing")

    fake = (lambda x, weight, *_: torch.zeros(len(x), len(weight))) if broken == "wrong" else gone
    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", fake, raising=False)
    with multiplied_by("oneDNN") as there, torch.inference_mode():
        assert not there
        x, weight = torch.randn(5, 6), torch.randn(3, 6)
        assert torch.equal(linear(x, weight, None, "relu"), F.relu(F.linear(x, weight)))


@pytest.mark.parametrize(
    ("maker", "said", "used"),
    [
        ("AuthenticAMD", None, True),
        ("GenuineIntel", None, False),
        ("AuthenticAMD", "0", False),
        ("GenuineIntel", "1", True),
        ("", "yes", False),
    ],
)
def test_the_processor_decides_or_the_user(onednn, monkeypatch, maker, said, used):
    monkeypatch.setattr(products, "_maker", lambda: maker)
    monkeypatch.delenv(products.SWITCH)
    if said is not None:
        monkeypatch.setenv(products.SWITCH, said)
    products.available.cache_clear()
    assert products.available() == used


@pytest.mark.parametrize(
    ("system", "name", "text", "maker"),
    [
        ("Linux", "", "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t: x\n", "AuthenticAMD"),
        ("Linux", "x86_64", "vendor_id\t: GenuineIntel\n", "GenuineIntel"),
        ("Linux", "aarch64", "CPU implementer\t: 0x41\n", ""),
        ("Linux", "", None, ""),
        ("Darwin", "arm", None, ""),
        ("Windows", "AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD", None, "AuthenticAMD"),
        ("Windows", "Intel64 Family 6 Model 142 Stepping 12, GenuineIntel", None, "GenuineIntel"),
        ("Windows", "", None, ""),
    ],
)
def test_the_maker_of_the_processor(monkeypatch, system, name, text, maker):
    def read(self, **_):
        if text is None:
            raise FileNotFoundError(self)
        return text

    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "processor", lambda: name)
    monkeypatch.setattr(Path, "read_text", read)
    assert products._maker() == maker
