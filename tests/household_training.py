"""What other households know: the facts that the judgement "the documents contain it" is fitted to
(``tests.bench.fit_evidence``). No subject, sentence or question is one of
``tests.household_facts``, on which the result is measured.
"""

from __future__ import annotations

from tests.household_facts import (
    MONATE,
    MONTHS,
    Facts,
    Knowledge,
    code,
    day,
    euros,
    listed,
    number,
    one_of,
    tag,
)

TOOLS = listed(
    "drill, chainsaw, pressure washer, hedge trimmer, circular saw, welding set, ladder, generator,"
    " cement mixer, wallpaper steamer"
)
PEOPLE = listed(
    "Mr Okafor, Aunt Hilde, Uncle Stefan, Mrs Lindqvist, Cousin Rosa, Mr Baumann, Doctor Petrov,"
    " Grandpa Emil, Mrs Duarte"
)
MEDICINES = listed(
    "cough syrup, eye drops, blood pressure tablets, iron capsules, asthma spray, sleeping pills,"
    " antihistamine, insulin pen, thyroid tablets"
)
CLUBS = listed(
    "chess club, allotment society, choir, rowing club, parents' council, fire brigade, book"
    " circle, sailing school, scouts"
)
COURSES = listed(
    "pottery course, Spanish class, swimming lessons, first-aid training, yoga evening, drum"
    " lessons, cooking workshop, dance class"
)
GADGETS = listed(
    "router, printer, television, tablet, smart lock, doorbell, thermostat, alarm system, hearing"
    " aid, games console, network drive"
)
FURNITURE = listed(
    "bunk bed, bookcase, dining table, wardrobe, sofa, desk, piano stool, chest of drawers, mirror"
)
OUTINGS = listed(
    "school trip, wedding, christening, class reunion, ski week, concert, birthday party, regatta,"
    " street festival"
)
LOANS = listed("mortgage, car loan, student loan, roof loan, furniture credit, building loan")
AUTHORITIES = listed(
    "tax office, pension office, town hall, land registry, school board, motor vehicle office,"
    " health insurance"
)
HIDING = listed(
    "passports, birth certificates, spare keys, will, jewellery, camera, tent, sledges, fuse plugs,"
    " christmas lights"
)
WERKZEUGE = listed("Bohrmaschine, Kettensäge, Heckenschere, Leiter, Kreissäge, Schubkarre")
AEMTER = listed("Finanzamt, Standesamt, Jugendamt, Bauamt, Einwohnermeldeamt")
KURSE = listed("Schwimmkurs, Töpferkurs, Nähkurs, Tanzkurs, Englischkurs, Yogakurs")

