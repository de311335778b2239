"""A GPU gives what a CPU gives: float32 to rounding, bfloat16 closely."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from napari_sam2 import Frames, TrackingPolicy, TrackingSession, load_model
from napari_sam2.model.config import PUBLISHED
from napari_sam2.model.precision import halved
from napari_sam2.model.sam2 import SAM2
from napari_sam2.sample_data import sample_timelapse
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.training.fit import TrainConfig, train
from tests.tracking.toy import TOY, toy_model
from tests.training.test_learning import SMALL

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
GPU = "cuda"
FRAMES = 6


@pytest.fixture(scope="module")
def sample():
    return sample_timelapse(FRAMES)


@pytest.fixture
def exact_convolutions(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Mean IoU of all objects and frames of two label stacks."""
    found = []
    for one, other in zip(a, b, strict=True):
        for i in set(np.unique(one)) | set(np.unique(other)) - {0}:
            mine, theirs = one == i, other == i
            if i:
                found.append((mine & theirs).sum() / (mine | theirs).sum())
    return float(np.mean(found))


def started(model, sample, policy=None) -> TrackingSession:
    images, labels = sample
    session = TrackingSession(model, Frames(images), policy)
    for i in [int(i) for i in np.unique(labels[0])[1:7]]:
        session.add_mask(i, 0, labels[0] == i)
    return session


def followed(model, sample, policy=None) -> np.ndarray:
    session = started(model, sample, policy)
    return np.stack([result.labels for result in session.propagate("forward")])


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found.cpu().float() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("half", "bound"), [(False, 1e-4), (True, 3e-2)])
@pytest.mark.parametrize("name", ["toy", "sam2.1_hiera_tiny"])
@torch.inference_mode()
def test_verbs_agree_with_the_cpu(exact_convolutions, name, half, bound):
    if name == "toy":
        model, size = toy_model(), 128
    else:
        torch.manual_seed(0)
        model, size = SAM2(PUBLISHED[name]).eval(), 1024
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))

    def run(device: str) -> list[torch.Tensor]:
        model.to(device)
        model.half_precision = half
        features = model.encode_image(images.to(device))
        conditioned = model.recall(features, None)
        output, pointers = model.decode_all(conditioned, features, None)
        memory = model.memorize(features, output.logits[:, 0], output.object_score)
        return [features.stride16, features.stride4, output.logits, pointers, memory.features]

    wanted = [x.clone() for x in run("cpu")]
    found = run(GPU)
    assert max(relative(a, b) for a, b in zip(found, wanted, strict=True)) < bound
    assert found[2].dtype == torch.float32


@pytest.mark.parametrize(("half", "least"), [(False, 0.995), (True, 0.97)])
def test_masklets_agree_with_the_cpu(sample, half, least):
    on_cpu = followed(load_model(device="cpu"), sample)
    on_gpu = followed(load_model(device=GPU, half=half), sample)
    assert overlap(on_gpu, on_cpu) > least


def test_whole_frames_agree_with_the_cpu(sample):
    policy = TrackingPolicy(attention="exact")
    on_cpu = followed(load_model(device="cpu"), sample, policy)
    on_gpu = followed(load_model(device=GPU, half=True), sample, policy)
    assert overlap(on_gpu, on_cpu) > 0.97


def test_auto_is_the_gpu_and_half_is_used_where_it_can_be():
    assert load_model().device.type == "cuda"
    model = load_model(half=True)
    with torch.inference_mode():
        stride8 = model.encode_image(torch.zeros(1, 3, 64, 64, device=GPU)).stride8
    assert (stride8.dtype == torch.bfloat16) == halved(model.device)


def test_clicks_corrections_and_repair(sample):
    images, labels = sample
    session = TrackingSession(load_model(device=GPU), Frames(images))
    wanted = int(np.unique(labels[0])[1])
    centre = np.argwhere(labels[0] == wanted).mean(axis=0)
    preview = session.add_points(1, 0, [centre], [True])
    assert preview.mask.any()
    before = np.stack([r.labels for r in session.propagate()])
    there = np.argwhere(before[3] == 1)
    session.add_points(1, 3, [there[0]], [False])
    assert session.stale_frames()
    assert [r.frame for r in session.repair()]
    assert not session.stale_frames()
    *_, last = session.segment_everything(0, most=20)
    assert len(last.cells) >= 5


