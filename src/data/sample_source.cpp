#include "vmae/data/sample_source.h"

#include "vmae/data/file_source.h"
#include "vmae/data/prepared_source.h"

namespace vmae::data {

std::unique_ptr<SampleSource> open_source(std::vector<io::SourceFile> files, const ImageOptions& image,
                                          const Targets& targets, Quarantine& quarantine) {
  if (files.empty() || files.front().prepared_case < 0)
    return file_source(std::move(files), image, targets, quarantine);
  auto dataset = std::make_shared<const io::PreparedDataset>(files.front().path);
  std::vector<PreparedChoice> cases;
  for (const io::SourceFile& file : files) {
    PreparedChoice& one = cases.emplace_back(PreparedChoice{file.prepared_case, file.modality});
    if (targets.num_labels > 0) one.labels = file.labels;
    for (const io::SourceFile& channel : file.channels)
      one.channels.push_back({channel.prepared_case, channel.modality});
  }
  auto source = prepared_source(std::move(dataset), cases, image, targets);
  quarantine.expect(source->num_files());
  return source;
}

}  // namespace vmae::data
