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

  // Adds channel `x` [height, width] of the input under the kernel `w` [3, 3] at one output pixel.
  double channel(const ConvShape& s, const float* x, const float* w, int64_t oy, int64_t ox) const;

 private:
  int m_, t_;
  std::vector<std::vector<double>> input_, kernel_, output_;  // |B'| [t, t], |G| [t, 3], |A'| [m, t]
};

}  // namespace test
}  // namespace sanp
