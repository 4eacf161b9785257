// read_dicom on phantoms made with DCMTK: geometry, scalings, units, photometric interpretations.
#include <gtest/gtest.h>
#include <itkGDCMImageIO.h>

#include <cmath>

#include "support/dicom.h"
#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/dicom/group.h"
#include "vmae/dicom/volume.h"
#include "vmae/image/image.h"

namespace vmae::io {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::DicomPhantom;
using test::error_of;
using test::TempFolder;

template <class T>
std::vector<T> stored(const Volume& volume) {
  const auto* begin = reinterpret_cast<const T*>(volume.stored.data());
  return {begin, begin + volume.num_values()};
}

std::vector<uint16_t> ramp(uint16_t first) {
  std::vector<uint16_t> values(12);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<uint16_t>(first + i);
  return values;
}

// Orthonormal, oblique to all three axes.
const std::vector<double> kOblique{2.0 / 3, 2.0 / 3, 1.0 / 3, -2.0 / 3, 1.0 / 3, 2.0 / 3};

TEST(DicomVolume, ObliqueSeriesLiesWhereTheFormulaSays) {
  const TempFolder folder;
  const std::array<double, 3> x{2.0 / 3, 2.0 / 3, 1.0 / 3}, y{-2.0 / 3, 1.0 / 3, 2.0 / 3},
      normal{1.0 / 3, -2.0 / 3, 2.0 / 3};
  std::vector<fs::path> files;
  for (int z = 0; z < 3; ++z) {
    const double step = 2.5 * z;
    // File names against the order of positions.
    files.push_back(
        DicomPhantom()
            .at({10 + step * normal[0], -20 + step * normal[1], 30 + step * normal[2]}, kOblique, {0.7, 0.5})
            .pixels(ramp(static_cast<uint16_t>(100 * z)))
            .save(folder / ("z" + std::to_string(9 - z) + ".dcm")));
  }
  const DicomTree tree = group_dicom(files);
  ASSERT_EQ(tree.series.size(), 1U);
  EXPECT_EQ(tree.series[0].files, files);
  const Volume volume = read_dicom(tree.series[0].files);
  EXPECT_EQ(volume.size, (std::array<int64_t, 3>{4, 3, 3}));
  const std::array<double, 3> spacing_mm{0.5, 0.7, 2.5}, origin_mm{10, -20, 30};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(volume.spacing_mm[i], spacing_mm[i], 1e-8);
    EXPECT_NEAR(volume.origin_mm[i], origin_mm[i], 1e-8);
    EXPECT_NEAR(volume.direction[3 * i], x[i], 1e-8);
    EXPECT_NEAR(volume.direction[3 * i + 1], y[i], 1e-8);
    EXPECT_NEAR(volume.direction[3 * i + 2], normal[i], 1e-8);
  }
  // x counts columns, fastest; then y, rows; then z.
  const std::vector<uint16_t> voxels = stored<uint16_t>(volume);
  for (size_t z = 0; z < 3; ++z) {
    for (size_t i = 0; i < 12; ++i) EXPECT_EQ(voxels[12 * z + i], 100 * z + i);
  }
}

// ITK reads one slice through GDCM, which shares no code with DCMTK.
TEST(DicomVolume, OneSliceAsItkReadsIt) {
  const TempFolder folder;
  const fs::path path = DicomPhantom()
                            .at({10, -20, 30}, kOblique, {0.7, 0.5})
                            .rescale(1, 0)
                            .set(DCM_SliceThickness, "2.5")
                            .pixels(ramp(7))
                            .save(folder / "a.dcm");
  const Volume volume = read_dicom({path});
  const auto itk = itk::GDCMImageIO::New();
  itk->SetFileName(path.string());
  ASSERT_TRUE(itk->CanReadFile(path.c_str()));
  itk->ReadImageInformation();
  for (unsigned axis = 0; axis < 3; ++axis) {
    EXPECT_EQ(static_cast<int64_t>(itk->GetDimensions(axis)), volume.size[axis]);
    EXPECT_NEAR(itk->GetOrigin(axis), volume.origin_mm[axis], 1e-6);
    if (axis < 2) {  // along the normal GDCM does not look at the thickness
      EXPECT_NEAR(itk->GetSpacing(axis), volume.spacing_mm[axis], 1e-6);
    }
    for (unsigned row = 0; row < 3; ++row)
      EXPECT_NEAR(itk->GetDirection(axis)[row], volume.direction[3 * row + axis], 1e-6);
  }
  ASSERT_EQ(itk->GetComponentType(), itk::IOComponentEnum::USHORT);
  std::vector<uint16_t> voxels(12);
  itk::ImageIORegion region(3);
  for (unsigned axis = 0; axis < 3; ++axis) region.SetSize(axis, itk->GetDimensions(axis));
  itk->SetIORegion(region);
  itk->Read(voxels.data());
  EXPECT_EQ(voxels, stored<uint16_t>(volume));
}

