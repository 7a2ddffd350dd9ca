"""Models in the formats of others: ONNX, and packages of bioimage.io."""
