"""The invented names and filler words that fill the sample corpus's template slots.

Names are written already tokenised (one space between tokens). Several forms recur on
purpose across types ("Marrowby" is a town, a surname and a product; "Kestrel" is an
organisation and a product line), so that a reader must use the context.
"""

from __future__ import annotations


def _lines(block: str) -> tuple[str, ...]:
    """Split a block of names on ';' and newlines, dropping empty pieces."""
    pieces = block.replace("\n", ";").split(";")
    return tuple(piece.strip() for piece in pieces if piece.strip())


GIVEN = _lines("""
Adela; Bram; Corin; Delphie; Edmar; Fenna; Gislo; Hanneke; Ivarin; Jorune; Kessia; Lorcan
Mirela; Nadim; Osric; Petrine; Quill; Rosalba; Soren; Tamsin; Ulrika; Vesna; Wendeline; Xanthe
Yoric; Zdena; Anselm; Briony; Caspian; Dagny; Elowen; Farid; Ginevra; Halvor; Imre; Jacinta
Kofi; Léonie; Mairéad; Noémi; Oyelaran; Pirjo; Ramiro; Sunniva; Takeo; Umberto; Valdis; Zofia
""")

SURNAMES = _lines("""
Marrowby; Tarnholt; Velmora; Hessling; Quistgrave; Ondarra; Bexwith; Kolvane; Dunmarsh; Ferrowe
Lindqvar; Ashgill; Pellorin; Stroud-Amery; Varga-Lenz; Okonjira; Castelbrun; Wrenfield; Thessalow
Norrow; Garrickson; Ilvesto; Brandreth; Sollwyn; Mbekwe; Tanizawara; Ruiz-Almar; Petrossa
Kestrel; Orrelstad; Halloway; Grenmark; Ysolde; Duvalier-Roe; Lanternby; Moscardin; Aldermoor
van Orrel; de Lisk; von Tarnholt; del Brindo; Haverstock; Pemberrow; Szalorný; Åkervind; Brevik
""")

MONONYMS = _lines("Marrowby; Zephine; Old Tarnholt; Velmora; Doctor Quill; Lady Ashgill; Orsino")

ORGANIZATIONS = _lines("""
Orvenne Systems; Tarn & Hollin; Marrowby Steel; Kestrel; Kestrel Works; Velmora University
Bexwith & Sons; Lindqvar Group; Northlight Foundry; Halloway Trust; Aldermoor City Council
Pell-Orrin Motors; Quayle-Dorsey Ltd .; Grenmark Dairy Cooperative; Sable Point Press
Copperwick Inc .; Hessel Bay Shipping; Thornless; Umbrel Robotics; Ferrowe , Ash & Tull
Institute of Tidal Sciences; Blue Heron Analytics; Castelbrun; Castelbrun Airways; Drumlin Bank
Ondarra Energy; Ondarra; Wrenfield General Hospital; Wrenfield Institute; Sixpence Games
Norrow Textiles Corp .; Verdigris Labs; Okonjira Foundation; Saltmarsh & Daughters; Plinth
Dunmarsh Water Board; Royal Dunmarsh Observatory; Lantern & Loom; Lanternby Rail; Ilvesto Oy
Brandreth Optical; Mossgate Pharma; Tri-County Seed Exchange; Volmer-Haas; Volmer-Haas Italia
Sollwyn Brothers; Eastfold Broadcasting; Tessel; Tessel Biologics; Gantry Nine; Old Mill Records
Harrow & Vine Ltd .; Polder Insurance; Juniper-Cole; Ministry of Canals; Ashgill United; Zaffre
Pemberrow College; Rook Street Theatre; Cobalt Ridge Mining; Stella Ondarra Hotels; Fathom-9
Nine Elders Brewing; Brevik Marine; Åkervind Ski; Tanizawara Precision; Moscardin; Ember & Oak
Petrossa Ceramics; Union of Lamplighters; Lisk Aerospace; Orrelstad Polytechnic; Hob & Kiln
Quistgrave Partners; Sandpiper Air; Redshank Software; Thessalow Grain; Ysolde Cosmetics
Merrow Bay Fisheries; Haverstock Clinic; Cinder Hill Pottery; Wick & Tallow; Glasswing Inc .
""")

