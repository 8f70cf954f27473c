"""TOML files that administrators write: values, the line of every key, every mistake at once."""
