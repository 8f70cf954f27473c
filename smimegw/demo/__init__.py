"""The demonstration: two companies with a gateway each, in a throw-away directory."""
