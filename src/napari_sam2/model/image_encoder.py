"""Image encoder: a feature pyramid neck over the Hiera trunk (SAM 2, appendix D.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_sam2.model.config import HieraConfig
from napari_sam2.model.hiera import Hiera


class ImageEncoder(nn.Module):
    """Frames to maps at strides 16, 8 and 4.

    The stride 16 map is the sum of the third stage and the upsampled fourth; the finer maps
    are the second and first stage alone, and only the decoder uses them.
    """

    def __init__(self, trunk: HieraConfig, hidden: int) -> None:
        super().__init__()
        self.trunk = Hiera(trunk)
        self.lateral = nn.ModuleList(nn.Conv2d(width, hidden, 1) for width in self.trunk.widths)

    def forward(
        self, image_b3hw: Tensor, to_stride8: nn.Conv2d, to_stride4: nn.Conv2d
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps at strides 16, 8 and 4.

        Parameters
        ----------
        image_b3hw : normalised RGB.
        to_stride8, to_stride4 : the decoder's projections of the finer maps.
        """
        maps = self.trunk(image_b3hw)
        fine, middle, coarse, coarsest = self.lateral
        stride32 = coarsest(maps[3])
        # An odd number of tokens leaves the coarser map half a token short; `size` makes up for it.
        up = F.interpolate(stride32, size=maps[2].shape[-2:], mode="nearest")
        stride8 = _projected_twice(maps[1], middle, to_stride8)
        return coarse(maps[2]) + up, stride8, _projected_twice(maps[0], fine, to_stride4)


def _projected_twice(x_bchw: Tensor, first: nn.Module, second: nn.Conv2d) -> Tensor:
    """Apply two 1 x 1 convolutions as the one that they amount to.

    The wide map between them, the largest of all, is never made.
    """
    assert isinstance(first, nn.Conv2d)
    assert first.bias is not None
    assert second.bias is not None
    weight = second.weight.flatten(1)
    bias = torch.addmv(second.bias, weight, first.bias)
    return F.conv2d(x_bchw, (weight @ first.weight.flatten(1))[:, :, None, None], bias)
