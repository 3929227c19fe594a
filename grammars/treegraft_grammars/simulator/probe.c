#include "probe.h"

#include <stdlib.h>
#include <string.h>

#include "ascii.h"

/* Ends of strings, comments and brackets, and starts of what most often follows; the rest is learnt from the grammar. */
static const char *const SUFFIXES[] = {
    "a", "0", "\"", "'", "\n", ")", "]", "}", ";", "*", "<", " a", "a\"", "*/", "`", ":", ",", "=", ".", "(", "{", "[", ">", "<a",
    "/", "-", "+", "\n\n", "\na", "\n a", "\n  a", "a:", "a=", "a;", "0;", "a>", "\"\"\"", "'''", "\"\"", "''", "-->", "#", "n", "00",
    "0000", "{0}", "00000000", "}\"", "}}", "}`", "\\", "\\\"", "]]", "@", "$", "%", "!", "&", "|", "^", "~", "?",
    "//a", "/*a*/", "*/*/", "*/*/*/", "])", "]) ", " ]]", "a ]]", "]) ]]", "a]) ]]", "a)) ]]",
    "] ]]", "} ]]", ") ]]", "\"#", "\"##", "\"###", "]/", "a/", ")\"", ")/", " */", "0'", "00'", "000'", "}'", "{0}'", "x", "\r\n", " ", " \n", "\t", "(a", "()", "if",
};

static int compare(const void *left, const void *right) {
    const Piece *a = left, *b = right;
    uint32_t shorter = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->bytes, b->bytes, shorter);
    if (order == 0) order = (a->length > b->length) - (a->length < b->length);
    return order ? order : (a->symbol > b->symbol) - (a->symbol < b->symbol);
}

static bool piece_add(Piece **pieces, uint32_t *n, uint32_t *cap, const uint8_t *bytes, uint32_t length,
                      uint16_t symbol) {
    if (*n == *cap) {
        uint32_t wanted = *cap ? *cap * 2 : 128;
        Piece *larger = realloc(*pieces, wanted * sizeof *larger);
        if (!larger) return false;
        *pieces = larger;
        *cap = wanted;
    }
    uint8_t *copy = malloc(length ? length : 1);
    if (!copy) return false;
    memcpy(copy, bytes, length);
    (*pieces)[(*n)++] = (Piece){copy, length, symbol};
    return true;
}

enum { LONGEST_LITERAL = 40 };

static bool add_literal(Probes *self, const uint8_t *bytes, uint32_t length, uint16_t symbol) {
    if (length == 0 || length > LONGEST_LITERAL) return true;
    if (length > self->max_literal) self->max_literal = length;
    return piece_add(&self->literals, &self->n_literals, &self->cap_literals, bytes, length, symbol);
}

/* Names of types such as u7 are keywords to some grammars, and endless. */
enum { LONGEST_KEYWORD = 32, MAX_SPELLINGS = 16 };

typedef struct {
    Probes *probes;
    const Tables *tables;
    uint16_t *n_spellings; /* per symbol */
    uint8_t alphabet[128]; /* what words consist of, capitals aside */
    uint32_t n_alphabet;
    uint8_t word[LONGEST_KEYWORD];
} KeywordSearch;

/* Keywords are words: other characters need not be tried. */
static void find_alphabet(KeywordSearch *self, Lexer *lexer) {
    uint16_t word = self->tables->abi->keyword_capture;
    for (uint8_t c = '!'; c < 0x7F; c++) {
        const uint8_t text[] = {'a', c, 'a'};
        bool is_in_words = is_word(c) || lexer_terminal(lexer, self->tables, &c, 1) == word ||
                           lexer_terminal(lexer, self->tables, text, 2) == word ||
                           lexer_terminal(lexer, self->tables, text + 1, 2) == word ||
                           lexer_terminal(lexer, self->tables, text, 3) == word;
        if (is_in_words && !(c >= 'A' && c <= 'Z')) self->alphabet[self->n_alphabet++] = c;
    }
}

static bool find_keywords(KeywordSearch *self, uint32_t length);

static void note_endless(Probes *self, uint16_t symbol) {
    if (self->n_endless < MOST_ENDLESS) self->endless[self->n_endless] = symbol;
    self->n_endless++;
}

