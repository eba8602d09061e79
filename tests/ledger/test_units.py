"""Times and sums of money as people write them."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tertulia.errors import ConfigError
from tertulia.ledger.units import ahead, back, date, dollars, micros

NOW = datetime(2026, 6, 15, 12).timestamp()


def test_spans_and_dates_ahead():
    assert [ahead(text, NOW) - NOW for text in ("12h", "30d", "2w")] == [43200, 30 * 86400, 14 * 86400]
    assert ahead("2027-01-31", NOW) == datetime(2027, 2, 1).timestamp()
    assert ahead("2026-06-15", NOW) == datetime(2026, 6, 16).timestamp()


def test_spans_and_dates_back():
    assert [NOW - back(text, NOW) for text in ("12h", "7d", "0h")] == [43200, 7 * 86400, 0]
    assert back("2026-01-31", NOW) == datetime(2026, 1, 31).timestamp()


@pytest.mark.parametrize("text", ["", "soon", "30", "-3d", "3y", "2026-13-01", "9999-12-31", "1.5d"])
def test_what_is_no_time_is_told_what_would_be(text: str):
    with pytest.raises(ConfigError, match=r"is no time: 12h, 30d, 8w or a date such as 2027-01-31 would be"):
        ahead(text, NOW)


@pytest.mark.parametrize("text", ["2026-06-14", "0d"])
def test_nothing_is_made_to_end_in_the_past(text: str):
    with pytest.raises(ConfigError, match="not in the future"):
        ahead(text, NOW)


@pytest.mark.parametrize(
    ("text", "amount"), [("5", 5_000_000), ("0.25", 250_000), ("$1.5", 1_500_000), ("0.000001", 1)]
)
def test_money_is_counted_in_millionths(text: str, amount: int):
    assert micros(text) == amount


@pytest.mark.parametrize("text", ["", "nan", "inf", "-1", "0", "five", "0.0000001", "1e300", "$"])
def test_what_is_no_money_is_told(text: str):
    with pytest.raises(ConfigError, match="US dollars"):
        micros(text)


@given(st.integers(1, 10**15))
def test_money_is_written_as_it_is_read(amount: int):
    assert micros(dollars(amount)) == amount


def test_money_has_two_digits_at_least():
    assert [dollars(amount) for amount in (0, 1_000_000, 1_500_000, 12_345, 1)] == [
        "$0.00",
        "$1.00",
        "$1.50",
        "$0.012345",
        "$0.000001",
    ]


def test_a_date_is_the_local_one():
    assert date(NOW) == "2026-06-15"