KNOWLEDGE = (
    Knowledge(
        TOOLS,
        "The {s} was lent to a colleague, who wants to return it on {v}.",
        "When do we get the {s} back?",
        day,
    ),
    Knowledge(
        TOOLS,
        "Spare part number of the {s}: {v}.",
        "What do I order when something of the {s} breaks?",
        code,
    ),
    Knowledge(
        TOOLS,
        "Hiring a {s} at the builder's yard is {v} for a weekend.",
        "What does it cost to rent the {s}?",
        euros,
    ),
    Knowledge(
        TOOLS,
        "The {s} draws {v} watts, so use the thick extension lead.",
        "How powerful is the {s}?",
        number(300, 3000),
    ),
    Knowledge(
        PEOPLE,
        "{s} can be reached under extension {v} in the mornings.",
        "What is the telephone number of {s}?",
        number(100, 9999),
    ),
    Knowledge(
        PEOPLE,
        "{s} was born on {v} in a village by the sea.",
        "When is the birthday of {s}?",
        day,
    ),
    Knowledge(
        PEOPLE,
        "Bring {s} a bunch of {v} on a visit, nothing else.",
        "Which flowers does {s} like?",
        one_of("tulips", "lilies", "asters", "peonies", "dahlias", "carnations", "irises"),
    ),
    Knowledge(
        PEOPLE,
        "We still owe {s} {v} for the tickets.",
        "How much money do we have to give back to {s}?",
        euros,
    ),
    Knowledge(
        MEDICINES,
        "Take the {s} {v} times a day, always after a meal.",
        "How often is the {s} taken?",
        number(2, 7),
    ),
    Knowledge(
        MEDICINES,
        "An opened {s} keeps until {v} in the refrigerator.",
        "How long can the {s} be used?",
        day,
    ),
    Knowledge(
        MEDICINES,
        "The prescription for the {s} has the number {v} and is at the pharmacy.",
        "Under which number do I pick up the {s}?",
        code,
    ),
    Knowledge(
        CLUBS,
        "The yearly fee of the {s} is {v}, due in spring.",
        "How much is the membership in the {s}?",
        euros,
    ),
    Knowledge(
        CLUBS,
        "The treasurer of the {s} is {v}, elected last time.",
        "Who looks after the money of the {s}?",
        one_of("Nadia Kern", "Tobias Falk", "Ines Moreau", "Viktor Hahn", "Sofia Brandt"),
    ),
    Knowledge(
        CLUBS,
        "The {s} meets in room {v} behind the gymnasium.",
        "Where does the {s} come together?",
        number(1, 60),
    ),
    Knowledge(
        COURSES,
        "The {s} begins on {v}, bring your own towel.",
        "When is the first evening of the {s}?",
        day,
    ),
    Knowledge(
        COURSES,
        "Twelve evenings of the {s} come to {v} per person.",
        "What is the price of the {s}?",
        euros,
    ),
    Knowledge(
        COURSES,
        "The {s} is taught by {v}, who speaks slowly.",
        "Who is the teacher of the {s}?",
        one_of("Ms Tanaka", "Mr Osei", "Ms Rinaldi", "Mr Haddad", "Ms Virtanen"),
    ),
    Knowledge(
        GADGETS,
        "The {s} has the serial number {v}, printed underneath.",
        "Which serial number is on the {s}?",
        code,
    ),
    Knowledge(
        GADGETS,
        "Hold the button of the {s} for {v} seconds and it forgets all settings.",
        "How do I reset the {s} to factory state?",
        number(3, 60),
    ),
    Knowledge(
        GADGETS,
        "The administrator password of the {s} is {v}.",
        "What do I type in to log in to the {s}?",
        code,
    ),
    Knowledge(
        GADGETS,
        "The {s} was bought at {v} in the shopping street.",
        "In which shop did we get the {s}?",
        one_of("Elektro Wolf", "Kramer and Sons", "Technikpark", "the Blue Market", "Radio Ludwig"),
    ),
    Knowledge(
        FURNITURE,
        "The {s} is {v} centimetres wide without the handles.",
        "Will the {s} fit through the door?",
        number(40, 300),
    ),
    Knowledge(
        FURNITURE,
        "A joiner delivers the new {s} on {v} before noon.",
        "Which day does the {s} arrive?",
        day,
    ),
    Knowledge(
        FURNITURE,
        "The {s} is made of {v} and oiled once a year.",
        "What kind of wood is the {s}?",
        one_of("walnut", "larch", "cherry", "spruce", "maple", "birch", "ash"),
    ),
    Knowledge(
        OUTINGS,
        "For the {s} the coach leaves at {v} o'clock from the market square.",
        "What time do we depart for the {s}?",
        number(5, 22),
    ),
    Knowledge(
        OUTINGS,
        "{v} guests have said that they come to the {s}.",
        "How many people will be at the {s}?",
        number(8, 140),
    ),
    Knowledge(
        OUTINGS,
        "At the {s} everybody is asked to wear {v}.",
        "What are we supposed to put on for the {s}?",
        one_of("white", "a hat", "hiking boots", "a dark suit", "something blue", "a costume"),
    ),
    Knowledge(
        LOANS,
        "The interest on the {s} is fixed at {v} per thousand until it ends.",
        "Which rate do we pay on the {s}?",
        number(5, 70),
    ),
    Knowledge(
        LOANS,
        "The last instalment of the {s} is paid on {v}.",
        "When are we done paying off the {s}?",
        day,
    ),
    Knowledge(
        LOANS,
        "In {since} we still had {v} left of the {s}.",
        "How high is our remaining debt for the {s}?",
        euros,
        changes=True,
    ),
    Knowledge(
        AUTHORITIES,
        "Our file at the {s} has the reference {v}.",
        "Which reference do I quote to the {s}?",
        code,
    ),
    Knowledge(
        AUTHORITIES,
        "The {s} wants an answer by {v} at the latest.",
        "What is the deadline of the {s}?",
        day,
    ),
    Knowledge(
        AUTHORITIES,
        "Ask for {v} at the {s}, second floor.",
        "Who is responsible for us at the {s}?",
        one_of("Mrs Engel", "Mr Pospisil", "Ms Achterberg", "Mr Yilmaz", "Mrs Fontaine"),
    ),
    Knowledge(
        HIDING,
        "The {s} are kept in box {v} under the stairs.",
        "Where do I find the {s}?",
        number(1, 90),
    ),
    Knowledge(
        HIDING,
        "We last counted the {s} in {v} and nothing was missing.",
        "In which month did somebody check the {s}?",
        one_of(*MONTHS),
    ),
    Knowledge(
        WERKZEUGE,
        "Die {s} hat {v} gekostet, bar bezahlt.",
        "Wie teuer war die {s}?",
        number(20, 900),
    ),
    Knowledge(
        WERKZEUGE,
        "Die {s} ist bis {v} an den Nachbarn verliehen.",
        "Wann bekommen wir die {s} zurück?",
        tag,
    ),
    Knowledge(
        AEMTER,
        "Unser Aktenzeichen beim {s} ist {v}.",
        "Unter welchem Zeichen führt uns das {s}?",
        code,
    ),
    Knowledge(
        AEMTER,
        "Das {s} hat im {v} nur vormittags geöffnet.",
        "In welchem Monat hat das {s} am Nachmittag zu?",
        one_of(*MONATE),
    ),
    Knowledge(
        KURSE,
        "Der {s} fängt am {v} an.",
        "Wann beginnt der {s}?",
        tag,
    ),
    Knowledge(
        KURSE,
        "Für den {s} zahlen wir {v} Euro im Voraus.",
        "Was kostet der {s}?",
        number(20, 400),
    ),
)

