"""Files that an administrator keeps beside the configuration."""
