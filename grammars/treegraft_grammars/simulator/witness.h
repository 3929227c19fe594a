/* Is there any continuation? Looks for one that a pending tail can be finished with. */
#ifndef TREEGRAFT_WITNESS_H
#define TREEGRAFT_WITNESS_H

#include "frontier.h"

/* Bytes that must be free behind a text in the simulator's buffer. */
enum { WITNESS_ROOM = 1200, WITNESS_PROBE = 900 };

/* After a RUN_READ over `text` (in the simulator's buffer) that saw no witness by itself: tries probes behind it.
 * Leaves `run.pending` as it was. `ordinary`: what the text ends with, see memo.h; nothing if not known. */
bool witness_search(Simulator *simulator, Text text, Ordinary ordinary);

/* The same, from memory where the same was asked before. */
bool witness_known(Simulator *simulator, Text text);

/* Shared with frontier.c and recovery.c. */
bool simulator_reserve(Simulator *self, uint32_t length);
void simulator_begin(Simulator *self, Arena *arena, RunMode mode, Text text, uint32_t mark);
bool simulator_go(Simulator *self);
void simulator_add_readings(Simulator *simulator, const Frontier *self);
Frontier *frontier_make(Arena *arena, const VersionSet *pending, const Text *text, uint32_t base);

#endif
