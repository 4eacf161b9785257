// Compressed pixel data in pieces: frames of several pieces with and
// without a table of offsets, streams that end early inside a whole file.
#include <gtest/gtest.h>

#include <cmath>

#include "support/dicom.h"
#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/dicom/volume.h"
#include "vmae/image/image.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::DicomPhantom;
using test::error_of;
using test::Fragments;
using test::TempFolder;
using test::with_fragments;

// Every frame in two pieces.
void halve(Fragments& fragments, bool has_table) {
  Fragments halves(1);
  uint32_t at = 0;
  for (size_t i = 1; i < fragments.size(); ++i) {
    const auto middle = fragments[i].begin() + static_cast<std::ptrdiff_t>(fragments[i].size() / 4 * 2);
    if (has_table) {
      const auto* bytes = reinterpret_cast<const uint8_t*>(&at);
      halves[0].insert(halves[0].end(), bytes, bytes + 4);
    }
    halves.emplace_back(fragments[i].begin(), middle);
    halves.emplace_back(middle, fragments[i].end());
    at += static_cast<uint32_t>(16 + fragments[i].size());
  }
  fragments = halves;
}

class DicomFragments : public ::testing::TestWithParam<const char*> {
 protected:
  fs::path file() const { return test::dicom_files() / GetParam(); }
  TempFolder folder_;
};

TEST_P(DicomFragments, FramesOfTwoPieces) {
  const std::vector<std::byte> expected = read_dicom({file()}).stored;
  for (const bool has_table : {true, false}) {
    const fs::path path =
        with_fragments(file(), folder_ / "halves.dcm", [&](Fragments& fragments) { halve(fragments, has_table); });
    EXPECT_EQ(read_dicom({path}).stored, expected) << "table of offsets: " << has_table;
  }
}

TEST_P(DicomFragments, StreamsThatEndEarly) {
  for (const double part : {0.0, 0.02, 0.3, 0.6, 0.9}) {
    const fs::path path = with_fragments(file(), folder_ / "cut.dcm", [&](Fragments& fragments) {
      std::vector<uint8_t>& last = fragments.back();
      last.resize(static_cast<size_t>(part * static_cast<double>(last.size())));
    });
    const Error error = error_of([&] { read_dicom({path}); });
    EXPECT_EQ(error.code(), ExitCode::data) << part;
  }
}

TEST_P(DicomFragments, PiecesAreMissing) {
  const fs::path path =
      with_fragments(file(), folder_ / "short.dcm", [](Fragments& fragments) { fragments.pop_back(); });
  EXPECT_EQ(error_of([&] { read_dicom({path}); }).code(), ExitCode::data);
}

INSTANTIATE_TEST_SUITE_P(TransferSyntaxes, DicomFragments,
                         ::testing::Values("emri_small_jpeg_2k_lossless.dcm", "JPGExtended.dcm",
                                           "SC_rgb_jpeg_dcmtk.dcm", "JLSL_16_15_1_1F.dcm", "JPEG-LL.dcm"));

TEST(DicomJpeg, LossyOnesAreNearWhatWasCompressed) {
  const TempFolder folder;
  std::vector<uint16_t> pixels(64 * 64);
  for (size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<uint16_t>(std::lround(2000 + 1500 * std::sin(static_cast<double>(i % 64) / 9) *
                                                             std::cos(static_cast<double>(i / 64) / 7)));
  DicomPhantom phantom;
  phantom.set(DCM_Modality, "MR").format(16, 12, false).size(64, 64).pixels(pixels);
  const Volume volume = read_dicom({phantom.save(folder / "extended", EXS_JPEGProcess2_4)});
  ASSERT_EQ(volume.type, StoredType::u16);
  const std::vector<float> decoded = values(volume);
  for (size_t i = 0; i < pixels.size(); ++i) ASSERT_NEAR(decoded[i], pixels[i], 40);  // 1 % of the range
}

TEST(DicomJpeg, StreamOfAnotherSizeThanTheHeaderSays) {
  const TempFolder folder;
  for (const char* name : {"JPGExtended.dcm", "emri_small_jpeg_2k_lossless.dcm", "JLSL_16_15_1_1F.dcm"}) {
    DcmFileFormat file;
    ASSERT_TRUE(file.loadFile((test::dicom_files() / name).c_str()).good());
    file.getDataset()->putAndInsertUint16(DCM_Rows, 16);
    const fs::path path = folder / name;
    ASSERT_TRUE(file.saveFile(path.c_str(), file.getDataset()->getOriginalXfer()).good());
    EXPECT_TRUE(contains(error_of([&] { read_dicom({path}); }).what(), "its header says") ||
                contains(error_of([&] { read_dicom({path}); }).what(), "does not fit its header"))
        << name;
  }
}

}  // namespace
}  // namespace vmae::io
