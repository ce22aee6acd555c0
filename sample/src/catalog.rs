//! The shop's fixed things: what it sells, where its stores are, how its customers are called.

/// Something the shop sells.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) sku: &'static str,
    pub(crate) name: &'static str,
    pub(crate) category: &'static str,
    /// Hundredths of a euro.
    pub(crate) price_cents: u32,
}

const fn product(sku: &'static str, name: &'static str, category: &'static str, price_cents: u32) -> Product {
    Product { sku, name, category, price_cents }
}

/// Everything the shop sells.
pub(crate) const PRODUCTS: [Product; 16] = [
    product("CF-101", "Kaffee Röstung №5", "coffee", 1290),
    product("CF-102", "Café crème, 500 g", "coffee", 1149),
    product("CF-103", "Espresso \"Notte\"", "coffee", 1390),
    product("TE-201", "抹茶 Matcha, 30 g", "tea", 2450),
    product("TE-202", "Earl Grey", "tea", 690),
    product("TE-203", "Чай с чабрецом", "tea", 820),
    product("CU-301", "Cup & Saucer", "tableware", 1800),
    product("CU-302", "Tasse „Blaue Stunde“", "tableware", 1650),
    product("CU-303", "Thermos 0,7 l", "tableware", 3495),
    product("GR-401", "Hand grinder", "equipment", 8900),
    product("GR-402", "Gooseneck kettle", "equipment", 6400),
    product("GR-403", "Filter papers (100)", "equipment", 450),
    product("SW-501", "Stroopwafels", "sweets", 395),
    product("SW-502", "Pastel de nata ×6", "sweets", 980),
    product("SW-503", "Turrón de Jijona", "sweets", 1120),
    product("GC-901", "Gift card 🎁", "gifts", 2500),
];

/// First names.
pub(crate) const GIVEN_NAMES: [&str; 24] = [
    "Zoë",
    "José",
    "Łukasz",
    "Åsa",
    "Chloé",
    "Jürgen",
    "Ольга",
    "Σοφία",
    "محمد",
    "美咲",
    "Thị Hương",
    "Siobhán",
    "Björk",
    "Ada",
    "Grace",
    "Noah",
    "Emma",
    "Liam",
    "Mia",
    "Ben",
    "Lena",
    "Omar",
    "Priya",
    "Ivan",
];

/// Family names.
pub(crate) const FAMILY_NAMES: [&str; 20] = [
    "Müller",
    "García",
    "Nowak",
    "Öberg",
    "Lefèvre",
    "Groß",
    "Петрова",
    "Παπαδοπούλου",
    "حداد",
    "佐藤",
    "Nguyễn",
    "O'Brien",
    "Guðmundsdóttir",
    "Lovelace",
    "Hopper",
    "Smith",
    "Jones",
    "de Vries",
    "Kovač",
    "Rossi",
];

/// Cities, with the postal code of their middle.
pub(crate) const CITIES: [(&str, &str); 10] = [
    ("Berlin", "10115"),
    ("München", "80331"),
    ("Köln", "50667"),
    ("Zürich", "8001"),
    ("Wien", "1010"),
    ("Kraków", "30-001"),
    ("København", "1050"),
    ("Århus", "8000"),
    ("Liège", "4000"),
    ("Málaga", "29001"),
];

/// Companies that buy for their offices: group id, name, and an address that they all share.
pub(crate) const COMPANIES: [(&str, &str, &str); 4] = [
    ("grp_acme", "Acme GmbH & Co. KG", "office@acme.example"),
    ("grp_soleil", "Atelier Soleil", "achats@soleil.example"),
    ("grp_nord", "Nordlicht eG", "einkauf@nordlicht.example"),
    ("grp_initech", "Initech", "purchasing@initech.example"),
];

/// Locale and time zone of a device.
pub(crate) const LOCALES: [(&str, &str); 6] = [
    ("de-DE", "Europe/Berlin"),
    ("fr-FR", "Europe/Paris"),
    ("pl-PL", "Europe/Warsaw"),
    ("en-GB", "Europe/London"),
    ("da-DK", "Europe/Copenhagen"),
    ("es-ES", "Europe/Madrid"),
];

/// What browsers call themselves.
pub(crate) const USER_AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36",
];

/// Models of phones.
pub(crate) const PHONES: [&str; 4] = ["iPhone14,5", "iPhone15,2", "iPhone16,1", "iPad13,18"];

/// What people look for.
pub(crate) const SEARCHES: [&str; 6] =
    ["matcha", "geschenk für oma", "café moulu", "filter 100", "чай", "%20 off? <tea>"];
