"""The space of a search: what a parameter may be, and which values it has."""

import pytest

from curriculum.search import space
from curriculum.search.space import Parameter


def test_parameters_are_read():
    texts = ["--learner.alpha = loguniform(0.01, 10)", "learner=choice(iql, cql)"]
    assert space.parse([*texts, "rows=int(2,4)"]) == [
        Parameter("learner.alpha", "loguniform", 0.01, 10.0),
        Parameter("learner", "choice", choices=("iql", "cql")),
        Parameter("rows", "int", 2.0, 4.0),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("learner.alpha", "--search looks like"),
        ("a=normal(0,1)", "no 'normal'; there are: uniform, loguniform, int, logint"),
        ("a=unifrom(0,1)", "perhaps you meant uniform"),
        ("a=uniform(0)", "uniform takes two numbers, its ends, got '0'"),
        ("a=uniform(1,0)", "needs a lower end below its upper end, got 1 and 0"),
        ("a=uniform(0,inf)", "needs a lower end below its upper end"),
        ("a=loguniform(0,1)", "needs ends above 0, got 0; choose uniform"),
        ("a=int(0.5,2)", "int needs whole numbers as ends"),
        ("a=choice('x,y)", "a quotation mark is missing"),
        ("a=choice(x,x)", "choices must be different values"),
        ("a=choice()", "choices must be different values"),
    ],
)
def test_mistakes_in_parameters_are_named(text: str, says: str):
    with pytest.raises(ValueError, match="--search") as error:
        space.parse([text])
    assert says in str(error.value)


def test_a_flag_is_searched_once():
    with pytest.raises(ValueError, match="names a twice"):
        space.parse(["a=int(1,2)", "a=int(1,3)"])


def test_ranges_are_divided_evenly():
    uniform, log, whole = space.parse(
        ["a=uniform(2,4)", "b=loguniform(0.01,100)", "c=int(1,4)"]
    )
    assert [uniform.at(share) for share in (0.0, 0.5)] == [2.0, 3.0]
    assert [log.at(share) for share in (0.0, 0.25, 0.5)] == [0.01, 0.1, 1.0]
    drawn = [whole.at((number + 0.5) / 8) for number in range(8)]
    assert drawn == [1, 1, 2, 2, 3, 3, 4, 4]
    [choice] = space.parse(["d=choice(x,y)"])
    assert [choice.at(share) for share in (0.0, 0.49, 0.5, 0.99)] == [
        "x",
        "x",
        "y",
        "y",
    ]


def test_numbers_have_few_digits_and_stay_in_the_range():
    [parameter] = space.parse(["a=loguniform(0.012345,10)"])
    assert parameter.rounded(3.14159) == 3.142
    assert parameter.rounded(0.012341) == 0.012345


def test_a_choice_may_have_several_words():
    assert space.words({"learner.hidden": "64 64", "rows": 4}) == [
        *("--learner.hidden", "64", "64", "--rows", "4")
    ]


def test_corners_have_all_choices_both_ends_and_something_between():
    found = list(space.corners(space.parse(["a=choice(x,y)", "b=int(1,5)"])))
    assert found == [
        *({"a": "x", "b": 1}, {"a": "x", "b": 5}, {"a": "x", "b": 2}),
        *({"a": "y", "b": 1}, {"a": "y", "b": 5}, {"a": "y", "b": 2}),
    ]
