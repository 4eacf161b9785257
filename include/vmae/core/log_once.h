#pragma once
// Lines about a file that are worth saying once for a whole dataset.
#include <string_view>

namespace vmae::log {

// "SUBJECT TEXT" as a line of information, unless `text` has been
// said before. `subject` names the first file that it is true of.
void info_once(std::string_view subject, std::string_view text);
void warning_once(std::string_view subject, std::string_view text);  // the same as a warning

// From now on without the subject: names of files may be names of patients.
void name_no_subjects();

}  // namespace vmae::log
