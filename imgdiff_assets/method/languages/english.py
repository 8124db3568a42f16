"""English."""

import re

from imgdiff_assets.method import people_words
from imgdiff_assets.method.language import Language, PhraseRules, Sentences, SideRules, WordGroup, listed

_PICTURE = (
    r"(?:images?|pictures?|photos?|photographs?|box(?:es)?|bounding box|rectangle|region|area|crop|frame|scene|view"
    r"|section|snapshot|screenshot|illustration|content|description|close-?up|thumbnail|coordinates|corners|portion)"
)
_THING = r"(?:objects?|items?|subjects?|things?|entity|element|focus)"
_ANY = rf"(?:{_PICTURE}|{_THING})"
_OF_A_SIDE = r"(?:left|right|first|second|original|edited|source|target)\b"
_VAGUE = (
    r"main|only|same|given|single|whole|entire|whatever|certain|specific|unknown|unidentified|unidentifiable|blurry"
    r"|blurred|dark|small|large|highlighted|marked|indicated|selected|cropped|bounding|red|square|rectangular|random|vague"
)
_NUMBER = r"one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\d+"
_DETERMINER = (
    r"(?:an?|the|this|that|these|those|his|her|its|their|my|your|our|some|several|many|multiple|various|numerous|few"
    rf"|most|all|both|each|every|another|no|{_NUMBER}|someone|somebody|something|people|part of|half of|lots of"
    r"|[\w-]+(?:'s|’s|s'|s’))(?![\w'’-])"
)
_SHOWS = (
    r"(?:shows?|showing|depicts?|depicting|contains?|containing|features?|displays?|captures?|presents?|portrays?"
    r"|illustrates?|represents?|includes?|reveals?|encloses?|surrounds?|highlights?|marks?|outlines?|focus(?:es)? on"
    r"|corresponds? to|refers? to|points? to|belongs? to|covers?|is of|has)"
)
_ANSWER = (
    r"(?:answer|guess|caption|label|name|response|output|phrase|noun|assistant|title|summary|sentence|category|class|type|tag"
    r"|result|differences?|changes?|comparison)"
)
_META = (
    r"(?:what|which|here|there|this|that|these|those|it|they|he|she|we|i|am|you|one|the|in|inside|within|on|at|of|from|for|to|by"
    r"|with|so|then|now|as|me|can|could|may|might|must|would|will|should|do|does|is|are|was|were|be|been"
    r"|(?:i|you|we|they|it|he|she|that|there|here|what)['’](?:s|ll|ve|re|d|m)|appears?|seems?|looks?|see|seen|say|guess|think|believe|assume|find|found"
    r"|have|has|got|clearly|most|likely|probably|possibly|definitely|quite|just|simply|only|mainly|mostly|shown"
    r"|pictured|depicted|displayed|visible|located|center|centre|middle|left|right|top|bottom|corner|foreground"
    r"|background|front|part|side|main|subject|object|item|thing|element|image|picture|photo|photograph|box|bounding|display"
    r"|region|area|crop|cropped|frame|view|scene|red|marked|highlighted|given|specified|selected|provided|focus|answer"
    r"|description|name|caption|label|my|your|our|called|named|something|like|shows?|showing|contains?|depicts?"
    r"|depicting|features?|featuring|content|contents|rectangle|question|correct|best|described|identified|known)"
)
"""Words with which captioners talk about the picture, or about their answer."""
_META_END = (
    r"(?:is|are|was|were|be|(?:what|that|it|there|here)['’]s|they['’]re|see|find|notice|spot|observe|have|has|got|like|called|named|as|say|guess|shows?"
    r"|showing|contains?|depicts?|depicting|features?|featuring|frames|sits|stands|lies|looking at"
    r"|(?:describe|call|identify) (?:it|this|that)(?: as)?|(?:occupied|filled|dominated|taken up|covered) (?:by|with)"
    r"|(?:drawn|placed|put|focused|centered) (?:around|on)|zooms in on|cent(?:er|re)s on"
    r"|(?:box|answer|object|thing|item|region|image|picture)(?=:))"
)
_IS = (
    r"(?:(?:is|are|was|were|appears? to be|seems? to be|looks? like|could be|might be|may be|must be|would be"
    r"|can be (?:described|identified|seen) as)(?: (?:most likely|likely|probably|clearly|possibly|perhaps"
    r"|(?:best )?described as|identified as|called|known as))*)"
)
_NAMES = rf"(?=\s+(?:{_DETERMINER}|[\"“‘'«]))"
_LOOKS = (
    r"(?:not|in|on|at|by|near|under|over|behind|beside|next|above|below|between|with|from|of|partially|partly|fully"
    r"|completely|very|quite|too|so|also|now|visible|clear|unclear|blurred|blurry|dark|bright|red|orange|yellow|green"
    r"|blue|purple|pink|white|black|grey|gray|brown|beige|small|large|big|round|square|\w+ing|\w{2,}ed)"
)
_STATES = r"(?:is|are|was|were|has|have|appears?|looks?|seems?|stands?|sits?)\b"
_SUBJECT = rf"(?:(?:the|this|that|these|those|your|given|main|cropped)\s+)(?:[\w'’-]+ ){{0,3}}?{_ANY}"


