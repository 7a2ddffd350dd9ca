"""Pictures: arrays and tables in, figures out."""
