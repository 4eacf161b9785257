#include "vmae/cases/mask_numbering.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "mask_volume.h"
#include "vmae/core/counting.h"
#include "vmae/core/error.h"
#include "vmae/core/log_once.h"
#include "vmae/dicom/masks.h"
#include "vmae/image/image.h"
#include "vmae/image/picture.h"
#include "vmae/volume/volume.h"
#include "vmae/volume/volume_file.h"

namespace vmae::io {
namespace {

using Colour = std::array<uint8_t, 3>;

// What `read` gives, or nothing where the mask can't be read: that is said, and counted, when its turn comes.
template <class Read>
auto if_readable(Read read) -> std::optional<decltype(read())> {
  try {
    return read();
  } catch (const Error& error) {
    if (error.code() != ExitCode::data) throw;
    return std::nullopt;
  }
}

[[noreturn]] void refuse(const std::string& what, const std::string& hint) { throw Error(ExitCode::data, what, hint); }

// Names and values of all masks, each with the mask that said so first.
class Names {
 public:
  explicit Names(const std::vector<std::string>& own_names) {
    for (size_t i = 0; i < own_names.size(); ++i) add(static_cast<int64_t>(i) + 1, own_names[i], "the dataset");
  }

  void add(int64_t value, const std::string& name, const std::string& whose) {
    const auto by_name = values_.emplace(name, std::pair(value, whose)).first;
    const auto by_value = names_.emplace(value, std::pair(name, whose)).first;
    const auto& [other_value, of_name] = by_name->second;
    const auto& [other_name, of_value] = by_value->second;
    constexpr const char* kHint =
        "number all masks alike; vmae prepare with prepare.structures=[NAME, ...] does so by their names";
    if (other_value != value)
      refuse(concat(whose, " has the structure '", name, "' as ", value, ", ", of_name, " as ", other_value), kHint);
    if (other_name != name)
      refuse(concat(whose, " calls the value ", value, " '", name, "', ", of_value, " calls it '", other_name, "'"),
             kHint);
  }

  // Of 1, 2, ...
  std::vector<std::string> list() const {
    const int64_t largest = names_.empty() ? 0 : names_.rbegin()->first;
    if (largest > 255 || largest > 2 * static_cast<int64_t>(names_.size()) + 8) return {};
    std::vector<std::string> list;
    for (int64_t value = 1; value <= largest; ++value) {
      const auto named = names_.find(value);
      list.push_back(named == names_.end() ? std::to_string(value) : named->second.first);
    }
    return list;
  }

