#pragma once
// Masks of a prepared dataset as label maps: the truth on the grid
// that was prepared, and the way from there to the files' own grid.
#include <optional>

#include "vmae/prepared/prepared.h"
#include "vmae/volume/label_map.h"

namespace vmae::io {

// whether its slices have masks; all of a case have, or none
bool has_mask(const PreparedDataset& dataset, const PreparedCase& c);
// whether its slices have other sizes than those of the source
bool is_resized(const PreparedDataset& dataset, const PreparedCase& c);

// The masks of all slices of a case, on the grid of read_prepared_case(): the source's, or, of resized slices,
// as many voxels as there are pixels over the same place in space. Pictures have no millimetres: a case is one
// where it is a single slice with spacing 1 at the origin, which is what pictures are stored with. No names.
// Throws Error(data): the case failed, has no masks, a slice is missing, damaged or of another size.
LabelMap read_prepared_mask(const PreparedDataset& dataset, int64_t case_number);

// `map`, which lies on the grid that slices of `reference` have after resizing (fewer or more pixels
// along one or two axes, over the same extent), on the grid of `reference`: each voxel takes the label of
// the one of `map` that its centre lies in. Of pictures any size is such a grid. Nothing if it is none.
std::optional<LabelMap> onto_source_grid(const LabelMap& map, const LabelMap& reference);

}  // namespace vmae::io
