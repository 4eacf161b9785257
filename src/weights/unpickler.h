#pragma once
// The machine behind Pickle: unpickle.cpp runs the opcodes,
// unpickle_calls.cpp knows what the allowed functions stand for.
#include <unordered_map>

#include "vmae/weights/unpickle.h"

namespace vmae::weights {

class Unpickler {
 public:
  Unpickler(std::string_view bytes, Pickle& pickle) : bytes_(bytes), pickle_(pickle) {}
  void run();

 private:
  // Input.
  template <class Number>
  Number number();
  std::string_view take(uint64_t size);
  std::string_view line();
  double big_endian_double();

  // Stack and memo.
  void push(Value* value) { stack_.push_back(value); }
  Value* pop();
  Value* top();
  std::vector<Value*> pop_to_mark();
  void store(uint32_t slot);
  void fetch(uint32_t slot);

  // New values; spend() counts what they hold, so that a small file cannot fill the memory.
  void spend(size_t amount);
  Value* make(Value::Kind kind);
  Value* make_boolean(bool value);
  Value* make_integer(int64_t value);
  Value* make_real(double value);
  Value* make_text(Value::Kind kind, std::string_view text);
  Value* make_sequence(Value::Kind kind, std::vector<Value*> items);
  Value* make_long(std::string_view little_endian);
  Value* make_global(std::string_view module, std::string_view name);

  // Opcodes.
  void step(unsigned char opcode);
  void append(Value* to, const std::vector<Value*>& items);
  void set_items(Value* to, const std::vector<Value*>& keys_and_values);

  // unpickle_calls.cpp
  Value* call(const Value& function, const Value& arguments);
  Value* rebuild_tensor(const Value& function, const Value& arguments);
  Value* numpy_scalar(const Value& arguments);
  Value* latin1_bytes(const Value& arguments);
  Value* persistent_storage(const Value& id);
  void build(Value& object, const Value& state);

  [[noreturn]] void broken(const std::string& what) const;

  std::string_view bytes_;
  Pickle& pickle_;
  size_t at_ = 0, spent_ = 0;
  bool is_done_ = false;
  std::vector<Value*> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::unordered_map<uint32_t, Value*> memo_;
};

}  // namespace vmae::weights
