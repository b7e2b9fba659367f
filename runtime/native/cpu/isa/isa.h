// Which instruction sets this library was built with, and which of them the CPU has.
#pragma once

#include <stddef.h>

namespace sanp {

struct IsaKernels;

// Kernels of the best set that this CPU supports.
const IsaKernels& best_isa();

// Kernels by name; null when the name is unknown, the set is not in this build, or the CPU lacks it.
const IsaKernels* find_isa(const char* name);

// All usable sets, best first. Returns how many were written.
size_t usable_isas(const IsaKernels** out, size_t capacity);

constexpr size_t kMaxIsas = 4;

}  // namespace sanp