PLACES = _lines("""
Velmora; Marrowby; Port Hessel; Hessel Bay; Aldermoor; Castelbrun; Ondarra; Dunmarsh; Wrenfield
São Brindo; Érable-sur-Lune; Orrelstad; Lower Wick; Upper Wick; Tarnholt; Saint Osmer; Grenmark
Kőrvár; Lisk; Brevik-on-Sea; Thessalow Falls; Norrow; Lanternby; Santa Ilvesta; New Lanternby
Ashgill; Pemberrow; Haverstock; Merrow Bay; Cinder Hill; Sable Point; Mossgate; Eastfold
Puerto Almar; Ålvesund; Quistgrave; North Tessel; Tessel; Drumlin Heights; Volmer; Rook Island
Ferrowe; Gamla Brevik; Città Moscarda; Bexwith; Three Elms; Petrossa; Little Sollwyn; Ysolde
Cobalt Ridge; Isle of Harrow; Zaffre; Kingdom of Ulm-Varra; Brandreth Moor; Bad Lindenau-Ost
Río Petrel; Mbekwe Springs; Old Quay; Garrick Town; Juniper Flats; Polderveen; Stavrohori
Halloway; Tanizawa Heights; Nova Castelbrun; Côte-Verrane; Sandpiper Cove; Vale of Tull; Okonji
""")

PRODUCTS = _lines("""
Kestrel 3; Kestrel; Kestrel 4 Plus; Lumo X2; Lumo X3; Aurelle; Marrowby; Brightwick Kettle
Tidewatch; Tidewatch 200; Velmora Mist; Hush-Pro; Hush-Pro Mini; Orrin GT; Orrin Estate
Stonepine Ale; PX-77; PX-80 Heavy; Lanternby; Glimmer; Glimmer Lite; Foxglove 12; Nimbus & Rain
Sparrow; Sparrow Mk II; Tull-O-Matic; Cinderella Stove; Wick No. 9; Deepwell; Ondarra Gold
Quistgrave Quarterly; Papercrane; Papercrane 2.0; Ridgeback 500; Zaffre; Zaffre Blue; Kobold
Thessalow Oats; Mothwing; Mothwing Ultra; Gantry; Lisk A40; Lisk A60-ER; Verdimax; Brevik Classic
Old Harrow Cider; Sunniva; Moonsnail; Moonsnail 7; Ashgill Express; Drift; Drift Mini 5; Tessera
Solace; Petrel Jet 6; Heron Cloud; Redshank Studio; Rookwatch; Rookwatch S; Umbra One; Umbra Two
Copperhead 88; Osprey V; Halcyon; Halcyon Night Cream; Bramble; Bramble & Thyme; Elmset-C; Vintra
Loom Desk; Plinthos; Fathom; Fathom 12 Pro; Snowgoose; Carillon; Carillon 61; Threadbare; Yarrow 8
""")
# Names made of two parts, so that a model learns the sentence around a name and not a list of names.
PLACE_STEMS = _lines("""
Vell; Astr; Holm; Ken; Bran; Tor; Mar; Lin; Sol; Hal; Ost; Wil; Ered; Cor; Dal; Ever; Fal; Gris
Ivar; Jarn; Kol; Lund; Mell; Nord; Oder; Pad; Quen; Ros; Stav; Tel; Und; Var; Wer; Zell""")
PLACE_ENDINGS = _lines("""
mark; vik; ton; burg; ford; haven; grad; mouth; berg; by; dorf; ham; ova; ia; ana; etto; ingen""")
PLACE_FIRSTS = _lines("Port; New; Old; Saint; Fort; Lake; Mount; East; South; San; Nova")
ORGANIZATION_KINDS = _lines("""
Looms; Optics; Paper; Foods; Freight; Energy; Logistics; Robotics; Pharma; College; Bank; Steel
Shipping; Software; Group; Industries; Holdings; Motors; Airlines; Press; Books; Chemicals; Labs
Institute; University; Hospital; Museum; Brewery; Textiles; Instruments; Insurance; Media; Toys
Furniture; Mining; Fisheries; Bakery; Telecom; Partners; & Co .; Ltd .; AG; Inc .; Works; Mills""")
PRODUCT_STEMS = _lines("""
Arrow; Falcon; Vista; Comet; Pilot; Nova; Terra; Pulse; Orbit; Ranger; Echo; Lynx; Cirrus; Delta
Meteor; Breeze; Titan; Lotus; Puma; Quartz; Raven; Stella; Tempo; Vega; Zephyr; Cargo; Scout""")
PRODUCT_ENDINGS = _lines("""
1; 2; 5; 7; 9; 20; 60; 100; 300; X; XL; Pro; Max; Mini; One; GT; Plus; 3000; C4; S2; II""")
PRODUCT_ROOTS = _lines("Vel; Cor; Lum; Tri; Zan; Mov; Ferr; Gly; Hex; Iso; Kal; Neo; Oxa; Pro; Rem; Syn; Tex; Ul; Xan")
PRODUCT_COINS = _lines(
    "adol; exa; ivon; omat; ulin; aquin; obase; iflex; ora; etta; oxyn; ify; upol; amine; odent; isol"
)
MORE_GIVEN = _lines("""
Maria; John; Elena; Pavel; Aisha; Marta; Lukas; Hugo; Emma; Igor; Fatima; Daniel; Laura; Victor
Amara; Stefan; Julia; Rafael; Ingrid; Samuel; Leila; Oscar; Klara; Andrei; Priya; Kenji; Helena
Alice; Ben; Chiara; Dmitri; Esther; Felix; Grace; Hassan; Isabel; Jack; Karim; Lucia; Mateo; Nina
Olga; Paul; Quentin; Rosa; Simon; Teresa; Ursula; Vera; Walter; Yusuf; Zara; Anton; Bianca; Carlos
Diana; Emil; Frieda; George; Hanna; Ibrahim; Jana; Kevin; Lara; Martin; Nadia; Otto; Petra; Rita
Sergio; Tanja; Ulrich; Viola; William; Ximena; Yara; Adam; Beatriz; Colin; Dora; Erik; Flora; Giulia
Henrik; Irene; Joseph; Kirsten; Leon; Monika; Nils; Olivia; Philip; Rebecca; Sarah; Thomas; Vasile
Wendy; Aiko; Bjorn; Camila; Dieter; Eva; Fabio; Greta; Hiroshi; Iris; Jens; Katrin; Luis; Mei""")
MORE_SURNAMES = _lines("""
Novak; Berger; Costa; Hansen; Moreau; Petrov; Walker; Khan; Schmitt; Rossini; Jansen; Nowicki
Fuentes; Olsen; Baker; Sato; Mensah; Lopez; Keller; Dubois; Larsen; Popescu; Singh; Marsh; Holub
Adeyemi; Bauer; Castillo; Dvorak; Evans; Ferrari; Greco; Hoffmann; Ivanova; Jovanovic; Kim; Laurent
Martins; Nguyen; Ortega; Pereira; Quinn; Romano; Sanchez; Tanaka; Usman; Vogel; Weber; Yilmaz; Zhou
Andersen; Bianchi; Clarke; Diaz; Ekström; Fischer; Garcia; Huber; Iqbal; Johansson; Kovac; Lehmann
Miller; Nielsen; Okoro; Papadakis; Rahman; Silva; Torres; Urban; Virtanen; Wagner; Young; Zimmer
Abreu; Brooks; Cohen; Demir; Engel; Foster; Gallo; Harris; Ito; Jensen; Kowal; Lindberg; Morel""")

