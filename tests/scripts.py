"""Texts in many scripts, made of the words of one sentence in each.

The sentences are the first article of the Universal Declaration of Human
Rights, as far as tests need them to be.
"""

import numpy as np

SENTENCES = {
    "English": "All human beings are born free and equal in dignity and "
               "rights.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten "
              "geboren; STRASSE, Straße, GROẞ, ﬁnden, Ǆ, ½.",
    "French": "Tous les êtres humains naissent libres et égaux en dignité "
              "et en droits… « ÉGALITÉ », l’œuvre, cœur",
    "Turkish": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit "
               "doğarlar. İSTANBUL IĞDIR ığdır",
    "Vietnamese": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về "
                  "nhân phẩm và quyền lợi. ĐƯỜNG",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην "
             "αξιοπρέπεια και τα δικαιώματα. ΛΟΓΟΣ ΛΌΓΟΣ. ΟΔΥΣΣΕΥΣ’",
    "Russian": "Все люди рождаются свободными и равными в своём достоинстве "
               "и правах. Й ЁЛКА И́мя",
    "Arabic": "يُولد جميع الناس أحرارًا متساوين في الكرامة والحقوق، ـآ إؤئ ١٢٣",
    "Hebrew": "כָּל בְּנֵי הָאָדָם נוֹלְדוּ בני חורין ושווים בערכם ובזכויותיהם״",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में क़ख़ है।",
    "Tamil": "மனிதப் பிறவியினர் சகலரும் சுதந்திரமாகவே பிறக்கின்றனர் கொ",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ๑๒",
    "Khmer": "មនុស្សទាំងអស់ កើតមកមានសេរីភាព និងសមភាព ក្នុងផ្នែកសេចក្ដីថ្លៃថ្នូរ។",
    "Tibetan": "འགྲོ་བ་མིའི་རིགས་རྒྱུད་ཡོངས་ལ་སྐྱེས་ཙམ་ཉིད་ནས་ཆེ་མཐོངས།",
    "Chinese": "人人生而自由，在尊严和权利上一律平等。㐀𠀀豈 ABC中文",
    "Japanese": "すべての人間は、生れながらにして自由であり、ガギグ ﾊﾝｶｸ 々〆",
    "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과. 각각",
    "Georgian": "ყველა ადამიანი იბადება თავისუფალი და თანასწორი ᲗᲐᲕᲘ",
    "Armenian": "Բոլոր մարդիկ ծնվում են ազատ ու հավասար՝ և ԵՒ",
    "Signs": "x²+y²≤1 ℝ 𝓪𝐁 ™ € $5 100% a_b `c` <d> №7 👩‍👩‍👧‍👦 👍🏽 🇩🇪 Ⓐ ⅷ",
}
# Beside words: white space of all kinds, what is dropped, marks on nothing.
BETWEEN = [" ", "  ", "\t", "\n", "\u00a0", "\u3000", "\u2009", "\u200b",
           "\u00ad", "\u0301", "\ufeff", "\u2028", "", "-", ".", "\x07",
           "\ufffd", "\u200d", " \u00b7 ", "'", "“", "—", "\u202e"]


def texts(count, seed):
  """(script, text) of so many texts, each of some words of one script."""
  rng = np.random.default_rng(seed)
  names = list(SENTENCES)
  for number in range(count):
    name = names[number % len(names)]
    words = SENTENCES[name].split(" ")
    text = ""
    for _ in range(rng.integers(1, 12)):
      word = words[rng.integers(len(words))]
      kind = rng.integers(12)
      if kind == 0:
        word = word.upper()
      elif kind == 1:
        word = word[:rng.integers(len(word) + 1)]
      elif kind == 2:
        word = word * int(rng.integers(1, 30))
      text += word + (" " if rng.random() < 0.7
                      else BETWEEN[rng.integers(len(BETWEEN))])
    yield name, text


def vocabulary_of(words, seed, size=3000):
  """A vocabulary for words: their characters, and pieces of them."""
  rng = np.random.default_rng(seed)
  characters = sorted({c for word in words for c in word})
  tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
            *(c for c in characters if rng.random() < 0.97),
            *(f"##{c}" for c in characters if rng.random() < 0.97)]
  words = sorted(set(words))
  while len(tokens) < size:
    word = words[rng.integers(len(words))]
    start, end = sorted(rng.integers(len(word) + 1, size=2))
    if end - start > 1:
      tokens.append(("##" if start else "") + word[start:end][:30])
  return tuple(dict.fromkeys(tokens))
