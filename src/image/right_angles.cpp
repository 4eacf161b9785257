#include "vmae/image/right_angles.h"

#include <algorithm>
#include <cmath>

namespace vmae::io {

double length_of(const Axes& axes, size_t axis) { return std::hypot(axes[axis], axes[3 + axis], axes[6 + axis]); }

double most_skew(const Axes& axes) {
  double most = 0;
  for (size_t a = 0; a < 3; ++a) {
    const size_t b = (a + 1) % 3;
    const double product = axes[a] * axes[b] + axes[3 + a] * axes[3 + b] + axes[6 + a] * axes[6 + b];
    const double cosine = length_of(axes, a) > 0 ? std::abs(product / (length_of(axes, a) * length_of(axes, b))) : 1;
    most = std::isfinite(cosine) ? std::max(most, cosine) : 1;
  }
  return most;
}

// The polar decomposition, by Newton's method: Higham, 1986.
Axes nearest_axes(Axes m) {
  for (int step = 0; step < 20; ++step) {
    const Axes cofactors{m[4] * m[8] - m[5] * m[7], m[5] * m[6] - m[3] * m[8], m[3] * m[7] - m[4] * m[6],
                         m[2] * m[7] - m[1] * m[8], m[0] * m[8] - m[2] * m[6], m[1] * m[6] - m[0] * m[7],
                         m[1] * m[5] - m[2] * m[4], m[2] * m[3] - m[0] * m[5], m[0] * m[4] - m[1] * m[3]};
    const double determinant = m[0] * cofactors[0] + m[1] * cofactors[1] + m[2] * cofactors[2];
    double change = 0;
    for (size_t i = 0; i < 9; ++i) {
      const double next = (m[i] + cofactors[i] / determinant) / 2;
      change = std::max(change, std::abs(next - m[i]));
      m[i] = next;
    }
    if (change < 1e-15) break;
  }
  return m;
}

}  // namespace vmae::io