TEST(DicomVolume, EverySliceHasItsSlope) {
  const TempFolder folder;
  std::vector<fs::path> files;
  for (int z = 0; z < 2; ++z)
    files.push_back(
        DicomPhantom().at({0, 0, 1.0 * z}).rescale(0.5 + z, -10).pixels(ramp(4)).save(folder / std::to_string(z)));
  const Volume volume = read_dicom(files);
  EXPECT_EQ(volume.scaling, (std::vector<Scaling>{{0.5, -10}, {1.5, -10}}));
  EXPECT_EQ(values(volume)[0], -8.0F);
  EXPECT_EQ(values(volume)[12], -4.0F);
  EXPECT_EQ(volume.units, Units::hu);
  EXPECT_EQ(volume.stored_max, 0.0);
}

TEST(DicomVolume, HounsfieldOnlyWhereTheFileSaysSo) {
  const TempFolder folder;
  EXPECT_EQ(read_dicom({DicomPhantom().pixels(ramp(0)).save(folder / "a")}).units, Units::raw);
  EXPECT_EQ(read_dicom({DicomPhantom().rescale(1, -1024).set(DCM_RescaleType, "HU").pixels(ramp(0)).save(folder / "b")})
                .units,
            Units::hu);
  EXPECT_EQ(read_dicom({DicomPhantom().rescale(1, -1024).set(DCM_RescaleType, "US").pixels(ramp(0)).save(folder / "c")})
                .units,
            Units::raw);
  EXPECT_EQ(read_dicom({DicomPhantom().set(DCM_Modality, "MR").rescale(1, 0).pixels(ramp(0)).save(folder / "d")}).units,
            Units::raw);
}

TEST(DicomVolume, BitsAboveTheStoredOnesAreCutOffAndSignsExtended) {
  const TempFolder folder;
  std::vector<uint16_t> pixels = ramp(0);
  pixels[0] = 0x8FFF;  // an overlay's bit above -1
  pixels[1] = 0x0800;
  const Volume as_signed = read_dicom({DicomPhantom().format(16, 12, true).pixels(pixels).save(folder / "signed")});
  EXPECT_EQ(as_signed.type, StoredType::i16);
  EXPECT_EQ(stored<int16_t>(as_signed)[0], -1);
  EXPECT_EQ(stored<int16_t>(as_signed)[1], -2048);
  EXPECT_EQ(stored<int16_t>(as_signed)[2], 2);
  const Volume as_unsigned =
      read_dicom({DicomPhantom().format(16, 12, false).pixels(pixels).save(folder / "unsigned")});
  EXPECT_EQ(stored<uint16_t>(as_unsigned)[0], 4095);
  const Volume high =
      read_dicom({DicomPhantom().format(16, 12, false).set(DCM_HighBit, "15").pixels(pixels).save(folder / "high")});
  EXPECT_EQ(stored<uint16_t>(high)[0], 0x8FF);
}

TEST(DicomVolume, Monochrome1OfPicturesIsInverted) {
  const TempFolder folder;
  const auto phantom = [&](const std::string& modality, int bits, bool is_signed) {
    DicomPhantom result;
    result.set(DCM_Modality, modality)
        .set(DCM_PhotometricInterpretation, "MONOCHROME1")
        .format(16, bits, is_signed)
        .pixels(ramp(0));
    return read_dicom({result.save(folder / "x.dcm")});
  };
  const Volume picture = phantom("DX", 12, false);
  EXPECT_EQ(stored<uint16_t>(picture)[1], 4094);
  EXPECT_EQ(picture.stored_max, 4095);
  const Volume negative = phantom("CR", 12, true);
  EXPECT_EQ(stored<int16_t>(negative)[1], -2);
  EXPECT_EQ(stored<uint16_t>(phantom("PT", 12, false))[1], 1);  // counts of a PET stay what they are
}

