#pragma once
// Names of classes and findings, wherever they come from: manifests, folders, dataset.json, options, tables of scores.
#include <string>
#include <string_view>
#include <vector>

#include "vmae/core/error.h"

namespace vmae::io {

// The class that `text` names: without blanks around it; numbers by their value, so
// that "1", "01", "+1" and "1.0" are the class "1". Numbers are digits with or without
// a sign and a fraction; "1e3" is a text. Exact whatever the number of digits.
std::string class_name(std::string_view text);

// By value where all are numbers, else by bytes.
void sort_classes(std::vector<std::string>& names);

// Throws Error(code) "WHERE: ..." where a name is empty or two name the same class.
// Returns what is worth telling: names that differ by the case of letters only.
std::vector<std::string> check_class_names(const std::vector<std::string>& names, const std::string& where,
                                           ExitCode code = ExitCode::data);

// "label 3": of a mask value to which the dataset gives no name of its own (gaps in a numbering, parts of regions).
std::string nameless_label(int64_t value);

// The classes of masks, for people: "kidney, tumour"; "label 1, label 2" where they have no names but their numbers.
std::string class_list(const std::vector<std::string>& names);

}  // namespace vmae::io
