"""Every key of the configuration, once: what it means, how it is read, the docs made from it."""