TEST(DicomVolume, PaddingBecomesTheLowestOtherNumberOfItsSlice) {
  const TempFolder folder;
  std::vector<uint16_t> pixels = ramp(20);
  pixels[3] = pixels[7] = static_cast<uint16_t>(-2000);
  const Volume volume = read_dicom(
      {DicomPhantom().format(16, 16, true).set_word(DCM_PixelPaddingValue, 63536).pixels(pixels).save(folder / "a")});
  EXPECT_EQ(stored<int16_t>(volume)[3], 20);
  EXPECT_EQ(stored<int16_t>(volume)[7], 20);
  EXPECT_EQ(stored<int16_t>(volume)[8], 28);
  // A range of padding, in an inverted picture: dark.
  DicomPhantom inverted;
  inverted.set(DCM_Modality, "DX")
      .set(DCM_PhotometricInterpretation, "MONOCHROME1")
      .format(16, 8, false)
      .set_word(DCM_PixelPaddingValue, 20)
      .set_word(DCM_PixelPaddingRangeLimit, 22);
  const std::vector<uint16_t> picture = stored<uint16_t>(read_dicom({inverted.pixels(ramp(20)).save(folder / "b")}));
  EXPECT_EQ(picture[2], 255 - 31);
  EXPECT_EQ(picture[3], 255 - 23);
  EXPECT_EQ(picture[11], 255 - 31);
}

// Scanners write 63536 or 0x8000 where the numbers have 12 bits: cut down to these, padding would look like a number.
TEST(DicomVolume, PaddingBeyondTheStoredBits) {
  const TempFolder folder;
  struct One {
    int stored;
    bool is_signed;
    uint16_t word;
  };
  for (const One& one : {One{12, false, 63536},
                         {10, false, 0x8000},
                         {12, true, 0x8000},
                         {14, false, 0xFFFF},
                         {12, false, 4095},
                         {16, false, 63536}}) {
    SCOPED_TRACE(concat(one.stored, one.is_signed ? " signed " : " unsigned ", one.word));
    std::vector<uint16_t> pixels = ramp(20);
    pixels[0] = pixels[5] = one.word;
    // a number that only looks like it
    const uint16_t like = pixels[9] = static_cast<uint16_t>(one.word & ((1U << one.stored) - 1));
    const Volume volume = read_dicom({DicomPhantom()
                                          .format(16, one.stored, one.is_signed)
                                          .set_word(DCM_PixelPaddingValue, one.word)
                                          .pixels(pixels)
                                          .save(folder / "a")});
    const auto number = [&](size_t i) {
      return one.is_signed ? stored<int16_t>(volume)[i] : static_cast<int>(stored<uint16_t>(volume)[i]);
    };
    const bool is_padding = like == one.word;
    int lowest = 4095;
    for (size_t i = 0; i < pixels.size(); ++i) {
      if (i != 0 && i != 5 && (i != 9 || !is_padding)) lowest = std::min(lowest, number(i));
    }
    EXPECT_EQ(number(0), lowest);
    EXPECT_EQ(number(5), lowest);
    EXPECT_EQ(number(9), is_padding ? lowest : like);
    EXPECT_EQ(number(1), 21);
  }
}

TEST(DicomVolume, PaletteOfEightBitsAndPlanesOfColour) {
  const TempFolder folder;
  DicomPhantom palette;
  palette.set(DCM_PhotometricInterpretation, "PALETTE COLOR").format(8, 8, false).size(2, 1).bytes({10, 12});
  const std::array<DcmTagKey, 3> descriptors{DCM_RedPaletteColorLookupTableDescriptor,
                                             DCM_GreenPaletteColorLookupTableDescriptor,
                                             DCM_BluePaletteColorLookupTableDescriptor};
  const std::array<DcmTagKey, 3> tables{DCM_RedPaletteColorLookupTableData, DCM_GreenPaletteColorLookupTableData,
                                        DCM_BluePaletteColorLookupTableData};
  for (size_t c = 0; c < 3; ++c) {
    const std::array<Uint16, 3> descriptor{4, 10, 8};  // entries for 10 to 13
    palette.data().putAndInsertUint16Array(descriptors[c], descriptor.data(), 3);
    const auto base = static_cast<Uint16>(16 * c);
    const std::array<Uint16, 2> words{static_cast<Uint16>(base + 1 + 256 * (base + 2)),
                                      static_cast<Uint16>(base + 3 + 256 * (base + 4))};
    palette.data().putAndInsertUint16Array(tables[c], words.data(), 2);
  }
  const Volume coloured = read_dicom({palette.save(folder / "palette")});
  EXPECT_EQ(coloured.channels, 3);
  EXPECT_EQ(stored<uint8_t>(coloured), (std::vector<uint8_t>{1, 17, 33, 3, 19, 35}));
  EXPECT_EQ(coloured.stored_max, 255);

  DicomPhantom planes;
  planes.set(DCM_PhotometricInterpretation, "RGB")
      .set(DCM_SamplesPerPixel, "3")
      .set(DCM_PlanarConfiguration, "1")
      .format(8, 8, false)
      .size(2, 1)
      .bytes({1, 2, 3, 4, 5, 6});
  EXPECT_EQ(stored<uint8_t>(read_dicom({planes.save(folder / "planes")})), (std::vector<uint8_t>{1, 3, 5, 2, 4, 6}));
}

