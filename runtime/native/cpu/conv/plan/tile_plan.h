// Output pixels as vectors and register tiles, and where the three algorithms that read them put the input pixels.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "cpu/conv/plan/problem.h"

namespace sanp {

// A register tile: some vectors of output pixels, computed together for a block of output rows.
struct Tile {
  int32_t first_vec;
  int32_t nr;
};

// Even split of n vectors: 15 become 3 + 4 + 4 + 4, and every NR has a kernel, so nothing is padded. The last is the
// widest.
std::vector<Tile> split_tiles(int64_t n, int max_nr);

struct TilePlan {
  std::vector<Vec> vecs;
  std::vector<Tile> tiles;
  int max_mr;  // rows of the largest block

  int64_t count() const { return static_cast<int64_t>(tiles.size()); }
  const Vec* vecs_of(const Tile& tile) const { return &vecs[tile.first_vec]; }
};

// kInPlace: nothing is copied.
struct InPlacePlan {
  explicit InPlacePlan(const Problem& p);

  TilePlan tiles;
  std::vector<ptrdiff_t> taps;  // a single 0
};

// kRows and kColumns: every active channel is copied into planes.
struct PlanesPlan {
  PlanesPlan(const Problem& p, bool columns) : PlanesPlan(p, columns, p.out_h) {}
  // Planes, vectors and taps of `out_rows` output rows, the first or any later ones; the parts count rows of all.
  PlanesPlan(const Problem& p, bool columns, int64_t out_rows);
  PlanesPlan(const PlanesPlan&) = delete;
  PlanesPlan& operator=(const PlanesPlan&) = delete;

  TilePlan tiles;
  std::vector<PlanePart> parts;
  Plane plane;                  // points into parts
  std::vector<ptrdiff_t> taps;  // byte offsets in the plane
  int64_t tail_pixels;          // kColumns: the last pixels, too few for a vector; computed as in kDot

 private:
  void lay_out(const Problem& p, bool columns, int64_t out_rows);
};

// kGather: every tile has a panel, in which the taps of its pixels lie expanded.
struct GatherPlan {
  explicit GatherPlan(const Problem& p);

  TilePlan tiles;
  std::vector<int64_t> panels;              // floats per active channel before each tile, and behind the last one
  std::vector<ptrdiff_t> taps[kMaxNr + 1];  // byte offsets in a panel, by tile width
};

}  // namespace sanp
