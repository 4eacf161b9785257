// The opcodes of Python's pickle, as Lib/pickletools.py documents them: a stack of values, marks on it, and a
// memo of values by number. Text-mode opcodes (protocols 0 and 1) are not known: torch.save does not write them.
#include "unpickler.h"

#include <bit>
#include <cstring>

#include "vmae/core/error.h"

namespace vmae::weights {
namespace {

constexpr size_t kMaxPickleBytes = 32u << 20;  // a checkpoint with ten thousand tensors has about 5 MB
constexpr size_t kMaxSpent = 2'000'000;        // values, memo entries and copied items
constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxDepthOfMarks = 10'000;

}  // namespace

Pickle::Pickle(std::string_view bytes) { Unpickler(bytes, *this).run(); }

const Value* Value::find(std::string_view key) const {
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (entry->first->kind == Kind::text && entry->first->text == key) return entry->second;
  }
  return nullptr;
}

void Unpickler::run() {
  if (bytes_.size() > kMaxPickleBytes)
    broken(concat("its size (", bytes_.size(), ") is beyond the limit of ", kMaxPickleBytes));
  while (!is_done_) step(number<unsigned char>());
}

void Unpickler::broken(const std::string& what) const {
  throw Error(ExitCode::checkpoint, concat("its pickle is damaged at byte ", at_, ": ", what));
}

std::string_view Unpickler::take(uint64_t size) {
  if (size > bytes_.size() - at_) broken(concat("it ends although ", size, " more bytes were expected"));
  const std::string_view part = bytes_.substr(at_, size);
  at_ += size;
  return part;
}

template <class Number>
Number Unpickler::number() {
  Number value;
  std::memcpy(&value, take(sizeof value).data(), sizeof value);  // little-endian, as this machine
  return value;
}

double Unpickler::big_endian_double() { return std::bit_cast<double>(__builtin_bswap64(number<uint64_t>())); }

std::string_view Unpickler::line() {
  const size_t end = bytes_.find('\n', at_);
  if (end == std::string_view::npos) broken("a line has no end");
  const std::string_view text = take(end - at_);
  take(1);
  return text;
}

Value* Unpickler::pop() {
  Value* value = top();
  stack_.pop_back();
  return value;
}

Value* Unpickler::top() {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) broken("the stack is empty");
  return stack_.back();
}

