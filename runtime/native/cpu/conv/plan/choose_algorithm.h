// Which algorithms can compute a problem, and which one the cost model takes.
#pragma once

#include <stdint.h>

#include "cpu/conv/plan/algorithm.h"
#include "cpu/conv/plan/problem.h"

namespace sanp {

// Whether an algorithm can hold this problem.
bool possible(const Problem& p, Algorithm f);

// The fastest one by the cost model that takes the weights as they are.
Algorithm choose_direct(const Problem& p);

// The fastest one by the cost model, without a larger Winograd tile than `winograd`, and without copies of the weights
// for kChannels unless allowed.
Algorithm choose_algorithm(const Problem& p, int winograd, bool copies);

// Samples with at most this many active input channels gain from 16-bit weights; 0 where none does.
int64_t bf16_steps_that_gain(const Problem& p, Algorithm f);

}  // namespace sanp
