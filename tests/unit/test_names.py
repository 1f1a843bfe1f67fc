"""Names for what was given none."""

import random

from lictor.schema.mint import Mint
from lictor.schema.names import ADJECTIVES, NOUNS, slug


def test_a_name_is_an_adjective_and_a_noun() -> None:
    mint = Mint(random=random.Random(1))
    for _ in range(100):
        adjective, noun = slug(mint).split("-")
        assert adjective in ADJECTIVES
        assert noun in NOUNS


def test_the_mint_decides_the_name() -> None:
    assert slug(Mint(random=random.Random(3))) == slug(Mint(random=random.Random(3)))
    mint = Mint(random=random.Random(3))
    assert len({slug(mint) for _ in range(200)}) > 150


def test_words_are_distinct_short_and_plain() -> None:
    for words in (ADJECTIVES, NOUNS):
        assert len(set(words)) == len(words) >= 60
        assert all(word.isascii() and word.islower() and len(word) <= 10 for word in words)
