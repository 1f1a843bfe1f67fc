"""Names for runs that were given none: `adjective-noun`, such as `amber-otter`.

Source: Prefect names unnamed runs with a random two-word slug; the words here are lictor's own.
"""

from __future__ import annotations

from lictor.schema.mint import Mint

ADJECTIVES = (
    "amber", "ample", "ancient", "azure", "bold", "brave", "breezy", "bright", "brisk",
    "calm", "candid", "clever", "coastal", "copper", "crisp", "dapper", "daring", "deft", "eager",
    "early", "earnest", "elder", "fabled", "faithful", "fleet", "floral", "frank", "frosty",
    "gilded", "golden", "hardy", "hasty", "hidden", "humble", "ivory", "jolly", "keen", "kindly",
    "lively", "lofty", "lucid", "lunar", "mellow", "merry", "misty", "modest", "nimble", "noble",
    "patient", "polished", "proud", "quiet", "rapid", "rustic", "sage", "silver", "sturdy",
    "sunny", "swift", "tidy", "upright", "velvet", "vivid", "wandering", "witty",
)  # fmt: skip

NOUNS = (
    "acorn", "anchor", "aspen", "badger", "beacon", "birch", "bison", "brook", "canyon",
    "cedar", "comet", "condor", "coral", "cricket", "dolphin", "egret", "ember", "falcon", "fern",
    "finch", "fjord", "gazelle", "geyser", "glacier", "gull", "harbor", "heron", "hill",
    "ibex", "island", "jackdaw", "juniper", "kestrel", "lagoon", "lantern", "lark", "lynx",
    "maple", "marmot", "meadow", "meteor", "newt", "oasis", "orchard", "osprey", "otter", "pebble",
    "pelican", "pine", "plover", "puffin", "quartz", "raven", "reef", "robin", "salmon", "sparrow",
    "summit", "swallow", "thistle", "tundra", "walnut", "willow", "wombat", "zephyr",
)  # fmt: skip


def slug(mint: Mint) -> str:
    """A random two-word name. Names are not unique and need not be."""
    return f"{mint.random.choice(ADJECTIVES)}-{mint.random.choice(NOUNS)}"
