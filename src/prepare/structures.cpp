#include "structures.h"

#include <algorithm>
#include <map>
#include <set>

#include "vmae/cases/class_names.h"
#include "vmae/cases/mask_numbering.h"
#include "vmae/core/error.h"
#include "vmae/core/log.h"
#include "vmae/sources/case_names.h"

namespace vmae::run {
namespace {

// Every name once, in the order of the cases.
std::vector<std::string> all_structures(const std::vector<PlannedCase>& cases) {
  std::vector<std::string> names;
  for (const PlannedCase& planned : cases) {
    for (const std::string& name : planned.structures) {
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  if (names.size() > 255) {
    throw Error(ExitCode::data,
                concat("the masks have ", names.size(), " different structures; a mask has values up to 255"),
                "name those that are meant: prepare.structures=[NAME, ...]");
  }
  return names;
}

std::vector<std::string> names_of_classes(const std::vector<NamedTexts>& classes) {
  std::vector<std::string> names;
  for (const NamedTexts& one : classes) names.push_back(one.name);
  return names;
}

// Whether its mask names its structures. Where there is none, or it can't be read, nothing speaks against it.
bool has_names(const PlannedCase& planned) {
  return planned.file.mask.empty() || !planned.problem.empty() || !planned.structures.empty();
}

void require_names(const std::vector<PlannedCase>& cases, const std::vector<std::string>& identifying) {
  for (const PlannedCase& planned : cases) {
    if (has_names(planned)) continue;
    throw Error(ExitCode::data,
                concat("the mask of ", io::without(planned.file.name, identifying),
                       " does not name its structures, but prepare.structures chooses them by name"),
                "leave prepare.structures out: numbers are kept then; data.classes and data.label_values of vmae "
                "finetune-seg say what they mean");
  }
}

// A class of several structures is a decision about names: one that no mask has is a mistake.
void require_structures(const std::vector<NamedTexts>& classes, const std::vector<PlannedCase>& cases,
                        const std::vector<std::string>& identifying) {
  std::set<std::string> found, shown;
  for (const PlannedCase& planned : cases) found.insert(planned.structures.begin(), planned.structures.end());
  for (const std::string& name : found) shown.insert(io::without(name, identifying));
  for (const NamedTexts& one : classes) {
    for (const std::string& name : one.texts) {
      // a class that is one structure: a remark
      if (one.texts == std::vector{one.name} || found.contains(name)) continue;
      const std::string nearest = did_you_mean(name, {shown.begin(), shown.end()});
      throw Error(ExitCode::data,
                  concat("prepare.structures: no mask has the structure '", name, "' of the class ", one.name),
                  concat(nearest.empty() ? "" : concat("did you mean '", nearest, "'? "),
                         "The masks have: ", join({shown.begin(), shown.end()}, ", ")));
    }
  }
}

std::string trimmed_name(const std::string& text) {
  const std::string name(trim(text));
  if (name.empty()) throw Error(ExitCode::usage, "prepare.structures holds an empty name", "name each structure once");
  return name;
}

}  // namespace

std::vector<NamedTexts> classes_of_structures(const std::vector<NamedTexts>& given) {
  std::vector<NamedTexts> classes;
  std::map<std::string, std::string> class_of;
  for (const NamedTexts& group : given) {
    classes.push_back({trimmed_name(group.name), {}});
    for (const std::string& text : group.texts) {
      const auto [other, is_new] = class_of.emplace(trimmed_name(text), classes.back().name);
      if (!is_new)
        throw Error(ExitCode::usage,
                    concat("prepare.structures names '", other->first, "' twice",
                           other->second == classes.back().name
                               ? ""
                               : concat(", for ", other->second, " and for ", classes.back().name)),
                    "name each structure once");
      classes.back().texts.push_back(other->first);
    }
  }
  return classes;
}

std::vector<std::string> number_structures(const io::Source& source, const std::vector<NamedTexts>& classes,
                                           std::vector<PlannedCase>& cases) {
  io::check_class_names(names_of_classes(classes), "prepare.structures", ExitCode::usage);
  io::check_numbering(source.files, source.mask_names);
  if (!classes.empty()) {
    require_names(cases, source.identifying);
    require_structures(classes, cases, source.identifying);
    return names_of_classes(classes);
  }
  const bool all_named = source.mask_names.empty() && std::all_of(cases.begin(), cases.end(), has_names);
  try {
    const std::vector<std::string> names = io::structure_names(source.files, source.mask_names);
    if (!names.empty() && source.mask_names.empty()) return names;
    if (all_named) return all_structures(cases);
  } catch (const Error& error) {
    if (!all_named) throw Error(error.code(), io::without(error.what(), source.identifying), error.hint());
    log::info("masks number their structures in different ways: they are numbered by name");
    return all_structures(cases);
  }
  for (PlannedCase& planned : cases) planned.structures.clear();
  return source.mask_names;
}

std::vector<std::string> remarks_on_structures(const std::vector<NamedTexts>& classes,
                                               const std::vector<PlannedCase>& cases) {
  std::set<std::string> found;
  std::map<std::string, std::string> class_of;
  for (const PlannedCase& planned : cases) found.insert(planned.structures.begin(), planned.structures.end());
  std::vector<std::string> remarks;
  if (found.empty()) return remarks;
  for (const NamedTexts& one : classes) {
    for (const std::string& name : one.texts) {
      class_of[name] = one.name;
      if (!found.contains(name))
        remarks.push_back(concat("no mask has the structure '", name, "' of prepare.structures"));
    }
  }
  std::map<std::string, std::string> by_lower;
  for (const std::string& name : found) {
    const auto other = by_lower.emplace(to_lower(name), name);
    const bool is_one_class = class_of.contains(name) && class_of[name] == class_of[other.first->second];
    if (!other.second && !is_one_class)
      remarks.push_back(concat("the structures '", other.first->second, "' and '", name,
                               "' differ in case only: they are two classes"));
  }
  return remarks;
}

bool is_within_a_class(const std::string& remark, const std::vector<NamedTexts>& classes) {
  for (const NamedTexts& one : classes) {
    for (const std::string& a : one.texts) {
      for (const std::string& b : one.texts) {
        if (remark.find(concat("'", a, "' and '", b, "' overlap in ")) != std::string::npos) return true;
      }
    }
  }
  return false;
}

void check_redacted(const std::vector<std::string>& names, const Pseudonyms& pseudonyms) {
  std::vector<std::string> redacted;
  int64_t num_changed = 0;
  for (const std::string& name : names) {
    redacted.push_back(pseudonyms.redact_name(name));
    num_changed += redacted.back() == name ? 0 : 1;
  }
  if (num_changed > 0)
    log::warning(concat("names of patients, or ids, stand in the names of ", num_changed,
                        num_changed == 1 ? " structure" : " structures", ": written as *"));
  for (const std::string& remark :
       io::check_class_names(redacted, "names of structures, without what identifies patients"))
    log::warning(remark);
}

}  // namespace vmae::run
