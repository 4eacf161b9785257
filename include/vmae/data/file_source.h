#pragma once
// Samples of images, volumes and series as they lie in files.
#include <memory>
#include <vector>

#include "vmae/data/sample_source.h"

namespace vmae::data {

// Reads the headers of volumes and series (in parallel) to count slices; files whose header can't
// be read are quarantined. Throws Error(data) if a file lacks a target that the task needs.
std::unique_ptr<SampleSource> file_source(std::vector<io::SourceFile> files, const ImageOptions& image,
                                          const Targets& targets, Quarantine& quarantine);

// What data.slice_axis = auto comes to for these files: their headers are read, in parallel.
io::CommonAxis common_axis_of(const std::vector<io::SourceFile>& files);

}  // namespace vmae::data
