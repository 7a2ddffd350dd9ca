"""Pictures: arrays and tables in, figures out. It reads no file, and an import changes no setting of Matplotlib."""