TEST(DicomVolume, YbrByTheFormulasOfTheStandard) {
  const TempFolder folder;
  const auto rgb = [&](const std::string& photometric, const std::vector<uint8_t>& bytes) {
    DicomPhantom phantom;
    phantom.set(DCM_PhotometricInterpretation, photometric)
        .set(DCM_SamplesPerPixel, "3")
        .set(DCM_PlanarConfiguration, "0")
        .format(8, 8, false)
        .size(2, 1)
        .bytes(bytes);
    return stored<uint8_t>(read_dicom({phantom.save(folder / "x")}));
  };
  // Pure red is Y 76.245, Cb 84.97, Cr 255.5: as bytes 76, 85, 255.
  const std::vector<uint8_t> red{254, 0, 0, 254, 0, 0};
  EXPECT_EQ(rgb("YBR_FULL", {76, 85, 255, 76, 85, 255}), red);
  EXPECT_EQ(rgb("YBR_FULL_422", {76, 76, 85, 255}), red);
  EXPECT_EQ(rgb("YBR_PARTIAL_422", {16, 235, 128, 128}), (std::vector<uint8_t>{0, 0, 0, 255, 255, 255}));
}

TEST(DicomVolume, FramesWithTheirOwnPlacesAndScalings) {
  const TempFolder folder;
  DicomPhantom phantom;
  phantom.set(DCM_SOPClassUID, UID_EnhancedCTImageStorage).set(DCM_NumberOfFrames, "3").size(2, 1);
  DcmItem& shared = phantom.item(DCM_SharedFunctionalGroupsSequence);
  DicomPhantom::put_in(DicomPhantom::item(shared, DCM_PlaneOrientationSequence), DCM_ImageOrientationPatient,
                       "0\\1\\0\\0\\0\\-1");
  DicomPhantom::put_in(DicomPhantom::item(shared, DCM_PixelMeasuresSequence), DCM_PixelSpacing, "0.5\\0.25");
  const std::array<double, 3> x_mm{4, 0, 2};  // the normal is -x: the first frame comes first, the second last
  for (int i = 0; i < 3; ++i) {
    DcmItem& own = phantom.item(DCM_PerFrameFunctionalGroupsSequence, i);
    DicomPhantom::put_in(DicomPhantom::item(own, DCM_PlanePositionSequence), DCM_ImagePositionPatient,
                         test::decimals({x_mm[static_cast<size_t>(i)], 7, 8}));
    DcmItem& scaling = DicomPhantom::item(own, DCM_PixelValueTransformationSequence);
    DicomPhantom::put_in(scaling, DCM_RescaleSlope, std::to_string(i + 1));
    DicomPhantom::put_in(scaling, DCM_RescaleIntercept, "0");
    DicomPhantom::put_in(scaling, DCM_RescaleType, "HU");
  }
  phantom.pixels({10, 11, 20, 21, 30, 31});
  // Compressed frames are asked for in the order of z, too.
  for (const E_TransferSyntax syntax : {EXS_LittleEndianExplicit, EXS_BigEndianExplicit,
                                        EXS_DeflatedLittleEndianExplicit, EXS_RLELossless, EXS_JPEGProcess14SV1}) {
    SCOPED_TRACE(DcmXfer(syntax).getXferName());
    const Volume volume = read_dicom({phantom.save(folder / "enhanced", syntax)});
    EXPECT_EQ(volume.size, (std::array<int64_t, 3>{2, 1, 3}));
    EXPECT_EQ(stored<uint16_t>(volume), (std::vector<uint16_t>{10, 11, 30, 31, 20, 21}));
    EXPECT_EQ(volume.scaling, (std::vector<Scaling>{{1, 0}, {3, 0}, {2, 0}}));
    EXPECT_EQ(volume.spacing_mm, (std::array<double, 3>{0.25, 0.5, 2}));
    EXPECT_EQ(volume.origin_mm, (std::array<double, 3>{4, 7, 8}));
    EXPECT_EQ(volume.direction, (std::array<double, 9>{0, 0, -1, 1, 0, 0, 0, -1, 0}));
    EXPECT_EQ(volume.units, Units::hu);
  }
}