FILLER = (
    "The windows were cleaned on the same afternoon.",
    "I copied this from the pencil note on the calendar.",
    "Nothing about it has to be decided before the summer.",
    "The line was engaged, so we wrote a postcard.",
    "There was cake left over, which the neighbours took.",
    "The second page got wet and is hard to read.",
    "Keep the envelope, the stamp is worth something.",
    "It is best to go by tram, parking is a nuisance.",
    "The door sticks a little when the weather is damp.",
    "Somebody had underlined this twice in red.",
    "We walked home because the evening was mild.",
    "The battery of the clock in the hall was changed as well.",
    "All of this was read out loud and nobody objected.",
    "The lady at the counter was friendly but in a hurry.",
    "The drawing on the back was made by the children.",
    "Der Brief lag eine Woche ungelesen auf dem Tisch.",
    "Das Wetter war an diesem Tag besonders schön.",
    "Once more, thanks to everybody who lent a hand.",
    "The old lamp flickers, but it has always done that.",
    "What remains is listed on another sheet.",
)

NOT_THERE = (
    "How fast does a cheetah run?",
    "Who wrote the symphony that was played at the coronation?",
    "What does the minister think of the canal?",
    "Which planet has the longest day?",
    "How is cheese smoked over beech wood in Norway?",
    "When did the miners' strike end?",
    "What is the capital of Burkina Faso?",
    "Which bacteria live in hot springs?",
    "How many goals did the striker score last season?",
    "Why was the bridge engineer dismissed?",
    "What did the jury say about the novel?",
    "How tall is the lighthouse on the cape?",
    "Which fuel does the rocket burn?",
    "Who discovered the comet?",
    "When was the parliament dissolved?",
    "What is the melting point of gallium?",
    "How do bees find their way home?",
    "Which actor plays the detective in the series?",
    "How much rain falls in the desert of Atacama?",
    "What is the share price of the brewery?",
    "Wer hat die Dampfmaschine erfunden?",
    "Wie schnell fliegt eine Schwalbe?",
    "Welche Sprache spricht man in Brasilien?",
    "Wann wurde die Mauer gebaut?",
    "How long did the siege of the fortress last?",
    "Which chord follows in the second verse of the hymn?",
    "What does the customs officer look for at the border?",
    "How many teeth has a shark?",
    "Who owns the vineyard on the slope?",
    "Which ship carried the grain to Odessa?",
)

OTHERS = Facts(KNOWLEDGE, FILLER, NOT_THERE)
