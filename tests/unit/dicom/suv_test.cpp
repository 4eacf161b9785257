// SUV against numbers computed by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "support/dicom.h"
#include "support/errors.h"
#include "support/temp_folder.h"
#include "vmae/dicom/group.h"
#include "vmae/dicom/volume.h"
#include "vmae/image/image.h"

namespace vmae::io {
namespace {

using test::contains;
using test::DicomPhantom;
using test::TempFolder;

// 80 kg; 400 MBq of F-18 (109.8 min = 6588 s) at 10:00:00; series at 11:49:48, one half life later: 200 MBq are left.
DicomPhantom pet() {
  DicomPhantom phantom;
  phantom.set(DCM_Modality, "PT")
      .set(DCM_Units, "BQML")
      .set(DCM_DecayCorrection, "START")
      .set(DCM_CorrectedImage, "ATTN\\DECY\\SCAT")
      .set(DCM_PatientWeight, "80");
  phantom.set(DCM_SeriesDate, "20200301")
      .set(DCM_SeriesTime, "114948")
      .set(DCM_AcquisitionDate, "20200301")
      .set(DCM_AcquisitionTime, "114948.00");
  DcmItem& drug = phantom.item(DCM_RadiopharmaceuticalInformationSequence);
  DicomPhantom::put_in(drug, DCM_RadionuclideTotalDose, "400000000");
  DicomPhantom::put_in(drug, DCM_RadionuclideHalfLife, "6588");
  DicomPhantom::put_in(drug, DCM_RadiopharmaceuticalStartTime, "100000");
  phantom.at({0, 0, 0}).rescale(2, 0).pixels(std::vector<uint16_t>(12, 1250));  // 2500 Bq/ml
  return phantom;
}

struct Outcome {
  Volume volume;
  std::string remarks;
  float value() const { return values(volume)[0]; }
};

Outcome outcome(DicomPhantom phantom) {
  const TempFolder folder;
  const auto path = phantom.save(folder / "pet.dcm");
  return {read_dicom({path}), join(group_dicom({path}).series.at(0).remarks, "; ")};
}

void expect_raw(DicomPhantom phantom, const std::string& reason) {
  const Outcome result = outcome(std::move(phantom));
  EXPECT_EQ(result.volume.units, Units::raw);
  EXPECT_EQ(result.value(), 2500.0F);
  EXPECT_TRUE(contains(result.remarks, reason));
}

void put_in_drug(DicomPhantom& phantom, const DcmTagKey& tag, const std::string& text) {
  DicomPhantom::put_in(phantom.item(DCM_RadiopharmaceuticalInformationSequence), tag, text);
}

TEST(DicomSuv, BodyWeightFormula) {
  const Outcome result = outcome(pet());
  EXPECT_EQ(result.volume.units, Units::suv);
  EXPECT_NEAR(result.value(), 2500.0 * 80000 / 200e6, 1e-6);  // 1.0
  EXPECT_EQ(result.remarks, "");
  EXPECT_EQ(result.volume.modality, "PT");
}

TEST(DicomSuv, CorrectedToTheInjection) {
  EXPECT_NEAR(outcome(pet().set(DCM_DecayCorrection, "ADMIN")).value(), 0.5, 1e-6);
}

TEST(DicomSuv, DateTimeOfInjectionGoesBeforeItsTime) {
  DicomPhantom phantom = pet();
  // 13776 s before, 2.0911 half lives
  put_in_drug(phantom, DCM_RadiopharmaceuticalStartDateTime, "20200301080012.00+0100");
  EXPECT_NEAR(outcome(phantom).value(), 0.5 * std::exp2(13776.0 / 6588.0), 1e-5);
}

TEST(DicomSuv, InjectedBeforeMidnight) {
  DicomPhantom phantom = pet().set(DCM_SeriesTime, "003000").set(DCM_AcquisitionTime, "003000");
  put_in_drug(phantom, DCM_RadiopharmaceuticalStartTime, "224012");
  EXPECT_NEAR(outcome(phantom).value(), 1.0, 1e-6);
}

// A series time that was rewritten by post-processing is later than the acquisition.
TEST(DicomSuv, AcquisitionBeforeTheSeries) {
  EXPECT_NEAR(outcome(pet().set(DCM_SeriesTime, "180000")).value(), 1.0, 1e-6);
}

TEST(DicomSuv, FilesThatAreInSuvAlready) {
  EXPECT_EQ(outcome(pet().set(DCM_Units, "GML")).volume.units, Units::suv);
  EXPECT_EQ(outcome(pet().set(DCM_Units, "GML")).value(), 2500.0F);
  expect_raw(pet().set(DCM_Units, "GML").set(DcmTagKey(0x0054, 0x1006), "LBM"), "'LBM'");
}

TEST(DicomSuv, CountsByPhilipsFactors) {
  DicomPhantom phantom = pet().set(DCM_Units, "CNTS");
  phantom.data().putAndInsertString(DcmTag(0x7053, 0x0010, EVR_LO), "Philips PET Private Group");
  phantom.data().putAndInsertString(DcmTag(0x7053, 0x1000, EVR_DS), "0.001");
  EXPECT_NEAR(outcome(phantom).value(), 2.5, 1e-6);
  expect_raw(pet().set(DCM_Units, "CNTS"), "counts");
}

// What is off by a unit (1000 or 60 times) or by a clock is no SUV; what real scans and small animals have is one.
TEST(DicomSuv, NumbersThatCannotBe) {
  expect_raw(pet().set(DCM_PatientWeight, "80000"), "the patient's weight is not between");
  expect_raw(pet().set(DCM_PatientWeight, "0.08"), "weight not in kg");
  const auto with = [](const DcmTagKey& tag, const std::string& text) {
    DicomPhantom phantom = pet();
    put_in_drug(phantom, tag, text);
    return phantom;
  };
  expect_raw(with(DCM_RadionuclideTotalDose, "400000"), "not in Bq");
  expect_raw(with(DCM_RadionuclideTotalDose, "400000000000"), "not in Bq");
  for (const char* half_life : {"109.8", "200", "1.83", "6588000"})
    expect_raw(with(DCM_RadionuclideHalfLife, half_life), "half life");
  for (const char* half_life : {"109.8", "1223.4", "13176"}) {
    DicomPhantom phantom = with(DCM_RadionuclideHalfLife, half_life).set(DCM_DecayCorrection, "ADMIN");
    DicomPhantom::put_in(
        DicomPhantom::item(phantom.item(DCM_RadiopharmaceuticalInformationSequence), DCM_RadionuclideCodeSequence),
        DCM_CodeValue, "C-111A1");
    expect_raw(phantom, "not that of its radionuclide, 6586");
  }
  for (const double scale : {2.5e-4, 1.0, 3.0}) {  // a mouse of 20 g, and 240 kg
    DicomPhantom phantom = with(DCM_RadionuclideTotalDose, test::decimals({400e6 * scale}))
                               .set(DCM_PatientWeight, test::decimals({80 * scale}));
    DicomPhantom::put_in(
        DicomPhantom::item(phantom.item(DCM_RadiopharmaceuticalInformationSequence), DCM_RadionuclideCodeSequence),
        DCM_CodeValue, "77004003");
    EXPECT_NEAR(outcome(phantom).value(), 1.0, 1e-6);
  }
  // a mouse
  EXPECT_EQ(outcome(with(DCM_RadionuclideTotalDose, "8000000").set(DCM_PatientWeight, "0.02")).volume.units,
            Units::suv);
}

// The injection's time of day, `minutes` after that of the series:
// yesterday's, if that is near enough; else a clock that is wrong.
TEST(DicomSuv, ClocksThatDisagree) {
  for (const int minutes : {1, 29, 240, 700}) {
    DicomPhantom phantom = pet();
    const int at = 11 * 60 + 49 + minutes;
    const auto digits = [](int number) { return (number < 10 ? "0" : "") + std::to_string(number); };
    put_in_drug(phantom, DCM_RadiopharmaceuticalStartTime, digits(at / 60) + digits(at % 60) + "48");
    expect_raw(phantom, "the times of injection and series do not fit");  // 12 to 24 hours of F-18
    put_in_drug(phantom, DCM_RadionuclideHalfLife, "45720");              // Cu-64
    expect_raw(phantom, "two clocks that disagree");
    // the day before, which is said
    put_in_drug(phantom, DCM_RadiopharmaceuticalStartDateTime, "20200229" + digits(at / 60) + digits(at % 60) + "48");
    EXPECT_EQ(outcome(phantom).volume.units, Units::suv);
  }
}

TEST(DicomSuv, StaysRawWhereATagIsMissing) {
  expect_raw(pet().remove(DCM_PatientWeight), "weight");
  expect_raw(pet().set(DCM_DecayCorrection, "NONE"), "'NONE'");
  expect_raw(pet().set(DCM_CorrectedImage, "ATTN"), "corrected");
  expect_raw(pet().set(DCM_Units, "PROPCPS"), "'PROPCPS'");
  expect_raw(pet().remove(DCM_RadiopharmaceuticalInformationSequence), "dose");
  DicomPhantom megabecquerel = pet();
  put_in_drug(megabecquerel, DCM_RadionuclideTotalDose, "400");
  expect_raw(megabecquerel, "not in Bq");
}

TEST(DicomSuv, SeveralInjections) {
  for (const char* dose : {"400000000", "300000000"}) {
    DicomPhantom phantom = pet();
    DcmItem& other = phantom.item(DCM_RadiopharmaceuticalInformationSequence, 1);
    DicomPhantom::put_in(other, DCM_RadionuclideTotalDose, dose);
    DicomPhantom::put_in(other, DCM_RadionuclideHalfLife, "6588");
    DicomPhantom::put_in(other, DCM_RadiopharmaceuticalStartTime, "100000");
    if (std::string(dose) == "400000000") {
      EXPECT_EQ(outcome(std::move(phantom)).volume.units, Units::suv);  // the same one twice
    } else {
      expect_raw(std::move(phantom), "it names several injections");
    }
  }
}

}  // namespace
}  // namespace vmae::io
