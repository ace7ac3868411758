"""The lists are complete and true, and the documentation tells them. Run last, after all others."""

import os
import pathlib

from covers import CLASSES, WAITING, Noted, Wait, judge, public, tables

PAGE = pathlib.Path(__file__).parents[3] / "docs" / "compatibility.md"
BEGIN, END = "<!-- methods: written by TROUPE_REWRITE=1 go test ./test/clients -run TestPackage -->\n", "<!-- methods end -->\n"


def test_each_public_method_is_tested_or_waits(passed):
    names = public(CLASSES)
    assert len(names) > 100, "the package was not looked at"
    assert judge(names, passed, WAITING) == []


def test_the_page_tells_the_lists():
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    want = f"{before}{BEGIN}{tables()}{END}{after}"
    if os.environ.get("TROUPE_REWRITE") == "1":
        PAGE.write_text(want, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == want, "docs/compatibility.md is not of these lists: TROUPE_REWRITE=1 writes it anew"


class Three:
    """A class of three methods, of which one is called."""

    def called(self):
        return self.from_within()

    def from_within(self):
        return 1

    @property
    def not_called(self):
        return 2

    @staticmethod
    def fails():
        raise ValueError("as it should")


def test_negative_control():
    names = public({"Three": Three})
    assert sorted(names) == ["Three.called", "Three.fails", "Three.from_within", "Three.not_called"]
    with Noted(names, {"Three": Three}) as noted:
        Three().called()
        try:
            Three.fails()
        except ValueError:
            pass
    # This very file calls from_within in its own class; a file elsewhere would not count.
    assert noted.returned == {"Three.called", "Three.from_within"}
    assert noted.called == {"Three.called", "Three.from_within", "Three.fails"}
    assert Three().not_called == 2 and noted.returned == {"Three.called", "Three.from_within"}, "what was noted is undone"
    waits = {"Three.fails": Wait("X1", 501, ""), "Three.called": Wait("X1", 501, ""), "Three.gone": Wait("X1", 501, "")}
    wrong = judge(names, noted.returned, waits)
    assert [w.split(" ")[0] for w in wrong] == ["Three.called", "Three.gone", "Three.not_called"], wrong
