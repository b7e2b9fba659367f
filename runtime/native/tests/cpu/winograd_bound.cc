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

std::vector<double> WinogradBound::input(const ConvShape& s, const float* x, int64_t out_h, int64_t out_w) const {
  std::vector<double> all;
  for (int64_t tile_y = 0; tile_y < tiles(out_h); ++tile_y)
    for (int64_t tile_x = 0; tile_x < tiles(out_w); ++tile_x) {
      const int64_t top = tile_y * m_ - s.pad_top, left = tile_x * m_ - s.pad_left;
      Matrix rows(t_, std::vector<double>(t_, 0.0));  // |x||B|
      for (int i = 0; i < t_; ++i)
        for (int j = 0; j < t_; ++j) {
          const int64_t row = top + i, col = left + j;
          if (row < 0 || row >= s.height || col < 0 || col >= s.width) continue;
          for (int c = 0; c < t_; ++c) rows[i][c] += input_[c][j] * fabs(x[row * s.width + col]);
        }
      for (int r = 0; r < t_; ++r)
        for (int c = 0; c < t_; ++c) {
          double sum = 0;
          for (int i = 0; i < t_; ++i) sum += input_[r][i] * rows[i][c];
          all.push_back(sum);
        }
    }
  return all;
}

std::vector<double> WinogradBound::kernel(const float* w) const {
  std::vector<double> all;
  for (int r = 0; r < t_; ++r)
    for (int c = 0; c < t_; ++c) {
      double sum = 0;
      for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) sum += kernel_[r][i] * kernel_[c][j] * fabs(w[i * 3 + j]);
      all.push_back(sum);
    }
  return all;
}

double WinogradBound::output(const std::vector<double>& sums, int64_t out_w, int64_t oy, int64_t ox) const {
  const double* const tile = sums.data() + (oy / m_ * tiles(out_w) + ox / m_) * t_ * t_;
  double sum = 0;
  for (int r = 0; r < t_; ++r)
    for (int c = 0; c < t_; ++c) sum += output_[oy % m_][r] * output_[ox % m_][c] * tile[r * t_ + c];
  return sum;
}

}  // namespace test
}  // namespace sanp
