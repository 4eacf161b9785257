// nnU-Net's plans and fingerprints: what is read is written and read again, and planned for.
#include "scratch_file.h"
#include "vmae/core/error.h"
#include "vmae/nnunet/planner.h"
#include "vmae/nnunet/plans.h"

namespace {

namespace nnunet = vmae::nnunet;

void read_as_plans(const std::filesystem::path& path) {
  nnunet::Plans plans;
  try {
    plans = nnunet::read_plans(path);
  } catch (const vmae::Error&) {
    return;
  }
  const vmae::test::ScratchFile written("written.json", "");
  nnunet::write_plans(written.path(), plans);
  const nnunet::Plans again = nnunet::read_plans(written.path());
  if (again.flat != plans.flat || again.rest.size() < plans.flat.data_identifier.size()) std::abort();
  nnunet::keep_other_configurations(path, plans);
}

void read_as_fingerprint(const std::filesystem::path& path) {
  try {
    const nnunet::Fingerprint fingerprint = nnunet::read_fingerprint(path);
    nnunet::DatasetFacts dataset;
    dataset.channel_names.resize(fingerprint.channels.size());
    dataset.num_training = std::ssize(fingerprint.spacings);
    nnunet::plan(dataset, fingerprint, {});
  } catch (const vmae::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const vmae::test::ScratchFile file("plans.json", vmae::test::text_of(data, size));
  read_as_plans(file.path());
  read_as_fingerprint(file.path());
  return 0;
}
