// splits.json: what is read is written and read again, and checked against cases of the same names.
#include <set>

#include "scratch_file.h"
#include "vmae/core/error.h"
#include "vmae/splits/splits_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const vmae::test::ScratchFile file("splits.json", vmae::test::text_of(data, size));
  vmae::io::Splits splits;
  try {
    splits = vmae::io::read_splits(file.path());
  } catch (const vmae::Error&) {
    return 0;
  }
  std::set<std::string> names;
  for (const vmae::io::SplitFold& fold : splits.folds) {
    for (const auto* part : {&fold.train, &fold.val, &fold.test}) names.insert(part->begin(), part->end());
  }
  std::vector<vmae::io::SplitCase> cases;
  for (const std::string& name : names) cases.push_back({name, name, {}});
  const vmae::test::ScratchFile written("written.json", "");
  vmae::io::write_splits(written.path(), splits, cases);
  const vmae::io::Splits again = vmae::io::read_splits(written.path());
  if (again.folds.size() != splits.folds.size() || again.folds[0].train != splits.folds[0].train ||
      again.folds[0].fractions != splits.folds[0].fractions)
    std::abort();
  try {
    vmae::io::check_splits(splits, file.path(), cases);
  } catch (const vmae::Error&) {
  }
  return 0;
}
