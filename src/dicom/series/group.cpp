// A series is that of a patient and a study: a SeriesInstanceUID that de-identification gave to several is
// told apart. Files of one series fall apart into stacks of comparable numbers, the same orientation and
// pixel spacing, and these, where positions repeat or lie between each other's, into time points, echoes
// and so on (tell_apart), after files with the same position and pixels are left out as duplicates. Files
// of several frames are taken apart by themselves (frame_volumes). Masks are added last (add_masks).
#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>

#include "../frames.h"
#include "../header.h"
#include "../sop_class.h"
#include "../units.h"
#include "drawn_on.h"
#include "geometry.h"
#include "grouped.h"
#include "stacks.h"
#include "vmae/core/counting.h"
#include "vmae/core/error.h"
#include "vmae/core/machine.h"
#include "vmae/core/parallel.h"
#include "vmae/dicom/group.h"
#include "vmae/dicom/kinds.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;

using Stack = std::vector<const Scanned*>;  // single frames with a plane each

Scanned scan(const fs::path& path) {
  Scanned scanned{path, {}, {}, ""};
  try {
    const DicomFile file = open_dicom(path);
    scanned.identifying = identifying_texts(file);
    scanned.problem = kind_problem(file);  // before pixels are looked at, which may be of any kind
    if (!scanned.problem.empty()) return scanned;
    scanned.header = read_dicom_header(file);
    if (scanned.header.kind == DicomKind::other) scanned.problem = scanned.header.what;
    if (scanned.header.kind == DicomKind::image)
      scanned.problem = transfer_syntax_problem(scanned.header.transfer_syntax);
  } catch (const std::exception& error) {  // must not leave a thread
    scanned.problem = reason_of(error, path);
  }
  return scanned;
}

std::vector<Scanned> scan_all(const std::vector<fs::path>& files) {
  std::vector<Scanned> scanned(files.size());
  Counting counting("DICOM files", std::ssize(files));
  const int threads = static_cast<int>(std::min<size_t>(static_cast<size_t>(usable_threads()), files.size() / 4));
  parallel_for(std::ssize(files), std::max(1, threads), [&](int64_t i) {
    scanned[static_cast<size_t>(i)] = scan(files[static_cast<size_t>(i)]);
    counting.add();
  });
  return scanned;
}

const DicomFrame& frame_of(const Scanned* scanned) { return scanned->header.frames[0]; }

bool is_stackable(const Scanned& scanned) {
  return scanned.header.frames.size() == 1 && frame_of(&scanned).plane && !scanned.header.series_uid.empty();
}

bool fit_together(const Scanned* a, const Scanned* b) {
  const DicomFrame &left = frame_of(a), &right = frame_of(b);
  const PixelFormat &a_pixels = a->header.pixels, &b_pixels = b->header.pixels;
  return have_equal_spacing(left, right) && a_pixels.rows == b_pixels.rows && a_pixels.columns == b_pixels.columns &&
         have_comparable_numbers(a->header, b->header) && a->header.key_names == b->header.key_names &&
         a->header.frame_of_reference_uid == b->header.frame_of_reference_uid && is_parallel(*left.plane, *right.plane);
}

double height_of(const Scanned* scanned, const Vec3& normal) { return dot(frame_of(scanned).plane->position, normal); }

// Instance number, then path: where nothing else decides.
bool is_earlier(const Scanned* a, const Scanned* b) {
  const double left = a->header.instance_number.value_or(0), right = b->header.instance_number.value_or(0);
  return left != right ? left < right : a->path < b->path;
}

// As tell_apart takes them: ranked by is_earlier, sorted by position. `ranked` gets them in that order.
std::vector<StackSlice> placed(const Stack& stack, Stack& ranked) {
  const Vec3 normal = frame_of(stack[0]).plane->normal();
  ranked = stack;
  std::sort(ranked.begin(), ranked.end(), is_earlier);
  std::vector<StackSlice> slices;
  for (size_t i = 0; i < ranked.size(); ++i)
    slices.push_back({i, height_of(ranked[i], normal), &frame_of(ranked[i]).keys});
  std::sort(slices.begin(), slices.end(), [](const StackSlice& a, const StackSlice& b) {
    return std::abs(a.place - b.place) > 1e-9 ? a.place < b.place : a.index < b.index;
  });
  return slices;
}

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
Stack without_copies(const Stack& stack, size_t& num_copies) {
  Stack kept, ranked;
  for (const std::vector<StackSlice>& place : by_place(placed(stack, ranked))) {
    std::vector<std::pair<PixelFormat, std::vector<uint8_t>>> seen;
    for (const StackSlice& slice : place) {
      const Scanned* const scanned = ranked[slice.index];
      std::pair<PixelFormat, std::vector<uint8_t>> pixels{scanned->header.pixels, {}};
      try {
        if (place.size() > 1) pixels.second = pixels_of(scanned);
      } catch (const Error&) {  // reading the volume will say what is wrong
      }
      if (!pixels.second.empty() && std::find(seen.begin(), seen.end(), pixels) != seen.end()) {
        ++num_copies;
        continue;
      }
      seen.push_back(std::move(pixels));
      kept.push_back(scanned);
    }
  }
  return kept;
}

