// Files of one series fall apart into stacks of the same pixel format, orientation and pixel spacing, and these, where positions repeat, into time points: by
// the first tag that makes positions unique within its values, or, after files with the same position and pixels are left out as duplicates, by order of
// InstanceNumber.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <set>
#include <thread>

#include "dicom_frames.h"
#include "dicom_geometry.h"
#include "dicom_header.h"
#include "dicom_units.h"
#include "vmae/core/error.h"
#include "vmae/core/machine.h"
#include "vmae/io/dicom.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

struct Scanned {
  fs::path path;
  DicomHeader header;
  std::vector<std::string> identifying;
  std::string problem;
};
using Stack = std::vector<const Scanned*>;  // single frames with a plane each

Scanned scan(const fs::path& path) {
  Scanned scanned{path, {}, {}, ""};
  try {
    const DicomFile file = open_dicom(path);
    scanned.identifying = identifying_texts(file);
    scanned.header = read_dicom_header(file);
    if (scanned.header.kind == DicomKind::other) scanned.problem = scanned.header.what;
    if (scanned.header.kind == DicomKind::image) scanned.problem = transfer_syntax_problem(scanned.header.transfer_syntax);
  } catch (const std::exception& error) {  // must not leave a thread
    scanned.problem = reason_of(error, path);
  }
  return scanned;
}

std::vector<Scanned> scan_all(const std::vector<fs::path>& files) {
  std::vector<Scanned> scanned(files.size());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < files.size(); i = next++) scanned[i] = scan(files[i]);
  };
  std::vector<std::jthread> threads;
  const size_t num_threads = std::min<size_t>(static_cast<size_t>(usable_threads()), files.size() / 4);
  for (size_t i = 1; i < num_threads; ++i) threads.emplace_back(work);
  work();
  threads.clear();
  return scanned;
}

const DicomFrame& frame_of(const Scanned* scanned) { return scanned->header.frames[0]; }

bool is_stackable(const Scanned& scanned) { return scanned.header.frames.size() == 1 && frame_of(&scanned).plane && !scanned.header.series_uid.empty(); }

bool fit_together(const Scanned* a, const Scanned* b) {
  const DicomFrame &left = frame_of(a), &right = frame_of(b);
  for (size_t i = 0; i < 2; ++i) {
    if (std::abs(left.spacing_mm[i] - right.spacing_mm[i]) > 1e-3 * left.spacing_mm[i]) return false;
  }
  return a->header.pixels == b->header.pixels && a->header.modality == b->header.modality &&
         a->header.frame_of_reference_uid == b->header.frame_of_reference_uid && is_parallel(*left.plane, *right.plane);
}

double height_of(const Scanned* scanned, const Vec3& normal) { return dot(frame_of(scanned).plane->position, normal); }

// Instance number, then path: where nothing else decides.
bool is_earlier(const Scanned* a, const Scanned* b) {
  const double left = a->header.instance_number.value_or(0), right = b->header.instance_number.value_or(0);
  return left != right ? left < right : a->path < b->path;
}

void sort_along(Stack& stack) {
  const Vec3 normal = frame_of(stack[0]).plane->normal();
  std::sort(stack.begin(), stack.end(), [&](const Scanned* a, const Scanned* b) {
    const double left = height_of(a, normal), right = height_of(b, normal);
    return std::abs(left - right) > 1e-9 ? left < right : is_earlier(a, b);
  });
}

// Runs of the same position in a sorted stack.
std::vector<Stack> by_position(const Stack& sorted) {
  const Vec3 normal = frame_of(sorted[0]).plane->normal();
  std::vector<Stack> places;
  for (const Scanned* scanned : sorted) {
    if (places.empty() || height_of(scanned, normal) - height_of(places.back()[0], normal) > 1e-3) places.emplace_back();
    places.back().push_back(scanned);
  }
  return places;
}

bool has_repeats(const Stack& sorted) { return by_position(sorted).size() < sorted.size(); }

std::vector<uint8_t> pixels_of(const Scanned* scanned) {
  const DicomFile file = open_dicom(scanned->path);
  FrameReader reader(file, scanned->header);
  RawFrame frame;
  reader.read(0, frame);
  return frame.bytes;
}

bool have_equal_pixels(const Scanned* a, const Scanned* b) {
  try {
    return a->header.pixels == b->header.pixels && pixels_of(a) == pixels_of(b);
  } catch (const Error&) {  // reading the image will say what is wrong
    return false;
  }
}

// The same pixels at the same place, whatever their UIDs.
Stack without_copies(const Stack& sorted, size_t& num_copies) {
  Stack kept;
  for (const Stack& place : by_position(sorted)) {
    std::vector<std::vector<uint8_t>> seen;
    for (const Scanned* scanned : place) {
      std::vector<uint8_t> pixels;
      try {
        if (place.size() > 1) pixels = pixels_of(scanned);
      } catch (const Error&) {  // reading the volume will say what is wrong
      }
      if (!pixels.empty() && std::find(seen.begin(), seen.end(), pixels) != seen.end()) {
        ++num_copies;
        continue;
      }
      seen.push_back(std::move(pixels));
      kept.push_back(scanned);
    }
  }
  return kept;
}

// Values of one tag in order: numbers by value, others as text.
struct KeyOrder {
  bool operator()(const std::string& a, const std::string& b) const {
    const auto left = parse_number(a), right = parse_number(b);
    return left && right && *left != *right ? *left < *right : a < b;
  }
};