def _forms(text: str) -> dict[str, str]:
    """The second of two words by the first, of a list of such pairs."""
    return dict(pair.split() for pair in text.split(","))


_GERUNDS = _forms(
    "sits sitting, stands standing, lies lying, lays laying, rests resting, leans leaning, hangs hanging, runs "
    "running, "
    "walks walking, rides riding, holds holding, wears wearing, carries carrying, eats eating, drinks drinking, "
    "plays playing, jumps jumping, sleeps sleeping, flies flying, swims swimming, looks looking, grazes grazing, "
    "drives driving, floats floating, grows growing, stares staring, smiles smiling, waits waiting, moves moving, "
    "crosses crossing, contains containing, features featuring, appears appearing, faces facing, reads reading, "
    "climbs climbing, catches catching, throws throwing, hits hitting, pushes pushing, pulls pulling, cuts cutting, "
    "watches watching, covers covering, shows showing, has with"
)
_PLURAL_GERUNDS = _forms(
    "sit sitting, stand standing, lie lying, lean leaning, hang hanging, graze grazing, walk walking, run running, "
    "play playing, eat eating, sleep sleeping, fly flying, swim swimming, float floating, ride riding, hold holding, "
    "wear wearing, look looking, jump jumping, rest resting, grow growing, have with"
)

_OBJECT = r"(?:an?|the|his|her|its|their|another|two|three)\b"
_JOINING = (
    r"(?:in|on|at|by|near|under|over|behind|beside|next|above|below|between|with|from|against|along|across|around|inside"
    r"|among|outside|through|up|down|about|for|to|of|and|or|but|that|which|who|as|than|like|into|onto|without|within"
    r"|beneath|towards?|before|after|off|past|not|all|both|one|\w+ing|\w{2,}ed)\b"
)
_WHERE = (
    r"(?:in|on|at|by|near|under|over|behind|beside|above|below|from|along|across|around|through|up|down|into|past)\b"
)
_FINITE = (
    rf"^(?:an?|one|the|his|her|their|my)\b(?: [\w'’-]+){{1,9}}? ([a-z]+[^s\W]s) {_OBJECT}"
    rf"|(?:s|\b(?:people|men|women|children)) (?!{_JOINING})([a-z]{{3,}}) {_OBJECT}"
    rf"|^(?:an?|one)(?: (?!{_JOINING})[\w-]+){{1,3}}? ([a-z]+s)(?<![uians]s) {_WHERE}"
)
"""A verb before its object or, behind one thing, before a place: little else that ends so stands there."""


def _participle(verb: str) -> str:
    """ "hammers" and "hammer" as "hammering"."""
    base = re.sub(r"(?<=sh|ch|ss|zz)es$|(?<=[xo])es$|(?<!s)s$", "", re.sub(r"ies$", "y", verb))
    if re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", base):
        base += base[-1]
    return re.sub(r"(?<![eoy])e$", "", base) + "ing"


