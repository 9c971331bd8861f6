"""What an approver is shown of a proposal."""

from console.pages.proposals import said


def test_an_adjustment_is_shown_whole() -> None:
    content = {"member_id": "anna", "points": -900, "reason": "<b>by hand</b>"}
    assert said({"kind": "adjustment", "content": content}, {}) == [
        "member_id: anna",
        "points: -900",
        "reason: <b>by hand</b>",
    ]


def test_of_a_program_the_difference_is_shown() -> None:
    before = {"point_value": 1, "program": "tests"}
    (shown,) = said({"kind": "program", "content": {**before, "point_value": 2}}, before)
    assert '-  "point_value": 1' in shown
    assert '+  "point_value": 2' in shown
