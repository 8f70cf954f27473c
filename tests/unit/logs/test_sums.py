"""Several workers look like one gateway to Prometheus."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from smimegw.adapters.logs.metrics import Metrics
from smimegw.adapters.logs.sums import counted, summed


def _worker(*, messages: int, open_sessions: int = 0, reload_failed: bool = False) -> str:
    metrics = Metrics()
    for _ in range(messages):
        metrics.observe(
            "message.finished", {"direction": "outbound", "code": 250, "seconds": 0.2, "size": 9.0}
        )
    for _ in range(open_sessions):
        metrics.observe("session.connected", {"listener": 'odd "name" of it'})
    if reload_failed:
        metrics.observe("policy.reload_failed", {})
    return metrics.exposition().decode()


def _samples(text: str) -> dict[str, float]:
    """As Prometheus reads it; label values are joined to the name."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counters_and_histograms_are_added() -> None:
    """Two messages here, three there: five."""
    found = _samples(summed([_worker(messages=2), _worker(messages=3)]))
    assert found["smimegw_messages_total outbound relayed"] == 5
    assert found["smimegw_message_duration_seconds_bucket outbound 0.25"] == 5
    assert found["smimegw_message_duration_seconds_count outbound"] == 5


def test_what_only_one_worker_has_is_kept() -> None:
    """A label that the other never saw."""
    found = _samples(summed([_worker(messages=0), _worker(messages=1)]))
    assert found["smimegw_messages_total outbound relayed"] == 1


def test_open_sessions_are_added() -> None:
    """A gauge of things is the sum of the workers'."""
    found = _samples(
        summed([_worker(messages=0, open_sessions=2), _worker(messages=0, open_sessions=1)])
    )
    assert found['smimegw_smtp_open_sessions odd "name" of it'] == 3


def test_one_failed_reload_shows() -> None:
    """A gauge of a state is the worst of the workers'."""
    found = _samples(summed([_worker(messages=0), _worker(messages=0, reload_failed=True)]))
    assert found["smimegw_config_last_reload_successful"] == 0


def test_the_build_is_told_once() -> None:
    """Two workers are not two builds."""
    found = _samples(summed([_worker(messages=0), _worker(messages=0)]))
    assert [value for name, value in found.items() if "build_info" in name] == [1]


def test_what_the_dead_counted_stays() -> None:
    """A counter that falls would be taken for a restart, its open sessions are gone."""
    dead = counted(_worker(messages=4, open_sessions=7))
    found = _samples(summed([dead, _worker(messages=1)]))
    assert found["smimegw_messages_total outbound relayed"] == 5
    assert 'smimegw_smtp_open_sessions odd "name" of it' not in found


def test_sums_may_be_summed_again() -> None:
    """Of many dead workers one text is kept."""
    dead = ""
    for _ in range(3):
        dead = summed([dead, counted(_worker(messages=2))])
    assert _samples(dead)["smimegw_messages_total outbound relayed"] == 6


def test_a_metric_can_be_left_out() -> None:
    """The supervisor says itself whether the node is ready."""
    assert "smimegw_ready" not in summed([_worker(messages=0)], without=["smimegw_ready"])
