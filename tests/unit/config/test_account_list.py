"""Lists of accounts as CSV: what spreadsheets and scripts make of them, and each mistake with its line."""

from __future__ import annotations

import pytest

from jailssh.config import account_list
from jailssh.config.account_list import Row, day, password_hash, read
from jailssh.core.errors import JailsshError

HASH = "$y$j9T$" + "a" * 22 + "$" + "b" * 43


def errors(text: str | bytes) -> str:
    with pytest.raises(JailsshError) as caught:
        read(text if isinstance(text, bytes) else text.encode(), "list.csv")
    return "\n".join(caught.value.lines())


def test_all_columns_in_any_order() -> None:
    text = (
        "jail,name,UID,home,gecos,key,password,expires\n"
        f'"sftp,scp",ann,1500,/srv/ann,"Ann ""A"", B","k1\nk2",{HASH},2027-01-31\nscp,bob\n'
    )
    assert read(text.encode(), "l") == [
        Row("l:2", "ann", ("scp", "sftp"), "/srv/ann", 1500, 'Ann "A", B', ("k1", "k2"), HASH, 20849),
        Row("l:4", "bob", ("scp",)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfname,jail\r\nann,scp\r\n",
        b"name;jail\nann;scp",
        b"name,jail,\n\n , \nann,scp,\n",
        b'"name","jail"\n"ann","scp"\n',
        b" Name , JAIL \n ann , scp \n",
    ],
)
def test_what_programs_make_of_a_list(text: bytes) -> None:
    assert [(row.name, row.jails) for row in read(text, "l")] == [("ann", ("scp",))]


@pytest.mark.parametrize(
    ("text", "where", "why"),
    [
        ("", "list.csv", "is empty"),
        ("ann,scp\n", "list.csv:1", "does not name the column 'name'"),
        ("name,shell\n", "list.csv:1", "unknown column 'shell'"),
        ("name,name\n", "list.csv:1", "twice"),
        ("name\nann,scp\n", "list.csv:2", "has 2 values, expected 1"),
        ("name\nann\nbob\nann\n", "list.csv:4", "is also in list.csv:2"),
        ('name\nann\n"bob\ncarl\n', "list.csv:3", "is not CSV"),
        (b"name\n\xfcnn\n", "list.csv:2", "is not UTF-8"),
        (b"name\na\0n\n", "list.csv:2", "NUL"),
        ("name\n-ann\n", "list.csv:2", "is not valid"),
        ("name\n123\n", "list.csv:2", "is not valid"),
        ("name\n\u00fcnn\n", "list.csv:2", "is not valid"),
        ("name,uid\nann,0\n", "list.csv:2", "uid '0'"),
        ("name,uid\nann,-5\n", "list.csv:2", "uid '-5'"),
        ("name,uid\nann,99999999999999999999\n", "list.csv:2", "is not a number"),
        ("name,home\nann,srv/x\n", "list.csv:2", "is not a plain absolute path"),
        ("name,home\nann,/srv/../etc\n", "list.csv:2", "is not a plain absolute path"),
        ("name,jail\nann,SFTP\n", "list.csv:2", "is not valid"),
        ("name,password\nann,secret\n", "list.csv:2", "is not a password hash"),
        ("name,expires\nann,31.1.2027\n", "list.csv:2", "is not a date"),
        ("name,expires\nann,2027-02-30\n", "list.csv:2", "is not a date"),
    ],
)
def test_mistakes_have_their_line(text: str | bytes, where: str, why: str) -> None:
    found = errors(text)
    assert f"{where}: " in found
    assert why in found


def test_all_mistakes_are_told_at_once() -> None:
    found = errors("name,uid,expires\n-a,x,y\nbob,1,2027-01-01\n12,5,\n")
    assert [line.split(": ")[1] for line in found.splitlines() if line.startswith("jailssh")] == [
        "list.csv:2", "list.csv:2", "list.csv:2", "list.csv:4",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "*", "!", "!!", "*LK*", "x", "!*", " * "])
def test_texts_that_no_password_fits(text: str) -> None:
    assert password_hash(text, "p") == ""


def test_hashes_are_taken_and_clear_passwords_are_not() -> None:
    assert password_hash(f"{HASH}\n", "p") == HASH
    assert password_hash(f"!{HASH}", "p") == f"!{HASH}"
    for text in ("secret", "**x", "$6$", "$6$a:b$cccccccccccc", "ab01FAX.bQRSU"):
        with pytest.raises(JailsshError, match="is not a password hash"):
            password_hash(text, "p")


def test_days_are_those_of_shadow() -> None:
    assert day("1970-01-02", "d") == 1
    assert day("2027-01-31", "d") == 20849
    assert day(" ", "d") is None
    with pytest.raises(JailsshError):
        day("1970-01-01", "d")


def test_a_hundred_thousand_lines_cost_seconds() -> None:
    text = "name,jail,gecos\n" + "".join(f"u{number},scp,User {number}\n" for number in range(100_000))
    rows = read(text.encode(), "l")
    assert len(rows) == 100_000
    assert rows[-1].where == "l:100001"
    assert len(text) < account_list.MAX_LIST
