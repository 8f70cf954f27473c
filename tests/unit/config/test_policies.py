"""The policy folder: a broken edit never replaces the policy in use."""

from __future__ import annotations

from pathlib import Path

import pytest

from smimegw.config.policies import PolicyFolder
from smimegw.errors import ConfigurationError

_GOOD = """\
[[rule]]
name = "{name}"
why = "x"
then = {{ protect = "sign" }}
"""
_CASE = """\
[[case]]
name = "signed"
given = { from = "a@corp.example", to = ["b@partner.example"] }
expect = { protect = "PROTECT" }
"""


def _folder(tmp_path: Path, **files: str) -> PolicyFolder:
    for name, text in files.items():
        (tmp_path / f"{name}.toml").write_text(text)
    return PolicyFolder(tmp_path)


def test_files_are_read_in_name_order(tmp_path: Path) -> None:
    """First match wins across files too."""
    folder = _folder(tmp_path, b=_GOOD.format(name="b"), a=_GOOD.format(name="a"))
    (tmp_path / "notes.txt").write_text("not a policy")
    assert [rule.name for rule in folder.load().rules] == ["a", "b"]


def test_lock_file_of_an_editor_is_no_policy(tmp_path: Path) -> None:
    """Emacs leaves a dangling link beside the file that it has open."""
    folder = _folder(tmp_path, a=_GOOD.format(name="a"))
    (tmp_path / ".#a.toml").symlink_to("somebody@somewhere")
    assert len(folder.load().rules) == 1


@pytest.mark.parametrize(
    "broken",
    ["[[rule", "", _GOOD.format(name="x") + _CASE.replace("PROTECT", "encrypt")],
    ids=["syntax", "hole", "case"],
)
def test_broken_edit_keeps_the_policy_in_use(tmp_path: Path, broken: str) -> None:
    """R-15: syntax, missing rules, or a promise that no longer holds."""
    folder = _folder(tmp_path, a=_GOOD.format(name="old"))
    old = folder.load()
    (tmp_path / "a.toml").write_text(broken)
    policy, problems = folder.reload()
    assert policy is old
    assert folder.policy is old
    assert str(tmp_path / "a.toml") in problems[0].file


def test_removed_folder_keeps_the_policy_in_use(tmp_path: Path) -> None:
    """R-16 is not for reloads."""
    folder = _folder(tmp_path, a=_GOOD.format(name="old"))
    old = folder.load()
    (tmp_path / "a.toml").unlink()
    tmp_path.rmdir()
    assert folder.reload()[0] is old


def test_good_edit_is_taken(tmp_path: Path) -> None:
    """And nothing is complained of."""
    folder = _folder(tmp_path, a=_GOOD.format(name="old"))
    folder.load()
    (tmp_path / "a.toml").write_text(_GOOD.format(name="new"))
    policy, problems = folder.reload()
    assert (policy.rules[0].name, problems) == ("new", ())


def test_failing_case_is_a_problem_with_its_line(tmp_path: Path) -> None:
    """A policy that breaks its own promise does not load."""
    text = _GOOD.format(name="x") + _CASE.replace("PROTECT", "encrypt")
    with pytest.raises(ConfigurationError) as caught:
        _folder(tmp_path, a=text).load()
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (5, 'case "signed"')
    assert 'protect is "sign", expected "encrypt"' in problem.message


def test_empty_folder_is_a_problem(tmp_path: Path) -> None:
    """No rule is no policy: nothing may start with defaults (R-15)."""
    with pytest.raises(ConfigurationError, match=r"holds no \*\.toml"):
        PolicyFolder(tmp_path).load()


def test_missing_folder_is_a_problem(tmp_path: Path) -> None:
    """Named, so that it can be made."""
    with pytest.raises(ConfigurationError, match=r"missing: cannot be read"):
        PolicyFolder(tmp_path / "missing").load()


def test_first_load_must_succeed(tmp_path: Path) -> None:
    """There is nothing to fall back to."""
    with pytest.raises(LookupError):
        _ = PolicyFolder(tmp_path).policy


def test_nothing_is_in_use_when_the_first_reload_fails(tmp_path: Path) -> None:
    """reload() before load() must not invent a policy."""
    with pytest.raises(LookupError):
        PolicyFolder(tmp_path).reload()