_UNCOUNTABLE = listed(
    """
    water snow sand grass sky food bread rice pasta meat fruit cheese butter milk coffee tea juice wine beer soup salad
    cereal chocolate pizza furniture luggage clothing jewelry jewellery equipment foliage greenery vegetation traffic
    machinery graffiti wood metal glass paper fabric cloth concrete gravel dirt mud soil ice smoke fog fire light
    hair fur wool popcorn bacon broccoli spinach lettuce corn garlic seafood sushi text writing money sunlight scenery
    rubble debris trash garbage rubbish laundry pottery artwork seaweed moss ivy hay straw lava steam darkness
    sheep deer fish police cattle people men women children feet teeth geese mice everyone someone something
    """
)
"""Nouns that stand without an article, and plurals without an s."""
_NAME_ENDS = (
    r"\s(?:in|on|at|by|near|under|over|behind|beside|next|above|below|between|with|without|from|to|for|and|or|that"
    r"|which|who|whose|where|while|inside|within|against|along|across|around|through|\w+ing|\w{2,}ed|made|seen|hung|held)"
    r"\b.*|,.*"
)


_PROPER = r"(?-i:[A-Z]\w*(?:ean|ican|ian|[ae]nese|dish|lish|nish)|Dutch|French|German|Greek|Swiss|Christmas)\b"
"""Adjectives and the like that are written with a capital letter."""


def _with_article(phrase: str) -> str:
    """With "a" or "an" before a single thing that has no article; names, plurals and stuff have none."""
    head = re.sub(rf"\sof\b.*|{_NAME_ENDS}", "", phrase).split(" ")[-1]
    plural = head.endswith("s") and not head.endswith(("ss", "us", "is"))
    name = phrase[0].isupper() and not re.match(rf"{_PROPER} [a-z]|[A-Z]-|[A-Z]{{2,3}}$|[A-Z]{{2,}} [a-z]", phrase)
    if not phrase[0].isalpha() or name or plural or head.lower() in _UNCOUNTABLE:
        return phrase
    spelled = re.match(r"[A-Z](?:-|[A-Z]{1,2}\b)", phrase)
    opening = (
        "[AEFHILMNORSX]" if spelled else r"[aeiouAEIO](?!ni[^nm]|se|ur|ne\b)|hour|honest|heir|un(?!i)|uni[nm]|us[hu]"
    )
    sounds_open = re.match(opening, phrase)
    return f"{'an' if sounds_open else 'a'} {phrase}"


