"""The configuration file: its model, its reader, and the texts that explain it."""
