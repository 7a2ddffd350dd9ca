"""The plugin of napari: predictions of layers as layers. Only `job` and `widget` import napari and Qt."""
