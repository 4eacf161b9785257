#pragma once
#include <string>
#include <vector>

#include "vmae/cases/source_file.h"

namespace vmae::io {

// A name per case, in their order: the path in the source without its ending, of nnU-Net's channels without
// _0000, of time points with _t0, _t1, ...; unique. DICOM: the folder of the series, or where that holds
// several its first file. Of names outside of the source, the folder that all of them lie in is left out.
// Cases that would have the same name ("a.png" and "a.jpg") keep their endings; files of several sources that
// have even these in common get _2, _3, .... A name that holds an identifying text becomes "case_" and a hash.
std::vector<std::string> case_names(const std::vector<SourceFile>& cases, const std::vector<std::string>& identifying);

// Names of `cases` that are unique among them and `beside`, and the same whichever of all these are the cases.
std::vector<std::string> names_beside(const std::vector<SourceFile>& cases, const std::vector<SourceFile>& beside,
                                      const std::vector<std::string>& identifying);

// `name`, or "case_" and a hash where it holds an identifying text.
std::string safe_name(const std::string& name, const std::vector<std::string>& identifying);

// `text` with stars where it holds something identifying; of three or four letters only as a word of its own.
std::string without(std::string text, const std::vector<std::string>& identifying);

}  // namespace vmae::io
