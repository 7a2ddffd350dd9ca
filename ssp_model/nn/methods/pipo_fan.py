"""PIPO-FAN (Fang & Yan, TMI 2020) on the 3D U-Net of RepMode's table 1: images and predictions at five scales.

The image, average-pooled once to four times, also enters the encoder, at each scale through the first level, with the
same weights, and through convolutions of its own. The bottleneck and each level of the decoder predict all structures.
An attention network, the same for all scales, gives each prediction a score; their mean, weighted by the softmax of the
scores, is the prediction. No part knows the task: a sample trains the channel of its structure.

The published network is 2D, has residual blocks, and is trained in two stages. This one has no shortcuts, as the U-Net
has none, and is trained in one stage, on the mean squared error of the prediction plus the mean of the errors of the
five scales. Convolutions at the side have kernels of 3^3, as published.

With 12 tasks and width 32: 135,685,663 parameters with kernels of 5^3 on the main path, 41,753,055 with 3^3. A window
of 32 x 128 x 128 voxels takes 600 GMAC, or 143.

Shapes: N batch, C channels, T tasks, S scales, D H W voxels.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssp_model.nn.method import Method
from ssp_model.nn.unet import LEVELS, Level, decoder_channels, downsamplers, level_widths, upsamplers

SIDE_KERNEL = 3


class PIPOFAN(Method):
    """Read the image at five scales, and mix predictions of five scales by attention.

    Parameters are as of `Method`; `kernel` is of the main path.
    """

    title = "PIPO-FAN"

    def __init__(self, num_tasks: int, width: int = 32, kernel: int = 5) -> None:
        super().__init__(num_tasks)
        widths = level_widths(width)
        self.stem = Level(1, width, kernel)
        # an image pooled s times passes s - 1 levels, and so as many convolutions as the main path
        self.side = nn.ModuleList(levels(widths[:scale]) for scale in range(1, LEVELS + 1))
        self.down = downsamplers(width)
        self.encoder = nn.ModuleList(Level(channels, channels, kernel) for channels in widths[1:])
        self.up = upsamplers(width)
        self.decoder = nn.ModuleList(Level(2 * c, c, kernel) for c in decoder_channels(width))
        self.outputs = nn.ModuleList(
            nn.Sequential(levels(widths[scale::-1]), nn.Conv3d(width, num_tasks, kernel_size=1))
            for scale in range(LEVELS, -1, -1)
        )
        self.attention = nn.Sequential(
            nn.BatchNorm3d(num_tasks),
            nn.ReLU(),
            nn.Conv3d(num_tasks, 1, kernel_size=1),
            nn.BatchNorm3d(1),
            nn.ReLU(),
            nn.Conv3d(1, 1, kernel_size=3, padding=1),
        )

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predict for each sample the structure of its task; see `Method.forward`."""
        return self.supervised(x, task)[0][0]

    def supervised(self, x: Tensor, task: Tensor) -> Sequence[tuple[Tensor, float]]:
        """Return the prediction, and those of the five scales, which train with the weight of one together."""
        maps_SNTDHW = self.maps(x)
        weights_SN = torch.stack([self.score(map_NTDHW) for map_NTDHW in maps_SNTDHW]).softmax(dim=0)
        samples = torch.arange(task.shape[0], device=task.device)
        of_task = [map_NTDHW[samples, task][:, None] for map_NTDHW in maps_SNTDHW]
        fused = sum(
            prediction * weight_N[:, None, None, None, None]
            for prediction, weight_N in zip(of_task, weights_SN, strict=True)
        )
        return [(fused, 1.0), *((prediction, 1 / len(of_task)) for prediction in of_task)]

    def maps(self, x: Tensor) -> list[Tensor]:
        """Predict all structures at each scale, the coarsest first, at full size, (N, T, D, H, W) each."""
        size, image = x.shape[2:], x
        x = self.stem(image)
        skips = []
        for level, down, side in zip(self.encoder, self.down, self.side, strict=True):
            skips.append(x)
            image = F.avg_pool3d(image, 2)
            x = level(torch.cat([down(x), side(self.stem(image))], dim=1))
        features = [x]
        for level, up in zip(self.decoder, self.up, strict=True):
            x = level(torch.cat([skips.pop(), up(x)], dim=1))
            features.append(x)
        coarse = [output(feature) for output, feature in zip(self.outputs, features, strict=True)]
        return [F.interpolate(y, size, mode="trilinear", align_corners=True) for y in coarse[:-1]] + coarse[-1:]

    def score(self, map_NTDHW: Tensor) -> Tensor:
        """Return the score of a scale for each sample, (N,): mean plus maximum over the image, in float32."""
        score_NDHW = self.attention(map_NTDHW)[:, 0].float()
        return score_NDHW.mean(dim=(1, 2, 3)) + score_NDHW.amax(dim=(1, 2, 3))


def levels(widths: Sequence[int]) -> nn.Sequential:
    """Return levels that lead from the first of some widths to the last."""
    return nn.Sequential(*(Level(c_in, c_out, SIDE_KERNEL) for c_in, c_out in pairwise(widths)))
