// Geometry of one shape cut into Winograd tiles, and its weights after the transform.
#pragma once

#include <stdint.h>

#include <vector>

#include "cpu/conv/plan/problem.h"
#include "cpu/conv/plan/tile_plan.h"
#include "cpu/microkernels/winograd.h"

namespace sanp {

struct WinogradPlan {
  // m: output pixels along an edge of a Winograd tile, 2 or 4.
  WinogradPlan(const Problem& p, int m);
  WinogradPlan(const WinogradPlan&) = delete;
  WinogradPlan& operator=(const WinogradPlan&) = delete;

  int m;
  int64_t tiles_x, tiles;
  int32_t pitch = 0;        // of the rows after the vertical transform
  int32_t plane_pitch = 0;  // of the staging plane
  int64_t most_rows = 0;    // rows of tiles in the largest block
  std::vector<ptrdiff_t> read, write;
  std::vector<PixelRun> runs;
  std::vector<Tile> register_tiles;   // vectors of Winograd tiles that are multiplied together
  std::vector<WinogradBlock> blocks;  // one per register tile; points into the vectors above

  int points() const { return winograd_points(m); }
  int kind() const { return m == 2 ? 0 : 1; }
  // Transforms of one channel, per vector of tiles, in multiply-adds of a vector; measured on Zen 3.
  int64_t input_work() const { return m == 2 ? 250 : 650; }
  int64_t output_work() const { return m == 2 ? 300 : 750; }
  // Scratch of one thread in floats: the rows and a zero row for the input; the staging plane for the output.
  int64_t input_floats(const ConvShape& s, int lanes) const;
  int64_t output_floats(int lanes) const;

 private:
  void lay_out(const Problem& p);
};

// [channels out][point][channels in] from OIHW. Computed in double and rounded once.
void winograd_weights(const ConvShape& s, int m, const float* w, float* out);

}  // namespace sanp