struct TimePoints {
  std::vector<Stack> stacks;
  ToldApart told;
};

TimePoints by_time(Stack stack, size_t& num_copies) {
  const auto told_apart = [](const Stack& from, bool needs_key) {
    Stack ranked;
    const std::vector<StackSlice> slices = placed(from, ranked);
    TimePoints points{{}, tell_apart(slices, from[0]->header.key_names, needs_key)};
    for (const std::vector<size_t>& volume : points.told.volumes) {
      Stack& one = points.stacks.emplace_back();
      for (const size_t i : volume) one.push_back(ranked[i]);
    }
    return points;
  };
  if (TimePoints points = told_apart(stack, /*needs_key=*/true); !points.stacks.empty()) return points;
  stack = without_copies(stack, num_copies);
  return told_apart(stack, /*needs_key=*/false);
}

// `frames`: of the only file, where it has several.
Grouped describe(const Stack& stack, const std::vector<size_t>& frames = {0}) {
  const DicomHeader& first = stack[0]->header;
  Grouped grouped;
  grouped.key = key_of(first);
  grouped.frame_of_reference_uid = first.frame_of_reference_uid;
  DicomSeries& series = grouped.series;
  series.series_uid = first.series_uid;
  series.patient = first.patient;
  series.modality = first.modality;
  std::vector<const DicomHeader*> headers;
  std::set<std::string> remarks;
  for (const Scanned* scanned : stack) {
    series.files.push_back(scanned->path);
    headers.push_back(&scanned->header);
    add_slices(scanned->header, frames, grouped.slices);
    remarks.insert(scanned->header.remarks.begin(), scanned->header.remarks.end());
  }
  std::vector<DicomFrame> planes;
  for (const SourceSlice& slice : grouped.slices) planes.push_back(slice.frame);
  const Grid grid = grid_of(planes, first.slice_step_mm);
  series.header.size = {first.pixels.columns, first.pixels.rows, static_cast<int64_t>(planes.size())};
  series.header.spacing_mm = grid.spacing_mm;
  series.remarks = grid.remarks;
  series.remarks.insert(series.remarks.end(), remarks.begin(), remarks.end());
  const double said_mm = first.spacing_between_slices_mm.value_or(0), times = std::round(said_mm / grid.spacing_mm[2]);
  if (planes.size() > 3 && times >= 2 && std::abs(said_mm / grid.spacing_mm[2] - times) < 0.05 * times) {
    series.remarks.push_back(concat("its slices lie ", grid.spacing_mm[2], " mm apart, SpacingBetweenSlices says ",
                                    said_mm, ": they are kept as one volume, but may be ", times,
                                    " whose slices lie between each other's"));
  }
  const bool is_one_format = std::all_of(headers.begin(), headers.end(),
                                         [&](const DicomHeader* header) { return header->pixels == first.pixels; });
  if (!is_one_format)
    series.remarks.push_back(
        "its files store their numbers in different ways (bits, sign, ...), which are read as one");
  if (const std::string problem = units_problem(headers); !problem.empty())
    series.remarks.push_back(concat("numbers are kept as stored: ", problem));
  return grouped;
}

// A file that can't be stacked with others: all of its frames.
void add_volumes(const Scanned* scanned, std::vector<Grouped>& result) {
  const std::vector<FrameVolume> volumes = frame_volumes(scanned->header);
  for (size_t i = 0; i < volumes.size(); ++i) {
    result.push_back(describe({scanned}, volumes[i].frames));
    DicomSeries& series = result.back().series;
    series.volume = static_cast<int64_t>(i);
    series.num_volumes = static_cast<int64_t>(volumes.size());
    series.remarks.insert(series.remarks.end(), volumes[i].remarks.begin(), volumes[i].remarks.end());
  }
}