TEST(DicomVolume, LargestNumberOfPictures) {
  const TempFolder folder;
  const auto largest = [&](const std::string& modality, bool is_signed) {
    return read_dicom({DicomPhantom()
                           .set(DCM_Modality, modality)
                           .format(16, 10, is_signed)
                           .pixels(ramp(0))
                           .save(folder / "x")})
        .stored_max;
  };
  EXPECT_EQ(largest("MG", false), 1023);
  EXPECT_EQ(largest("MG", true), 511);
  EXPECT_EQ(largest("CT", false), 0);
  EXPECT_EQ(largest("MR", false), 0);
}

TEST(DicomVolume, WhatCannotBeReadIsNamed) {
  const TempFolder folder;
  const auto reason = [&](DicomPhantom& phantom) {
    const fs::path path =
        phantom.set(DCM_PatientName, "Planted^Name").set(DCM_PatientID, "PLANTED-ID").save(folder / "x.dcm");
    const Error error = error_of([&] { read_dicom({path}); });
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_FALSE(contains(error.what(), "lanted"));
    return std::string(error.what());
  };
  EXPECT_TRUE(contains(reason(DicomPhantom().size(3000, 3000).pixels(ramp(0))), "bytes of pixel data"));
  EXPECT_TRUE(contains(reason(DicomPhantom().set(DCM_NumberOfFrames, "2").pixels(ramp(0))),
                       "24 bytes of pixel data, 48 are needed"));
  EXPECT_TRUE(contains(
      reason(DicomPhantom().set(DCM_PhotometricInterpretation, "HSV").set(DCM_SamplesPerPixel, "3").pixels(ramp(0))),
      "photometric interpretation that is not supported"));
  EXPECT_TRUE(contains(reason(DicomPhantom().set(DCM_BitsAllocated, "12").pixels(ramp(0))), "12 bits allocated"));
  EXPECT_TRUE(contains(reason(DicomPhantom().set(DCM_BitsStored, "17").pixels(ramp(0))), "17 bits stored"));
  DicomPhantom no_pixels;
  EXPECT_TRUE(contains(reason(no_pixels), "no pixel data"));
  EXPECT_TRUE(contains(error_of([&] { read_dicom({folder / "absent"}); }).what(), "does not exist"));
  EXPECT_TRUE(contains(error_of([&] { read_dicom({folder.write("text", "no DICOM, but longer than that")}); }).what(),
                       "is not a DICOM file"));
}

TEST(DicomVolume, FilesThatDoNotBelongTogether) {
  const TempFolder folder;
  const fs::path first = DicomPhantom().at({0, 0, 0}).pixels(ramp(0)).save(folder / "a");
  const fs::path larger = DicomPhantom().at({0, 0, 1}).size(6, 2).pixels(ramp(0)).save(folder / "b");
  DicomPhantom colour = DicomPhantom().at({0, 0, 1}).format(8, 8, false).bytes(std::vector<uint8_t>(36));
  const fs::path in_colour = colour.set(DCM_SamplesPerPixel, "3")
                                 .set(DCM_PhotometricInterpretation, "RGB")
                                 .set(DCM_PlanarConfiguration, "0")
                                 .save(folder / "c");
  EXPECT_TRUE(contains(error_of([&] { read_dicom({first, larger}); }).what(), "6 x 2 pixels"));
  EXPECT_TRUE(contains(error_of([&] { read_dicom({first, in_colour}); }).what(), "another kind"));
}

}  // namespace
}  // namespace vmae::io
