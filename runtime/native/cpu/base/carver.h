// Cuts one piece of memory into arrays.
#pragma once

#include <stdint.h>

namespace sanp {

// Bump allocator over the caller's memory; every array starts on a cache line.
struct Carver {
  char* at;
  template <class T>
  T* take(int64_t n) {
    T* p = reinterpret_cast<T*>(at);
    at += (n * sizeof(T) + 63) / 64 * 64;
    return p;
  }
};

}  // namespace sanp