/* The keywords that go on with `c`. */
static bool find_keywords_with(KeywordSearch *self, uint32_t length, uint8_t c) {
    bool advanced;
    self->word[length] = c;
    uint16_t symbol = keyword_spelled(self->tables->abi, self->word, length + 1, &advanced);
    if (!advanced) return true;
    if (symbol) {
        if (self->n_spellings[symbol] > MAX_SPELLINGS) return true;
        if (++self->n_spellings[symbol] > MAX_SPELLINGS) {
            note_endless(self->probes, symbol);
            return true;
        }
        if (!self->tables->banned_keyword[symbol] && !add_literal(self->probes, self->word, length + 1, symbol)) return false;
    }
    return find_keywords(self, length + 1);
}

/* Whether the keywords from `first` on, which have a small letter at `length`, may have a capital there. */
static bool is_folded(KeywordSearch *self, uint32_t first, uint32_t length) {
    const Probes *probes = self->probes;
    for (uint32_t i = first; i < probes->n_literals; i++) {
        const Piece *it = &probes->literals[i];
        bool advanced;
        memcpy(self->word, it->bytes, it->length);
        self->word[length] = (uint8_t)(it->bytes[length] - 'a' + 'A');
        if (keyword_spelled(self->tables->abi, self->word, it->length, &advanced) != it->symbol) return false;
    }
    return probes->n_literals > first;
}

/* Depth-first over the alphabet: a character belongs to some keyword iff the lexer consumes it. Names of symbols
 * alone would miss keywords that appear under an alias (Python's None, Go's nil). Where case does not matter, small letters
 * stand for both. */
static bool find_keywords(KeywordSearch *self, uint32_t length) {
    if (length == LONGEST_KEYWORD) return true;
    for (uint32_t i = 0; i < self->n_alphabet; i++) {
        uint8_t c = self->alphabet[i];
        uint32_t first = self->probes->n_literals;
        if (!find_keywords_with(self, length, c)) return false;
        if (c < 'a' || c > 'z') continue;
        if (is_folded(self, first, length)) self->probes->folds_case = true;
        else if (!find_keywords_with(self, length, (uint8_t)(c - 'a' + 'A'))) return false;
    }
    return true;
}

/* Whether words of the main lexer may be written in capitals: most do, where any does (a preprocessor has words of its own). */
static bool has_folded_words(const Probes *self, Lexer *lexer, const Tables *tables) {
    uint32_t n_words = 0, n_folded = 0;
    for (uint32_t i = 0; i < self->n_literals; i++) {
        const Piece *it = &self->literals[i];
        uint8_t capitals[LONGEST_LITERAL];
        bool is_small = it->length > 2;
        for (uint32_t k = 0; k < it->length; k++) {
            is_small = is_small && it->bytes[k] >= 'a' && it->bytes[k] <= 'z';
            capitals[k] = (uint8_t)(it->bytes[k] - 'a' + 'A');
        }
        if (!is_small || lexer_terminal(lexer, tables, it->bytes, it->length) != it->symbol) continue;
        n_words++;
        n_folded += lexer_terminal(lexer, tables, capitals, it->length) == it->symbol;
    }
    return 2 * n_folded > n_words;
}

static bool add_single(Probes *self, uint8_t c) {
    self->single[c] = (uint16_t)self->n_suffixes;
    return probes_add_suffix(self, &c, 1);
}