PHRASES = PhraseRules(
    greetings=(
        r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|alright|great(?: question)?|yes|well|got it|gladly"
        r"|no problem|understood|(?:i'm |i am )?happy to help|hello|hi|hmm)(?:,? here (?:you go|it is))?\s*[,.!:;]+",
        r"(?:here(?:'s|’s| is| are)|below is|the following is)\b[^.:]{0,60}:",
        rf"(?:(?:the|an?|one|my) )?(?:(?!{_OF_A_SIDE})[\w-]+ ){{0,2}}?(?:{_ANY}|{_ANSWER})"
        rf"(?: (?:in|inside|within|of|for) (?:the )?(?:[\w-]+ ){{0,2}}?{_ANY})?(?: is| would be)?\s*(?::|=|-+>|→)",
    ),
    farewells=(
        r"\b(?:let me know|feel free|hope (?:this|that|it) helps?|happy to help|is there anything|you're welcome)\b",
    ),
    lead_ins=(
        r"(?:based on|from|according to|judging by|looking at)\b[^.,]{0,60},",
        rf"(?:{_WHERE}|next to\b)[^.,;:]{{0,60}}? (?:is|are|stands?|sits?|lies|hangs?) "
        rf"(?=(?:an?|another|some|several|many|{_NUMBER})\b)",
        rf"(?:{_META}[\s,:]+)*?(?:{_META_END})[\s,:]+(?=(?:an?|another|some|several|many|{_NUMBER})\b"
        rf"|(?:the|his|her|their|its)\s(?!{_META}\b)|[\"“‘«])",
        rf"(?:in|inside|within|at|on|near|from)\b(?: [\w'’-]+){{0,4}}? (?:the|this|that)\b(?: [\w'’-]+){{0,5}}? ?"
        rf"{_PICTURE}\b(?:(?:(?! (?:see|have|is|are|shows?)\b)[^.,;:]){{0,60}},"
        r"|(?=\s(?:there|we|you|i|one|is|are)\b))",
        r"(?:so|just|only|also|simply|actually|basically|probably|likely|possibly|maybe|perhaps|clearly|apparently"
        r"|then|(?:can|could|might|may|must|would|should) be)\b,?",
        rf"{_SHOWS}{_NAMES}",
        r"(?:seen|shown|pictured|depicted|visible|highlighted|enclosed)(?: here)?(?: is| are)\b",
        rf"(?:(?:the|my|a) )?(?:[\w-]+ ){{0,2}}?{_ANSWER}(?: (?:of|for) (?:[\w-]+ ){{0,2}}?{_ANY})? {_IS}{_NAMES}",
        r"(?:(?:it|this|what) )?(?:appears?|seems?|looks?)(?: to be| to show| to contain| like| that)+\b",
        r"(?:there(?:'s|’s| is| are| was| were| seems? to be| appears? to be| can be seen))\b",
        rf"(?:is|are){_NAMES}",
        r"(?:i|we|you|one)(?: can| could| may| might)?(?: clearly| also| only)?"
        r" (?:see|observe|identify|spot|notice|make out|find|recogni[sz]e|detect|believe|think)\b"
        r"(?: (?:that )?(?:it|this|that)(?:'s|’s| is))?",
        rf"(?:it|this|that|these|those|they|what (?:you|we|i) (?:can )?see)(?: {_ANY}(?! \w+ing))?(?:'s|’s|’re|'re"
        rf"| {_IS}"
        rf"| {_SHOWS})(?! not\b)(?:(?<=\ws)\b)?(?: {_THING} (?:called|named))?",
        rf"(?:{_SUBJECT}|{_PICTURE}|{_THING})(?: (?!(?:is|are|was|were)\b)[\w'’,-]+){{0,10}}?,? {_SHOWS}\b",
        rf"{_SUBJECT}(?: [\w'’,-]+){{0,10}}? {_IS}{_NAMES}",
        rf"(?:{_SUBJECT}|{_THING})(?<!box)(?: [\w'’,-]+){{0,8}}? {_IS}(?! {_LOOKS}\b)",
        r"(?:(?:an?|the|this) )?(?:[\w-]+ ){0,2}?(?:image|photo|picture|photograph|snapshot|screenshot|close-?up"
        r"|illustration|view|(?:close|wide|long|medium|aerial|side|angle|tight|cropped) shot)"
        r"(?: (?:shot|view|image|photo|picture))? (?:of|showing|depicting)\b",
    ),
    tails=(
        r"\b(?:that is |which is |that are )?(?:shown|visible|seen|depicted|pictured|located|present|displayed"
        r"|highlighted"
        rf"|placed|contained)? ?(?:in|inside|within) (?:the|this|that) (?:[\w-]+ ){{0,3}}?{_PICTURE}",
        r"\s(?:shown|visible|seen|depicted|pictured|present|displayed|highlighted|here)|\s\d+(?:\.\d+)?\s?%",
        r"\s(?:an?|the|of|in|on|at|with|and|or|to|by|for|from|that|which|is|are|as|very)",
    ),
    clauses=(
        r", (?:which|who|so|not|nothing|no one)\b",
        r",? (?:possibly|probably|likely|perhaps|maybe|suggesting|indicating|making it|giving it|as (?:if|it)|because"
        r"|although|though)\b",
        r", (?:it|they|he|she|this|the|its)\b.*",
        r", (?:as far as|to be|if|from what|in my|based on)\b",
        r",? (?:and )?i (?:think|believe|guess|suppose|assume|can)\b",
        r",? and (?:i|it|he|she|they|there)\b",
        r"(?:,| (?=while|but|whereas|as)) ?(?:and|while|but|whereas|as)\b[^,]*\b" + _STATES,
    ),
    second_clauses=(r" and\b[^,]*\b" + _STATES,),
    refusals=(
        r"\b(?:i'?m|i am|i’m|we are)(?: really| very| so)? (?:sorry|afraid|unable|not able|not sure|uncertain)\b",
        r"^(?:my )?(?:sorry|apologies|unfortunately)\b|\bi apologi[sz]e\b|\bas an ai\b|\bunable to\b",
        r"\b(?:i|we)(?: simply| really)? (?:can'?t|cannot|can’t|can not|could not|couldn['’]t|do not|don['’]t|am not"
        r"|was unable|won['’]t|would not)\b",
        r"\b(?:hard|difficult|impossible|not possible) to (?:tell|say|identify|determine|make out|discern|recogni)",
        r"\bplease (?:provide|upload|share)\b|\b(?:provide|upload) (?:a|an|the|more)\b|\bmore (?:context"
        r"|information)\b",
    ),
    nothing=(
        r"\b(?:cannot|can['’]t|can not|could not|couldn['’]t) be\b|\bobscured\b",
        r"\bn(?:o|['’])t (?:have )?(?:anything|enough)\b",
        r"\b(?:cannot|can['’]t|can not|could not|couldn['’]t) (?:clearly |reliably )?(?:identif|determin|tell"
        r"|see|make out"
        r"|say|describ|recogni|discern)",
        r"\btoo (?:blurr|dark|small|unclear|low|pixelated|far|vague|ambiguous|tiny|noisy|bright)",
        r"\bnot (?:clear|possible|visible|enough|recogni[sz]able|identifiable|discernible|clearly|provided|certain)",
        r"\b(?:unclear|unidentifiable|unrecogni[sz]able|indistinguishable|insufficient)\b",
        r"\b(?:does|do|did)(?: not|n['’]t) (?:contain|show|appear|have|seem|depict|include|see)",
        rf"\bno (?:(?:discernible|visible|identifiable|recogni[sz]able|clear|distinct|specific|main|other|obvious"
        rf"|image|"
        rf"particular) )*(?:{_ANY}|one|image)\b",
        r"^(?:there(?: is|'s|’s| are| appears to be| seems to be) )?"
        r"(?:nothing|none|no one|nobody|no(?! problem| worries))\b",
        r"\b(?:is|are|appears?|seems?|shows?|contains?)(?: to be| to contain)?(?: completely| mostly"
        r"| just)? (?:empty|blank"
        r"|nothing)(?:$|[.,;!])",
        r"^(?:n/?a|unknown|unclear|null|undefined|empty|blank)\b\W*$",
    ),
    empty=(
        rf"(?:(?:an?|the|this|some|one) )?(?:(?:(?:kind|sort|type) of )?(?:an? )?(?:{_VAGUE}) )?{_ANY}",
        rf"(?:some|an?) (?:kind|sort|type) of {_ANY}",
        r"(?:it|this|that|these|they|what|i|you|we|he|she|so|just|looks?|seems?|appears?|shows?|is|are|was|were|can"
        r"|in|on"
        r"|at|of|and|but|which|there|here|as|if|not|from|with|by|to)\b.*",
        r"nothing.*|none|something|(?:an? )?(?:empty|blank)(?: (?:space|background|area|box|image|region))?",
        r"(?:an?|the|no) ?|(?:the )?(?:[\w-]+ )?background",
        r"(?:the|this|that|these|those|your) (?:[\w-]+ ){0,2}"
        r"(?:images?|pictures?|photos?|crop|box|coordinates|corners|region|area|rectangle|objects?)\b(?! of).*",
        rf"(?:the )?contents? (?:of|in) .*{_PICTURE}.*",
        r"(?:red|orange|yellow|green|blue|purple|pink|white|black|grey|gray|brown|unknown|yes|no)",
        r"\W*",
    ),
    copula=r"(?:is|are|was|were|(?:can|could) be|has been|have been|appears? to be|seems? to be)"
    r"(?: (?:currently|now|also|clearly|partially|partly|still|just))*",
    follows=(
        r"(?:\w+ing|\w{2,}ed|shown|seen|held|made|worn|built|cut|set|hung|lit|drawn|written|broken|torn|left"
        r"|visible|full"
        r"|in|on|at|by|near|under|over|behind|beside|next|above|below|between|with|from|against|along|across|around|inside"
        r"|among|outside|through|up|about|for|to|of)\b"
    ),
    verbs={**_GERUNDS, **_PLURAL_GERUNDS},
    plural_verbs=frozenset(_PLURAL_GERUNDS),
    plurals=r"s$|\b(?:people|men|women|children|geese|sheep|deer)$|\band\b",
    verb_like=(
        rf"\b(?:an?|one|something|someone|he|she|it)\b(?: [\w-]+)*? \w{{2,}}[^s\W]s (?={_DETERMINER}|(?:in|on"
        rf"|at|by|near|under"
        r"|over|behind|beside|across|along|around|into|onto|through|down|up|toward|towards|to|with|from|against)\b)"
    ),
    finite=_FINITE,
    participle=_participle,
    relatives=r"that|which|who|whose|where|what|how",
    proper=_PROPER,
    determiner=_DETERMINER,
    article=_with_article,
)

