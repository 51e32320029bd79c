"""The words of the game, by their number of letters: common, inoffensive English."""

from __future__ import annotations

_FOUR = """
able also area aunt away baby back bake ball band bank bath bean bear beat bend best bike bird
blue boat body bone book boot born both bowl brim busy cafe cage cake call calm camp card care
case chip city clip club coal coat coin cold cook cool copy corn cost crew dark dart data date
deal dear deck deep desk dish door down draw drum duck dust each earn east easy echo else even
face fact fair fall farm fast film find fine fire fish five flag flat flow food foot four free
frog full gain game gate gift give glad glow glue goal goat gold golf good gray hair half hall
hand heat help hero high hill hold home hook hope host hour idea item join joke jump keep kind
king knee lady lake lamp land lane last leaf left lift like line lion list lock long look luck
mail main make many mark meal menu mile milk mind mint moon move much name near neat nest news
next nice nine nose note over pack page pair park part pass past path pear pens pick pink plan
play plot plus pond pool port post pull quiz race rain read real rest rice rich ride ring rise
road rock roll roof room root rose rule safe salt same sand save seat seed sell send ship shoe
shop show sign sing site size skin slow snow soap sock soft soil song soon soup spot star stay
step suit sure surf swim tale talk tall task taxi team tent test text tile time tiny tool tour
town tree trip true tune turn type unit used very view vote wait walk wall warm wash wave wear
week well west wide wild wind wing wire wise wish wolf wood word work worm year zero zone
"""

_FIVE = """
actor agree alarm album alert alive allow alone angel angle ankle apple apron arena argue audio
awake award bacon badge baker basic beach began begin below bench berry birch blank blend block
bloom board boost brain brave bread break brick bride brief bring broad brown brush build bunch
camel candy carry catch chain chair charm chart cheek cheer chess chest chief child chose class
clean clear climb clock close cloth cloud clown coast color coral count court cover crane cream
cross crowd crown curve cycle daily daisy dance delay depth diary dough dozen dream dress drink
drive eagle early earth eight empty enjoy enter entry equal event every faith feast fence fever
field fifty final first flame float flood floor flour focus found frame fresh front fruit funny
giant glass globe glove grape graph grass great green greet group guess guest guide happy heart
heavy hello honey horse hotel house human humor image judge juice knife label large laser later
laugh layer learn lemon level light limit local logic lucky lunch magic maple march marsh match
mayor medal melon metal meter might model money month motor mount mouse mouth movie music nerve
never night noise north novel nurse ocean offer often olive onion opera orbit order organ other
owner paint panel paper party pasta patch pause peace peach pearl penny phone photo piano piece
pilot pizza place plain plane plant plate point porch pound power press price print prize proud
puppy queen quick quiet quite radio raise ranch range reach ready reply rider river robin robot
rough round route royal ruler salad sauce scale scene score scout seven shade shape share sharp
sheep sheet shelf shell shine shirt shoes shore short shout skill slice slide small smart smile
smoke snack solid solve sound south space spare speak speed spell spend spice spoon sport stage
stair stamp stand start steam steel stick stone stool store storm story stove straw study style
sugar sunny sweet swing table teach thank theme thick thing think third tiger title toast today
token torch total touch track trade trail train truck trust truth uncle under union video visit
voice wagon watch water wheat wheel where white whole width woman world worth write young youth
zebra
"""

_SIX = """
action active advice almost always animal answer around artist asleep autumn bakery banana basket
beauty become before behind better beyond bigger borrow bottle bottom bounce bridge bright broken
butter button camera candle career carpet carrot castle center chance change cheese cherry cinema
circle clever coffee common copper corner cotton couple cousin credit dancer decide defend design
detail dinner direct doctor dollar donkey double dragon drawer driver during editor effort eleven
energy engine enough expert family famous farmer father fellow finger finish flavor flight flower
folder follow forest formal fourth freeze friend frozen future garage garden garlic gentle golden
ground growth guitar hammer harbor health height helmet hidden hiking hunger impact inside island
jacket jungle kettle kitten ladder laptop lawyer leader lesson letter listen little lively market
master meadow member memory middle minute mirror mobile modern moment monkey mother museum narrow
nation nature normal notice number office online option orange palace parent parrot pencil people
pepper person picnic planet player pocket poetry police polite potato powder pretty prince public
puzzle rabbit reason recipe report rescue result return rocket sailor school season second secret
silver simple singer single sister smooth social spider spoken spring square stream street strong
studio summer summit sunset supper supply tablet target tennis ticket tomato travel turkey turtle
twelve useful valley velvet violin weight window winner winter wonder wooden worker writer yellow
"""

WORDS: dict[int, tuple[str, ...]] = {
    4: tuple(_FOUR.split()),
    5: tuple(_FIVE.split()),
    6: tuple(_SIX.split()),
}