bool probes_init(Probes *self, Lexer *lexer, const Tables *tables) {
    memset(self, 0, sizeof *self);
    const AbiLanguage *abi = tables->abi;
    for (uint32_t symbol = 1; symbol < abi->n_tokens; symbol++) {
        const char *name = abi->symbol_names[symbol];
        if (!name || name[0] == '_' || tables->banned_keyword[symbol]) continue;
        if (!add_literal(self, (const uint8_t *)name, (uint32_t)strlen(name), (uint16_t)symbol)) return false;
    }
    if (abi->keyword_lex && abi->keyword_capture) {
        KeywordSearch search = {.probes = self, .tables = tables, .n_spellings = calloc(abi->n_symbols, sizeof(uint16_t))};
        find_alphabet(&search, lexer);
        bool is_done = search.n_spellings && find_keywords(&search, 0);
        free(search.n_spellings);
        if (!is_done) return false;
    } else {
        self->folds_case = has_folded_words(self, lexer, tables);
    }
    qsort(self->literals, self->n_literals, sizeof *self->literals, compare);
    uint32_t n = 0;
    for (uint32_t i = 0; i < self->n_literals; i++) {
        if (n && compare(&self->literals[n - 1], &self->literals[i]) == 0) free((void *)self->literals[i].bytes);
        else self->literals[n++] = self->literals[i];
    }
    self->n_literals = n;
    memset(self->single, 0xFF, sizeof self->single);
    /* Single characters first, since what they show saves trying others; but tried in the order above. */
    enum { N_SUFFIXES = sizeof SUFFIXES / sizeof *SUFFIXES };
    uint16_t order[N_SUFFIXES];
    for (uint32_t i = 0; i < N_SUFFIXES; i++) {
        order[i] = (uint16_t)self->n_suffixes;
        if (!SUFFIXES[i][1] && !add_single(self, (uint8_t)*SUFFIXES[i])) return false;
    }
    self->n_chosen = self->n_suffixes;
    for (uint8_t c = ' '; c < 0x7F; c++)
        if (self->single[c] == 0xFFFF && !add_single(self, c)) return false;
    self->n_single = self->n_suffixes;
    for (uint32_t i = 0; i < N_SUFFIXES; i++) {
        if (!SUFFIXES[i][1]) continue;
        order[i] = (uint16_t)self->n_suffixes;
        if (!probes_add_suffix(self, (const uint8_t *)SUFFIXES[i], (uint32_t)strlen(SUFFIXES[i]))) return false;
    }
    self->n_general = self->n_suffixes;
    for (uint32_t i = N_SUFFIXES; i-- > 0;) {
        uint32_t place = 0;
        while (self->order[place] != order[i]) place++;
        probes_prefer(self, place);
    }
    return true;
}

void probes_free(Probes *self) {
    for (uint32_t i = 0; i < self->n_literals; i++) free((void *)self->literals[i].bytes);
    for (uint32_t i = 0; i < self->n_suffixes; i++) free((void *)self->suffixes[i].bytes);
    free(self->literals);
    free(self->suffixes);
    free(self->order);
    memset(self, 0, sizeof *self);
}

bool probes_add_suffix(Probes *self, const uint8_t *bytes, uint32_t length) {
    if (self->n_suffixes == self->cap_order) {
        uint32_t wanted = self->cap_order ? 2 * self->cap_order : 256;
        uint16_t *larger = realloc(self->order, wanted * sizeof *larger);
        if (!larger) return false;
        self->order = larger;
        self->cap_order = wanted;
    }
    self->order[self->n_suffixes] = (uint16_t)self->n_suffixes;
    return piece_add(&self->suffixes, &self->n_suffixes, &self->cap_suffixes, bytes, length, 0);
}

void probes_prefer(Probes *self, uint32_t place) {
    uint16_t winner = self->order[place];
    memmove(self->order + 1, self->order, place * sizeof *self->order);
    self->order[0] = winner;
}

void probes_close_with(Probes *self, const uint8_t *bytes, uint32_t length) {
    if (length > LONGEST_CLOSER) return;
    memmove(self->closer, bytes, length);
    self->n_closer = length;
}

void probes_range(const Probes *self, const uint8_t *bytes, uint32_t length, uint32_t *from, uint32_t *to) {
    uint32_t low = 0, high = self->n_literals;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const Piece *it = &self->literals[middle];
        uint32_t shorter = it->length < length ? it->length : length;
        int order = memcmp(it->bytes, bytes, shorter);
        if (order < 0 || (order == 0 && it->length < length)) low = middle + 1;
        else high = middle;
    }
    *from = low;
    while (low < self->n_literals && self->literals[low].length >= length &&
           memcmp(self->literals[low].bytes, bytes, length) == 0)
        low++;
    *to = low;
}

void probes_range_small(const Probes *self, const uint8_t *bytes, uint32_t length, uint32_t *from, uint32_t *to) {
    uint8_t small[LONGEST_LITERAL];
    *from = *to = 0;
    if (!self->folds_case || length > LONGEST_LITERAL) return;
    for (uint32_t i = 0; i < length; i++) small[i] = to_small(bytes[i]);
    if (memcmp(small, bytes, length)) probes_range(self, small, length, from, to);
}