 private:
  std::map<std::string, std::pair<int64_t, std::string>> values_;
  std::map<int64_t, std::pair<std::string, std::string>> names_;
};

std::string mask_of(const SourceFile& file) { return concat("the mask of ", file.name); }

// "liver 1, tumour 2"
std::string text_of(const std::map<int64_t, std::string>& names) {
  std::vector<std::string> texts;
  for (const auto& [value, name] : names) texts.push_back(concat(name, ' ', value));
  return join(texts, ", ");
}

std::string colour_text(const Colour& colour) {
  return concat("(", int{colour[0]}, ", ", int{colour[1]}, ", ", int{colour[2]}, ")");
}

// Colours that a mask uses, with their indices; those that have several are left out.
std::map<Colour, int64_t> used_colours(const SourceFile& file) {
  const LabelPicture picture = read_label_picture(file.mask);
  std::set<uint8_t> indices;
  for (const std::byte index : picture.volume.stored) indices.insert(static_cast<uint8_t>(index));
  std::map<Colour, int64_t> colours;
  std::set<Colour> ambiguous;
  for (const uint8_t index : indices) {
    if (index < picture.palette.size() && !colours.emplace(picture.palette[index], index).second)
      ambiguous.insert(picture.palette[index]);
  }
  for (const Colour& colour : ambiguous) colours.erase(colour);
  return colours;
}

// A palette of greys beside plain greys that hold the same greys, as programs that make
// pictures smaller write it: then the greys may be the labels, which are taken for indices.
void check_grey_palettes(const std::vector<const SourceFile*>& with_palette,
                         const std::vector<const SourceFile*>& plain) {
  std::set<uint8_t> plain_values;  // of all plain masks, read once they are needed
  bool are_known = false;
  for (const SourceFile* file : with_palette) {
    const auto colours = if_readable([&] { return used_colours(*file); });
    if (!colours) continue;
    bool is_grey = true, is_same = true;
    for (const auto& [colour, index] : *colours) {
      is_grey &= colour[0] == colour[1] && colour[1] == colour[2];
      is_same &= colour[0] == index;
    }
    if (!is_grey || is_same) continue;
    for (size_t i = 0; i < plain.size() && !are_known; ++i) {
      const auto picture = if_readable([&] { return read_label_picture(plain[i]->mask); });
      if (!picture || picture->volume.type != StoredType::u8) continue;
      for (const std::byte value : picture->volume.stored) plain_values.insert(static_cast<uint8_t>(value));
    }
    are_known = true;
    if (!std::all_of(colours->begin(), colours->end(),
                     [&](const auto& one) { return plain_values.contains(one.first[0]); }))
      continue;
    const auto odd =
        std::find_if(colours->begin(), colours->end(), [](const auto& one) { return one.first[0] != one.second; });
    refuse(concat(mask_of(*file), " has a palette of greys, in which index ", odd->second, " is the grey ",
                  int{odd->first[0]}, "; ", mask_of(*plain[0]),
                  " and others have such greys without a palette: is the index or the grey the label?"),
           "save all masks as grey pictures of label numbers");
  }
}

// Most datasets have one palette, of which some files may hold the beginning alone.
// Where there are others, pixels are read too: entries that no pixel uses mean nothing.
void check_palettes(const std::vector<SourceFile>& files) {
  std::vector<const SourceFile*> with_palette;
  std::vector<Colour> longest;
  std::vector<const SourceFile*> plain;
  bool is_one = true;
  Counting counting("palettes of masks", std::ssize(files));
  for (const SourceFile& file : files) {
    counting.add();
    if (!is_picture(file.mask)) continue;
    const auto palette = if_readable([&] { return picture_palette(file.mask); });
    if (palette && palette->empty()) plain.push_back(&file);
    if (!palette || palette->empty()) continue;
    with_palette.push_back(&file);
    is_one &= std::equal(palette->begin(),
                         palette->begin() + static_cast<std::ptrdiff_t>(std::min(palette->size(), longest.size())),
                         longest.begin());
    if (palette->size() > longest.size()) longest = *palette;
  }
  if (!plain.empty()) check_grey_palettes(with_palette, plain);
  if (is_one) return;
  std::map<Colour, std::pair<int64_t, const SourceFile*>> known;
  std::map<int64_t, std::pair<Colour, const SourceFile*>> of_index;
  for (const SourceFile* file : with_palette) {
    const auto colours = if_readable([&] { return used_colours(*file); });
    if (!colours) continue;
    for (const auto& [colour, index] : *colours) {
      const auto [first, other] = known.emplace(colour, std::pair(index, file)).first->second;
      if (first != index)
        refuse(concat(mask_of(*file), " has the colour ", colour_text(colour), " as index ", index, " of its palette, ",
                      mask_of(*other), " as ", first, ": the same number would mean different things"),
               "save the masks as grey pictures of label numbers, or with one palette");
      const auto& [other_colour, same] = of_index.emplace(index, std::pair(colour, file)).first->second;
      if (other_colour != colour)
        log::warning_once("palettes", concat("of masks differ: index ", index, " is ", colour_text(colour), " in ",
                                             mask_of(*file), ", ", colour_text(other_colour), " in ", mask_of(*same),
                                             "; the index is the label, not the colour"));
    }
  }
}

// Only masks that have channels are read whole.
void check_forms(const std::vector<SourceFile>& files, const std::vector<std::string>& classes) {
  const SourceFile *one_hot = nullptr, *channels = nullptr;
  Counting counting("headers of masks", std::ssize(files));
  for (const SourceFile& file : files) {
    counting.add();
    if (!is_volume(file.mask)) continue;
    int64_t num_channels = 1;
    const auto form = if_readable([&] {
      const VolumeFile volume(file.mask);
      num_channels = volume.header().num_time_points * volume.values_per_voxel();
      return num_channels == 1 ? MaskForm::labels : read_mask_volume(file.mask, file).form;
    });
    if (form == MaskForm::one_hot && num_channels == std::ssize(classes))
      refuse(concat(mask_of(file), " has ", num_channels, " channels for the classes ", join(classes, ", "),
                    ", and every voxel is in one: is the first channel the background, or the first class?"),
             "write it with a channel of background as well, or as one volume of label numbers");
    if (form == MaskForm::one_hot) one_hot = &file;
    if (form == MaskForm::channels) channels = &file;
    if (one_hot == nullptr || channels == nullptr) continue;
    refuse(concat(mask_of(*one_hot), " has every voxel in one of its channels, as if the first were the background; ",
                  mask_of(*channels),
                  " has voxels that are in none: channel k would be class k in one and class k + 1 in the other"),
           "write all masks with a channel of background, or none, or as one volume of label numbers");
  }
}

}  // namespace

std::map<int64_t, std::string> value_names(const SourceFile& file) {
  if (file.mask.empty() || is_picture(file.mask)) return {};
  if (is_volume(file.mask)) return segment_names(file.mask);
  std::map<int64_t, std::string> names;
  for (const std::string& name : dicom_structure_names(file.mask))
    names.emplace(static_cast<int64_t>(names.size()) + 1, name);
  return names;
}

std::vector<std::string> structure_names(const SourceFile& file) {
  std::vector<std::string> names;
  for (const auto& [value, name] : value_names(file)) names.push_back(name);
  return names;
}

std::vector<std::string> structure_names(const std::vector<SourceFile>& files,
                                         const std::vector<std::string>& own_names) {
  Names names(own_names);
  Counting counting("structures of masks", std::ssize(files));
  for (const SourceFile& file : files) {
    counting.add();
    if (file.mask.empty()) continue;
    const auto own = if_readable([&] { return value_names(file); });
    if (!own) continue;
    for (const auto& [value, name] : *own) names.add(value, name, concat(mask_of(file), " (", text_of(*own), ")"));
  }
  return names.list();
}

void check_numbering(const std::vector<SourceFile>& files, const std::vector<std::string>& classes) {
  check_palettes(files);
  check_forms(files, classes);
}

}  // namespace vmae::io
