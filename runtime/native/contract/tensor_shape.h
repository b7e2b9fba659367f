// The shape of a tensor, and what is said of one that is wrong.
#pragma once

#include <stdint.h>

#include <initializer_list>

#include "contract/error.h"

namespace sanp {

constexpr int32_t kMaxRank = 8;

// Of numbers, or of a builder's expressions.
template <class Value>
struct Shape {
  int32_t rank = 0;  // -1: not known
  Value dims[kMaxRank] = {};
};

Shape<int64_t> shape_of(std::initializer_list<int64_t> dims) noexcept;
bool equal(const Shape<int64_t>& shape, std::initializer_list<int64_t> dims) noexcept;
bool is_one_element(const Shape<int64_t>& shape) noexcept;

// "[1, 64, 32, 32]" in a fixed buffer.
struct ShapeText {
  explicit ShapeText(const Shape<int64_t>& shape) noexcept;
  ShapeText(std::initializer_list<int64_t> dims) noexcept;
  char text[kMaxRank * 22 + 4];
};

// Requires `rank` positive dimensions below 2^31; the first may be 0 where a batch may be empty.
constexpr bool kMayBeEmpty = true;
Error require_rank(const Shape<int64_t>& shape, const char* name, int32_t rank, bool may_be_empty = false) noexcept;

// Requires exactly these dimensions; `what` says which they are.
Error require_shape(const Shape<int64_t>& shape, const char* name, std::initializer_list<int64_t> dims,
                    const char* what) noexcept;

// Requires [rows or 1, columns], one value per `what`; *step is the distance from one row to the next, 0 for one row.
Error require_rows(const Shape<int64_t>& shape, const char* name, int64_t rows, int64_t columns, const char* what,
                   int64_t* step) noexcept;

}  // namespace sanp