_COLOURS = listed(
    "red orange yellow green blue purple violet pink white black grey brown beige golden silver turquoise maroon"
)
_NUMBERS = _forms("1 one, 2 two, 3 three, 4 four, 5 five, 6 six, 7 seven, 8 eight, 9 nine, 10 ten")
_BECOMES = (
    r"(?:turn(?:s|ed|ing)? into|(?:has |have )?(?:changed|changes?|transformed|transforms?|converted|morphed|turned)"
    r" (?:in)?to|(?:has |have )?bec(?:a|o)mes?|(?:is|are) now|(?:gave|gives?|given) way to|(?:made|makes?) way for"
    r"|(?:(?:is|are|was|were|been|being|got) )(?:replaced|swapped(?: out)?|exchanged|substituted|switched(?: out)?"
    r"|changed|transformed|converted|turned)(?: out)? (?:with|by|for|(?:in)?to)"
    r"|(?:swapped|exchanged|switched|replaced)(?: out)? (?:with|by|for))"
)
_STANDS_IN = (
    r"(?:instead of|rather than|in place of|in lieu of|(?:has |have |had )?(?:replaced|replaces?|replacing|supplanted)"
    r"|(?:takes?|took|has taken|taking) the place of|(?:is|are|stands?|stood|in) where|where (?:once )?(?=.*"
    r"\b(?:was|were|used to be|had been)\b))"
)

