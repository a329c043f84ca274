"""What a household knows: subjects, what there is to say about each, and how people ask for it.

``{s}`` is a subject, ``{v}`` a value that is drawn for each fact. Questions share as few words with
the sentence as people's do.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

Draw = Callable[[random.Random], str]


def listed(words: str) -> tuple[str, ...]:
    return tuple(words.split(", "))


MONTHS = listed(
    "January, February, March, April, May, June, July, August, September, October, November,"
    " December"
)
MONATE = listed(
    "Januar, Februar, März, April, Mai, Juni, Juli, August, September, Oktober, November, Dezember"
)


def code(chance: random.Random) -> str:
    """Like ``KX-48213``."""
    letters = "".join(chance.choice("ABCDEFGHKLMNPRSTUVWXYZ") for _ in range(2))
    return f"{letters}-{chance.randrange(10_000, 99_999)}"


def day(chance: random.Random) -> str:
    """Like ``14 March 2026``."""
    return f"{chance.randrange(1, 29)} {chance.choice(MONTHS)} {chance.randrange(2025, 2031)}"


def tag(chance: random.Random) -> str:
    """The same in German."""
    return f"{chance.randrange(1, 29)}. {chance.choice(MONATE)} {chance.randrange(2025, 2031)}"


def euros(chance: random.Random) -> str:
    return f"{chance.randrange(19, 1900)}.{chance.randrange(10, 99)} euros"


def number(least: int, most: int) -> Draw:
    return lambda chance: str(chance.randrange(least, most))


def one_of(*choices: str) -> Draw:
    return lambda chance: chance.choice(choices)


def tenths(chance: random.Random) -> str:
    return f"{chance.randrange(2, 6)}.{chance.randrange(1, 9)} bar"


@dataclass(frozen=True)
class Knowledge:
    """A kind of fact about each of ``subjects``; ``changes`` when there may be older values of it,
    which ``{since}`` in the sentence tells apart.
    """

    subjects: tuple[str, ...]
    sentence: str
    question: str
    value: Draw
    changes: bool = False


@dataclass(frozen=True)
class Facts:
    """All that a household may know, the sentences around it, and questions on other things."""

    knowledge: tuple[Knowledge, ...]
    filler: tuple[str, ...]
    not_there: tuple[str, ...]


MACHINES = listed(
    "dishwasher, washing machine, tumble dryer, oven, freezer, heat pump, vacuum cleaner, coffee"
    " machine, lawn mower, water softener, solar inverter, garage door, air purifier, sewing"
    " machine"
)
CONTRACTS = listed(
    "home insurance, liability insurance, electricity contract, internet contract, mobile phone"
    " plan, gym membership, violin lessons, legal protection, newspaper subscription, gas supply"
)
CAKES = listed(
    "plum cake, apple strudel, potato gratin, sourdough bread, cheese quiche, cinnamon buns, nut"
    " loaf, lemon tart, onion pie, lasagne, carrot muffins, almond biscuits"
)
VEHICLES = listed("family car, caravan, cargo bike, electric scooter, motorbike, horse trailer")
CHILDREN = listed("Lena, Jonas, Mia, Paul, Emma, Noah, Greta, Oskar")
PLANTS = listed("apple tree, rose bed, beech hedge, grape vine, lavender, fig tree, hydrangea")
ROOMS = listed("attic, cellar, bathroom, kitchen, living room, study, guest room, laundry")
CITIES = listed("Lisbon, Vienna, Oslo, Prague, Naples, Krakow, Bruges, Seville, Riga, Zagreb")
PETS = listed("Minka the cat, Bruno the dog, Hopper the rabbit, Rio the parrot")
GERAETE = listed("Spülmaschine, Waschmaschine, Gefriertruhe, Heizungsanlage, Regenwasserpumpe")
VERTRAEGE = listed("Hausratversicherung, Stromvertrag, Krankenzusatzversicherung, Bausparvertrag")

KNOWLEDGE = (
    Knowledge(
        MACHINES,
        "The guarantee of the {s} runs out on {v}.",
        "Until when will the {s} be repaired for free?",
        day,
    ),
    Knowledge(
        MACHINES,
        "Rinse the filter of the {s} every {v} weeks under warm water.",
        "How often does the filter of the {s} have to be cleaned?",
        number(2, 40),
    ),
    Knowledge(
        MACHINES,
        "When the display of the {s} shows {v}, its outlet is blocked.",
        "What does it mean when the {s} says {v}?",
        code,
    ),
    Knowledge(
        MACHINES,
        "We paid {v} for the {s}, delivery included.",
        "How much money did the {s} cost us?",
        euros,
    ),
    Knowledge(
        CONTRACTS,
        "Since {since} the {s} is {v} a month, taken from the joint account.",
        "What do we currently pay per month for the {s}?",
        euros,
        changes=True,
    ),
    Knowledge(
        CONTRACTS,
        "The {s} can be ended with {v} weeks' notice, in writing.",
        "How long before the end must the {s} be cancelled?",
        number(2, 30),
    ),
    Knowledge(
        CONTRACTS,
        "Our customer number for the {s} is {v}.",
        "Which customer number do I give when I call about the {s}?",
        code,
    ),
    Knowledge(
        CAKES,
        "The {s} goes into the oven for {v} minutes on the middle rack.",
        "How many minutes does the {s} bake?",
        number(15, 95),
    ),
    Knowledge(
        CAKES,
        "For the {s} Grandmother always took {v} as her secret ingredient.",
        "What was Grandma's special ingredient in the {s}?",
        one_of("nutmeg", "rum", "cardamom", "orange peel", "smoked salt", "honey", "buttermilk"),
    ),
    Knowledge(
        VEHICLES,
        "The tyres of the {s} are filled to {v}.",
        "What pressure do the wheels of the {s} need?",
        tenths,
    ),
    Knowledge(
        VEHICLES,
        "The next technical inspection of the {s} is due on {v}.",
        "When does the {s} have to go to the inspection?",
        day,
    ),
    Knowledge(
        CHILDREN,
        "{s} is allergic to {v} and carries the tablets in the blue pouch.",
        "Which food must {s} never eat?",
        one_of("peanuts", "kiwi", "shellfish", "hazelnuts", "celery", "strawberries", "soy"),
    ),
    Knowledge(
        CHILDREN,
        "{s} had the tetanus vaccination on {v} at Doctor Weber's.",
        "When was {s} vaccinated against tetanus?",
        day,
    ),
    Knowledge(
        CHILDREN,
        "{s} wears shoe size {v} now.",
        "What size of shoes does {s} need?",
        number(24, 44),
    ),
    Knowledge(
        PLANTS,
        "Cut the {s} back in {v}, never in frost.",
        "In which month should the {s} be pruned?",
        one_of(*MONTHS),
    ),
    Knowledge(
        ROOMS,
        "The walls of the {s} have the paint {v} from the shop by the station.",
        "Which paint did we use in the {s}?",
        code,
    ),
    Knowledge(
        ROOMS,
        "In the fuse box the {s} is on switch number {v}.",
        "Which breaker cuts the power in the {s}?",
        number(1, 48),
    ),
    Knowledge(
        CITIES,
        "The booking reference for our trip to {s} is {v}.",
        "Under which reference is the journey to {s} reserved?",
        code,
    ),
    Knowledge(
        CITIES,
        "In {s} we stay at the hotel {v}, breakfast included.",
        "Where do we sleep when we are in {s}?",
        one_of("Aurora", "Bellevue", "Corona", "Delfin", "Excelsior", "Fontana", "Goldener Hirsch"),
    ),
    Knowledge(
        PETS,
        "{s} gets {v} grams of dry food a day, in two portions.",
        "How much should {s} be fed daily?",
        number(20, 400),
    ),
    Knowledge(
        GERAETE,
        "Die Garantie der {s} läuft am {v} ab.",
        "Bis wann haben wir Garantie auf die {s}?",
        tag,
    ),
    Knowledge(
        VERTRAEGE,
        "Die Kundennummer für {s} lautet {v}.",
        "Welche Kundennummer haben wir bei {s}?",
        code,
    ),
)

FILLER = (
    "The neighbours were kind enough to take in the parcels last week.",
    "Bins are put out on the evening before they are collected.",
    "We talked about it over dinner and everybody agreed.",
    "The receipt lies in the grey folder on the second shelf.",
    "Please don't forget to tell the others when something changes.",
    "It rained for most of the weekend, so nothing got done outside.",
    "The old papers went to the recycling yard together with the cartons.",
    "A friend recommended the workshop, and so far we have been content.",
    "Everything else stays as it was agreed upon last autumn.",
    "The telephone was busy all morning, a second try worked at noon.",
    "There is a spare copy of this page in the drawer of the hall table.",
    "Nobody could remember who had written the first version.",
    "The measuring tape is back in its place behind the door.",
    "This was checked twice, once by each of us.",
    "Photographs of it are on the old computer.",
    "The instructions were thin, but the pictures helped.",
    "We keep this note until the matter is closed.",
    "The next family meeting takes place after the holidays.",
    "Somebody should water the plants on the landing now and then.",
    "Further questions are best asked by letter.",
)

NOT_THERE = (
    "What is the top speed of our submarine?",
    "Who won the chess tournament in Reykjavik?",
    "How many satellites orbit Jupiter's largest moon?",
    "What did the senator say about the railway strike?",
    "Which vaccine do llamas get before shearing?",
    "When was the cathedral's organ last tuned?",
    "What is the boiling point of tungsten?",
    "How long is the runway at the airport?",
    "Who composed the anthem of Mongolia?",
    "Which dividend did the shipyard announce?",
    "What is the password of the wireless network at the office in Chicago?",
    "How deep is the harbour basin?",
    "Who is the coach of the handball team?",
    "Which dose of insulin was prescribed?",
    "What does the divorce lawyer charge by the hour?",
    "When does the volcano museum close on Sundays?",
    "How is the telescope's mirror aligned?",
    "What was the verdict in the copyright trial?",
    "Which horse came first at the races?",
    "How much uranium does the reactor need?",
    "What is the recipe for the glaze on the Peking duck?",
    "Who inherits the vineyard in Tuscany?",
    "When is the deadline for the doctoral thesis?",
    "How many passengers were on the ferry?",
    "Which frequency does the pirate radio station use?",
    "What did the archaeologists find under the theatre?",
    "How do I reset the pacemaker's clock?",
    "Who painted the ceiling of the opera house?",
    "What is the depth of the swimming pool at the spa?",
    "Which knot fastens the sail to the mast?",
    "Wer hat den Marathon in Boston gewonnen?",
    "Wie hoch ist der Fernsehturm in Toronto?",
    "Welche Strafe steht auf Falschparken in Singapur?",
    "Wann beginnt die Mondfinsternis in Australien?",
    "Wie viele Zähne hat ein Krokodil?",
    "What is the exchange rate of the Kenyan shilling?",
    "How many acres does the ranch have?",
    "Which medal did the regiment receive?",
    "What does the tenor earn per evening?",
    "When was the bridge over the Danube blown up?",
)
"""Questions about what no household of ours has."""

HOUSEHOLD = Facts(KNOWLEDGE, FILLER, NOT_THERE)
