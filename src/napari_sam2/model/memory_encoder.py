"""Memory encoder: a mask and the frame it lies on, fused into a memory (SAM 2, appendix D.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_sam2.model.layers import LayerNorm2d, in_parts
from napari_sam2.model.products import Linear


class MaskDownsampler(nn.Sequential):
    """Convolutions that take a mask from full resolution to stride 16."""

    def __init__(self, hidden: int) -> None:
        layers: list[nn.Module] = []
        channels = 1
        for _ in range(4):
            conv = nn.Conv2d(channels, 4 * channels, kernel_size=3, stride=2, padding=1)
            channels *= 4
            layers += [conv, LayerNorm2d(channels), nn.GELU()]
        super().__init__(*layers, nn.Conv2d(channels, hidden, kernel_size=1))


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution and a pointwise MLP, scaled per channel (Liu et al. 2022)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, kernel_size=7, padding=3, groups=width)
        self.norm = LayerNorm2d(width)
        self.pwconv1 = Linear(width, 4 * width)
        self.act = nn.GELU()
        self.pwconv2 = Linear(4 * width, width)
        self.gamma = nn.Parameter(1e-6 * torch.ones(width))

    def forward(self, x_nchw: Tensor) -> Tensor:
        """Return a map of the same shape."""
        y = self.norm(self.dwconv(x_nchw)).permute(0, 2, 3, 1)
        y = in_parts(self._mixed, y.flatten(0, 2), self.pwconv1.out_features).view_as(y)
        out: Tensor = x_nchw + y.permute(0, 3, 1, 2)
        return out

    def _mixed(self, y_nc: Tensor) -> Tensor:
        out: Tensor = self.gamma * self.pwconv2(self.act(self.pwconv1(y_nc)))
        return out


class MemoryEncoder(nn.Module):
    """Frame (N, C, h, w) and scaled mask (N, 1, 16 h, 16 w) -> memory (N, Cm, h, w)."""

    def __init__(self, hidden: int, memory: int) -> None:
        super().__init__()
        self.mask_downsampler = MaskDownsampler(hidden)
        self.pix_feat_proj = nn.Conv2d(hidden, hidden, kernel_size=1)
        self.fuser = nn.ModuleList(ConvNeXtBlock(hidden) for _ in range(2))
        self.out_proj = nn.Conv2d(hidden, memory, kernel_size=1)

    def forward(self, frame_nchw: Tensor, mask_n1hw: Tensor) -> Tensor:
        """Return the memory."""
        masks = in_parts(self.mask_downsampler, mask_n1hw, mask_n1hw[0].numel())
        x = self.pix_feat_proj(frame_nchw) + masks
        for block in self.fuser:
            x = block(x)
        out: Tensor = self.out_proj(x)
        return out
