#pragma once
// The pixels of a page of a TIFF: strips and tiles of any compression that libtiff has, then samples are
// picked out here, so that all depths follow one rule. Few kinds (YCbCr that is no JPEG) are left to its
// conversion to RGB. Throw Error(data): damaged, or of a kind that is not read.
#include "tiff_file.h"
#include "vmae/image/picture_decode.h"

namespace vmae::io {

// Of the directory that the file is at.
Raster read_page(const TiffFile& file);

Palette palette_of(const TiffFile& file, const TiffPage& page);

}  // namespace vmae::io
