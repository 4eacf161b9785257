#include "vmae/image/components.h"

#include <algorithm>
#include <queue>
#include <vector>

namespace vmae::io {

// One flood fill per component, over voxels of one label; no image
// library at hand labels several classes of a volume in one pass.
void keep_largest_components(std::span<uint8_t> labels, const std::array<int64_t, 3>& size) {
  struct Component {
    int64_t first = -1, voxels = 0;
  };
  std::array<Component, 256> largest;
  std::vector<bool> seen(labels.size());
  const auto fill = [&](int64_t start, const auto& visit) {
    std::queue<int64_t> open({start});
    seen[static_cast<size_t>(start)] = true;
    while (!open.empty()) {
      const int64_t at = open.front(), x = at % size[0], y = at / size[0] % size[1], z = at / (size[0] * size[1]);
      open.pop();
      visit(at);
      for (int64_t k = std::max<int64_t>(0, z - 1); k <= std::min(size[2] - 1, z + 1); ++k) {
        for (int64_t j = std::max<int64_t>(0, y - 1); j <= std::min(size[1] - 1, y + 1); ++j) {
          for (int64_t i = std::max<int64_t>(0, x - 1); i <= std::min(size[0] - 1, x + 1); ++i) {
            const auto neighbour = static_cast<size_t>(i + size[0] * (j + size[1] * k));
            if (seen[neighbour] || labels[neighbour] != labels[static_cast<size_t>(start)]) continue;
            seen[neighbour] = true;
            open.push(static_cast<int64_t>(neighbour));
          }
        }
      }
    }
  };
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] == 0 || seen[i]) continue;
    Component component{static_cast<int64_t>(i), 0};
    fill(component.first, [&](int64_t) { ++component.voxels; });
    Component& best = largest[labels[i]];
    if (component.voxels > best.voxels) best = component;
  }
  std::vector<uint8_t> kept(labels.size());
  seen.assign(labels.size(), false);
  for (const Component& component : largest) {
    if (component.first < 0) continue;
    fill(component.first,
         [&](int64_t at) { kept[static_cast<size_t>(at)] = labels[static_cast<size_t>(component.first)]; });
  }
  std::copy(kept.begin(), kept.end(), labels.begin());
}

}  // namespace vmae::io
