from __future__ import annotations

import errno
import hashlib
import io
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_sam2 import fetch, weights
from napari_sam2.model.checkpoint import CheckpointError
from napari_sam2.tracking.errors import InputError

CONTENT = np.random.default_rng(0).bytes(600_000)
NAME = "sam2.1_hiera_tiny"
FILE = f"{NAME}.pt"


@dataclass
class Mirror:
    """A server of one stand-in file, and the ways in which it misbehaves."""

    content: bytes = CONTENT
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)  # per request, bytes sent before a cut
    statuses: list[int] = field(default_factory=list)  # per request, errors sent instead
    before: Callable[[], None] = lambda: None
    asked: list[str | None] = field(default_factory=list)  # Range header of each request
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.asked.append(asked)
        self.before()
        if self.statuses:
            handler.send_error(self.statuses.pop(0))
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.ranges else 0
        size = len(self.content)
        if start >= size:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{size}")
            handler.end_headers()
            return
        handler.send_response(206 if asked and self.ranges else 200)
        handler.send_header("Content-Length", str(size - start))
        if asked and self.ranges:
            handler.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        handler.end_headers()
        body = self.content[start:]
        if self.cut_after:
            body = body[: self.cut_after.pop(0)]
        handler.wfile.write(body)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mirror]:
    state = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/sam/"
    monkeypatch.setenv("NAPARI_SAM2_BASE_URL", state.url)
    monkeypatch.setenv("NAPARI_SAM2_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch, "PAUSE_S", 0.001)
    expect(monkeypatch, CONTENT)
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def expect(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    entry = weights.Checkpoint(NAME, f"092824/{FILE}", hashlib.sha256(content).hexdigest(), 600_000)
    monkeypatch.setitem(weights.REGISTRY, NAME, entry)


def part() -> Path:
    return weights.cache_folder() / f"{FILE}.part"


def test_registry_names_the_eight_published_checkpoints() -> None:
    from napari_sam2.model.config import PUBLISHED

    assert set(weights.REGISTRY) == set(PUBLISHED)
    for name, entry in weights.REGISTRY.items():
        assert len(entry.sha256) == 64
        assert entry.url("http://mirror").endswith(f"824/{name}.pt")
    url = weights.REGISTRY["sam2_hiera_large"].url(weights.BASE_URL)
    assert url == ("https://dl.fbaipublicfiles.com/segment_anything_2/072824/sam2_hiera_large.pt")


def test_download_reports_progress_and_the_second_asks_nothing(mirror: Mirror) -> None:
    seen: list[tuple[int, int | None]] = []
    path = weights.download(NAME, progress=lambda have, total: seen.append((have, total)))
    assert path == weights.cache_folder() / FILE
    assert path.read_bytes() == CONTENT
    assert seen[0] == (0, 600_000)
    assert seen[-1] == (600_000, 600_000)
    assert seen == sorted(seen)
    assert not part().exists()
    assert mirror.asked == [None]
    assert weights.download(NAME) == path
    assert len(mirror.asked) == 1


def test_a_parameter_beats_the_environment_as_mirror(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_SAM2_BASE_URL", "http://127.0.0.1:1/")
    assert weights.download(NAME, base_url=mirror.url).read_bytes() == CONTENT


def test_a_cut_connection_is_continued_where_it_stopped(mirror: Mirror) -> None:
    mirror.cut_after = [300_000, 100_000]
    assert weights.download(NAME).read_bytes() == CONTENT
    assert mirror.asked == [None, "bytes=300000-", "bytes=400000-"]


def test_retries_end_and_the_next_call_continues(mirror: Mirror) -> None:
    mirror.cut_after = [50_000] * fetch.ATTEMPTS
    with pytest.raises(weights.DownloadError, match=r"cut after 0.2 MB.*kept and continued"):
        weights.download(NAME)
    assert len(mirror.asked) == fetch.ATTEMPTS
    assert part().stat().st_size == 50_000 * fetch.ATTEMPTS
    assert weights.download(NAME).read_bytes() == CONTENT
    assert mirror.asked[-1] == "bytes=250000-"


def test_a_server_that_ignores_ranges_sends_it_all_again(mirror: Mirror) -> None:
    mirror.ranges = False
    mirror.cut_after = [300_000]
    assert weights.download(NAME).read_bytes() == CONTENT
    assert mirror.asked == [None, "bytes=300000-"]


@pytest.mark.parametrize(("left", "requests"), [(CONTENT, 1), (CONTENT + b"more", 2), (b"", 1)])
def test_partial_files_that_are_complete_too_long_or_empty(
    mirror: Mirror, left: bytes, requests: int
) -> None:
    part().parent.mkdir()
    part().write_bytes(left)
    assert weights.download(NAME).read_bytes() == CONTENT
    assert len(mirror.asked) == requests


def test_a_wrong_hash_is_said_and_leaves_nothing(mirror: Mirror) -> None:
    mirror.content = b"<html>log in to the hospital network</html>"
    with pytest.raises(weights.DownloadError, match=r"SHA-256 .* removed"):
        weights.download(NAME)
    assert [p.suffix for p in weights.cache_folder().iterdir()] in ([], [".lock"])


def test_a_missing_file_is_not_asked_for_again(mirror: Mirror) -> None:
    mirror.statuses = [404]
    with pytest.raises(weights.DownloadError, match="404 Not Found"):
        weights.download(NAME)
    assert len(mirror.asked) == 1


def test_a_busy_server_is_asked_again(mirror: Mirror) -> None:
    mirror.statuses = [503, 429]
    assert weights.download(NAME).read_bytes() == CONTENT
    assert len(mirror.asked) == 3


def test_without_a_network_it_says_how_to_place_the_file(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("NAPARI_SAM2_BASE_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(weights.DownloadError) as caught:
        weights.download(NAME)
    message = str(caught.value)
    assert f"http://127.0.0.1:{port}/092824/{FILE}" in message
    assert f"into {weights.cache_folder()} as {FILE}" in message
    assert "refused" in message
    assert "\n" not in message
    weights.cache_folder().joinpath(FILE).write_bytes(CONTENT)
    assert weights.download(NAME).read_bytes() == CONTENT
    assert mirror.asked == []


def test_an_address_that_is_none_is_an_error(mirror: Mirror) -> None:
    with pytest.raises(weights.DownloadError, match="correct the address"):
        weights.download(NAME, base_url="no address")


def test_cancelling_keeps_the_part_for_the_next_time(mirror: Mirror) -> None:
    class Cancelled(Exception):
        pass

    def cancel(have: int, total: int | None) -> None:
        if have:
            raise Cancelled

    with pytest.raises(Cancelled):
        weights.download(NAME, progress=cancel)
    kept = part().stat().st_size
    assert 0 < kept < len(CONTENT)
    assert weights.download(NAME).read_bytes() == CONTENT
    assert mirror.asked == [None, f"bytes={kept}-"]


def test_a_full_disk_is_said(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, block: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch, "_open", lambda *_: Full())
    with pytest.raises(weights.DownloadError, match="no space left on the disk"):
        weights.download(NAME)


def test_a_disk_that_is_too_small_is_said_before_the_download(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(weights.DownloadError, match="NAPARI_SAM2_CACHE to another folder"):
        weights.download(NAME)
    assert not part().exists()


def test_a_cache_folder_that_cannot_be_made_is_said(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NAPARI_SAM2_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(weights.DownloadError, match=r"cannot write .*NAPARI_SAM2_CACHE"):
        weights.download(NAME)


def test_two_at_once_download_once(mirror: Mirror) -> None:
    both_started = threading.Event()
    mirror.before = lambda: both_started.wait(5)
    waited: list[int] = []

    def second(have: int, total: int | None) -> None:
        waited.append(have)
        both_started.set()

    paths: list[Path] = []
    threads = [
        threading.Thread(target=lambda p=p: paths.append(weights.download(NAME, p)))
        for p in (None, second)
    ]
    for thread in threads:
        thread.start()
        threading.Event().wait(0.05)
    for thread in threads:
        thread.join(10)
    assert len(paths) == 2
    assert waited
    assert mirror.asked == [None]
    assert paths[0].read_bytes() == CONTENT


def test_unknown_names_list_the_known_and_the_close(tmp_path: Path) -> None:
    with pytest.raises(weights.UnknownModelError, match=r"did you mean .*sam2.1_hiera_tiny") as e:
        weights.load_model("sam2.1_tiny")
    assert isinstance(e.value, InputError)
    assert all(name in str(e.value) for name in ("micro", *weights.REGISTRY))
    with pytest.raises(weights.UnknownModelError):
        weights.download("nothing like it")
    with pytest.raises(weights.UnknownModelError, match="no checkpoint at"):
        weights.load_model(tmp_path / "mine.pt")
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(InputError, match="is no checkpoint"):
        weights.load_model(tmp_path / "mine.txt")


def test_devices() -> None:
    assert weights.pick_device("cpu") == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert weights.pick_device("auto").type in (expected, "mps")
    for missing in ("cuda:99", "toaster", "xpu"):
        with pytest.raises(InputError, match=r"use auto"):
            weights.pick_device(missing)


def test_of_several_gpus_only_those_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert weights.pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(InputError, match="no device 'cuda:2'"):
        weights.pick_device("cuda:2")


@pytest.fixture
def tiny_file(tmp_path: Path) -> Path:
    from napari_sam2.model.checkpoint import save_model
    from napari_sam2.model.config import MICRO
    from napari_sam2.model.sam2 import SAM2

    torch.manual_seed(0)
    path = tmp_path / "own.safetensors"
    save_model(SAM2(MICRO), path, recipe={"seed": 0})
    return path


def test_loads_by_path_and_by_name(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tiny_file: Path
) -> None:
    assert weights.load_model(tiny_file, device="cpu").device == torch.device("cpu")
    assert weights.load_model(str(tiny_file), device="cpu").config.name == "micro"

    mirror.content = tiny_file.read_bytes()
    entry = weights.Checkpoint(
        NAME, "092824/tiny.safetensors", weights.verify(tiny_file).sha256, len(mirror.content)
    )
    monkeypatch.setitem(weights.REGISTRY, NAME, entry)
    seen: list[int] = []
    model = weights.load_model(NAME, "cpu", progress=lambda have, total: seen.append(have))
    assert seen[-1] == len(mirror.content)
    assert not any(p.requires_grad for p in model.parameters())
    (info,) = [m for m in weights.available_models() if m.name == NAME]
    assert info.downloaded
    assert info.size == len(mirror.content)
    assert weights.verify(info.location) == weights.Verified(entry.sha256, NAME)


def test_half_precision_is_as_asked_for() -> None:
    assert not weights.load_model("micro", device="cpu").half_precision
    assert weights.load_model("micro", device="cpu", half=True).half_precision


def test_a_file_placed_by_hand_must_be_the_right_one(mirror: Mirror) -> None:
    path = weights.cache_folder() / FILE
    path.parent.mkdir()
    path.write_bytes(CONTENT[:1000])
    with pytest.raises(InputError, match=r"damaged or not the official"):
        weights.load_model(NAME)
    assert path.exists()
    assert mirror.asked == []


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    for name in ("mine.pt", "mine.safetensors"):
        (tmp_path / name).write_bytes(CONTENT[:1000])
        with pytest.raises(CheckpointError, match="damaged"):
            weights.load_model(tmp_path / name)


def test_suffixes_may_be_in_capitals(tiny_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "MINE.SAFETENSORS"
    path.write_bytes(tiny_file.read_bytes())
    assert weights.load_model(path).config.name == weights.load_model(tiny_file).config.name


def test_verify(tmp_path: Path) -> None:
    (tmp_path / "mine.pt").write_bytes(b"abc")
    assert weights.verify(tmp_path / "mine.pt").name is None
    with pytest.raises(InputError, match="no file at"):
        weights.verify(tmp_path / "other.pt")


def test_the_embedded_model_comes_first_and_loads() -> None:
    first = weights.available_models()[0]
    assert (first.name, first.embedded) == ("micro", True)
    assert first.downloaded
    assert weights.load_model().config.name == "micro"
    assert weights.download("micro") == first.location
    assert weights.verify(first.location).name == "micro"
