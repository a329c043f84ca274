"""Words that say nothing about what a passage is about, by language (ISO 639-1), in the languages
most asked in.

A question shares them with every text; a match on one of them alone is no match. They also tell
which language a text is in. ``content`` drops them from questions; texts keep theirs.
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
waren warum was welche welchem welchen welcher welches wenn wer werden wie wieviel wieviele wir wird
wo wohin worden wurde wurden zu zum zur über zwischen
"""
FRENCH = """
a ai au aux avec ce ces cet cette combien comme comment d dans de des du elle elles en es est et eu
il ils j je l la le les leur leurs lui m ma mais me mes moi mon n ne nos notre nous on ont ou où par
pas plus pour pourquoi qu quand que quel quelle quelles quels qui quoi s sa sans se ses son sont sur
t ta te tes toi ton tu un une vos votre vous y à été être
"""
SPANISH = """
a al algo ante con cual cuál cuáles cuando cuándo cuanto cuánto cuántos de del desde donde dónde
durante e el él ella ellas ellos en entre era es esa ese eso esta está estaba este esto fue fueron
ha había hasta la las le les lo los más me mi muy no nos o para pero por porque qué que quien quién
quiénes se ser si sí sin sobre son su sus también te tiene tu un una uno y ya yo cómo como
"""
ITALIAN = """
a ad agli ai al alla alle anche c che chi ci come con cosa cui da dal dalla dei del della delle di
dove e è ed gli ha hanno i il in io l la le lo loro ma mi ne nei nel nella non o per perché più
quale quali quando quanto quanti questo questa se si sono su sua sul sulla suo tra un una uno
"""
PORTUGUESE = """
a ao aos as à às com como da das de do dos e é ela ele eles em entre era essa esse esta este eu foi
foram há isso isto já la lhe mais mas me muito na nas no nos não o onde os ou para pela pelo por
porque qual quais quando quanto quantos que quem se sem ser seu seus sua suas são também tem um uma
"""
DUTCH = """
aan al als bij dan dat de der deze die dit doch door een en er ge had heb hebben heeft het hier hij
hoe hoeveel ik in is ja je kan maar meer men met mijn moet na naar niet nog nu of om omdat ook op
over te toch toen tot u uit van veel voor waar waarom wanneer waren was wat we wel welk welke werd
wie wij wordt worden zal ze zich zij zijn zo zou
"""
SWEDISH = """
alla att av blev bli de den denna dess det detta dig din du där efter ej eller en ett från för ha
hade han har hon hur här i icke in inte jag kan man med men mig min mot mycket ni nu när någon något
och om oss på sin sina skall som så till under upp ut vad var varför vem vid vi vilka vilken vilket
är över
"""
DANISH = """
ad af alle at blev da de dem den denne der deres det dette dig din du efter eller en er et for fra
ham han har havde hende hun hvad hvem hvilke hvilken hvor hvordan hvorfor hvornår i ikke ind jeg kan
man med men mig min mod mange nu når og også om op os over på sig sin skal som til ud under var vi
vil været
"""
POLISH = """
a aby ale bez być był była było były ci co czy czym dla do gdy gdzie go i ich ile im ja jak jaka
jaki jakie jako jego jej jest już kiedy kim kto która które który którzy lub ma mi mnie na nad nie
od po pod przed przez przy są się ta tak także tam te tego tej ten to tu tylko w we z za ze że
"""
TURKISH = """
ama bir birçok biri bu bunu bunun çok da daha de değil diğer en gibi hangi hangisi hem her için ile
ise kaç ki kim mı mi mu mü nasıl ne neden nerede nereye niçin o olan olarak oldu olduğu olduğunu
olur ona onlar onu onun şey şu tarafından ve veya ya zaman
"""
ROMANIAN = """
a acest această aceste al ale am ar are au ca care căror ce cea cei cele cine cu cum cât câte câți
când cărui da dacă de decât despre din după ea ei el este eu fi fost în între la le lor lui mai mult
ne nu o pe pentru prin sa sau se și sunt un una unde unei unor unui
"""
RUSSIAN = """
а бы был была были было в вам вас весь во все всех вы где да для до его ее если есть ещё же за и из
или им их к как какая какие какой каком когда кого кто ли между меня мне мы на над не него нет но о
об он она они оно от по под после при про с сколько со так также то того тоже только том ты у чего
чем что чтобы эта эти это этого этой этот я
"""
GREEK = """
από για δεν είναι είχε ένα ένας ή η θα και κατά μας με μέχρι μια μία να ο οι όταν ότι πιο ποια ποιες
ποιο ποιοι ποιον ποιος πόσα πόσες πόσο πόσοι πού πότε πριν προς πώς σε στα στη στην στο στον στους
τα τη την της τι τις το τον του τους των ως
"""
LANGUAGES = {
    "en": frozenset(ENGLISH.split()),
    "de": frozenset(GERMAN.split()),
    "fr": frozenset(FRENCH.split()),
    "es": frozenset(SPANISH.split()),
    "it": frozenset(ITALIAN.split()),
    "pt": frozenset(PORTUGUESE.split()),
    "nl": frozenset(DUTCH.split()),
    "sv": frozenset(SWEDISH.split()),
    "da": frozenset(DANISH.split()),
    "pl": frozenset(POLISH.split()),
    "tr": frozenset(TURKISH.split()),
    "ro": frozenset(ROMANIAN.split()),
    "ru": frozenset(RUSSIAN.split()),
    "el": frozenset(GREEK.split()),
}
