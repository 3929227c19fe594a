/* Reads past an error the way a reader would: leave a token out, close what is open, or think one in. */
#ifndef TREEGRAFT_RECOVERY_H
#define TREEGRAFT_RECOVERY_H

#include "frontier.h"

/* Fills in `outcome` for `text` (in the simulator's buffer), which is known not to read from `from`: with a state at
 * the first repair that calm text follows, or at the end. Without one where it is hopeless. */
void recover(Simulator *simulator, const Frontier *from, Text text, Outcome *outcome);

#endif
