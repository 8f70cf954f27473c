"""The certificate authority beside the gateway: its own program, user and keys."""
