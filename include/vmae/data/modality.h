#pragma once
// What images are where their files do not say: as the user says, or CT
// where the values of volumes are Hounsfield units beyond reasonable doubt.
#include <cstdint>
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"
#include "vmae/data/image_options.h"

namespace vmae::data {

// DICOM's code for a text such as data.modality (io::modality_code);
// "" stays. Throws Error(usage) naming `key` where it is none.
std::string checked_modality(const std::string& key, const std::string& text);

// Whether nothing says what a file is: neither the source, nor the file itself once it is read.
bool says_nothing(const io::SourceFile& file);

// Whether values are those of a CT in Hounsfield units: the smallest is between -10000 and -700; at least 1 in 200 is
// air (-1100 to -900) or the filling around it (the smallest value of all, if below -900); at least 1 in 50 is soft
// tissue (-150 to 150); the median of what is denser than -500 lies between -150 and 300; between lung and fat (-600
// to -250) there is at most half as much as below; and less than 1 in 100 is below -1100 without being that filling.
// So no unsigned, normalised or symmetric values are. Of more than a million an evenly spread million is looked at.
bool looks_like_hounsfield(const std::vector<float>& values);

struct ModalityGuess {
  // volumes (NIfTI, NRRD, MetaImage, TIFF stacks, and such cases
  // of prepared datasets) of which nothing says what they are
  int64_t num_unknown = 0;
  int64_t num_ct = 0;  // of these, taken as CT
};

// Fills in SourceFile::modality of files of one source that neither say it nor are told by a
// manifest or dataset.json. said: DICOM's code for all of them; "": if may_guess, their values are
// looked at: of eight volumes, evenly spread. If all of them look like CT, all volumes are; if some
// do, each is what its own values say; else none is. Files that can't be read say nothing here.
ModalityGuess settle_modality(std::vector<io::SourceFile>& files, const std::string& said, bool may_guess);

// Which rule makes intensities [0, 1], and for how many files: "window -160 to 240 HU on 12 files (CT),
// percentiles 0.5 to 99.5 on 3 files (MR)". unit: what a file is called. Opens TIFFs and prepared datasets only.
std::string intensity_text(const std::vector<io::SourceFile>& files, const ImageOptions& image,
                           const std::string& unit);

// The rules among these that values of volumes get by their modality,
// each once, sorted: "percentiles 0.5 to 99.5", "window -160 to 240 HU".
std::vector<std::string> volume_rules(const std::vector<io::SourceFile>& files, const ImageOptions& image);

}  // namespace vmae::data
