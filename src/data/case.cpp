#include "vmae/data/case.h"

#include "vmae/core/error.h"
#include "vmae/io/picture.h"
#include "vmae/io/prepared.h"
#include "vmae/io/read_image.h"

namespace vmae::data {

IntensityRange range_of(const io::Volume& volume, const ImageOptions& image) {
  const ImageKind kind{volume.modality, volume.units, volume.stored_max};
  const IntensityRule rule = intensity_rule(image, kind);
  const bool is_float = volume.type == io::StoredType::f32 || volume.type == io::StoredType::f64;  // may hold NaN, which is an error
  return is_float || needs_values(rule) ? intensity_range(io::values(volume), kind, image) : fixed_range(rule, kind.stored_max, image);
}

Case read_case(const io::SourceFile& file, const ImageOptions& image) {
  Case one;
  try {
    if (file.prepared_case >= 0) {
      const io::PreparedDataset dataset(file.path);
      one.volume = io::read_prepared_case(dataset, file.prepared_case);
      one.axis = dataset.read_case(file.prepared_case).axis;
      if (image.slice_axis != "auto" && one.volume.size[2] > 1 && image.slice_axis[0] != "xyz"[one.axis])
        throw Error(ExitCode::data, concat("was prepared in slices along ", "xyz"[one.axis], ", but the model learnt slices along ", image.slice_axis),
                    "predict from the original files, or prepare them again with prepare.slice_axis");
      const ImageKind kind = known_as({one.volume.modality, one.volume.units, one.volume.stored_max}, file.modality);
      one.volume.modality = kind.modality;
      if (dataset.info().intensity == "native") one.volume.units = kind.units;
      one.range = dataset.info().intensity == "native" ? range_of(one.volume, image) : IntensityRange{0.0, 1.0};
      return one;
    }
    one.volume = io::read_image(file);
    one.range = range_of(one.volume, image);
  } catch (const Error& error) {
    const std::string path = file.path.string(), what = error.what();
    throw Error(error.code(), what.find(path) == std::string::npos ? concat(path, ": ", what) : what, error.hint());
  }
  const bool is_stack = !file.series.empty() || io::is_picture(file.path);  // along z
  if (!is_stack) one.axis = io::slice_axis({one.volume.size, one.volume.spacing_mm}, image.slice_axis);
  return one;
}

}  // namespace vmae::data
