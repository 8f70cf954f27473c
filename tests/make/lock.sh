#!/bin/sh
# Resolves the dependencies of pyproject.toml into the two hashed lock files.
set -eu
compile=".venv/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header
         --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host"
$compile --extra fast --extra postgresql --extra pkcs11 --extra ca -o requirements.lock pyproject.toml
$compile --all-extras -o requirements-dev.lock pyproject.toml