// Into time points, each with every position once at most; empty if no tag does that.
std::vector<Stack> by_tag(const Stack& sorted) {
  for (size_t key = 0; key < sorted[0]->header.time_keys.size(); ++key) {
    std::map<std::string, Stack, KeyOrder> parts;
    for (const Scanned* scanned : sorted) parts[scanned->header.time_keys[key]].push_back(scanned);
    if (parts.size() == 1 || std::any_of(parts.begin(), parts.end(), [](const auto& part) { return has_repeats(part.second); })) continue;
    std::vector<Stack> result;
    for (auto& [value, part] : parts) result.push_back(std::move(part));
    return result;
  }
  return {};
}

std::vector<Stack> by_turn(const Stack& sorted) {
  std::vector<Stack> parts;
  for (const Stack& place : by_position(sorted)) {
    for (size_t i = 0; i < place.size(); ++i) {
      if (parts.size() <= i) parts.emplace_back();
      parts[i].push_back(place[i]);
    }
  }
  return parts;
}

std::vector<Stack> by_time(Stack sorted, size_t& num_copies) {
  if (!has_repeats(sorted)) return {std::move(sorted)};
  if (std::vector<Stack> parts = by_tag(sorted); !parts.empty()) return parts;
  sorted = without_copies(sorted, num_copies);
  if (!has_repeats(sorted)) return {std::move(sorted)};
  if (std::vector<Stack> parts = by_tag(sorted); !parts.empty()) return parts;
  return by_turn(sorted);
}

DicomSeries describe(const Stack& stack) {
  const DicomHeader& first = stack[0]->header;
  DicomSeries series;
  series.series_uid = first.series_uid;
  series.patient = first.patient;
  series.modality = first.modality;
  std::vector<const DicomHeader*> headers;
  std::vector<DicomFrame> frames;
  std::set<std::string> remarks;
  for (const Scanned* scanned : stack) {
    series.files.push_back(scanned->path);
    headers.push_back(&scanned->header);
    for (const size_t i : frame_order(scanned->header.frames)) frames.push_back(scanned->header.frames[i]);
    remarks.insert(scanned->header.remarks.begin(), scanned->header.remarks.end());
  }
  const Grid grid = grid_of(frames, first.slice_step_mm);
  series.header.size = {first.pixels.columns, first.pixels.rows, static_cast<int64_t>(frames.size())};
  series.header.spacing_mm = grid.spacing_mm;
  series.remarks = grid.remarks;
  series.remarks.insert(series.remarks.end(), remarks.begin(), remarks.end());
  if (const std::string problem = units_problem(headers); !problem.empty()) series.remarks.push_back(concat("numbers are kept as stored: ", problem));
  return series;
}

void add_series(const std::vector<const Scanned*>& files, DicomTree& tree) {
  size_t num_copies = 0;
  std::vector<Stack> stacks;
  std::map<std::string, const Scanned*> instances;
  bool has_clash = false;
  std::vector<DicomSeries> result;
  for (const Scanned* scanned : files) {  // in the order of paths
    // Stacked slices are compared by place and pixels further on; all others, which have no place, by UID and pixels here.
    if (const auto first = instances.emplace(scanned->header.sop_instance_uid, scanned);
        !first.second && !is_stackable(*scanned) && !scanned->header.sop_instance_uid.empty()) {
      if (have_equal_pixels(first.first->second, scanned)) {
        ++num_copies;
        continue;
      }
      has_clash = true;
    }
    if (!is_stackable(*scanned)) {
      result.push_back(describe({scanned}));
      continue;
    }
    const auto place = std::find_if(stacks.begin(), stacks.end(), [&](const Stack& stack) { return fit_together(stack[0], scanned); });
    (place != stacks.end() ? *place : stacks.emplace_back()).push_back(scanned);
  }
  for (Stack& stack : stacks) {
    sort_along(stack);
    const std::vector<Stack> parts = by_time(std::move(stack), num_copies);
    for (size_t i = 0; i < parts.size(); ++i) {
      result.push_back(describe(parts[i]));
      if (parts.size() > 1) result.back().remarks.push_back(concat("volume ", i + 1, " of ", parts.size(), " at the same place (time points, echoes, ...)"));
      if (stacks.size() > 1)
        result.back().remarks.push_back(
            concat("mixed geometry: the series falls apart into ", stacks.size(), " stacks of different size, direction or spacing"));
    }
  }
  if (num_copies > 0 && !result.empty()) result[0].remarks.push_back(concat(num_copies, num_copies == 1 ? " duplicate" : " duplicates", " left out"));
  if (has_clash && !result.empty()) result[0].remarks.push_back("files of equal SOPInstanceUID have different pixels; all are kept");
  std::move(result.begin(), result.end(), std::back_inserter(tree.series));
}

}  // namespace

DicomTree group_dicom(const std::vector<fs::path>& files) {
  std::vector<fs::path> sorted = files;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  const std::vector<Scanned> scanned = scan_all(sorted);

  DicomTree tree;
  std::set<std::string> identifying;
  std::map<std::string, std::vector<const Scanned*>> by_uid;
  std::vector<std::string> order;
  for (const Scanned& file : scanned) {
    identifying.insert(file.identifying.begin(), file.identifying.end());
    if (!file.problem.empty()) {
      tree.refused.push_back({file.path, file.problem});
    } else if (file.header.kind != DicomKind::image) {
      tree.masks.push_back({file.path, file.header.kind, file.header.described_series_uid, file.header.described_frame_uid, file.header.patient});
    } else {
      std::vector<const Scanned*>& group = by_uid[file.header.series_uid];
      if (group.empty()) order.push_back(file.header.series_uid);
      group.push_back(&file);
    }
  }
  for (const std::string& uid : order) add_series(by_uid[uid], tree);
  tree.identifying.assign(identifying.begin(), identifying.end());
  return tree;
}

}  // namespace vmae::io
