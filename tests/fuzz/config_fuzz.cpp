// Configs: what is accepted must print as a config that reads back to the same
// values. The first line is also tried as an override of the command line.
#include "scratch_file.h"
#include "unit/core/sample_config.h"
#include "vmae/core/config.h"
#include "vmae/core/error.h"

namespace {

void read_text(const std::string& text) {
  vmae::test::Sample sample;
  try {
    vmae::read_config_text(text, "input.yaml", sample.options);
  } catch (const vmae::Error&) {
    return;
  }
  const std::string printed = vmae::config_yaml(sample.options, true);
  vmae::test::Sample again;
  vmae::read_config_text(printed, "printed.yaml", again.options);
  if (vmae::config_yaml(again.options, true) != printed) std::abort();
}

void read_override(const std::string& text) {
  vmae::test::Sample sample;
  try {
    vmae::apply_override(text, sample.options);
  } catch (const vmae::Error&) {
  }
}

void read_file(const std::string& text) {
  const vmae::test::ScratchFile file("input.yaml", text);
  vmae::test::Sample sample;
  try {
    vmae::read_config_file(file.path(), sample.options);
  } catch (const vmae::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(vmae::test::text_of(data, size));
  read_text(text);
  read_override(text.substr(0, text.find('\n')));
  if (text.find("base") != std::string::npos) read_file(text);
  return 0;
}
