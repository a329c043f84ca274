"""Words that say nothing about what a passage is about, in the languages most asked in.

A question shares them with every text; a match on one of them alone is no match.
"""

from __future__ import annotations

ENGLISH = """
a about after all also am an and any are as at be because been before being between both but by can
could did do does doing down during each few for from further had has have having he her here hers
him his how i if in into is it its itself just know like may me might more most much must my no nor
not now of off on once only or other our out over own please same say says shall she should show so
some such tell than that the their them then there these they this those through to too under until
up us very was we were what when where which while who whom whose why will with would you your s t
"""
GERMAN = """
aber alle als am an auch auf aus bei bin bis bitte da das dass dem den denn der des die dies diese
dieser dieses doch du durch ein eine einem einen einer eines er es etwas euch für gibt habe haben
hat hatte ich ihr ihre im in ist ja kann kein keine können mein meine mich mir mit muss nach nicht
noch nur ob oder ohne sein seine sich sie sind so um und uns unser unsere unter vom von vor wann war
waren warum was welche welcher welches wenn wer werden wie wieviel wir wird wo wohin worden wurde zu
zum zur über
"""
STOPWORDS = frozenset((ENGLISH + GERMAN).split())
