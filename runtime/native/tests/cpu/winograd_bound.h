// The error bound of Winograd's convolution: the algorithm itself, run in double on magnitudes.
#pragma once

#include <vector>

#include "contract/conv_shape.h"

namespace sanp {
namespace test {

// Every sum is replaced by the sum of magnitudes of its terms: |A'| (sum over channels of |G||g||G'| * |B'||x||B|) |A|.
// No term can be larger, so each rounding on the way to an output pixel errs by at most eps / 2 of this number.
class WinogradBound {
 public:
  explicit WinogradBound(int m);

  // |B'||x||B| of every tile of the channel `x` [height, width]: [tiles, t, t], row after row. `out_h` and `out_w` are
  // the size of the output.
  std::vector<double> input(const ConvShape& s, const float* x, int64_t out_h, int64_t out_w) const;
  // |G||w||G'| of a kernel `w` [3, 3]: [t, t].
  std::vector<double> kernel(const float* w) const;
  // |A'| sums |A| at one output pixel; `sums` [tiles, t, t] are those over the channels.
  double output(const std::vector<double>& sums, int64_t out_w, int64_t oy, int64_t ox) const;

 private:
  int64_t tiles(int64_t pixels) const { return (pixels + m_ - 1) / m_; }

  int m_, t_;
  std::vector<std::vector<double>> input_, kernel_, output_;  // |B'| [t, t], |G| [t, 3], |A'| [m, t]
};

}  // namespace test
}  // namespace sanp
