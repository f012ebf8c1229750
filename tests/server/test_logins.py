"""Guessing passwords becomes slow, and stays so; whoever knows theirs hardly notices."""

import pytest

from studio.server.logins import FREE, LONGEST, REMEMBERED, Logins
from studio.server.policy import Refusal

WRONG = Refusal(401, "This studio asks for a user name and a password.", challenge=True)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logins(clock: Clock) -> Logins:
    return Logins(clock)


def guess(logins: Logins, address: str = "192.0.2.1") -> int:
    verdict = logins.judge(address, b"wrong", WRONG)
    assert verdict is not None
    return verdict.status


def enter(logins: Logins, address: str = "192.0.2.1") -> bool:
    return logins.judge(address, b"right", None) is None


def test_each_wrong_password_after_a_few_costs_twice_the_time(logins: Logins, clock: Clock) -> None:
    assert [guess(logins) for _ in range(FREE)] == [401] * FREE
    waited = []
    for _ in range(12):
        begun = clock.now
        while guess(logins) == 429:
            clock.now += 0.5
        waited.append(clock.now - begun)
    assert waited[:7] == [1, 2, 4, 8, 16, 32, LONGEST]
    assert set(waited[7:]) == {LONGEST}


def test_nothing_is_learned_while_an_address_waits_and_the_sentence_says_how_long(logins: Logins, clock: Clock) -> None:
    for _ in range(FREE + 1):
        guess(logins)
    refusal = logins.judge("192.0.2.1", b"right", None)
    assert refusal is not None and refusal.status == 429 and not refusal.challenge
    assert "wait 1 second." in refusal.sentence
    clock.now += 1
    assert enter(logins)
    assert [guess(logins) for _ in range(FREE)] == [401] * FREE, "a right password clears the account"


def test_who_came_in_before_goes_on_coming_in_from_an_address_that_others_guess_from(logins: Logins) -> None:
    assert enter(logins)
    for _ in range(FREE + 3):
        guess(logins)
    assert guess(logins) == 429
    assert enter(logins)


def test_addresses_of_one_customer_count_as_one_and_others_do_not(logins: Logins) -> None:
    for number in range(FREE):
        assert guess(logins, f"2001:db8::{number}") == 401
    assert guess(logins, "2001:db8::ffff") == 429
    for other in ("2001:db8:1::1", "192.0.2.1", "::ffff:192.0.2.9", "::ffff:192.0.2.8", "unix"):
        assert guess(logins, other) == 401


def test_what_is_remembered_is_bounded(logins: Logins) -> None:
    for number in range(REMEMBERED + 50):
        guess(logins, f"client {number}")
        logins.judge("192.0.2.1", str(number).encode(), None)
    assert len(logins._failures) <= REMEMBERED and len(logins._known) <= REMEMBERED
