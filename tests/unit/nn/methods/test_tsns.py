"""TSNs: the embedding, and the blocks that it scales and shifts."""

import torch
import torch.nn.functional as F

from ssp_model.nn.methods.tsns import ConditionalBlock, Embedding


@torch.no_grad()
def test_tsns_blocks_norm_each_channel_of_each_sample() -> None:
    torch.manual_seed(0)
    block = ConditionalBlock(3, 5, 3, embedding=40)
    x, embedding = 4 + torch.randn(2, 3, 8, 8, 8), torch.randn(2, 40)
    scale, shift = (block.affine.weight * (2 / 40) ** 0.5 @ embedding.T).T.chunk(2, dim=1)
    normed = F.instance_norm(block.conv(x))
    wanted = F.leaky_relu(normed * (1 + scale)[..., None, None, None] + shift[..., None, None, None], 0.01)
    assert torch.allclose(block(x, embedding), wanted, atol=1e-5)


@torch.no_grad()
def test_tsns_embedding_starts_from_orthogonal_vectors_of_unit_rms() -> None:
    embedding = Embedding(3)
    inputs: list[torch.Tensor] = []
    embedding.layers[0].register_forward_hook(lambda layer, args, output: inputs.append(args[0]))
    embedding(torch.tensor([0, 1, 2]))
    assert torch.allclose(inputs[0] @ inputs[0].T / 60, torch.eye(3), atol=1e-5)
