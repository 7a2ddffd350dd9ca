"""Networks: pure `nn.Module`. They read no files and do not know Fabric."""
