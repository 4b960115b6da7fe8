//! The words of generated titles: themes and styles are the same in every domain, nouns are the domain's own.
//!
//! A title is `theme style noun`, with a number after it only where the catalogue is so large that the three do not tell
//! its items apart. That is short enough for a language model of a million parameters to learn in minutes, and the theme
//! and style words are what carries knowledge from one domain to another.

/// Words for the attribute that follows the previous item: what a sequence model can learn.
pub const THEMES: [&str; 12] = [
    "Coastal", "Alpine", "Desert", "Forest", "Urban", "Arctic", "Tropical", "Lunar", "Volcanic", "River",
    "Meadow", "Harbor",
];

/// Words for the attribute that stays with the user: what a glance at the history tells.
pub const STYLES: [&str; 12] = [
    "Vintage", "Modern", "Rustic", "Gothic", "Minimal", "Royal", "Neon", "Classic", "Quiet", "Bold",
    "Golden", "Velvet",
];

/// Nouns in a domain's vocabulary.
pub const NOUNS: usize = 16;

/// Goods, one row a domain; later domains start over. Some hold an apostrophe, which Python writes in double quotes.
const GOODS: [[&str; NOUNS]; 4] = [
    [
        "Lantern",
        "Blanket",
        "Teapot",
        "Basket",
        "Candle",
        "Mirror",
        "Vase",
        "Cushion",
        "Baker's Apron",
        "Clock",
        "Kettle",
        "Pillow",
        "Tray",
        "Curtain",
        "Platter",
        "Stool",
    ],
    [
        "Notebook",
        "Pencil",
        "Satchel",
        "Folder",
        "Ruler",
        "Planner",
        "Stapler",
        "Easel",
        "Draftsman's Pen",
        "Binder",
        "Stamp",
        "Globe",
        "Marker",
        "Envelope",
        "Desk Lamp",
        "Sketchbook",
    ],
    [
        "Jacket",
        "Scarf",
        "Mitten",
        "Sandal",
        "Beret",
        "Sweater",
        "Belt",
        "Raincoat",
        "Sailor's Cap",
        "Boot",
        "Vest",
        "Poncho",
        "Slipper",
        "Tunic",
        "Glove",
        "Kimono",
    ],
    [
        "Trowel",
        "Planter",
        "Hose",
        "Trellis",
        "Rake",
        "Bird Feeder",
        "Hammock",
        "Parasol",
        "Gardener's Hat",
        "Bench",
        "Shovel",
        "Fountain",
        "Arbor",
        "Sprinkler",
        "Compost Bin",
        "Sundial",
    ],
];

/// Film nouns, one row a domain; later domains start over.
const FILMS: [[&str; NOUNS]; 2] = [
    [
        "Journey",
        "Secret",
        "Wedding",
        "Stranger",
        "Promise",
        "Affair",
        "Winter's Tale",
        "Reunion",
        "Trial",
        "Escape",
        "Letter",
        "Summer",
        "Betrayal",
        "Waltz",
        "Inheritance",
        "Homecoming",
    ],
    [
        "Pursuit",
        "Heist",
        "Duel",
        "Phantom",
        "Conspiracy",
        "Voyage",
        "Devil's Bargain",
        "Siege",
        "Witness",
        "Storm",
        "Ransom",
        "Outpost",
        "Verdict",
        "Masquerade",
        "Uprising",
        "Expedition",
    ],
];

/// The nouns of the `ordinal`-th domain among those that sell goods.
pub fn goods(ordinal: usize) -> &'static [&'static str; NOUNS] {
    &GOODS[ordinal % GOODS.len()]
}

/// The nouns of the `ordinal`-th domain among those that show films.
pub fn films(ordinal: usize) -> &'static [&'static str; NOUNS] {
    &FILMS[ordinal % FILMS.len()]
}

/// MovieLens genres by theme, so that splitting by first genre is possible and means something.
pub const GENRES: [&str; 12] = [
    "Drama",
    "Adventure",
    "Western",
    "Fantasy",
    "Crime",
    "Thriller",
    "Comedy",
    "Sci-Fi",
    "Action",
    "Romance",
    "Animation",
    "Mystery",
];

/// Sentences that review texts are put together from; with quotes, escapes and letters outside ASCII, as in real reviews.
pub const SENTENCES: [&str; 8] = [
    "Exactly what I was looking for, and it arrived two days early.",
    "My sister said \"you have to try this one\" and she was right.",
    "Not bad for the price, but the colour isn't what the picture shows.",
    "I've had mine for three months now\nand it still looks new.",
    "Très joli, the café bought six more.",
    "Would buy again; the box was dented \\ scratched though.",
    "It's smaller than expected (about 5 inches), which is fine for us.",
    "Gave it to my husband & he uses it every day.",
];
