#pragma once
// A pickle (Python's serialisation, protocols 2 to 5) as plain data. Nothing in it is executed:
// calls of the few functions that describe weights and settings become the data they stand for,
// calls of anything else become an opaque value that carries only the function's name.
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vmae::weights {

// A tensor as the pickle describes it, unchecked; its numbers are in the archive's record data/<storage>.
struct PickledTensor {
  std::string storage, dtype;  // dtype as Python's torch calls it: "float32"
  int64_t offset = 0;          // offset and strides in elements
  std::vector<int64_t> sizes, strides;
};

struct Value {
  enum class Kind {
    none,
    boolean,
    integer,
    real,
    text,
    bytes,
    list,
    tuple,
    set,
    dict,
    storage,
    tensor,
    global,
    opaque
  };
  Kind kind = Kind::none;
  int64_t integer = 0;  // boolean, integer
  double real = 0;      // real
  // text, bytes; global, opaque: "module.name"; a Namespace's dict: its class
  std::string text;
  std::vector<Value*> items;                       // list, tuple, set
  std::vector<std::pair<Value*, Value*>> entries;  // dict, in the order set, repeated keys included
  std::unique_ptr<PickledTensor> tensor;           // tensor; storage: only storage and dtype

  const Value* find(std::string_view key) const;  // the last entry of a dict with that text as key, or nullptr
};

// Owns the values, which may refer to each other in cycles. What a hostile pickle can make it hold is bounded.
class Pickle {
 public:
  explicit Pickle(std::string_view bytes);  // throws Error(checkpoint) saying what is wrong and where
  const Value& root() const { return *root_; }

 private:
  friend class Unpickler;
  std::deque<Value> values_;
  const Value* root_ = nullptr;
};

}  // namespace vmae::weights
