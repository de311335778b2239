"""Checkpoints: official names, strict loading, nothing executed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import Tensor

from napari_sam2.model import checkpoint
from napari_sam2.model.checkpoint import (
    CheckpointError,
    build_model,
    load_official,
    official_state,
    read_checkpoint,
    read_recipe,
    recognise,
    save_model,
    to_official,
    to_ours,
)
from napari_sam2.model.config import MICRO, PUBLISHED, HieraConfig, ModelConfig
from napari_sam2.model.sam2 import SAM2

KEYS = Path(__file__).parents[1] / "contracts" / "official_keys.json"
SMALL = ModelConfig(
    name="toy",
    trunk=HieraConfig(8, 1, (1, 1, 1, 1), (2,), (8, 4, 8, 4), (7, 7)),
    hidden=32,
    memory=8,
    memory_layers=1,
    memory_feedforward=32,
    decoder_feedforward=32,
    iou_hidden=16,
)


@functools.cache
def on_meta(name: str) -> SAM2:
    with torch.device("meta"):
        return SAM2(PUBLISHED[name])


def small_model(config: ModelConfig = SMALL) -> SAM2:
    torch.manual_seed(0)
    return SAM2(config).eval()


@pytest.fixture
def published_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a small network one of the published variants."""
    monkeypatch.setitem(PUBLISHED, SMALL.name, SMALL)


def shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_official_names_are_kept(name: str) -> None:
    found = sorted(shapes(official_state(on_meta(name))).items())
    text = "\n".join(f"{key} {'x'.join(map(str, shape))}" for key, shape in found)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert {"tensors": len(found), "sha256": digest} == json.loads(KEYS.read_text())[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_names_and_shapes_are_those_of_the_reference(name: str) -> None:
    pytest.importorskip("sam2", reason="the reference implementation is not installed")
    from hydra import compose
    from hydra.utils import instantiate

    family, _, size = name.split("_", 2)
    letters = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
    config = compose(config_name=f"configs/{family}/{family}_hiera_{letters[size]}.yaml")
    # The reference reads numbers back from a tensor while it is built.
    on_cpu = functools.partial(torch.linspace, device="cpu")
    with torch.device("meta"), mock.patch.object(torch, "linspace", on_cpu):
        reference = instantiate(config.model, _recursive_=True)
    assert shapes(official_state(on_meta(name))) == shapes(reference.state_dict())


@pytest.mark.parametrize("name", PUBLISHED)
def test_variant_is_recognised_from_the_weights(name: str) -> None:
    assert recognise(official_state(on_meta(name))) is PUBLISHED[name]


@pytest.mark.parametrize("name", ["sam2_hiera_base_plus", "sam2.1_hiera_large"])
def test_names_translate_both_ways(name: str) -> None:
    ours = list(on_meta(name).state_dict())
    assert [to_ours(to_official(key)) for key in ours] == ours
    assert len({to_official(key) for key in ours}) == len(ours)


def test_unknown_weights_are_not_guessed_at() -> None:
    with pytest.raises(CheckpointError, match="not a SAM 2 checkpoint"):
        recognise({"layer1.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="8 channels wide with 4 blocks"):
        recognise(official_state(small_model()))


def test_missing_extra_and_wrong_tensors_are_named() -> None:
    model = small_model()
    state = official_state(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    del state["obj_ptr_proj.layers.1.bias"]
    state["obj_ptr_proj.layers.9.bias"] = torch.zeros(3)
    state["no_mem_embed"] = torch.zeros(1, 1, 7)
    with pytest.raises(CheckpointError) as caught:
        load_official(model, state)
    message = str(caught.value)
    assert "missing: obj_ptr_proj.layers.1.bias" in message
    assert "not expected: obj_ptr_proj.layers.9.bias" in message
    assert "wrong shape: no_mem_embed is (1, 1, 7), should be (1, 1, 32)" in message
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    model = small_model()
    state = {name: part.clone() for name, part in official_state(model).items()}
    state["no_mem_embed"].view(-1)[3] = value
    with pytest.raises(CheckpointError, match=r"NaN or infinite in no_mem_embed$"):
        load_official(model, state)
    state["no_obj_ptr"].fill_(value)
    with pytest.raises(CheckpointError, match=r"in no_.* and 1 more"):
        load_official(model, state)
    assert all(part.isfinite().all() for part in model.state_dict().values())


def test_many_faults_are_counted() -> None:
    model = small_model()
    with pytest.raises(CheckpointError, match=r"and \d{2,} more"):
        load_official(model, {})


def test_the_other_family_does_not_fit() -> None:
    older = dataclasses.replace(SMALL, pointer_times=False, absent_embedding=False)
    with pytest.raises(CheckpointError, match=r"missing: .*obj_ptr_tpos_proj"):
        load_official(small_model(), official_state(small_model(older)))


@pytest.mark.usefixtures("published_small")
@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_official_files_are_read(tmp_path: Path, wrapped: bool, dtype: torch.dtype) -> None:
    state = {name: value.to(dtype) for name, value in official_state(small_model()).items()}
    path = tmp_path / "toy.pt"
    torch.save({"model": state} if wrapped else state, path)
    model = build_model(path)
    assert model.config is SMALL
    assert not model.training
    loaded = official_state(model)
    assert all(value.dtype == torch.float32 for value in loaded.values())
    assert all(torch.equal(loaded[name], value.float()) for name, value in state.items())


@pytest.mark.parametrize("half", [True, False])
def test_own_files_come_back(tmp_path: Path, half: bool) -> None:
    config = dataclasses.replace(SMALL, name="mine", image_size=512, input_range=(64, 256))
    model, path = small_model(config), tmp_path / "mine.safetensors"
    save_model(model, path, recipe={"seed": 3, "steps": 10}, half=half)
    again = build_model(path)
    assert again.config == config
    assert read_recipe(path) == {"seed": 3, "steps": 10}
    for name, value in model.state_dict().items():
        kept = value.half().float() if half else value
        assert torch.equal(again.state_dict()[name], kept), name
    with torch.inference_mode():
        image = torch.randn(1, 3, 64, 96)
        difference = again.encode_image(image).stride16 - model.encode_image(image).stride16
    assert difference.abs().max() < (1e-2 if half else 1e-7)


def test_configurations_survive_json() -> None:
    for config in (MICRO, SMALL, *PUBLISHED.values()):
        assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_own_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "later.safetensors"
    later = SMALL.to_dict() | {"telepathy": True}
    with mock.patch.object(ModelConfig, "to_dict", return_value=later):
        save_model(small_model(), path, recipe={})
    with pytest.raises(CheckpointError, match=r"later\.safetensors names a variant"):
        build_model(path)


class _Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    path, sprung = tmp_path / "trap.pt", tmp_path / "sprung"
    torch.save({"model": {"x": torch.zeros(1)}, "optimizer": _Trap(sprung)}, path)
    with pytest.raises(CheckpointError, match="not read for safety"):
        read_checkpoint(path)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"a": 1}},
        {"model": {}},
        {"model": torch.zeros(2)},
        {"epoch": 3},
        [torch.zeros(1)],
        torch.zeros(3),
    ],
)
def test_files_without_weights(tmp_path: Path, content: object) -> None:
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"other\.pt holds no weights under 'model'"):
        read_checkpoint(path)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04 cut off", b"\0" * 64])
def test_damaged_files(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="broken"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"hi\n", b".", b"G12"])
def test_files_that_are_no_pickles(tmp_path: Path, content: bytes) -> None:
    """What torch raises depends on their bytes: here KeyError, IndexError and struct.error."""
    path = tmp_path / "text.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged, or holds more"):
        read_checkpoint(path)


@pytest.mark.parametrize("error", [MemoryError(), PermissionError(13, "Permission denied")])
def test_what_the_file_is_not_to_blame_for_passes(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "own.pt").write_bytes(b"x")
    with (
        mock.patch.object(torch, "load", side_effect=error),
        pytest.raises(type(error)),
    ):
        read_checkpoint(tmp_path / "own.pt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_cut_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    state = official_state(small_model())
    if suffix == ".pt":
        torch.save({"model": state}, path)
    else:
        checkpoint.save_file(state, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="cut"):
        read_checkpoint(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        read_checkpoint(tmp_path / "nowhere.pt")
