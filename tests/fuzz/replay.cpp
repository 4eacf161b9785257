// The main function of a fuzz target that was not built with libFuzzer: runs the target on every file of a
// folder, and on a fixed number of mutations of each. usage: fuzz_PARSER FOLDER [MUTATIONS] An input that ends
// the program (sanitizer, exception, signal), or takes longer than a minute, is written to ./fuzz-failure first.
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "mutate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kMaxInputBytes = 1 << 16;
constexpr unsigned kMaxSeconds = 60;

// The input that is running, and its name for messages; never destroyed, because leaks are reported after main.
std::string& current = *new std::string;
std::string& current_name = *new std::string;

void save_current() {
  std::FILE* file = std::fopen("fuzz-failure", "wb");
  if (file != nullptr) {
    std::fwrite(current.data(), 1, current.size(), file);
    std::fclose(file);
  }
  std::fprintf(stderr, "failed on %s; the input is in ./fuzz-failure\n", current_name.c_str());
}

void on_signal(int signal_number) {
  save_current();
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void run(std::string name, std::string input) {
  current_name = std::move(name);
  current = std::move(input);
  alarm(kMaxSeconds);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(current.data()), current.size());
  alarm(0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FOLDER [MUTATIONS]\n", argv[0]);
    return 2;
  }
  const size_t num_mutations = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 0;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<std::string> corpus;
  for (const auto& file : files) {
    std::ifstream in(file, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: no files in %s\n", argv[0], argv[1]);
    return 2;
  }

#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_set_death_callback(save_current);
#endif
  for (const int signal_number : {SIGABRT, SIGALRM}) signal(signal_number, on_signal);
  size_t num_runs = 0;
  for (size_t i = 0; i < corpus.size(); ++i) {
    run(files[i].string(), corpus[i]);
    ++num_runs;
    std::mt19937 random(static_cast<uint32_t>(i));
    for (size_t n = 0; n < num_mutations; ++n, ++num_runs) {
      const std::string& other = corpus[random() % corpus.size()];
      run(files[i].string() + ", mutation " + std::to_string(n),
          vmae::test::mutated(corpus[i], other, random, kMaxInputBytes));
    }
  }
  current.clear();
  current_name = "something that all inputs left behind (a leak)";
  std::printf("%zu inputs from %zu files, none failed\n", num_runs, corpus.size());
  return 0;
}
