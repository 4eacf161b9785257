#include "describe_plan.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <utility>

#include "vmae/core/text.h"
#include "vmae/image/picture.h"
#include "vmae/sources/patients.h"

namespace vmae::run {
namespace {

constexpr size_t kShown = 20;  // lines of problems, and of notes

// The smallest and the largest of some sizes.
struct Range {
  double low = 1e9, high = 0;

  void note(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool is_known() const { return high > 0; }
  std::string text() const { return low == high ? number_text(low) : number_text(low) + "-" + number_text(high); }
};

// A picture of several pages: its slices are the pages.
bool is_tiff_stack(const PlannedCase& planned) {
  return planned.header && planned.file.series.empty() && io::is_picture(planned.file.path);
}

// Cases of one modality whose files are of one kind.
struct Kind {
  int64_t cases = 0, slices = 0, masks = 0;
  uint64_t bytes = 0;
  Range shorter, longer;  // sides of slices, in pixels
  Range spacing_mm;

  void add(const PlannedCase& planned, const std::string& slice_axis) {
    ++cases;
    bytes += planned.bytes;
    masks += planned.file.mask.empty() ? 0 : 1;
    if (planned.header) {
      add_volume(planned, slice_axis);
    } else {
      ++slices;
    }
  }

  std::string text() const {
    std::string text = concat(cases, " cases, ", slices, " slices, ", human_bytes(static_cast<double>(bytes)));
    if (longer.is_known()) text += concat(", slices of ", shorter.text(), " x ", longer.text(), " pixels");
    if (spacing_mm.is_known()) text += concat(", pixels of ", spacing_mm.text(), " mm");
    if (masks > 0) text += concat(", ", masks, " with a mask");
    return text;
  }

 private:
  void add_volume(const PlannedCase& planned, const std::string& slice_axis) {
    const io::VolumeHeader& header = *planned.header;
    const bool is_tiff = is_tiff_stack(planned);
    const int axis = planned.file.series.empty() && !is_tiff ? io::slice_axis(header, slice_axis) : 2;
    slices += header.size[static_cast<size_t>(axis)];
    const size_t columns = io::column_axis(axis), rows = io::row_axis(axis);
    const auto [shorter_side, longer_side] = std::minmax(header.size[columns], header.size[rows]);
    shorter.note(static_cast<double>(shorter_side));
    longer.note(static_cast<double>(longer_side));
    if (!is_tiff || io::stack_spacing_mm(planned.file.path))
      spacing_mm.note(std::round(100 * header.spacing_mm[columns]) / 100);
  }
};

const char* kind_of_files(const PlannedCase& planned) {
  if (!planned.header) return ", pictures";
  if (!planned.file.series.empty()) return ", DICOM series";
  return is_tiff_stack(planned) ? ", TIFF stacks" : ", volumes";
}

std::string name_of_kind(const PlannedCase& planned) {
  return (planned.file.modality.empty() ? "modality not known" : planned.file.modality) + kind_of_files(planned);
}

// "found (layout nnunet): 60 cases of 20 patients, ..."
std::string what_was_found(const Plan& plan, const io::PatientCount& patients) {
  const auto num_cases =
      std::count_if(plan.cases.begin(), plan.cases.end(), [](const PlannedCase& one) { return one.channel_of < 0; });
  std::string text =
      concat("found (layout ", plan.layout, "): ", num_cases, num_cases == 1 ? " case" : " cases", patients.suffix());
  if (!plan.channel_names.empty())
    text += concat(", each of ", plan.channel_names.size(), " channels: ", join(plan.channel_names, ", "));
  if (!plan.label_names.empty())
    text += concat(", ", plan.label_names.size(),
                   plan.is_multi_label ? " findings: " : " classes: ", join(plan.label_names, ", "));
  return text;
}

template <class Map>
std::vector<std::pair<typename Map::key_type, typename Map::mapped_type>> first_of(const Map& map) {
  return {map.begin(), std::next(map.begin(), static_cast<std::ptrdiff_t>(std::min(map.size(), kShown)))};
}

std::string more_than_shown(size_t count) {
  return count > kShown ? concat("\n  ... and ", count - kShown, " more kinds") : "";
}

// problems: why files are left out, and how many
std::string text_of_problems(const std::map<std::string, int64_t>& problems) {
  std::string text;
  for (const auto& [problem, count] : first_of(problems))
    text += concat("\n  left out: ", count, count == 1 ? " file: " : " files: ", problem);
  return text + more_than_shown(problems.size());
}

std::string text_of_remarks(const Plan& plan, const Pseudonyms& pseudonyms) {
  std::map<std::string, std::vector<std::string>> names_by_remark;
  for (const io::SourceRemark& remark : plan.remarks)
    names_by_remark[remark.text].push_back(remark.name.empty() ? "" : pseudonyms.name(remark.name));
  std::string text;
  for (const auto& [remark, names] : first_of(names_by_remark))
    text += concat("\n  note: ", names.front(), names.size() > 1 ? concat(" and ", names.size() - 1, " more") : "",
                   names.front().empty() ? "" : ": ", remark);
  return text + more_than_shown(names_by_remark.size());
}

}  // namespace

std::string describe_plan(const Plan& plan, const Pseudonyms& pseudonyms) {
  std::map<std::string, Kind> kinds;
  io::PatientCount patients;
  std::map<std::string, int64_t> problems;
  for (const PlannedCase& planned : plan.cases) {
    patients.add(planned.file);
    if (planned.problem.empty()) {
      kinds[name_of_kind(planned)].add(planned, plan.slice_axis);
    } else {
      ++problems[planned.problem];
    }
  }
  for (const io::SourceRemark& refusal : plan.refused) ++problems[refusal.text];

  std::string text = what_was_found(plan, patients);
  for (const auto& [name, kind] : kinds) text += concat("\n  ", name, ": ", kind.text());
  text += "\n  " + plan.intensity;
  text += text_of_problems(problems);
  text += text_of_remarks(plan, pseudonyms);
  return text;
}

}  // namespace vmae::run
