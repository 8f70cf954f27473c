"""Two companies for all end-to-end tests of a worker; each module places the gateways anew."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.company import Company, two_companies


@pytest.fixture(scope="session")
def companies() -> Iterator[tuple[Company, Company]]:
    with two_companies() as pair:
        yield pair


@pytest.fixture
def a(companies: tuple[Company, Company]) -> Company:
    """Alice's company."""
    return companies[0]


@pytest.fixture
def b(companies: tuple[Company, Company]) -> Company:
    """Bob's company."""
    return companies[1]
