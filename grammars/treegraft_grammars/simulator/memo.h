/* What searches for a witness found out, so that the same undecided text in the same surroundings is not searched twice.
 *
 * A verdict depends on the undecided bytes and on as much of the stack as reductions looked at: the key holds just that, so
 * what was learnt in one place of a document serves at all others. Belongs to one simulator, under its lock.
 */
#ifndef TREEGRAFT_MEMO_H
#define TREEGRAFT_MEMO_H

#include "probe.h"
#include "run.h"

enum { MEMO_VERDICTS = 1 << 15, MEMO_DEPTHS = 1 << 12, MEMO_LETTERS = 1 << 11 };

typedef struct {
    uint64_t verdicts[MEMO_VERDICTS]; /* key, its first bit replaced by the verdict; 0 while free */
    uint64_t depths[MEMO_DEPTHS];     /* key of the tops of the stacks, its last 16 bits replaced by what was looked at */
    uint64_t letters[MEMO_LETTERS];   /* a mode of the lexers, a letter, and whether that is a word of no special meaning */
} Memo;

/* Bytes that are an ordinary word or number, of which what kinds of characters it has is all that matters; of a name not even
 * that. */
typedef struct {
    uint32_t n; /* 0: there is none */
    bool is_name;
} Ordinary;

/* One question: is there a witness for these versions over this text? */
typedef struct {
    const Tables *tables;
    const Arena *arena;
    const VersionSet *pending;
    uint64_t text; /* hash of all that matters of the text, its column aside */
    uint32_t column;
    Ordinary ordinary; /* at its end */
    uint32_t n_name;   /* bytes at its end that the main lexer reads as a name in all versions, which may be a keyword; or 0 */
} MemoQuestion;

/* Hash of all that matters of a text from `from` on, its column aside; `ordinary` stands before the last `n_after`
 * bytes of it. False when nothing about this text can be remembered: it is too long, or ends
 * inside a character. */
bool memo_text_key(Text text, uint32_t from, Ordinary ordinary, uint32_t n_after, uint64_t *key);

/* False when verdicts about this text cannot be remembered: it is too long, or ends inside a character. There must be room
 * behind it. */
bool memo_ask(Memo *self, Lexer *lexer, Tables *tables, const Probes *probes, Arena *arena, const VersionSet *pending,
              Text text, MemoQuestion *question);

/* 1 and 0 are verdicts; -1: not known. */
int memo_recall(const Memo *self, const MemoQuestion *question);

/* To find the verdict, `depth` entries below the tops of the stacks were looked at, and the column maybe. */
void memo_learn(Memo *self, const MemoQuestion *question, uint32_t depth, bool asked_column, bool verdict);

#endif
