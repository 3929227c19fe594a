/* Where a page says the same as the last tokens, and what it goes on with; see `copying.py`. Numbers only; no memory of its own. */
#ifndef TREEGRAFT_COPYING_H
#define TREEGRAFT_COPYING_H

#include <stdint.h>

enum { N_EXTRA = 5, MOST_LEVELS = 40 };

/* A page and its index. A place is where a token stands; what no token but END follows is in no list. */
typedef struct {
    const uint32_t *tokens;                      /* [n_tokens], below n_vocabulary */
    const int64_t *line_keys, *above, *below;    /* [n_tokens] */
    int64_t n_tokens, n_vocabulary, cursor;      /* cursor: a place; -1 for none */
    const double *weight_at;                     /* [n_weights], by distance from the cursor; as the last beyond */
    int64_t n_weights;
    int64_t *places;                             /* [n_tokens]: of what follows token t, ascending, from starts[t] to starts[t + 1] */
    int32_t *starts;                             /* [n_vocabulary + 1] */
    int32_t *ranks;                              /* [n_vocabulary], zeroed; left so */
} Page;

/* Fills in places and starts. */
void page_index(Page *self);

/* Places low to high of a page's list, and how many tokens before each of them are the last ones; 1 at least. */
typedef struct {
    int64_t low, high;
    const int64_t *lengths; /* [high - low] */
} Matches;

/* Lengths of the matches of the places low to high, with the token before them, by those of one token ago. */
void lengthen(const Page *page, const Matches *earlier, int64_t low, int64_t high, int64_t longest, int64_t *lengths);

/* The places two behind the matches of one token ago that are two long at least, whatever stands between. How many. */
int64_t skip_one(const Page *page, const Matches *earlier, int64_t *places);

/* The distinct tokens at these places, ascending, and which of them each place holds. How many. */
int64_t ways_at(Page *page, const int64_t *places, int64_t n, int64_t *ids, int64_t *index);

/* What is the same as at the cursor, besides the last tokens. */
typedef struct {
    int64_t third, line_key, line_above, line_below;
} Around;

/* Slots of all levels and then the extra contexts, the first of which is `follow_skipped`'s; those that say nothing are left
 * out. level_of: of each length, below n_levels; slots, buckets: room for n_levels + N_EXTRA; shares: for as many rows of
 * n_ids, zeroed. How many slots there are. */
int64_t follow(const Page *page, const Matches *matches, const int64_t *index, int64_t n_ids, const Around *around,
               const int64_t *level_of, int64_t n_levels, int64_t *slots, int64_t *buckets, double *shares);

/* The same for places without lengths: shares [n_ids], zeroed; their bucket. */
int64_t follow_skipped(const Page *page, const int64_t *places, const int64_t *index, int64_t n, int64_t n_ids, double *shares);

#endif
