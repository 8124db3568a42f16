"""German."""

from imgdiff_assets.method.language import Language, PhraseRules, Sentences, SideRules, WordGroup, listed

_PICTURE = r"(?:bild|foto|kasten|rahmen|bereich|box|bildausschnitt)"

_META = (
    r"(?:ich|man|wir|sehe|sieht|sehen|erkenne|erkennt|auf|in|im|am|dem|der|das|die|dies|diesem|dieser|es|hier|dort|da|foto"
    r"|bild|kasten|box|rahmen|ausschnitt|bereich|roten|rote|markierten|objekt|gegenstand|ist|sind|zeigt|befindet|befinden"
    r"|sich|gibt|handelt|um|zu|steht|stehen|liegt|wohl|offenbar|könnte|scheint|nur|klar|deutlich|vordergrund|hintergrund"
    r"|mitte)"
)
"""Words with which captioners talk about the picture."""

LANGUAGE = Language(
    name="german",
    common=listed(
        "der die das den dem des ein eine einen einem einer eines und oder ist sind war auf in im an am mit von vom "
        "zu zum zur bei neben unter über hinter vor nach aus für nicht kein keine sich seine ihre "
        "was wie welche welches haben beide beiden"
    ),
    articles=listed("der die das den dem des ein eine einen einem einer eines"),
    agreeing=(
        listed("ist sind"),
        listed("war waren"),
        listed("hat haben"),
        listed("er sie es"),
        listed("ihn sie es"),
        listed("im in"),
        listed("am an"),
        listed("zum zur zu"),
        listed("vom von"),
        listed("sein seine seinen seinem seiner ihr ihre ihren ihrem ihrer"),
    ),
    endings=("e", "er", "es", "en", "em", "t", "et"),
    joining=listed("und oder mit ohne von vom auf in im an am bei neben unter über hinter vor aus für zu zum zur"),
    kinds={
        "action": listed(
            "sitzt steht liegt schläft läuft rennt geht isst trinkt hält trägt fährt spielt springt schaut"
        ),
        "attribute": frozenset(
            f"{stem}{ending}"
            for stem in listed("rot blau grün gelb braun schwarz weiß grau groß klein alt jung neu lang kurz")
            for ending in ("", "e", "er", "es", "en", "em")
        ),
        "count": listed("zwei drei vier fünf sechs sieben acht neun zehn mehrere viele einige wenige"),
        "position": listed("auf in im an am neben unter über hinter vor bei zwischen links rechts"),
    },
    stemmer="german",
    sentences=Sentences(
        questions={
            "difference": (
                "Worin unterscheiden sich die beiden Bilder {region}?",
                "Vergleiche, was die beiden Bilder {region} zeigen: Was ist im zweiten anders als im ersten?",
                "Beschreibe, was sich {region} vom ersten zum zweiten Bild ändert.",
            ),
            "differences": (
                "Was unterscheidet die beiden Bilder? Nenne jeden Unterschied mit seinem Rahmen {coordinates}.",
                "Zähle alle Unterschiede zwischen den beiden Bildern auf, jeden mit seinem Rahmen {coordinates}.",
            ),
            "which_image": (
                "Auf welches der beiden Bilder passt {region} die Beschreibung „{subject}“? Antworte mit A für das "
                "erste "
                "oder B für das zweite.",
                "„{subject}“: In welchem Bild ist das {region} zu sehen? Antworte mit A (erstes) oder B (zweites).",
            ),
            "same_or_different": (
                "Zeigen die beiden Bilder dasselbe? Antworte mit Gleich oder Verschieden.",
                "Vergleiche die beiden Bilder. Ist etwas anders? Antworte mit Gleich oder Verschieden.",
            ),
            "grounding": (
                "Finde die Stelle, auf die {subject} passt, und antworte mit ihrem Kasten {coordinates}.",
                "Auf eine Stelle der Bilder passt {subject}. Gib ihren Kasten {coordinates} an.",
            ),
            "edit_instruction": (
                "Welche Bearbeitung macht aus dem ersten Bild das zweite?",
                "Was müsste man am ersten Bild ändern, um das zweite zu bekommen? Antworte mit einer Anweisung.",
            ),
            "commonality": (
                "Was haben die beiden Bilder gemeinsam?",
                "Beschreibe, was in beiden Bildern gleich ist.",
            ),
        },
        region="im roten Kasten",
        corners="im Kasten {box}",
        conventions={
            "fraction": "als [x1, y1, x2, y2] in Anteilen der Breite und der Höhe",
            "thousandths": "als [x1, y1, x2, y2] in Tausendsteln der Breite und der Höhe",
            "pixels": "als [x1, y1, x2, y2] in Pixeln",
        },
        both_shown="im ersten Bild „{first}“ und im zweiten „{second}“",
        replaced="Ersetze „{old}“ durch „{new}“.",
        changed="Mache aus „{old}“ „{new}“.",
        added="Füge „{new}“ hinzu.",
        removed="Entferne „{old}“.",
        in_common="Auf beide Bilder passt die Beschreibung „{shown}“.",
        in_common_quoted="Auf beide Bilder passt die Beschreibung „{shown}“.",
        something="etwas",
        same="Gleich.",
        different="Verschieden.",
        told_apart="Das linke Bild zeigt {source}, das rechte Bild {target}.",
        side_by_side="Das Bild zeigt zwei Bilder nebeneinander: links das erste, rechts das zweite.",
    ),
    phrases=PhraseRules(
        greetings=(
            r"(?:klar|sicher|gerne?|natürlich|okay|ok|ja|selbstverständlich)[,.!:;]+",
            r"hier ist\b[^.:]{0,60}:",
            r"(?:(?:das|ein) )?(?:\w+ )?(?:objekt|bild|antwort|beschreibung|gegenstand|bildbeschreibung"
            r"|unterschiede?)\s*:",
        ),
        farewells=(r"\b(?:lass mich wissen|ich hoffe,? das hilft|gib mir bescheid|kann ich sonst)\b",),
        lead_ins=(
            rf"(?:{_META}[\s,:]+)+(?=(?:ein|eine|einen|zwei|drei|vier|mehrere|einige|viele)\b)",
            rf"(?:in|auf|im) (?:(?:dem|der|diesem|dieser) )?(?:\w+ )?{_PICTURE} (?:ist|sind|sieht man|sehe ich"
            rf"|befindet sich|"
            r"befinden sich|steht|gibt es)\b",
            rf"(?:das|die|dieses|der) (?:\w+ )?(?:{_PICTURE}|objekt|gegenstand|ausschnitt)(?: (?:im|in|auf) (?:der "
            rf"|dem )?"
            r"\w+)? (?:zeigt|enthält|ist|stellt|scheint)\b",
            r"(?:vermutlich|wahrscheinlich|vielleicht|möglicherweise|wohl)\b",
            r"(?:es|das|dies|hier) (?:ist|sind|handelt sich um|zeigt)\b|zu sehen (?:ist|sind)\b|man sieht\b"
            r"|ich sehe\b",
        ),
        tails=(r"\szu \w+n", rf"(?:in|auf|im) (?:(?:dem|der|diesem) )?(?:\w+ )?{_PICTURE}", r"\s(?:zu sehen|dar)"),
        clauses=(r", (?:der|die|das|welche[rs]?|wobei|und)\b",),
        refusals=(
            r"\b(?:tut mir leid|leider|kann (?:ich )?(?:nicht|das|kein)|nicht (?:erkennbar|möglich|zu erkennen)"
            r"|unklar)\b",
        ),
        nothing=(
            r"\bzu (?:unscharf|dunkel|klein|verschwommen)\b|\b(?:nichts|kein(?:e|en)? (?:objekt|gegenstand))\b"
            r"|\bist leer\b",
        ),
        empty=(rf"(?:(?:das|ein|eine|die) )?(?:{_PICTURE}|objekt|gegenstand)", r"\W*"),
        proper=".",  # All nouns have a capital letter.
        determiner=r"(?:ein(?:e[nmrs]?)?|der|die|das|den|dem|zwei|drei|vier|mehrere|einige|viele)\b",
    ),
    sides=SideRules(
        source=listed("links linke linken linkes ersten erste erstes ursprünglich ursprünglichen vorher original"),
        target=listed(
            "rechts rechte rechten rechtes zweiten zweite zweites jetzt nun nachher bearbeitet bearbeiteten"
        ),
        changes=(
            r"(?P<old>.+?) (?:wurde|wird|ist) durch (?P<new>.+) ersetzt",
            r"aus (?P<old>.+?) (?:wird|wurde) (?P<new>.+)",
            r"\b(?:statt|anstatt|anstelle)(?: von)? (?P<old>.+?),? "
            r"(?:ist|sind|steht|stehen|liegt|liegen|sitzt|sitzen|sieht|gibt|zeigt|hat) (?P<new>.+)",
            r"(?P<new>.+?) (?:statt|anstatt|anstelle) (?P<old>.+)",
            r"(?P<old>.+?) (?:wurde|wird) zu (?P<new>.+)",
            r"(?P<new>.+?) (?:ersetzt|ersetzte) (?P<old>.+)",
        ),
        denying=listed("kein keine keinen nicht ohne"),
        both=listed("beide beiden"),
        called={r"\bbild (?:1|eins|a)\b": "erstes", r"\bbild (?:2|zwei|b)\b": "zweites"},
        joints=r"[,:]|\b(?:und|während|aber)\b",
        nothing=(r"\bkeine(?:n|rlei)? (?:unterschiede?|änderung)\b|\bidentisch\b|\bnichts\b.*\bgeändert\b",),
        claim=r"(?:und |aber |auch )*(?:der|die|das|ein|eine)\b",
        silent=listed(
            "der die das den dem des ein eine einen einem einer eines ist sind war wird wurde auf in im an am bei von "
            "zu mit "
            "und oder bild bilder foto seite zeigt zeigen sieht man sich es statt anstelle durch ersetzt aus"
        ),
        exclusive=(
            listed("rot gelb grun blau schwarz weiss grau braun"),
            listed("zwei drei vier funf sech sieb acht"),
        ),
    ),
    groups={
        "people": WordGroup(
            listed(
                "person mensch leute menge publikum jemand niemand mann frau kind baby junge mädchen herr dame "
                "familie paar braut bräutigam mutter vater bruder schwester sohn tochter oma opa großmutter großvater "
                "freund freundin nachbar polizist kellner kellnerin koch köchin arzt ärztin schüler soldat könig "
                "königin er ihm ihn gesicht porträt selfie *mann *männer *frau *leute *kind *junge *mädchen "
                "*fahrer *fahrerin *spieler *spielerin *verkäufer *arbeiter *tänzer *tänzerin "
                "*lehrer *lehrerin *sänger *sängerin"
            ),
            listed("schneemann schneemänner rind leuchter"),
        )
    },
    inflections=(("en", ""), ("n", ""), ("e", ""), ("er", ""), ("s", ""), ("nen", "")),
)
