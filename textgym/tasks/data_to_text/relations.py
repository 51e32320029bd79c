"""The relations of the world: between what they hold and how English says them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from textgym.tasks.english import with_article

EVERY_JOB: tuple[str, ...] = ("*",)
"""Stands for all occupations."""

COMMON = frozenset(("best", "from", "than", "that", "with"))
"""Words that may recur."""


class Phrase(NamedTuple):
    """A finite verb phrase with one gap, "was born in _".

    Attributes:
        before: What stands before the gap.
        after: What stands after it.
        article: Whether the gap wants "a" or "an".
        words: Those of its words that should not recur in a text.
    """

    before: str
    after: str
    article: bool
    words: frozenset[str]

    def fill(self, name: str) -> str:
        """Put a name or a value into the gap."""
        filling = with_article(name) if self.article else name
        return f"{self.before}{filling}{self.after}"

    def object_text(self, name: str) -> str:
        """Return what fills the gap: with "a" or "an" where the phrase wants one."""
        return with_article(name) if self.article else name


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """One type of triple.

    Attributes:
        subject: The type of the subject.
        label: How the prompt calls the relation.
        object: The type of the object; "" where it is a value.
        said: Phrases whose subject is the triple's subject and whose gap is the object; the most
            natural one first.
        said_inversely: The same the other way round; empty for values.
        role: A person may stand in one relation of each role only; "" is no role.
        jobs: The occupations that a person in this relation may have.
        excludes: Labels that an entity with this relation cannot have besides it.
    """

    subject: str
    label: str
    object: str
    said: tuple[Phrase, ...]
    said_inversely: tuple[Phrase, ...] = ()
    role: str = ""
    jobs: tuple[str, ...] = EVERY_JOB
    excludes: frozenset[str] = field(default_factory=frozenset)


def _phrases(text: str) -> tuple[Phrase, ...]:
    """Read "lives in _ / has a home in _"; "a_" is a gap with an article."""
    made = []
    for written in filter(None, text.split(" / ")):
        article = " a_" in written
        before, after = written.split("a_" if article else "_")
        words = frozenset(w for w in (before + after).split() if len(w) >= 4 and w not in COMMON)
        made.append(Phrase(before, after, article, words))
    return tuple(made)


def _relation(
    subject: str,
    label: str,
    object_type: str,
    said: str,
    inversely: str = "",
    *,
    role: str = "",
    jobs: str = "*",
    excludes: str = "",
) -> Relation:
    return Relation(
        subject,
        label,
        object_type,
        _phrases(said),
        _phrases(inversely),
        role,
        EVERY_JOB if jobs == "*" else tuple(jobs.split()),
        frozenset(filter(None, excludes.split(", "))),
    )


_PERSON = (
    _relation(
        "person", "born in", "city", "was born in _ / comes from _ / is a native of _",
        "is the birthplace of _ / is the home town of _",
    ),
    _relation(
        "person", "birthday", "", "was born on _ / has a birthday on _ / celebrates a birthday on _"
    ),
    _relation(
        "person", "lives in", "city", "lives in _ / has a home in _ / resides in _",
        "is home to _ / is the home of _", excludes="mayor",
    ),
    _relation("person", "works as", "", "works as a_ / is a_ / earns a living as a_"),
    _relation(
        "person", "works for", "company", "works for _ / is employed by _ / has a job at _",
        "employs _ / is the employer of _", role="career",
        jobs="accountant chemist designer economist engineer lawyer photographer translator",
    ),
    _relation(
        "person", "spouse", "person", "is married to _ / is the spouse of _",
        "is married to _ / is the spouse of _",
    ),
    _relation(
        "person", "studied at", "school",
        "studied at _ / is a graduate of _ / holds a degree from _",
        "educated _ / is the former school of _", excludes="headed by",
        jobs="accountant archaeologist architect astronomer biologist chemist dentist designer "
        "doctor economist engineer geologist historian journalist lawyer librarian nurse "
        "physicist surgeon teacher translator vet",
    ),
    _relation(
        "person", "speaks", "", "speaks _ / is fluent in _ / has a good command of _"
    ),
    _relation("person", "plays", "", "plays the _ / can play the _ / is able to play the _"),
    _relation(
        "person", "favourite dish", "dish",
        "likes _ best of all dishes / has _ as a favourite dish / prefers _ to all other dishes",
        "is the favourite dish of _",
    ),
)  # fmt: skip

_COMPANY = (
    _relation(
        "company", "based in", "city",
        "is based in _ / has its headquarters in _ / operates from _",
        "is home to _ / is the seat of _",
    ),
    _relation(
        "company", "founded in", "",
        "was founded in _ / was established in _ / has existed since _",
    ),
    _relation(
        "company", "founded by", "person", "was founded by _ / was set up by _ / was started by _",
        "founded _ / is the founder of _ / set up _", role="career",
        jobs="chemist designer economist engineer lawyer",
    ),
    _relation("company", "makes", "", "makes _ / produces _ / is a maker of _"),
    _relation(
        "company", "employees", "", "has _ employees / employs _ people / has a staff of _"
    ),
    _relation(
        "company", "led by", "person", "is led by _ / is run by _ / is managed by _",
        "leads _ / runs _ / is the head of _", role="career",
        jobs="accountant economist engineer lawyer",
    ),
)  # fmt: skip

_BOOK = (
    _relation(
        "book", "written by", "person", "was written by _ / is the work of _ / is by _",
        "wrote _ / is the author of _ / is the writer of _", role="creation",
        jobs="archaeologist doctor historian journalist lawyer librarian nurse sailor teacher "
        "translator",
    ),
    _relation(
        "book", "published in", "", "was published in _ / came out in _ / first appeared in _"
    ),
    _relation(
        "book", "published by", "press",
        "was published by _ / was brought out by _ / was issued by _",
        "published _ / is the publisher of _ / brought out _",
    ),
    _relation("book", "genre", "", "is a_ / is classed as a_ / is described as a_"),
    _relation(
        "book", "set in", "city", "is set in _ / takes place in _",
        "is the setting of _ / is the scene of _",
    ),
    _relation("book", "pages", "", "has _ pages / is _ pages long / runs to _ pages"),
)  # fmt: skip

_FILM = (
    _relation(
        "film", "directed by", "person", "was directed by _ / was made by _ / is a film by _",
        "directed _ / is the director of _ / made _", role="creation",
        jobs="dancer journalist musician painter photographer",
    ),
    _relation(
        "film", "released in", "", "was released in _ / came out in _ / reached cinemas in _"
    ),
    _relation(
        "film", "stars", "person", "stars _ / features _ / has _ in the leading role",
        "stars in _ / plays the lead in _ / has the leading role in _", role="creation",
        jobs="actor dancer musician singer",
    ),
    _relation(
        "film", "filmed in", "city", "was filmed in _ / was shot in _",
        "was the filming location of _ / served as the location for _",
    ),
    _relation("film", "length", "", "lasts _ / runs for _ / is _ long"),
    _relation("film", "genre", "", "is a_ / is classed as a_ / is described as a_"),
)  # fmt: skip

_BUILDING = (
    _relation(
        "building", "located in", "city", "is located in _ / stands in _ / can be found in _",
        "is home to _ / is the location of _",
    ),
    _relation(
        "building", "designed by", "person",
        "was designed by _ / was planned by _ / is a work by _",
        "designed _ / is the architect of _ / drew up the plans for _", role="creation",
        jobs="architect designer engineer",
    ),
    _relation(
        "building", "completed in", "", "was completed in _ / was finished in _ / dates from _"
    ),
    _relation(
        "building", "height", "", "is _ tall / has a height of _ / reaches a height of _",
        excludes="floors",
    ),
    _relation(
        "building", "floors", "", "has _ floors / consists of _ floors / is _ storeys high",
        excludes="height",
    ),
    _relation("building", "used as", "", "is used as a_ / serves as a_ / houses a_"),
    _relation(
        "building", "owned by", "company", "is owned by _ / belongs to _ / is the property of _",
        "owns _ / is the owner of _",
    ),
)  # fmt: skip

_CITY = (
    _relation("city", "country", "", "is located in _ / lies in _ / is a city in _"),
    _relation(
        "city", "river", "",
        "lies on the _ / stands on the banks of the _ / is situated on the _",
    ),
    _relation(
        "city", "mayor", "person", "is governed by _ / has _ as its mayor",
        "is the mayor of _ / serves as mayor of _ / governs _", role="career",
        jobs="doctor economist engineer historian journalist lawyer teacher",
        excludes="lives in",
    ),
    _relation(
        "city", "population", "", "has _ inhabitants / has a population of _ / counts _ inhabitants"
    ),
    _relation(
        "city", "twin city", "city", "is twinned with _ / is the twin city of _",
        "is twinned with _ / is the twin city of _",
    ),
    _relation(
        "city", "known for", "", "is known for its _ / is famous for its _ / is noted for its _"
    ),
    _relation(
        "city", "first mentioned in", "",
        "was first mentioned in _ / was first recorded in _ / has a history that began in _",
    ),
)  # fmt: skip

_DISH = (
    _relation("dish", "kind", "", "is a_ / is a kind of _ / is a type of _"),
    _relation(
        "dish", "comes from", "city", "comes from _ / originated in _ / is a speciality of _",
        "is the place of origin of _ / is the home of _",
    ),
    _relation(
        "dish", "main ingredient", "", "is made with _ / contains _ / is prepared with _"
    ),
    _relation("dish", "served with", "", "is served with _ / is eaten with _ / goes well with _"),
    _relation(
        "dish", "invented by", "person",
        "was invented by _ / was created by _ / was first cooked by _",
        "invented _ / is the inventor of _ / created _", role="creation", jobs="baker cook farmer",
    ),
)  # fmt: skip

_SCHOOL = (
    _relation(
        "school", "located in", "city", "is located in _ / stands in _ / has its campus in _",
        "is home to _ / is the location of _",
    ),
    _relation(
        "school", "opened in", "",
        "was opened in _ / was established in _ / opened its doors in _",
    ),
    _relation(
        "school", "headed by", "person", "is headed by _ / is led by _ / has _ as its president",
        "heads _ / is the president of _ / leads _", role="career",
        jobs="archaeologist astronomer biologist chemist economist engineer geologist historian "
        "lawyer physicist",
        excludes="studied at",
    ),
    _relation(
        "school", "students", "", "has _ students / teaches _ students / is attended by _ students"
    ),
)  # fmt: skip

RELATIONS = (*_PERSON, *_COMPANY, *_BOOK, *_FILM, *_BUILDING, *_CITY, *_DISH, *_SCHOOL)
"""All relations; (subject, label) names one."""

KIND_OF = {"press": "company"}
"""Types that are special cases of another: what holds of the second may hold of the first."""

TYPES = ("person", "company", "press", "book", "film", "building", "city", "dish", "school")

OPTIONS: dict[str, tuple[tuple[Relation, bool], ...]] = {
    type_: tuple(
        [(r, True) for r in RELATIONS if r.subject in (type_, KIND_OF.get(type_))]
        + [(r, False) for r in RELATIONS if r.object in (type_, KIND_OF.get(type_)) and r.object]
    )
    for type_ in TYPES
}
"""What can be said of an entity of each type: a relation, and whether the entity is its subject."""

MERGED: dict[tuple[str, str], tuple[str, ...]] = {
    ("born in", "birthday"): (
        "was born in {0} on {1}", "was born on {1} in {0}",
    ),
    ("works as", "works for"): (
        "works as {0} for {1}", "is {0} at {1}", "has a job as {0} at {1}",
    ),
    ("founded in", "founded by"): (
        "was founded in {0} by {1}", "was founded by {1} in {0}", "was set up in {0} by {1}",
    ),
    ("published in", "published by"): (
        "was published in {0} by {1}", "was published by {1} in {0}",
        "was brought out in {0} by {1}",
    ),
    ("written by", "genre"): (
        "is {1} by {0}", "is {1} written by {0}", "is {1} from the pen of {0}",
    ),
    ("directed by", "genre"): ("is {1} by {0}", "is {1} directed by {0}", "is {1} made by {0}"),
    ("country", "river"): (
        "lies on the {1} in {0}", "is a city on the {1} in {0}", "is situated on the {1} in {0}",
    ),
    ("kind", "comes from"): (
        "is {0} from {1}", "is {0} that comes from {1}", "is {0} that originated in {1}",
    ),
    ("kind", "main ingredient"): (
        "is {0} made with {1}", "is {0} that contains {1}", "is {0} that is made with {1}",
    ),
}  # fmt: skip
"""Two facts about one subject that one phrase says; {0} and {1} are their objects, and values of
relations whose first phrase has an article bring it along."""
