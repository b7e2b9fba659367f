// Which instruction sets this library was built with, which the CPU has, and which one new kernels use.
#pragma once

#include <stddef.h>

namespace sanp {

struct IsaKernels;

// Kernels of the instruction set in force: the best this CPU supports, or the one set by force_isa.
const IsaKernels& current_isa();

// Kernels by name; null when the name is unknown, the set is not in this build, or the CPU lacks it.
const IsaKernels* find_isa(const char* name);

// All usable sets, best first. Returns how many were written.
size_t usable_isas(const IsaKernels** out, size_t capacity);

// Largest Winograd tile new operators may use: 0 (none), 2 or 4. False, and nothing changes, for another number.
bool limit_winograd(int tile);
int winograd_limit();

// Whether new operators may keep weights that fit 16 bits so. False, and nothing changes, for a number but 0 and 1.
bool allow_narrow_weights(int on);
bool narrow_weights_allowed();

// "auto" returns to the best set. False when find_isa would return null; nothing changes then.
bool force_isa(const char* name);

}  // namespace sanp
