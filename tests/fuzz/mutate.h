#pragma once
// Damage as files get it from bad disks and bad people. A pure function of (bytes, other, random).
#include <random>
#include <string>

namespace vmae::test {

// One to four edits: bits and bytes changed, numbers of all sizes made extreme, digits
// changed, parts cut, doubled, or taken from `other`. At most `max_size` bytes.
std::string mutated(std::string bytes, const std::string& other, std::mt19937& random, size_t max_size);

}  // namespace vmae::test
