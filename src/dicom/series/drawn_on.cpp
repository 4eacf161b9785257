// A mask belongs to the series that it names, or whose images it names. Then it is looked at on the grid
// of the images that it was drawn on, so that what is odd about it is known before it is used.
#include "drawn_on.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>

#include "mask_grid.h"
#include "vmae/core/parallel.h"
#include "vmae/core/text.h"

namespace vmae::io {
namespace {

bool was_drawn_on(const std::set<std::string>& images, const std::vector<SourceSlice>& slices) {
  return std::any_of(slices.begin(), slices.end(), [&](const SourceSlice& slice) {
    const std::vector<std::string> names = references_to(slice);
    return images.contains(slice.sop_instance) ||
           std::any_of(names.begin(), names.end(), [&](const std::string& name) { return images.contains(name); });
  });
}

void keep(std::vector<Grouped*>& groups, const std::function<bool(const Grouped&)>& is_wanted) {
  std::erase_if(groups, [&](const Grouped* group) { return !is_wanted(*group); });
}

size_t num_series(const std::vector<Grouped*>& groups) {
  std::set<SeriesKey> keys;
  for (const Grouped* group : groups) keys.insert(group->key);
  return keys.size();
}

// The volumes of the series that a mask was drawn on, or why there are none.
struct Drawn {
  std::vector<Grouped*> on;
  std::string problem, remark;
};

// By the series that it names, else by the images; one that names neither, by its
// frame of reference if only one series has it. Never those of another patient.
Drawn series_of(const DicomHeader& mask, std::vector<Grouped>& groups) {
  Drawn drawn;
  const auto find = [&](const auto& is_it) {
    for (Grouped& group : groups) {
      if (is_it(group)) drawn.on.push_back(&group);
    }
  };
  const std::vector<std::string>& named = mask.described_series;
  find([&](const Grouped& group) {
    return !group.key.series.empty() && std::find(named.begin(), named.end(), group.key.series) != named.end();
  });
  if (drawn.on.empty()) find([&](const Grouped& group) { return was_drawn_on(mask.described_images, group.slices); });
  const bool is_by_frame = drawn.on.empty() && named.empty() && !mask.described_frame_uid.empty();
  if (is_by_frame) find([&](const Grouped& group) { return group.frame_of_reference_uid == mask.described_frame_uid; });
  if (drawn.on.empty()) {
    const bool says_it = !named.empty() || !mask.described_images.empty();
    drawn.problem = says_it ? "is a mask of a series that is not here"
                            : "does not say which series it was drawn on (no ReferencedSeriesSequence, no images), and "
                              "none here has its frame of reference";
    return drawn;
  }
  keep(drawn.on, [&](const Grouped& group) { return may_be_same_patient(group.key.patient, mask.patient); });
  if (drawn.on.empty()) {
    drawn.problem =
        "is not used: it was drawn on a series of another patient (their PatientID differ); correct the one that is "
        "wrong";
    return drawn;
  }
  if (is_by_frame && num_series(drawn.on) > 1) {
    drawn.problem = concat(
        "is not used: it does not say which series it was drawn on (no ReferencedSeriesSequence, no images), and ",
        num_series(drawn.on), " series have its frame of reference");
    drawn.on.clear();
  } else if (is_by_frame) {
    drawn.remark = "its mask does not say which series it was drawn on: this is the only one of its frame of reference";
  }
  return drawn;
}

// Of a SeriesInstanceUID that several patients or studies have, one is meant: that of the mask's study.
void choose_one_of_each(const DicomHeader& mask, std::vector<Grouped*>& groups, std::string& problem) {
  std::set<std::string> uids;
  for (const Grouped* group : groups) uids.insert(group->key.series);
  for (const std::string& uid : uids) {
    const auto of_uid = [&] {
      std::vector<Grouped*> result = groups;
      keep(result, [&](const Grouped& group) { return group.key.series == uid; });
      return result;
    };
    if (num_series(of_uid()) > 1)
      keep(groups, [&](const Grouped& group) { return group.key.series != uid || group.key.study == mask.study_uid; });
    if (num_series(of_uid()) == 1) continue;
    problem =
        "is not used: several patients or studies have the SeriesInstanceUID that it names, and it does not say which "
        "is meant";
    groups.clear();
    return;
  }
}

// A mask belongs to the volumes of its series; where it names
// images of some of them only (a time point, an echo), to those.
void add_mask(size_t index, const DicomHeader& header, std::vector<Grouped>& groups, std::string& problem) {
  Drawn drawn = series_of(header, groups);
  problem = drawn.problem;
  if (drawn.on.empty()) return;
  std::vector<Grouped*> of_images = drawn.on;
  keep(of_images, [&](const Grouped& group) { return was_drawn_on(header.described_images, group.slices); });
  std::vector<Grouped*> used = of_images.empty() ? drawn.on : of_images;
  choose_one_of_each(header, used, problem);
  for (Grouped* const group : used) {
    group->series.masks.push_back(index);
    if (!drawn.remark.empty()) group->series.remarks.push_back(drawn.remark);
  }
  if (of_images.empty()) return;
  for (Grouped* const group : drawn.on) {
    const bool is_of_used =
        std::any_of(used.begin(), used.end(), [&](const Grouped* one) { return one->key == group->key; });
    if (is_of_used && std::find(used.begin(), used.end(), group) == used.end())
      group->series.remarks.push_back(
          "a mask of its series was drawn on other images of it (another time point, echo, ...), and is not used here");
  }
}

bool is_copy(const Scanned& a, const Scanned& b) {
  if (a.header.sop_instance_uid.empty() || a.header.sop_instance_uid != b.header.sop_instance_uid) return false;
  std::ifstream left(a.path, std::ios::binary), right(b.path, std::ios::binary);
  using Bytes = std::istreambuf_iterator<char>;
  return left && right && std::equal(Bytes(left), Bytes(), Bytes(right), Bytes());
}

}  // namespace

void add_masks(const std::vector<const Scanned*>& masks, std::vector<Grouped>& groups,
               std::vector<DicomMask>& described) {
  for (size_t i = 0; i < masks.size(); ++i) {
    if (std::any_of(masks.begin(), masks.begin() + static_cast<std::ptrdiff_t>(i),
                    [&](const Scanned* other) { return is_copy(*other, *masks[i]); })) {
      described[i].problem = "is a copy of another mask, and is left out";
    } else {
      add_mask(i, masks[i]->header, groups, described[i].problem);
    }
  }
  parallel_for(static_cast<int64_t>(groups.size()), 0, [&](int64_t i) {
    Grouped& group = groups[static_cast<size_t>(i)];
    if (group.series.masks.size() != 1) return;  // of several, none is used
    const std::array<int64_t, 3>& size = group.series.header.size;
    const MaskGrid grid{std::move(group.slices), size[0], size[1], group.series.header.spacing_mm[2]};
    for (const std::string& remark : remarks_on_mask(masks[group.series.masks[0]]->path, grid))
      group.series.remarks.push_back("its mask: " + remark);
  });
}

}  // namespace vmae::io