_BUT_FOR = (
    r"^(?!.*\b(?:except|apart from|aside from|other than|but for|otherwise|only (?:\w+ )?(?:difference|change)|nearly"
    r"|almost|mostly|largely|everything else|all else|the rest|the background)\b).*\b"
)
"""Where there is none of these, all is alike."""
_SIDE = r"(?i:image|picture|photo|photograph|crop|region|box|figure|panel)"

SIDES = SideRules(
    source=listed("left left-hand leftmost first original before originally initially previously earlier former old"),
    target=listed("right right-hand rightmost second edited after now new modified later latter updated"),
    both=listed("both each"),
    called={
        rf"\b{_SIDE} (?:#?1|one|A)\b": "first",
        rf"\b{_SIDE} (?:#?2|two|B)\b": "second",
        rf"\bone {_SIDE}\b": "first",
        rf"\bthe other(?: {_SIDE}| one)?\b": "second",
    },
    changes=(
        r"(?P<old>.+?) (?:is|was|are|were|has|have|disappeared|vanished)\b.*?(?:,|\band\b) (?P<new>.+?) "
        r"(?:is|was|are|were|has|have|appears?|appeared|stands?|lies|sits)\b.*"
        r"\b(?:in (?:its|their|his|her|that) (?:place|spot|stead)"
        r"|where (?:it|they|he|she) (?:was|were|stood|used|had))\b",
        r"\b(?:instead of|rather than|in place of) (?P<old>.+?), (?P<new>.+)",
        r"\bwhere (?:there )?(?:once )?(?:was|were|stood|used to be|had been)(?: once)? (?P<old>.+?), (?P<new>.+)",
        r"\bwhere (?P<old>.+?) (?:was|were|stood|used to be|had been)\b[^,]*, (?P<new>.+)",
        r"(?P<old>[^:]+?) ?(?:→|[-=]+>|⇒) ?(?P<new>.+)",
        r"\b(?:not|no longer) (?P<old>.+?),? but (?P<new>.+)",
        r"\bfrom (?P<old>.+?) (?:in)?to (?P<new>.+)",
        rf"(?P<old>.+?) {_BECOMES} (?P<new>.+)",
        r"(?P<new>.+?) where (?P<old>.+? (?:was|were|stood|used to be|had been))\b",
        r"(?:replac|swap|chang|turn|exchang)\w* (?P<old>.+?) (?:with|by|for|into|to) (?P<new>.+)",
        rf"(?P<new>.+?) {_STANDS_IN} (?P<old>.+)",
        r"(?P<old>.+?) (?:is|was|are|were|has been|have been) (?:absent|missing|gone|removed|taken away)\b(?P<new>)",
        r"no longer (?P<old>.+)(?P<new>$)",
        r"(?P<new>.+?),? not (?P<old>.+)",
    ),
    joints=r"[,:]|\b(?:and|while|whereas|but)\b",
    denying=listed("no not without lacks lack lacking never doesn't isn't aren't don't hasn't"),
    nothing=(
        r"\b(?:is|are|was|were|has|have|did|does)(?: not|n['’]t) (?:been )?"
        r"(?:replaced?|changed?|swapped|turned|become)\b",
        r"\?\s*$",
        r"\bno (?:(?:visible|clear|obvious|apparent|significant|real|noticeable) )*(?:differences?|changes?)\b",
        rf"{_BUT_FOR}nothing\b(?! else).*\b(?:differ|chang)",
        rf"{_BUT_FOR}(?:identical|indistinguishable)\b|\b(?:does|do|did)(?: not|n['’]t) differ\b",
        rf"{_BUT_FOR}(?:images?|pictures?|photos?|both|they|two)\b[^.,]{{0,20}}\b(?:are|look|show|appear|is)"
        r"(?: exactly)? the same\b",
    ),
    claim=(
        r"(?:and |but |also |additionally |moreover )*(?:the|an?|its|his|her|their|there (?:is|are)|some|two"
        r"|three)\b.*\b(?:is|are|was|were|has|have|had|now|also|wears?|looks?|appears?|seems?|\w{3,}ed)\b"
    ),
    silent=listed(
        "a an the this that these those it its they their he his she her one ones other others another there here in "
        "on "
        "at of to by with from for into onto is are was were be been being has have had do does did no not and or but "
        "while whereas which who as than then so both each image images picture pictures photo photos photograph side "
        "sides show shows shown showing depict depicts contain contains contained feature features featuring display "
        "displays see seen can box region area version view frame difference differences different differ differs "
        "change "
        "changes changed replace replaced replaces replacing swap swapped turn turned turns become becomes became "
        "instead rather place object objects thing things item items something same remain remains unchanged "
        "otherwise "
        "rest background scene everything else overall location position spot appear appears where also just only "
        "inside red-box within main subject has gone disappeared missing removed added stand stands still similar "
        "nearly almost mostly largely identical"
    ),
    exclusive=(
        _COLOURS,
        frozenset(_NUMBERS.values()),
        listed("wooden metal plastic glass stone brick marble leather paper steel"),
        listed("small large"),
        listed("open closed"),
        listed("empty full"),
        listed("old new"),
        listed("old young"),
    ),
    same={
        **_NUMBERS,
        **_forms("gray grey, a one, an one, single one, big large, huge large, tiny small, little small"),
    },
    name_ends=_NAME_ENDS,
)


