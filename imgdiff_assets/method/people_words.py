"""Words of English captions that name people: `people` of `prompt_pairs.avoid`, each in the singular.

Words that name a thing as often are not among them: pitcher, fan, coach, model, face, queen.
"""

NAMES = (
    "person people human humanity somebody someone anyone anybody everyone everybody nobody man woman child "
    "kid baby toddler infant newborn boy girl guy gal lad lass lady gentleman gent fellow dude chap teen teenager "
    "youngster youth adult grown-up elder senior pensioner crowd audience spectator bystander onlooker passer-by "
    "passerby pedestrian commuter passenger tourist traveler traveller visitor guest host hostess customer client "
    "shopper buyer vendor seller neighbor neighbour stranger friend companion couple family bride groom bridesmaid "
    "newlywed twin sibling brother sister mother father mom mommy mum mummy dad daddy parent grandparent grandmother "
    "grandfather grandma grandpa granny son daughter husband wife spouse uncle aunt cousin nephew niece widow widower "
    "orphan ancestor selfie portrait face"
)
WORKERS = (
    "worker employee staff colleague coworker boss manager executive businessman businesswoman businessperson "
    "entrepreneur official officer cop police policeman policewoman detective sheriff bodyguard soldier veteran "
    "sailor marine pilot astronaut captain crew conductor driver chauffeur cabbie trucker cyclist biker bicyclist "
    "motorcyclist rider jockey equestrian waiter waitress bartender barista chef cook baker butcher grocer cashier "
    "clerk receptionist secretary assistant maid butler janitor housekeeper nanny babysitter nurse doctor "
    "physician surgeon dentist paramedic pharmacist therapist patient vet veterinarian scientist researcher engineer "
    "programmer developer technician mechanic electrician plumber carpenter builder welder painter roofer mason miner "
    "firefighter lifeguard farmer gardener rancher cowboy cowgirl fisher hunter logger lumberjack beekeeper "
    "teacher professor tutor student pupil schoolboy schoolgirl graduate classmate referee umpire trainer "
    "athlete player footballer goalkeeper goalie quarterback golfer boxer wrestler "
    "jogger sprinter hiker climber mountaineer skier snowboarder skater skateboarder surfer swimmer rower "
    "kayaker paddler gymnast cheerleader dancer ballerina singer musician guitarist violinist pianist drummer "
    "saxophonist cellist flutist trumpeter rapper dj performer actor actress celebrity comedian clown "
    "mime magician acrobat juggler artist sculptor photographer cameraman reporter journalist writer author poet "
    "editor lawyer judge attorney politician president minister mayor senator prince princess emperor "
    "knight monk nun priest pope bishop pastor rabbi imam pilgrim prisoner thief robber burglar criminal beggar "
    "hitchhiker camper picnicker sunbather beachgoer shopkeeper salesman saleswoman salesperson mailman postman "
    "courier hairdresser barber stylist tailor blacksmith weaver superhero pirate viking samurai "
    "geisha ninja toreador matador gladiator warrior"
)
PRONOUNS = "he she him his her hers himself herself who whose"
PARTS = "*man *men *woman *women *person *people *girl *boy *lady"
"""Compounds: fireman, policewoman, chairperson, schoolgirl, cowboy."""

LOOK_SO = (
    "ottoman talisman caiman roman german norman snowman snowmen doberman dobermann "
    "mailman-box specimen regimen omen hymen abdomen ramen stamen acumen"
)
"""What only ends so, or is no living person."""
