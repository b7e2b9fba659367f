// Builds the matrices from the points alone, by Lagrange interpolation, and not from the formulas of the kernels.
#include "tests/cpu/winograd_bound.h"

#include <math.h>

#include "cpu/microkernels/winograd.h"

namespace sanp {
namespace test {
namespace {

using Matrix = std::vector<std::vector<double>>;

// Coefficients of the product of (z - p) over `points`, lowest power first.
std::vector<double> polynomial(const std::vector<double>& points) {
  std::vector<double> c{1};
  for (double p : points) {
    c.push_back(0);
    for (size_t i = c.size() - 1; i > 0; --i) c[i] = c[i - 1] - p * c[i];
    c[0] *= -p;
  }
  return c;
}

void make_absolute(Matrix* a) {
  for (auto& row : *a)
    for (double& v : row) v = fabs(v);
}

}  // namespace

WinogradBound::WinogradBound(int m) : m_(m), t_(m + 2) {
  const double a = kWinogradA, b = kWinogradB;
  const std::vector<double> points = m == 2 ? std::vector<double>{0, 1, -1} : std::vector<double>{0, a, -a, b, -b};
  for (size_t i = 0; i <= points.size(); ++i) {  // the last one is infinity
    const bool infinite = i == points.size();
    std::vector<double> others = points;
    if (!infinite) others.erase(others.begin() + static_cast<ptrdiff_t>(i));
    double distance = 1;
    for (double p : others) distance *= infinite ? 1 : points[i] - p;
    std::vector<double> row = polynomial(others);
    row.resize(static_cast<size_t>(t_), 0.0);
    input_.push_back(row);
    kernel_.emplace_back();
    for (int k = 0; k < 3; ++k) kernel_.back().push_back(infinite ? k == 2 : pow(points[i], k) / distance);
  }
  for (int y = 0; y < m; ++y) {
    output_.emplace_back();
    for (double p : points) output_.back().push_back(pow(p, y));
    output_.back().push_back(y == m - 1);
  }
  make_absolute(&input_);
  make_absolute(&kernel_);
  make_absolute(&output_);
}

double WinogradBound::channel(const ConvShape& s, const float* x, const float* w, int64_t oy, int64_t ox) const {
  const int64_t top = oy / m_ * m_ - s.pad_top, left = ox / m_ * m_ - s.pad_left;
  double sum = 0;
  for (int r = 0; r < t_; ++r)
    for (int c = 0; c < t_; ++c) {
      double pixels = 0, kernel = 0;
      for (int i = 0; i < t_; ++i)
        for (int j = 0; j < t_; ++j) {
          const int64_t row = top + i, col = left + j;
          if (row < 0 || row >= s.height || col < 0 || col >= s.width) continue;
          pixels += input_[r][i] * input_[c][j] * fabs(x[row * s.width + col]);
        }
      for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) kernel += kernel_[r][i] * kernel_[c][j] * fabs(w[i * 3 + j]);
      sum += output_[oy % m_][r] * output_[ox % m_][c] * pixels * kernel;
    }
  return sum;
}

}  // namespace test
}  // namespace sanp
