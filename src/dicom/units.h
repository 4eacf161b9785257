#pragma once
// What stored numbers mean: Hounsfield units, SUV, or as stored.
#include <array>
#include <string>
#include <vector>

#include "header.h"

namespace vmae::io {

// MONOCHROME1 of a picture (CR, DX, MG, ...), whose dark and bright are to be swapped. In
// CT, PET and NM the numbers measure something, and the tag only says how to show them.
bool is_shown_inverted(const DicomHeader& header);

// Units, scaling (one, or one per slice) and stored_max of a volume made of these files and slices.
void set_units(const std::vector<DicomHeader>& headers, const std::vector<DicomFrame>& slices, Volume& volume);

// Whether the numbers of both mean the same, so that they can be slices of one volume,
// whatever bits each was stored in: those of measurements do (CT, PET, MR, NM, dose);
// those of pictures, which are parts of their range, do if they have the same bits.
bool have_comparable_numbers(const DicomHeader& a, const DicomHeader& b);

// Why the units of a CT or PET image stay raw, or "".
std::string units_problem(const std::vector<const DicomHeader*>& headers);

}  // namespace vmae::io
