"""Networks: pure `nn.Module`s, no files and no Fabric."""