FILLERS: dict[str, tuple[str, ...]] = {
    "role": _lines("""
an engineer; a chemist; a senior analyst; the finance director; a designer; head of research
a night-shift supervisor; an accountant; a test pilot; deputy manager; a staff lawyer
chief buyer; an archivist; a welder"""),
    "title": _lines("""
chief executive; chairwoman; spokesman; treasurer; lead designer; president; engineer
general manager; vice president; director"""),
    "day": _lines("Monday; Tuesday; Wednesday; Thursday; Friday; Saturday; Sunday"),
    "month": _lines("January; March; April; June; July; September; November; December"),
    "year": _lines("1931; 1948; 1956; 1963; 1979; 1984; 1990; 1997; 2003; 2008; 2012; 2019"),
    "num": _lines("four; twelve; thirty; forty; 85; 120; 300; 1,200; 4,500"),
    "dept": _lines("sales; safety; legal; research; design; night; export; repair"),
    "biz": _lines("""
a shipping firm; a maker of pumps; a family business; a research charity; a software house
a public body; a small publisher; an old trading company"""),
    "thing": _lines("""
bridge; report; harvest; ferry timetable; audit; new roof; festival; tax form; water meter
exhibition; census; school play"""),
    "state": _lines("late; over budget; almost finished; badly planned; popular; under review"),
    "money": _lines("$ 4 million; $ 19.5 million; 300,000 crowns; 2 billion crowns; $ 70"),
    "works": _lines("""
works for; works at; is employed by; is on the staff of; earns a living at; is under contract to
has a job at; now works for; still works at; works as a clerk for"""),
    "based": _lines("""
is based in; has its seat in; is headquartered in; has its head office in; is at home in
has been based for years in; has its headquarters in; keeps its head office in"""),
    "born": _lines("""
was born in; was born and raised in; is a native of; first saw the light in; was born at home in
was born during the war in"""),
    "makes": _lines("""
makes; builds; produces; develops; assembles; designs and builds; has long made; now makes
turns out"""),
    "made": _lines("made by; built by; produced by; a product of; developed by; assembled by"),
    "partners": _lines("""
is a partner of; has formed a partnership with; is allied with; has become the partner of
has joined forces with; has entered into a partnership with"""),
    "open": _lines("""
Last year; In spring; Since Monday; This week; In the end; To nobody 's surprise; Years ago
Two months later; In 2019; At last; Before the war; According to the newspaper; Once more"""),
    "adj": _lines("new; old; first; popular; cheap; little; famous; latest; heavy; quiet"),
    "kind": _lines("lamp; drill; engine; radio; bicycle; pump; soap; chair; printer; boat; phone; watch"),
    "when": _lines("last year; in spring; on Monday; this week; in 2015; two days ago; in the end"),
    "who": _lines("critics; regulators; reporters; neighbours; dealers; shareholders; officials"),
}