std::vector<Value*> Unpickler::pop_to_mark() {
  if (marks_.empty()) broken("there is no mark");
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<Value*> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

void Unpickler::store(uint32_t slot) {
  spend(1);
  memo_[slot] = top();
}

void Unpickler::fetch(uint32_t slot) {
  const auto found = memo_.find(slot);
  if (found == memo_.end()) broken(concat("memo ", slot, " is empty"));
  push(found->second);
}

void Unpickler::spend(size_t amount) {
  spent_ += amount;
  if (spent_ > kMaxSpent) broken("it holds more values than any checkpoint");
}

Value* Unpickler::make(Value::Kind kind) {
  spend(1);
  Value& value = pickle_.values_.emplace_back();
  value.kind = kind;
  return &value;
}

Value* Unpickler::make_boolean(bool is_true) {
  Value* value = make(Value::Kind::boolean);
  value->integer = is_true;
  return value;
}

Value* Unpickler::make_integer(int64_t integer) {
  Value* value = make(Value::Kind::integer);
  value->integer = integer;
  return value;
}

Value* Unpickler::make_real(double real) {
  Value* value = make(Value::Kind::real);
  value->real = real;
  return value;
}

Value* Unpickler::make_text(Value::Kind kind, std::string_view text) {
  Value* value = make(kind);
  value->text = text;
  return value;
}

Value* Unpickler::make_sequence(Value::Kind kind, std::vector<Value*> items) {
  Value* value = make(kind);
  value->items = std::move(items);
  return value;
}

// Two's complement, little-endian, any length; what does not fit into 64 bits is opaque.
Value* Unpickler::make_long(std::string_view digits) {
  if (digits.size() > sizeof(int64_t)) return make_text(Value::Kind::opaque, "builtins.int");
  uint64_t bits = !digits.empty() && (digits.back() & 0x80) ? ~uint64_t{0} : 0;
  std::memcpy(&bits, digits.data(), digits.size());
  return make_integer(static_cast<int64_t>(bits));
}

Value* Unpickler::make_global(std::string_view module, std::string_view name) {
  if (module.size() + name.size() > kMaxNameBytes) broken("a name is too long");
  return make_text(Value::Kind::global, concat(module, ".", name));
}

void Unpickler::append(Value* to, const std::vector<Value*>& items) {
  using Kind = Value::Kind;
  if (to->kind == Kind::opaque) return;
  if (to->kind != Kind::list && to->kind != Kind::set) broken("items are added to something that is no list or set");
  to->items.insert(to->items.end(), items.begin(), items.end());
}

void Unpickler::set_items(Value* to, const std::vector<Value*>& keys_and_values) {
  if (keys_and_values.size() % 2 != 0) broken("a key has no value");
  if (to->kind == Value::Kind::opaque) return;
  if (to->kind != Value::Kind::dict) broken("entries are added to something that is no dict");
  for (size_t i = 0; i < keys_and_values.size(); i += 2)
    to->entries.emplace_back(keys_and_values[i], keys_and_values[i + 1]);
}

void Unpickler::step(unsigned char opcode) {
  using Kind = Value::Kind;
  const auto tuple_of_top = [&](size_t count) {
    std::vector<Value*> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push(make_sequence(Kind::tuple, std::move(items)));
  };
  const auto text = [&](Kind kind, uint64_t size) { push(make_text(kind, take(size))); };
  switch (opcode) {
    case 0x80:
      take(1);
      break;  // PROTO
    case 0x95:
      take(8);
      break;   // FRAME
    case '.':  // STOP
      pickle_.root_ = pop();
      is_done_ = true;
      break;

    case '(':  // MARK
      if (marks_.size() == kMaxDepthOfMarks) broken("it nests too deeply");
      marks_.push_back(stack_.size());
      break;
    case '0':
      pop();
      break;  // POP
    case '1':
      pop_to_mark();
      break;  // POP_MARK
    case '2':
      spend(1);
      push(top());
      break;  // DUP
    case 'q':
      store(number<uint8_t>());
      break;  // BINPUT
    case 'r':
      store(number<uint32_t>());
      break;  // LONG_BINPUT
    case 0x94:
      store(static_cast<uint32_t>(memo_.size()));
      break;  // MEMOIZE
    case 'h':
      fetch(number<uint8_t>());
      break;  // BINGET
    case 'j':
      fetch(number<uint32_t>());
      break;  // LONG_BINGET

    case 'N':
      push(make(Kind::none));
      break;
    case 0x88:
      push(make_boolean(true));
      break;
    case 0x89:
      push(make_boolean(false));
      break;
    case 'J':
      push(make_integer(number<int32_t>()));
      break;
    case 'K':
      push(make_integer(number<uint8_t>()));
      break;
    case 'M':
      push(make_integer(number<uint16_t>()));
      break;
    case 0x8a:
      push(make_long(take(number<uint8_t>())));
      break;  // LONG1
    case 0x8b:
      push(make_long(take(number<uint32_t>())));
      break;  // LONG4
    case 'G':
      push(make_real(big_endian_double()));
      break;  // BINFLOAT

    case 'X':
      text(Kind::text, number<uint32_t>());
      break;  // BINUNICODE
    case 0x8c:
      text(Kind::text, number<uint8_t>());
      break;  // SHORT_BINUNICODE
    case 0x8d:
      text(Kind::text, number<uint64_t>());
      break;  // BINUNICODE8
    case 'T':
      text(Kind::text, number<uint32_t>());
      break;  // BINSTRING, Python 2's str
    case 'U':
      text(Kind::text, number<uint8_t>());
      break;  // SHORT_BINSTRING
    case 'B':
      text(Kind::bytes, number<uint32_t>());
      break;  // BINBYTES
    case 'C':
      text(Kind::bytes, number<uint8_t>());
      break;  // SHORT_BINBYTES
    case 0x8e:
      text(Kind::bytes, number<uint64_t>());
      break;  // BINBYTES8
    case 0x96:
      text(Kind::bytes, number<uint64_t>());
      break;  // BYTEARRAY8

    case ']':
      push(make(Kind::list));
      break;
    case ')':
      push(make(Kind::tuple));
      break;
    case '}':
      push(make(Kind::dict));
      break;
    case 0x8f:
      push(make(Kind::set));
      break;
    case 'l':
      push(make_sequence(Kind::list, pop_to_mark()));
      break;
    case 't':
      push(make_sequence(Kind::tuple, pop_to_mark()));
      break;
    case 0x91:
      push(make_sequence(Kind::set, pop_to_mark()));
      break;  // FROZENSET
    case 0x85:
      tuple_of_top(1);
      break;
    case 0x86:
      tuple_of_top(2);
      break;
    case 0x87:
      tuple_of_top(3);
      break;
    case 'd': {  // DICT
      const auto items = pop_to_mark();
      push(make(Kind::dict));
      set_items(top(), items);
      break;
    }
    case 'a': {  // APPEND
      Value* item = pop();
      append(top(), {item});
      break;
    }
    case 'e':     // APPENDS
    case 0x90: {  // ADDITEMS
      const auto items = pop_to_mark();
      append(top(), items);
      break;
    }
    case 's': {  // SETITEM
      Value* value = pop();
      Value* key = pop();
      set_items(top(), {key, value});
      break;
    }
    case 'u': {  // SETITEMS
      const auto items = pop_to_mark();
      set_items(top(), items);
      break;
    }

    case 'c': {  // GLOBAL
      const std::string_view module = line();
      push(make_global(module, line()));
      break;
    }
    case 0x93: {  // STACK_GLOBAL
      const Value* name = pop();
      const Value* module = pop();
      if (name->kind != Kind::text || module->kind != Kind::text) broken("a global has no name");
      push(make_global(module->text, name->text));
      break;
    }
    case 0x92:
      pop();
      [[fallthrough]];  // NEWOBJ_EX: as NEWOBJ, the keyword arguments are not needed
    case 'R':           // REDUCE
    case 0x81: {        // NEWOBJ
      const Value* arguments = pop();
      const Value* function = pop();
      push(call(*function, *arguments));
      break;
    }
    case 'b': {  // BUILD
      const Value* state = pop();
      build(*top(), *state);
      break;
    }
    case 'Q':
      push(persistent_storage(*pop()));
      break;  // BINPERSID

    default:
      broken(concat("opcode ", static_cast<int>(opcode), " is not one that torch.save writes"));
  }
}

}  // namespace vmae::weights
