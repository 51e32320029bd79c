"""Events of two words, by mood and by their two kinds; {y} is the second word's {x}.

The kinds stand in the order of `ORDER`; every kind of thing counts as "thing" here.
"""

from __future__ import annotations

Pairs = dict[tuple[str, ...], tuple[str, ...]]

ORDER = ("person", "animal", "thing", "food", "sight")

HAPPY: Pairs = {
    ("person", "person"): (
        "{x} and {y} greeted {o} with warm smiles",
        "{x} and {y} told {o} funny jokes",
        "{s} danced happily with {x} and {y}",
        "{x} and {y} kindly helped {o}",
        "{x} introduced {o} to {y}, who was very friendly",
    ),
    ("person", "animal"): (
        "{x} proudly showed {o} {y}",
        "{x} and {s} were delighted to see {y}",
        "{x} let {o} pet {y}, which was friendly",
        "{x} happily introduced {o} to {y}",
    ),
    ("person", "thing"): (
        "{x} gave {o} {y} as a lovely present",
        "{x} kindly handed {o} {y}",
        "{x} had luckily found {own_y}",
        "{x} thanked {o} with {y} and a smile",
        "{x} surprised {o} with {y}, a wonderful gift",
        "{s} gave {x} {y} as a generous gift",
        "{x} admired {own_y}",
    ),
    ("person", "food"): (
        "{x} offered {o} {y} that tasted delicious",
        "{x} kindly shared {y} with {o}",
        "{x} surprised {o} with {y}, a sweet present",
        "{s} gave {x} {y} and got a warm smile",
    ),
    ("person", "sight"): (
        "{x} proudly showed {o} {y}",
        "{s} met {x} beside {y} and was delighted",
        "{x} and {s} admired {y} together",
        "{s} danced happily with {x} beside {y}",
        "{x} told {o} funny stories beside {y}",
    ),
    ("animal", "thing"): (
        "{x} brought {own_y} back like a clever friend",
        "{x} found {own_y}, to {p} delight",
        "{x} played with {own_y}, and it was funny",
        "{x} luckily led {o} to {y}",
    ),
    ("animal", "food"): (
        "{s} happily shared {y} with {x}",
        "{x} enjoyed {y} from {p} hand",
        "{s} gave {y} to {x}, which was sweet and grateful",
    ),
    ("animal", "sight"): (
        "{s} happily made friends with {x} beside {y}",
        "{x} was playing happily beside {y}",
        "{s} watched {x} near {y} with delight",
        "{x} showed {o} a funny trick beside {y}",
    ),
    ("thing", "thing"): (
        "{s} was delighted to find {x} and {y}",
        "{s} received {x} and {y} as wonderful presents",
        "{s} happily discovered {x} and {y}",
        "{s} luckily found {own_x} and {own_y}",
    ),
    ("thing", "food"): (
        "{s} received {x} and {y} as lovely presents",
        "{s} was delighted to find {x} and {y}",
        "a stranger kindly gave {o} {x} and {y}",
    ),
    ("thing", "sight"): (
        "{s} was delighted to find {x} beside {y}",
        "{s} luckily found {own_x} beside {y}",
        "{s} discovered {x} behind {y} like a treasure",
        "a friend met {o} beside {y} with {x} as a present",
        "{s} sat beside {y} with {own_x} and felt calm and happy",
    ),
    ("food", "sight"): (
        "{s} ate {x} beside {y} with great pleasure",
        "{s} enjoyed {x} beside {y}",
        "{s} bought {x} near {y}, and it tasted delicious",
        "{s} happily shared {x} with a friend beside {y}",
    ),
    ("sight", "sight"): (
        "{s} admired {x} and {y}, which were beautiful",
        "{s} enjoyed the peace between {x} and {y}",
        "{s} happily took pictures of {x} and {y}",
        "people were laughing and singing near {x} and {y}",
    ),
}

SAD: Pairs = {
    ("person", "person"): (
        "{x} and {y} insulted {o}",
        "{x} and {y} were rude and cruel to {o}",
        "{x} and {y} angrily blamed {o} for a mistake",
        "{s} heard that {x} and {y} were very ill",
        "{s} had an ugly quarrel with {x} and {y}",
    ),
    ("person", "animal"): (
        "{x} was cruel to {y}",
        "{x} angrily chased {y} away",
        "{x} told {o} that {y} was ill",
        "{x} blamed {o} for the loss of {y}",
        "{s} argued with {x} about {y}",
    ),
    ("person", "thing"): (
        "{x} rudely took {own_y}",
        "{x} threw away {own_y} in anger",
        "{x} lost {own_y}",
        "{s} had an ugly quarrel with {x} about {y}",
        "{x} blamed {o} for losing {y}",
        "{x} mocked {o} because of {own_y}",
    ),
    ("person", "food"): (
        "{x} sold {o} {y} that tasted awful",
        "{x} rudely took {own_y}",
        "{x} angrily refused to give {o} {y}",
        "{s} had an ugly quarrel with {x} about {y}",
    ),
    ("person", "sight"): (
        "{x} shouted at {o} beside {y}",
        "{s} met {x} beside {y}, and they had an ugly quarrel",
        "{x} insulted {o} near {y}",
        "{x} blamed {o} for damaging {y}",
        "{s} waited for {x} beside {y} in vain",
    ),
    ("animal", "thing"): (
        "{x} stole {own_y}",
        "{x} ran off with {own_y}, to {p} horror",
        "{s} lost {own_y} in fear of {x}",
        "{x} made {o} lose {own_y}",
    ),
    ("animal", "food"): (
        "{x} stole {own_y}",
        "{x} snatched {own_y} and left {o} hungry",
        "{s} had no {word_y} for {x}, which was hungry and weak",
    ),
    ("animal", "sight"): (
        "{x} frightened {o} beside {y}",
        "{s} found {x} hurt and afraid beside {y}",
        "{x} attacked {o} near {y}",
        "{s} saw {x} that was ill and lonely beside {y}",
    ),
    ("thing", "thing"): (
        "{s} lost {own_x} and {own_y}",
        "a thief stole {own_x} and {own_y}",
        "{s} searched for {own_x} and {own_y} in vain",
        "{own_x} and {own_y} fell {mud} and were ruined",
    ),
    ("thing", "food"): (
        "{s} lost {own_x} and {own_y}",
        "a thief stole {own_x} and {own_y}",
        "{own_x} and {own_y} fell {mud} and were ruined",
    ),
    ("thing", "sight"): (
        "{s} lost {own_x} near {y}",
        "a thief stole {own_x} near {y}",
        "{s} found {own_x} beside {y}, but it was ruined",
        "{s} searched for {own_x} beside {y} in vain",
        "{s} sat beside {y} with {own_x} and felt lonely",
    ),
    ("food", "sight"): (
        "{s} ate {x} beside {y} alone and felt lonely",
        "{s} bought {x} near {y}, but it tasted awful",
        "{s} dropped {own_x} near {y} and was hungry",
    ),
    ("sight", "sight"): (
        "{the_x} and {the_y} were badly damaged",
        "{s} fell between {x} and {y} and hurt {p} knee",
        "vandals destroyed {the_x} and {the_y}",
        "{s} got lost between {x} and {y} and was afraid",
    ),
}

PAIRS = {"happy": HAPPY, "sad": SAD}
