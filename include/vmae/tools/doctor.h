#pragma once
// `vmae doctor`: this machine, or all ranks.
#include <iosfwd>
#include <string>

namespace vmae::train {
class World;
}

namespace vmae::run {

// Versions, devices, threads, memory, instruction sets, and what is wrong. Returns false if something is.
// torch_origin: the LibTorch that is in use, as the program found it.
bool doctor(const std::string& torch_origin, std::ostream& out);
// Every rank's host, device and threads, and sums over ranks, checked and timed. Returns false if something is wrong.
bool doctor_distributed(train::World& world, const std::string& device, double timeout_s, std::ostream& out);

}  // namespace vmae::run
