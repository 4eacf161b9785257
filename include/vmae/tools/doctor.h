#pragma once
// `vmae doctor`: this machine, or all ranks.
#include <iosfwd>
#include <string>
#include <vector>

namespace vmae::train {
class World;
}

namespace vmae::run {

struct Findings {
  std::vector<std::string> problems, remarks;
};
// A line, as all facts are written.
void write_fact(const std::string& name, const std::string& value, std::ostream& out);

// CPU, threads and memory; needs no LibTorch, so that it is said where there is none.
Findings doctor_machine(std::ostream& out);
// LibTorch and devices; then what is wrong, also of what was found before. Returns false if something is.
// torch_origin: the LibTorch that is in use, as the program found it.
bool doctor(const std::string& torch_origin, Findings found, std::ostream& out);
// Every rank's host, device and threads, and sums over ranks, checked and timed. Returns false if something is wrong.
bool doctor_distributed(train::World& world, const std::string& device, double timeout_s, std::ostream& out);

}  // namespace vmae::run
