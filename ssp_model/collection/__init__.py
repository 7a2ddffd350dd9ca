"""The image collection: fetch image lists and archives, check them, unpack them."""
