"""How near the parts of whole-frame tracking are to what the processor can do.

1. One layer's attention over a full memory, against torch's fused kernel on projected values.
2. The image encoder's share of the rate at which the processor multiplies matrices.

Both with torch's products, as on most processors, and with oneDNN's, see `model/products.py`.
Everything in one process, in turns; writes its section of docs/performance.md.

    python benchmarks/parts.py [--quick] [--threads 2]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from _page import machine, write_section
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from napari_sam2.model.attention import Grids, attend, attend_to_grids
from napari_sam2.model.config import PUBLISHED
from napari_sam2.model.products import SWITCH, available, linear
from napari_sam2.model.sam2 import SAM2

TITLE = "## Parts of whole-frame tracking"
SIDE, QUERIES, KEYS, WIDTH, MEMORY = 64, 4096, 7 * 4096 + 64, 256, 64
MATRIX, SIZE = 2048, 1024


def best_of(turns: int, *functions: Callable[[], Any]) -> list[float]:
    """Seconds of each function, the best of some turns, each turn one call of every function."""
    found: list[list[float]] = [[] for _ in functions]
    for _ in range(turns + 1):  # the first warms up
        for times, function in zip(found, functions, strict=True):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return [min(times[1:]) for times in found]


def attention(turns: int) -> tuple[float, float]:
    """Seconds of ours, memories not projected, and of the fused kernel on projected ones."""
    q, raw, loose = torch.randn(1, QUERIES, WIDTH), torch.randn(1, KEYS, MEMORY), 7 * QUERIES
    columns, rows = torch.randn(2, 1, SIDE, MEMORY + 1, WIDTH // 2) / 8
    read, project = torch.randn(1, KEYS, MEMORY), torch.nn.Linear(MEMORY, WIDTH)
    placed = F.pad(raw[0, :loose], (0, 1), value=1.0).view(7, SIDE, SIDE, -1)
    left, right = (placed.transpose(1, 2) @ columns).transpose(1, 2), placed @ rows
    k = torch.cat([left, right], 3).view(1, loose, WIDTH)
    k = torch.cat([k, torch.randn(1, KEYS - loose, WIDTH)], 1)
    grids = Grids(raw, 7, columns, rows)

    def keys(some: slice, tokens: slice) -> Tensor:
        return k[some, tokens]

    def ours() -> Tensor:
        found = attend(q, keys, read) if available() else attend_to_grids(q, keys, read, grids)
        out: Tensor = project(found)
        return out

    def fused() -> Tensor:
        return F.scaled_dot_product_attention(q[:, None], k[:, None], project(read)[:, None])

    difference = float((ours() - fused()[:, 0]).abs().max())
    assert difference < 1e-4, difference
    first, second = best_of(turns, ours, fused)
    return first, second


def attention_flops(
    q_shape: list[int], k_shape: list[int], *rest: Any, out_shape: Any = None, **more: Any
) -> int:
    """Operations of q k' and of its product with the values."""
    n, heads, length, width = q_shape
    return 4 * n * heads * length * k_shape[2] * width


def operations(model: SAM2) -> int:
    """Operations of the encoder on a frame."""
    kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(display=False, custom_mapping={kernel: attention_flops})
    # With gradients the plain layers run, whose operations the counter knows.
    with torch.enable_grad(), counter:
        model.encode_image(torch.rand(1, 3, SIZE, SIZE))
    return int(counter.get_total_flops())


def encoder(model: SAM2, turns: int) -> tuple[float, float]:
    """Seconds of the encoder, and of multiplying matrices."""
    image, a = torch.rand(1, 3, SIZE, SIZE), torch.randn(MATRIX, MATRIX)
    encoding, multiplying = best_of(turns, lambda: model.encode_image(image), lambda: linear(a, a))
    return encoding, multiplying


def table(measured: dict[str, list[float]], count: int) -> list[str]:
    """Lay out what was measured, a column for each way of multiplying."""

    def row(what: str, form: str, values: Iterable[float]) -> str:
        return " | ".join([f"| {what}", *(format(value, form) for value in values)]) + " |"

    ours, fused, seconds, multiplying = zip(*measured.values(), strict=True)
    rates = [count / t for t in seconds]
    most = [2 * MATRIX**3 / t for t in multiplying]
    return [
        " | ".join(["| products by", *measured]) + " |",
        "|---" + "|---:" * len(measured) + "|",
        row("attention of one layer over a full memory, seconds", ".3f", ours),
        row("the same by torch's fused kernel, seconds", ".3f", fused),
        row("ratio", ".2f", [a / b for a, b in zip(ours, fused, strict=True)]),
        row(f"image encoder, tiny, {SIZE} px, seconds", ".2f", seconds),
        row("its rate, GFLOP/s", ".0f", [rate / 1e9 for rate in rates]),
        row(f"matrices of {MATRIX} x {MATRIX}, GFLOP/s", ".0f", [rate / 1e9 for rate in most]),
        row("share", ".0%", [a / b for a, b in zip(rates, most, strict=True)]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="once, no page written")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    turns = 1 if options.quick else 6
    model = SAM2(PUBLISHED["sam2.1_hiera_tiny"]).eval()
    count = operations(model)
    measured: dict[str, list[float]] = {}
    for name, switch in (("torch", "0"), ("oneDNN", "1")):
        os.environ[SWITCH] = switch
        available.cache_clear()
        if name == "oneDNN" and not available():
            continue
        with torch.inference_mode():
            measured[name] = [*attention(turns), *encoder(model, turns)]
    rows = table(measured, count)
    print("\n".join(rows))
    if not options.quick:
        words = [
            "`python benchmarks/parts.py`: float32 on the CPU, everything in one process and in",
            f"turns, the best of {turns}.",
        ]
        write_section(
            TITLE, "\n".join([TITLE, "", *words, "", *rows, "", machine(options.threads) + "."])
        )


if __name__ == "__main__":
    main()
