"""Multi-Head (Dec.) of RepMode's table 1: a plain 3D U-Net with one encoder for all tasks, and a decoder for each.

The bottleneck belongs to the encoder. The four levels of a decoder, with their batch norms, and the last convolution
belong to one task; they see only the crops of this task. The paper's figure does not say whose the bottleneck is.

With 12 tasks and width 32: 474,587,488 parameters with kernels of 5^3, 116,189,728 with 3^3. A window of
32 x 128 x 128 voxels takes 546 GMAC, or 120, as each decoder runs only on the crops of its task.
"""

from torch import Tensor, nn

from ssp_model.nn.conv import SameConv3d
from ssp_model.nn.method import Method, groups_of, in_order, zero_of
from ssp_model.nn.unet import Decoder, Encoder, folded


class TaskDecoder(nn.Module):
    """The decoder of a task, with the last convolution."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.decoder = Decoder(width, kernel)
        self.head = SameConv3d(width, 1, kernel)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """Predict (N, 1, D, H, W) from what the encoder returns."""
        return self.head(self.decoder(x, skips))


class OneDecoder(nn.Module):
    """The encoder with the decoder of one task."""

    def __init__(self, encoder: Encoder, decoder: TaskDecoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> Tensor:
        """Predict (N, 1, D, H, W) from the same shape."""
        return self.decoder(*self.encoder(x))


class MultiHeadDecoder(Method):
    """Share the encoder between all tasks; each has a decoder of its own.

    Parameters are as of `Method`.
    """

    title = "Multi-Head (Dec.)"
    in_one_process = True

    def __init__(self, num_tasks: int, width: int = 32, kernel: int = 5) -> None:
        super().__init__(num_tasks)
        self.width, self.kernel = width, kernel
        self.encoder = Encoder(width, kernel)
        self.decoders = nn.ModuleList(TaskDecoder(width, kernel) for _ in range(num_tasks))

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Predict for each sample the structure of its task; see `Method.forward`."""
        x, skips = self.encoder(x)
        groups = groups_of(task)
        parts = {
            number: self.decoders[number](x[samples], [skip[samples] for skip in skips])
            for number, samples in groups.items()
        }
        y = in_order(parts, groups)
        if self.training:
            y = y + zero_of([decoder for number, decoder in enumerate(self.decoders) if number not in groups])
        return y

    def specialise(self, task: int) -> nn.Module:
        """Return the encoder and the decoder of one task, with batch norm folded in."""
        decoder = self.decoders[task]
        assert isinstance(decoder, TaskDecoder)
        return OneDecoder(folded(self.encoder), folded(decoder))

    def extend(self) -> None:
        """Add a decoder; the encoder and the decoders before do not learn any more (baseline of RepMode's poster)."""
        self.requires_grad_(requires_grad=False)
        self.decoders.append(TaskDecoder(self.width, self.kernel))
        self.num_tasks += 1
        self.train(self.training)
