"""Image encoder: a feature pyramid neck over the Hiera trunk (SAM 2, appendix D.1)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.config import HieraConfig
from napari_sam2.model.hiera import Hiera


class ImageEncoder(nn.Module):
    """Frames to maps at strides 16, 8 and 4.

    The stride 16 map is the sum of the third stage and the upsampled fourth; the finer maps
    are the second and first stage alone.
    """

    def __init__(self, trunk: HieraConfig, hidden: int) -> None:
        super().__init__()
        self.trunk = Hiera(trunk)
        self.lateral = nn.ModuleList(nn.Conv2d(width, hidden, 1) for width in self.trunk.widths)

    def forward(self, image_b3hw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps at strides 16, 8 and 4, each with `hidden` channels."""
        maps = self.trunk(image_b3hw)
        stride4, stride8, stride16, stride32 = (
            conv(x) for conv, x in zip(self.lateral, maps, strict=True)
        )
        # An odd number of tokens leaves the coarser map half a token short; `size` makes up for it.
        stride16 = stride16 + F.interpolate(stride32, size=stride16.shape[-2:], mode="nearest")
        return stride16, stride8, stride4