def test_a_session_goes_on_from_where_it_was_packed(sample):
    session = started(load_model(device=GPU), sample)
    wanted = [r.labels for r in session.propagate("forward")]
    other = TrackingSession(load_model(device=GPU), Frames(sample[0]))
    other.unpack(dict(session.packed(session.object_ids)))
    assert all((other.result(t).labels == wanted[t]).all() for t in range(FRAMES))
    last = FRAMES - 1
    (again,) = list(other.propagate("forward", start=last))
    assert overlap(again.labels[None], wanted[last][None]) > 0.97


def test_encodings_on_disk_serve_again(sample, tmp_path):
    policy = TrackingPolicy(attention="exact", encodings=tmp_path)
    first = followed(load_model(device=GPU), sample, policy)
    model = load_model(device=GPU)
    made, encode = [], model.encode_image
    model.encode_image = lambda images: made.append(len(images)) or encode(images)
    again = followed(model, sample, policy)
    assert not made
    assert overlap(again, first) > 0.97


@pytest.mark.filterwarnings("ignore:out of memory")
def test_little_memory_costs_time_but_no_masks(sample):
    wanted = followed(load_model(device=GPU), sample)
    model = load_model(device=GPU)
    predict, refused = model.predict_masks, []

    def stingy(conditioned, features, prompts):
        if len(conditioned) > 2:
            refused.append(len(conditioned))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return predict(conditioned, features, prompts)

    model.predict_masks = stingy
    found = followed(model, sample)
    assert refused
    assert overlap(found, wanted) > 0.97


def test_without_any_gpu_memory_the_cpu_goes_on(sample):
    model = load_model(device=GPU)
    memorize = model.memorize

    def full(features, *args, **kwargs):
        if features.stride16.device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return memorize(features, *args, **kwargs)

    model.memorize = full
    with pytest.warns(RuntimeWarning, match="going on with the CPU"):
        found = followed(model, sample)
    assert overlap(found, followed(load_model(device="cpu"), sample)) > 0.97


@pytest.mark.filterwarnings("ignore:out of memory")
@pytest.mark.parametrize("since", [1, 2, 3])
@pytest.mark.parametrize("boxed", [False, True])
def test_the_cpu_goes_on_within_an_answer(sample, boxed, since):
    """The parts that were computed before are put together with those that come after."""
    model = load_model(device=GPU)
    recall, asked = model.recall, []

    def full(features, *args, **kwargs):
        if features.stride16.device.type == "cuda":
            asked.append(features)
            if len(asked) >= since:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return recall(features, *args, **kwargs)

    model.recall = full
    images, labels = sample
    session = TrackingSession(model, Frames(images))
    ys, xs = np.nonzero(labels[0] == 1)
    if boxed:
        session.add_box(1, 0, [[ys.min(), xs.min()], [ys.max() + 1, xs.max() + 1]])
    else:
        session.add_points(1, 0, [[ys.mean(), xs.mean()]], [True])
    session.add_points(1, 0, [[ys.max() + 9, xs.max() + 9]], [False])
    assert model.device.type == "cpu"
    assert (session.result(0).labels == 1)[labels[0] == 1].mean() > 0.7


@pytest.mark.filterwarnings("ignore:out of memory")
def test_a_real_shortage_of_memory_is_survived(sample):
    model = load_model(device=GPU)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    held = torch.cuda.memory_reserved()
    policy = TrackingPolicy(batch_tokens=1 << 20)
    try:
        torch.cuda.set_per_process_memory_fraction((held + (48 << 20)) / total)
        found = followed(model, sample, policy)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert overlap(found, followed(load_model(device=GPU), sample)) > 0.95


def test_training_runs_and_resumes(tmp_path):
    config = TrainConfig(
        out=tmp_path, steps=4, warm_images=2, clip_share=1.0, warmup=1, workers=0, save_every=2,
        batch=dataclasses.replace(SMALL, times=2), model=TOY, device=GPU,
    )  # fmt: skip
    losses: list[float] = []
    train(config, lambda line: losses.append(line["loss"]))
    assert np.isfinite(losses).all()
    longer = dataclasses.replace(config, steps=6, resume=True)
    assert train(longer).is_file()


def test_many_objects_stay_apart(sample):
    images, labels = sample
    session = TrackingSession(load_model(device=GPU), Frames(images))
    ids = [int(i) for i in np.unique(labels[0])[1:]]
    session.add_prompts({i: {0: Prompt(mask=labels[0] == i)} for i in ids})
    results = list(session.propagate("forward"))
    assert overlap(results[1].labels[None], labels[1:2] * np.isin(labels[1:2], ids)) > 0.8
