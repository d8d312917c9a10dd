"""States and union territories as equal squares: the project's own coordinates and their names.

What belongs here: a place for each of the 36, its two-letter code and its name in both languages,
keyed by the Local Government Directory's state code. No outline is drawn, so none is disputed, and
Goa counts as much as Rajasthan.
"""

from __future__ import annotations

from dataclasses import dataclass

COLUMNS = 8
ROWS = 8


@dataclass(frozen=True)
class Tile:
    """One square: column and row from the top left, counted from 1."""

    code: str
    column: int
    row: int
    name_en: str
    name_hi: str

    def name(self, language: str) -> str:
        """The name in one language."""
        return self.name_hi if language == "hi" else self.name_en


TILES: dict[int, Tile] = {
    1: Tile("JK", 2, 1, "Jammu and Kashmir", "जम्मू और कश्मीर"),
    37: Tile("LA", 3, 1, "Ladakh", "लद्दाख"),
    3: Tile("PB", 2, 2, "Punjab", "पंजाब"),
    2: Tile("HP", 3, 2, "Himachal Pradesh", "हिमाचल प्रदेश"),
    4: Tile("CH", 1, 3, "Chandigarh", "चंडीगढ़"),
    6: Tile("HR", 2, 3, "Haryana", "हरियाणा"),
    5: Tile("UK", 3, 3, "Uttarakhand", "उत्तराखंड"),
    11: Tile("SK", 5, 3, "Sikkim", "सिक्किम"),
    12: Tile("AR", 8, 3, "Arunachal Pradesh", "अरुणाचल प्रदेश"),
    8: Tile("RJ", 1, 4, "Rajasthan", "राजस्थान"),
    7: Tile("DL", 2, 4, "Delhi", "दिल्ली"),
    9: Tile("UP", 3, 4, "Uttar Pradesh", "उत्तर प्रदेश"),
    10: Tile("BR", 4, 4, "Bihar", "बिहार"),
    19: Tile("WB", 5, 4, "West Bengal", "पश्चिम बंगाल"),
    17: Tile("ML", 6, 4, "Meghalaya", "मेघालय"),
    18: Tile("AS", 7, 4, "Assam", "असम"),
    13: Tile("NL", 8, 4, "Nagaland", "नागालैंड"),
    24: Tile("GJ", 1, 5, "Gujarat", "गुजरात"),
    23: Tile("MP", 2, 5, "Madhya Pradesh", "मध्य प्रदेश"),
    22: Tile("CG", 3, 5, "Chhattisgarh", "छत्तीसगढ़"),
    20: Tile("JH", 4, 5, "Jharkhand", "झारखंड"),
    16: Tile("TR", 6, 5, "Tripura", "त्रिपुरा"),
    15: Tile("MZ", 7, 5, "Mizoram", "मिज़ोरम"),
    14: Tile("MN", 8, 5, "Manipur", "मणिपुर"),
    38: Tile(
        "DH",
        1,
        6,
        "Dadra and Nagar Haveli and Daman and Diu",
        "दादरा और नगर हवेली और दमन और दीव",
    ),
    27: Tile("MH", 2, 6, "Maharashtra", "महाराष्ट्र"),
    36: Tile("TG", 3, 6, "Telangana", "तेलंगाना"),
    21: Tile("OD", 4, 6, "Odisha", "ओडिशा"),
    30: Tile("GA", 1, 7, "Goa", "गोवा"),
    29: Tile("KA", 2, 7, "Karnataka", "कर्नाटक"),
    28: Tile("AP", 3, 7, "Andhra Pradesh", "आंध्र प्रदेश"),
    31: Tile("LD", 1, 8, "Lakshadweep", "लक्षद्वीप"),
    32: Tile("KL", 2, 8, "Kerala", "केरल"),
    33: Tile("TN", 3, 8, "Tamil Nadu", "तमिलनाडु"),
    34: Tile("PY", 4, 8, "Puducherry", "पुदुचेरी"),
    35: Tile("AN", 6, 8, "Andaman and Nicobar Islands", "अंडमान और निकोबार द्वीपसमूह"),
}
