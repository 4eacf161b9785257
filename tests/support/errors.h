#pragma once
// The vmae::Error that an expression throws, for tests of its code, text and hint.
#include <gtest/gtest.h>

#include "vmae/core/error.h"

namespace vmae::test {

// Runs `body` and gives its Error; without one the test fails and the Error says so.
template <class Body>
Error error_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  } catch (const std::exception& other) {
    ADD_FAILURE() << "threw something else: " << other.what();
    return {ExitCode::ok, "(another exception)"};
  }
  ADD_FAILURE() << "threw nothing";
  return {ExitCode::ok, "(no error)"};
}

inline ::testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "'" << text << "' does not contain '" << part << "'";
}

}  // namespace vmae::test