def _definite(phrase: str) -> str:
    """As that which is there: "a red ball" is "the red ball", "two dogs" "the two dogs", "his dog" stays."""
    phrase = re.sub(r"^(?:an?|the) ", "", phrase)
    counted = re.match(rf"(?:{_NUMBER})\b", phrase)
    return phrase if re.match(_DETERMINER, phrase) and not counted else f"the {phrase}"


SENTENCES = Sentences(
    questions={
        "difference": (
            "What is different between the two images {region}?",
            "Compare what the two images show {region}: how does the second differ from the first?",
            "Look {region} in both images and describe the change.",
        ),
        "differences": (
            "What is different between the two images? List every difference with its box {coordinates}.",
            "List all differences between the two images, each with its box {coordinates}.",
            "Compare the two images. Name everything that changed, each with its box {coordinates}.",
        ),
        "which_image": (
            "Which of the two images fits this description {region}: “{subject}”? Answer A for the first or B for the "
            "second.",
            "“{subject}”: in which image is that to be seen {region}? Answer with A (first) or B (second).",
            "Look {region}. Which image fits the description “{subject}” there, A (the first) or B (the second)? "
            "Answer A or B.",
        ),
        "same_or_different": (
            "Do the two images show the same? Answer Same or Different.",
            "Compare the two images. Is anything in them different? Answer Same or Different.",
            "Are these two images the same, or do they differ? Answer Same or Different.",
        ),
        "grounding": (
            "Find the region that shows {subject}, and answer with its box {coordinates}.",
            "One region shows {subject}. Give its box {coordinates}.",
            "The images differ where they show {subject}. Answer with the box {coordinates}.",
        ),
        "edit_instruction": (
            "Which edit turns the first image into the second?",
            "Write the instruction for an image editor that makes the second image of the first.",
            "What would you have to change in the first image to get the second? Answer with one instruction.",
        ),
        "commonality": (
            "What do the two images have in common?",
            "Describe what is the same in both images.",
            "What is to be seen in the first image and in the second alike?",
        ),
    },
    region="inside the red box",
    corners="inside the box {box}",
    conventions={
        "fraction": "as [x1, y1, x2, y2] in fractions of the width and the height",
        "thousandths": "as [x1, y1, x2, y2] in thousandths of the width and the height",
        "pixels": "as [x1, y1, x2, y2] in pixels",
    },
    both_shown="{first} in the first image and {second} in the second",
    replaced="Replace {old} with {new}.",
    changed="Change “{old}” to “{new}”.",
    added="Add {new}.",
    removed="Remove {old}.",
    in_common="Both images show {shown}.",
    in_common_quoted="Both images fit the description “{shown}”.",
    something="something",
    same="Same.",
    different="Different.",
    told_apart="The left image shows {source}, and the right image shows {target}.",
    side_by_side="The picture shows two images side by side: the first on the left, the second on the right.",
    definite=_definite,
)

