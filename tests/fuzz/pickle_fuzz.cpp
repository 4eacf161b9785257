// Pickles as plain data: everything that the interpreter built is walked once.
#include <unordered_set>

#include "scratch_file.h"
#include "vmae/core/error.h"
#include "vmae/weights/unpickle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using vmae::weights::Value;
  try {
    const vmae::weights::Pickle pickle(vmae::test::text_of(data, size));
    std::vector<const Value*> todo{&pickle.root()};
    std::unordered_set<const Value*> seen;  // values may form cycles
    size_t num_bytes = 0;
    while (!todo.empty()) {
      const Value* value = todo.back();
      todo.pop_back();
      if (!seen.insert(value).second) continue;
      num_bytes += value->text.size();
      value->find("model");
      for (const Value* item : value->items) todo.push_back(item);
      for (const auto& [key, entry] : value->entries) todo.insert(todo.end(), {key, entry});
      const bool has_tensor = value->kind == Value::Kind::tensor || value->kind == Value::Kind::storage;
      if (has_tensor != (value->tensor != nullptr)) std::abort();
    }
    if (num_bytes > 1000 * (size + 1000)) std::abort();  // a small file must not become a large one
  } catch (const vmae::Error&) {
  }
  return 0;
}
