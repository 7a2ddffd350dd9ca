"""The plain 3D U-Net that RepMode collapses to for one task.

Merged kernels, with batch norm folded in: the same function as `RepMode` in evaluation for that task, at the cost of
an ordinary network. Its weights come from `RepMode.specialise`.
"""

import torch
from torch import Tensor, nn


class UNet(nn.Module):
    """A 3D U-Net of 5^3 convolutions with bias and ReLU, for one structure.

    Parameters
    ----------
    width : int
        Channels of the first level, doubled at each level below.
    levels : int
        Halvings of the resolution.
    """

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels + 1)]
        inputs = [1, *widths[:-1]]
        self.encoder = nn.ModuleList(conv_pair(c_in, c) for c_in, c in zip(inputs[:-1], widths[:-1], strict=True))
        self.down = nn.ModuleList(nn.Conv3d(c, c, kernel_size=2, stride=2) for c in widths[:-1])
        self.bottleneck = conv_pair(widths[-2], widths[-1])
        # from the deepest level up
        self.up = nn.ModuleList(nn.ConvTranspose3d(2 * c, c, kernel_size=2, stride=2) for c in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(conv_pair(2 * c, c) for c in reversed(widths[:-1]))
        self.head = nn.Conv3d(width, 1, kernel_size=5, padding=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Standardised transmitted light to predicted fluorescence, (N, 1, D, H, W) each."""
        skips = []
        for level, down in zip(self.encoder, self.down, strict=True):
            x = level(x)
            skips.append(x)
            x = torch.relu_(down(x))
        x = self.bottleneck(x)
        for level, up in zip(self.decoder, self.up, strict=True):
            x = level(torch.cat([skips.pop(), torch.relu_(up(x))], dim=1))
        return self.head(x)


def conv_pair(in_channels: int, out_channels: int) -> nn.Sequential:
    """The two convolutions of a level; (N, C_in, D, H, W) to (N, C_out, D, H, W)."""
    return nn.Sequential(
        nn.Conv3d(in_channels, out_channels, kernel_size=5, padding=2),
        nn.ReLU(inplace=True),
        nn.Conv3d(out_channels, out_channels, kernel_size=5, padding=2),
        nn.ReLU(inplace=True),
    )


def fold(conv: nn.Conv3d | nn.ConvTranspose3d, kernel: Tensor, norm: nn.BatchNorm3d) -> None:
    """Give `conv` a kernel and the batch norm that follows it; computed in float64."""
    assert conv.bias is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale_O = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    # a transposed convolution has its output channels second
    by_output = (
        scale_O[:, None, None, None] if isinstance(conv, nn.ConvTranspose3d) else scale_O[:, None, None, None, None]
    )
    conv.weight.copy_(kernel.double() * by_output)
    conv.bias.copy_(norm.bias.double() - norm.running_mean.double() * scale_O)
