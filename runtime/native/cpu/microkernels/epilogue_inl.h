// Scale, shift, residual, clamp and store, for a vector of pixels and for one pixel.
#pragma once

#include <stddef.h>

#include "cpu/microkernels/epilogue.h"

namespace sanp {

// Callers pass a local copy of the call's epilogue: a store could change what the call points to, for all the compiler
// knows, and reading it again for every vector took up to 6 % more instructions.

// One vector of row m, stored at y[at]; with kWhole the mask is not looked at.
template <class V, bool kWhole>
inline void store_pixels(const Epilogue& e, int m, typename V::F sum, ptrdiff_t at, typename V::Mask mask) {
  typename V::F out = V::fma(sum, V::set1(e.scale[m]), V::set1(e.shift[m]));
  if (e.residual) out = V::add(out, kWhole ? V::load(e.residual[m] + at) : V::load_part(e.residual[m] + at, mask));
  out = V::min(V::set1(e.act_max), V::max(V::set1(e.act_min), out));
  if (kWhole)
    V::store(e.y[m] + at, out);
  else
    V::store_part(e.y[m] + at, mask, out);
}

// One pixel of row m. A template, so that every instruction set has a copy of its own.
template <class V>
inline void store_pixel(const Epilogue& e, int m, float sum, ptrdiff_t at) {
  float out = sum * e.scale[m] + e.shift[m];
  if (e.residual) out += e.residual[m][at];
  out = out < e.act_min ? e.act_min : out;
  e.y[m][at] = out > e.act_max ? e.act_max : out;
}

}  // namespace sanp
