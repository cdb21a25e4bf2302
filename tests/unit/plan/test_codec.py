"""The plan codec by property: what is encoded reads back, and what is not a plan is refused in words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jailssh.core.errors import ConfigError, JailsshError
from jailssh.plan import codec, ops
from jailssh.plan.ops import Record

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
PATH = st.lists(
    st.from_regex(r"[a-zA-Z0-9 ._-]{1,12}", fullmatch=True).filter(lambda s: s not in (".", "..")),
    min_size=1,
    max_size=5,
).map(lambda parts: "/" + "/".join(parts))
HEAD = (Record("jail", ("j",)), Record("home", ("/home/a",)))
TAIL = (
    Record("seccomp", ("x86_64", "0" * 16)),
    Record("rule", ("r", "p", "/bin/x")),
    Record("operands", ("0", "0", "text")),
)


def plan_with(message: str, image: str, files: list[tuple[str, str]], uid: int) -> codec.Plan:
    body = [
        Record("message", (message,)), Record("net", ("none",)), Record("pty", ("no",)), Record("image", (image,)),
        *(Record("file", pair) for pair in files),
    ]  # fmt: skip
    return codec.Plan(uid, uid, "alice", "0" * 16, (*HEAD, *body, *TAIL))


@settings(max_examples=80)
@given(TEXT, PATH, st.lists(st.tuples(PATH, TEXT), max_size=4), st.integers(1, 2**31 - 1))
def test_round_trip(message: str, image: str, files: list[tuple[str, str]], uid: int) -> None:
    plan = plan_with(message, image, files, uid)
    assert codec.decode(codec.encode(plan)) == plan


@settings(max_examples=150)
@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    for candidate in (data, data + b"\0", b"jailssh-plan\0" + b"1\0" + data + b"\0"):
        with pytest.raises(JailsshError):
            codec.decode(candidate)


@pytest.mark.parametrize("text", ["nul\0inside", "x" * (ops.MAX_TOKEN + 1)])
def test_text_that_cannot_be_a_token(text: str) -> None:
    with pytest.raises(ConfigError, match="kind text"):
        codec.encode(plan_with(text, "/i", [], 5))


def test_undecodable_bytes_survive() -> None:
    plan = plan_with("caf\udce9", "/i", [], 5)
    assert b"caf\xe9\0" in codec.encode(plan)
    assert codec.decode(codec.encode(plan)) == plan


def test_too_large() -> None:
    files = [(f"/f{n}", "x" * 60000) for n in range(20)]
    with pytest.raises(ConfigError, match="larger than"):
        codec.encode(plan_with("m", "/i", files, 5))
    with pytest.raises(ConfigError, match="larger than"):
        codec.decode(b"\0" * (ops.MAX_SIZE + 1))


def test_diff_names_what_changes() -> None:
    old, new = plan_with("old", "/i", [], 5), plan_with("new", "/i", [("/f", "x")], 5)
    assert codec.diff(old, new) == [
        "- message for a denied user: old",
        "+ message for a denied user: new",
        "+ generated file /f",
    ]
    assert codec.diff(old, old) == []
    assert len(codec.diff(None, new)) == len(new.records)