void add_series(const std::vector<const Scanned*>& files, std::vector<Grouped>& groups) {
  size_t num_copies = 0;
  std::vector<Stack> stacks;
  std::map<std::string, const Scanned*> instances;
  bool has_clash = false;
  std::vector<Grouped> result;
  for (const Scanned* scanned : files) {  // in the order of paths
    // Stacked slices are compared by place and pixels further on;
    // all others, which have no place, by UID and pixels here.
    if (const auto first = instances.emplace(scanned->header.sop_instance_uid, scanned);
        !first.second && !is_stackable(*scanned) && !scanned->header.sop_instance_uid.empty()) {
      if (have_equal_pixels(first.first->second, scanned)) {
        ++num_copies;
        continue;
      }
      has_clash = true;
    }
    if (!is_stackable(*scanned)) {
      add_volumes(scanned, result);
      continue;
    }
    const auto place =
        std::find_if(stacks.begin(), stacks.end(), [&](const Stack& stack) { return fit_together(stack[0], scanned); });
    (place != stacks.end() ? *place : stacks.emplace_back()).push_back(scanned);
  }
  for (Stack& stack : stacks) {
    const TimePoints points = by_time(std::move(stack), num_copies);
    for (size_t i = 0; i < points.stacks.size(); ++i) {
      result.push_back(describe(points.stacks[i]));
      std::vector<std::string>& remarks = result.back().series.remarks;
      for (std::string& remark : volume_remarks(points.told, i)) remarks.push_back(std::move(remark));
      if (stacks.size() > 1)
        remarks.push_back(
            concat("mixed geometry: the series falls apart into ", stacks.size(),
                   " stacks of different size, direction, spacing, kind of pixels or frame of reference"));
    }
  }
  if (num_copies > 0 && !result.empty())
    result[0].series.remarks.push_back(concat(num_copies, num_copies == 1 ? " duplicate" : " duplicates", " left out"));
  if (has_clash && !result.empty())
    result[0].series.remarks.push_back("files of equal SOPInstanceUID have different pixels; all are kept");
  std::move(result.begin(), result.end(), std::back_inserter(groups));
}

// Files of a series that don't say their patient or study are taken for those of the others, where these have one only.
void complete_keys(std::vector<Scanned>& scanned) {
  std::map<std::string, std::vector<DicomHeader*>> by_uid;
  for (Scanned& file : scanned) {
    if (file.problem.empty() && file.header.kind == DicomKind::image && !file.header.series_uid.empty())
      by_uid[file.header.series_uid].push_back(&file.header);
  }
  const auto complete = [](const std::vector<DicomHeader*>& headers, std::string DicomHeader::*text, bool is_empty) {
    std::set<std::string> texts;
    for (const DicomHeader* header : headers) texts.insert(header->*text);
    if (texts.size() == 1) return;
    for (DicomHeader* const header : headers) {
      if ((header->*text).empty() != is_empty) continue;
      const auto is_right = [&](const std::string& other) { return is_said_more_fully(header->*text, other); };
      if (std::count_if(texts.begin(), texts.end(), is_right) == 1)
        header->*text = *std::find_if(texts.begin(), texts.end(), is_right);
    }
  };
  for (const auto& [uid, headers] : by_uid) {
    complete(headers, &DicomHeader::patient, /*is_empty=*/false);  // without the issuer
    complete(headers, &DicomHeader::patient, /*is_empty=*/true);
    std::map<std::string, std::vector<DicomHeader*>> by_patient;
    for (DicomHeader* const header : headers) by_patient[header->patient].push_back(header);
    for (const auto& [patient, of_patient] : by_patient)
      complete(of_patient, &DicomHeader::study_uid, /*is_empty=*/true);
  }
}

void tell_shared_uids(std::vector<Grouped>& groups) {
  std::map<std::string, std::set<SeriesKey>> keys;
  for (const Grouped& group : groups) keys[group.key.series].insert(group.key);
  for (Grouped& group : groups) {
    const std::set<SeriesKey>& sharing = keys[group.key.series];
    if (sharing.size() < 2 || group.key.series.empty()) continue;
    std::set<std::string> patients;
    for (const SeriesKey& key : sharing) patients.insert(key.patient);
    const bool is_of_patients = patients.size() > 1;
    group.series.remarks.push_back(concat("its SeriesInstanceUID is that of ",
                                          is_of_patients ? patients.size() : sharing.size(),
                                          is_of_patients ? " patients: told apart by PatientID"
                                                         : " studies of its patient: told apart by StudyInstanceUID"));
  }
}

}  // namespace

DicomTree group_dicom(const std::vector<fs::path>& files) {
  std::vector<fs::path> sorted = files;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  std::vector<Scanned> scanned = scan_all(sorted);
  complete_keys(scanned);

  DicomTree tree;
  std::set<std::string> identifying;
  std::map<SeriesKey, std::vector<const Scanned*>> by_key;
  std::vector<SeriesKey> order;
  std::vector<const Scanned*> masks;
  for (const Scanned& file : scanned) {
    identifying.insert(file.identifying.begin(), file.identifying.end());
    if (!file.problem.empty()) {
      tree.refused.push_back({file.path, file.problem});
    } else if (file.header.kind != DicomKind::image) {
      masks.push_back(&file);
      tree.masks.push_back({file.path, file.header.kind, file.header.described_series, file.header.described_frame_uid,
                            file.header.patient, ""});
    } else {
      std::vector<const Scanned*>& group = by_key[key_of(file.header)];
      if (group.empty()) order.push_back(key_of(file.header));
      group.push_back(&file);
    }
  }
  std::vector<Grouped> groups;
  for (const SeriesKey& key : order) add_series(by_key[key], groups);
  tell_shared_uids(groups);
  add_masks(masks, groups, tree.masks);
  for (Grouped& group : groups) tree.series.push_back(std::move(group.series));
  tree.identifying.assign(identifying.begin(), identifying.end());
  return tree;
}

}  // namespace vmae::io
