"""The config: what each key means, how a config is read and checked, and the docs made from the keys."""
