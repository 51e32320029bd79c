"""The names and values of the invented world: people, places, works and what is said of them."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


WOMEN = _words(
    """
    Alma Anna Clara Dora Edith Elsa Greta Hanna Helen Ida Ines Irene Julia Karin Lena Livia Mara
    Mona Nora Olga Paula Petra Rosa Ruth Sonja Tessa Thea Vera Wanda Yara
    """
)

MEN = _words(
    """
    Adam Anton Boris Bruno Carl David Emil Erik Felix Frank Georg Gustav Henry Hugo Ivan Jonas
    Leo Lukas Marek Nils Oscar Paul Peter Ralf Simon Theo Tom Viktor Walter Yuri
    """
)

SURNAMES = _words(
    """
    Abel Arden Bauer Berg Blake Brandt Carver Crane Dahl Drake Ekman Falk Ferris Frost Garner
    Grant Hale Harlan Hart Holt Jansen Keller Kline Kovac Lang Larsen Lind Lorenz Marsh Mercer
    Moss Nagel Novak Olsen Orlov Palmer Pavic Quinn Radek Reed Rossi Roth Sander Sloan Stern
    Sutter Tanner Thorn Toller Ulrich Varga Vogel Voss Wahl Walden Weber West Winter Yates Zeller
    """
)

CITIES = _words(
    """
    Aldmoor Arvenby Belbury Borneck Brenwick Calbrook Corvin Dornholm Drevna Eastmere Elverin
    Fenwick
    Galdor Grenholm Halvik Harmouth Hollen Istermark Jarnby Kalmora Kestel Korvath Lanmere Lorvik
    Lundal Marholm Meridor Mirov Nerova Norwick Oldenby Orsmere Ostrand Pelham Pordal Ravenby
    Redmoor Rivola Salmere Selwick Silvano Sorvik Starholm Tarnby Taverly Tolmin Torvald Ulmera
    Vardholm Velmar Veska Vintor Waldby Westmere Winsel Yarrow Zelmira Zolbrook
    """
)

COMPANY_HEADS = _words(
    """
    Aurora Beacon Cobalt Comet Delta Falcon Granite Harbour Juniper Lantern Meridian Northern Orion
    Pioneer Summit Union
    """
)

PRODUCTS = {
    "Foods": ("bread", "cheese", "chocolate", "jam", "noodles", "soup"),
    "Motors": ("buses", "cars", "engines", "motorcycles", "tractors"),
    "Glass": ("bottles", "lamps", "mirrors", "windows"),
    "Textiles": ("blankets", "carpets", "coats", "curtains"),
    "Optics": ("cameras", "glasses", "microscopes", "telescopes"),
    "Toys": ("dolls", "kites", "model trains", "puzzles"),
    "Instruments": ("guitars", "pianos", "trumpets", "violins"),
    "Furniture": ("beds", "chairs", "desks", "tables"),
    "Press": ("atlases", "children's books", "maps", "school books"),
}
"""What a company makes, by the last word of its name."""

TITLE_ADJECTIVES = _words(
    """
    Bitter Blue Broken Burning Crooked Distant Empty Endless Fallen Forgotten Frozen Golden Green
    Hidden Hollow Last Lonely Long Lost Narrow Quiet Red Second Secret Silent Silver Sleeping
    Stolen White Wild
    """
)

TITLE_NOUNS = _words(
    """
    Bridge Candle Castle Clock Coast Door Empire Forest Garden Gate Harvest House Island Journey
    Key Kingdom Ladder Letter Lighthouse Map Mirror Morning Mountain Night Orchard Promise Queen
    Railway River Road Sea Season Shadow Ship Song Station Summer Tower Valley Village
    """
)

BUILDING_HEADS = ("Cedar", "Crown", "Eagle", "Garden", "Harbour", "King's", "Market", "Station")

USES = {
    "Tower": ("hotel", "office building", "television studio"),
    "Hall": ("concert hall", "courthouse", "library", "theatre"),
    "House": ("archive", "art gallery", "hotel", "library", "museum"),
    "Court": ("bank", "hotel", "office building"),
}
"""What a building is used as, by the last word of its name."""

DISHES = _words(
    """
    Almira Barvo Belosh Brenka Calvina Dolmera Dravik Fentola Gombra Halveti Kadura Kolbasha
    Kurvella Lavesta Lumpira Marenka Mostika Nalvi Orbela Pastrino Pelmora Ravola Rostika Salmina
    Sorbeka Tavolka Tolvani Umbrika Varenki Zamora
    """
)

SAVOURY = {
    "kind": ("casserole", "salad", "soup", "stew"),
    "main ingredient": (
        "beans", "beetroot", "cabbage", "carrots", "chicken", "fish", "lamb", "lentils",
        "mushrooms", "onions", "potatoes", "pumpkin", "spinach", "tomatoes",
    ),
    "served with": ("bread", "mustard", "noodles", "pickles", "rice", "sour cream", "yoghurt"),
}  # fmt: skip
SWEET = {
    "kind": ("cake", "pie", "pudding", "tart"),
    "main ingredient": (
        "almonds", "apples", "apricots", "cherries", "chocolate", "honey", "lemons", "nuts",
        "oranges", "pears", "plums", "poppy seeds",
    ),
    "served with": ("berries", "caramel", "ice cream", "tea", "vanilla sauce", "whipped cream"),
}  # fmt: skip

SCHOOL_TYPES = ("Academy", "College", "Institute", "University")

OCCUPATIONS = _words(
    """
    accountant actor archaeologist architect astronomer baker biologist carpenter chemist cook
    dancer dentist designer doctor economist electrician engineer farmer gardener geologist
    historian journalist lawyer librarian mechanic musician nurse painter photographer physicist
    pilot plumber sailor sculptor singer surgeon tailor teacher translator vet
    """
)

COUNTRIES = _words(
    """
    Alvania Belmark Caldora Dravia Estoria Galvia Kestria Lusania Marovia Norvia Ostaria Pelland
    Ruvenia Sarmia Tavonia Veronia
    """
)

LANGUAGES = _words(
    """
    Alvanian Belmarkish Caldoran Dravian Estorian Galvian Kestrian Lusanian Marovian Norvian
    Ostarian Ruvenian Sarmian Tavonian
    """
)

RIVERS = tuple(
    f"River {name}"
    for name in _words("Alder Arn Bree Dorn Elva Fenn Isk Kell Lorn Mira Nevel Orra Sel Tamar Wend")
)

INSTRUMENTS = _words(
    "accordion cello clarinet drums flute guitar harp oboe organ piano trumpet viola violin"
)

SPECIALITIES = (
    "beaches", "carnival", "castle", "cathedral", "cheese", "gardens", "glassware", "markets",
    "music festival", "old harbour", "pottery", "theatre", "thermal baths", "wine",
)  # fmt: skip

BOOK_GENRES = (
    "adventure story", "comic novel", "crime novel", "family saga", "fantasy novel", "ghost story",
    "historical novel", "love story", "spy thriller",
)  # fmt: skip

FILM_GENRES = ("comedy", "crime film", "drama", "fantasy film", "musical", "romance", "western")

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