SLIPS = (
    r"\b(?:an?|the) (?:an?|the|his|her|its|their)\b",
    r"(?-i:\ban (?=[bcdfgjklmnpqrstvwyz][a-z])|\ba (?=(?:[ai]|e(?!u|w)|o(?!n(?:e|ce)))[a-z]))",
    r"(?:\b(?:shows?|with|is|are|holds|find)|“)\s*(?:sure|certainly|here|there (?:is|are)|(?:the|this|an?) (?:image"
    r"|picture|photo)|it is|i (?:can )?see|(?:object|answer|caption):)\b",
    r"\bsomething something\b",
)
"""Two articles, or one of the wrong form; a sentence, or what leads to a name, in a name's place."""

LANGUAGE = Language(
    name="english",
    common=listed(
        "a an the is are was were of on in at with and or to by from for near next under over behind beside while "
        "into onto his her their its that this who which there up down out off it as has have not no"
    ),
    articles=listed("a an the"),
    agreeing=(
        listed("is are"),
        listed("was were"),
        listed("has have"),
        listed("does do"),
        listed("this these"),
        listed("that those"),
        listed("that who which"),
        listed("he she it they"),
        listed("him her it them"),
        listed("his her its their"),
        listed("himself herself itself themselves"),
    ),
    endings=("s", "es"),
    joining=listed(
        "and or with without of on in at to from by near for over under beside behind between inside into onto "
        "against that who which while is are"
    ),
    kinds={
        "attribute": listed(
            "red blue green yellow orange purple pink brown black white grey gray beige golden silver dark light "
            "large small big little tall short long wide narrow huge tiny giant old young new wooden metal plastic "
            "happy sad empty full open closed wet dry bright colorful colourful night day dawn dusk noon midnight "
            "morning afternoon evening sunrise spring summer autumn winter rainy sunny cloudy snowy foggy stormy"
        ),
        "count": listed(
            "one two three four five six seven eight nine ten eleven twelve several many few couple some dozen single "
            "multiple group 1 2 3 4 5 6 7 8 9 10 11 12"
        ),
        "action": listed(
            "sits stands walks runs jogs lies sleeps eats drinks holds carries wears rides drives flies swims jumps "
            "climbs plays throws catches kicks hits looks watches reads writes cuts cooks washes pushes pulls leans "
            "rests waits sat stood walked ran slept ate drank held carried wore rode drove flew swam jumped sit stand"
        ),
        "position": listed(
            "on in under over above below behind beside near inside outside between against across along around into "
            "onto through beneath by at next front top bottom left right to of from with off toward towards"
        ),
    },
    verb_endings=("ing",),
    before_nouns=listed("his her its their this these those some and or of with without in on at by to from for near"),
    stemmer="english",
    plurals=_forms(
        "men man, women woman, people person, children child, feet foot, teeth tooth, geese goose, mice mouse, "
        "wolves wolf, knives knife, leaves leaf, shelves shelf, loaves loaf, calves calf, firemen fireman, "
        "policemen policeman, snowmen snowman, fishermen fisherman, buses bus, oxen ox"
    ),
    sentences=SENTENCES,
    phrases=PHRASES,
    sides=SIDES,
    slips=SLIPS,
    groups={
        "people": WordGroup(
            listed(" ".join((people_words.NAMES, people_words.WORKERS, people_words.PRONOUNS, people_words.PARTS))),
            listed(people_words.LOOK_SO),
        )
    },
    inflections=(("'s", ""), ("s'", ""), ("s'", "s"), ("s", ""), ("es", ""), ("ies", "y"), ("ves", "fe")),
)
