// Arithmetic of line_format and label_format: labels are strings, so every operand is cast first.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "logql/template_functions.h"
#include "skald/logql/units.h"

namespace skald::logql {

std::int64_t cast_int(const Value& value) {
  switch (value.kind) {
    case Kind::kBool: return value.boolean ? 1 : 0;
    case Kind::kInt:
    case Kind::kInt64:
    case Kind::kInt32:
    case Kind::kUint8: return value.integer;
    case Kind::kFloat:
      if (!(value.number > -9.3e18 && value.number < 9.3e18)) return INT64_MIN;
      return value.number >= 9223372036854775808.0 || value.number < -9223372036854775808.0
                 ? INT64_MIN
                 : static_cast<std::int64_t>(value.number);
    case Kind::kString: break;
    default: return 0;
  }
  // Base 0: 0x, 0o, 0b and a bare 0 name the base; what follows a decimal point is cut.
  std::string_view text = value.text.substr(0, value.text.find('.'));
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  int base = 10;
  bool prefixed = false;
  if (text.size() > 1 && text[0] == '0') {
    const char kind = static_cast<char>(text[1] | 32);
    prefixed = kind == 'x' || kind == 'b' || kind == 'o';
    base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
    text.remove_prefix(prefixed ? 2 : 1);
  }
  std::string plain;
  if (text.find('_') != std::string_view::npos) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '_') plain += text[i];
      else if ((i == 0 && !prefixed && base == 10) || i + 1 == text.size() || (i > 0 && text[i - 1] == '_')) return 0;
    }
    text = plain;
  }
  std::uint64_t magnitude = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), magnitude, base);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return 0;
  if (magnitude > (std::uint64_t{1} << 63) - (negative ? 0 : 1)) return 0;
  return static_cast<std::int64_t>(negative ? ~magnitude + 1 : magnitude);
}

double cast_float(const Value& value) {
  switch (value.kind) {
    case Kind::kBool: return value.boolean ? 1 : 0;
    case Kind::kInt:
    case Kind::kInt64:
    case Kind::kInt32:
    case Kind::kUint8: return static_cast<double>(value.integer);
    case Kind::kFloat: return value.number;
    case Kind::kString: {
      double parsed = 0;
      return parse_go_float(value.text, parsed) == FloatStatus::kOk ? parsed : 0;
    }
    default: return 0;
  }
}

namespace {

// Go's integers wrap.
std::int64_t wrap_add(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b)); }
std::int64_t wrap_mul(std::int64_t a, std::int64_t b) { return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b)); }
FunctionResult int64(std::int64_t v) { return Value::of_int(v, Kind::kInt64); }

FunctionResult fn_int(Run&, Args a) { return Value::of_int(cast_int(a[0])); }
FunctionResult fn_float64(Run&, Args a) { return Value::of(cast_float(a[0])); }
FunctionResult fn_add(Run&, Args a) {
  std::int64_t sum = 0;
  for (const Value& v : a) sum = wrap_add(sum, cast_int(v));
  return int64(sum);
}
FunctionResult fn_mul(Run&, Args a) {
  std::int64_t product = cast_int(a[0]);
  for (const Value& v : a.subspan(1)) product = wrap_mul(product, cast_int(v));
  return int64(product);
}
FunctionResult fn_sub(Run&, Args a) { return int64(wrap_add(cast_int(a[0]), wrap_mul(-1, cast_int(a[1])))); }
FunctionResult fn_div(Run&, Args a) {
  const std::int64_t by = cast_int(a[1]);
  if (by == 0) return function_error("runtime error: integer divide by zero");
  return int64(by == -1 ? wrap_mul(cast_int(a[0]), -1) : cast_int(a[0]) / by);
}
FunctionResult fn_mod(Run&, Args a) {
  const std::int64_t by = cast_int(a[1]);
  if (by == 0) return function_error("runtime error: integer divide by zero");
  return int64(by == -1 ? 0 : cast_int(a[0]) % by);
}
FunctionResult fn_max(Run&, Args a) {
  std::int64_t best = cast_int(a[0]);
  for (const Value& v : a.subspan(1)) best = std::max(best, cast_int(v));
  return int64(best);
}
FunctionResult fn_min(Run&, Args a) {
  std::int64_t best = cast_int(a[0]);
  for (const Value& v : a.subspan(1)) best = std::min(best, cast_int(v));
  return int64(best);
}
FunctionResult fn_maxf(Run&, Args a) {
  double best = cast_float(a[0]);
  for (const Value& v : a.subspan(1)) best = std::fmax(best, cast_float(v));
  return Value::of(best);
}
FunctionResult fn_minf(Run&, Args a) {
  double best = cast_float(a[0]);
  for (const Value& v : a.subspan(1)) best = std::fmin(best, cast_float(v));
  return Value::of(best);
}
FunctionResult fn_ceil(Run&, Args a) { return Value::of(std::ceil(cast_float(a[0]))); }
FunctionResult fn_floor(Run&, Args a) { return Value::of(std::floor(cast_float(a[0]))); }
FunctionResult fn_round(Run&, Args a) {
  const double threshold = a.size() > 2 ? a[2].number : 0.5;
  const double power = std::pow(10, static_cast<double>(a[1].integer));
  const double scaled = power * cast_float(a[0]);
  double whole = 0;
  // The fraction keeps its sign, so negative numbers mostly go down.
  const double fraction = std::modf(scaled, &whole);
  return Value::of((fraction >= threshold ? std::ceil(scaled) : std::floor(scaled)) / power);
}

// Exact decimal arithmetic on the shortest decimal spelling of each operand: 1.1 + 2.2 is 3.3. Numbers that do not fit
// 38 digits fall back to binary floating point.
struct Decimal {
  __int128 digits = 0;
  int exponent = 0;
};
constexpr __int128 kDigitsMax = (static_cast<__int128>(1) << 126);

bool scale_up(__int128& digits, int by) {
  if (by > 40 && digits != 0) return false;
  for (; by > 0 && digits != 0; --by) {
    if (digits > kDigitsMax / 10 || digits < -kDigitsMax / 10) return false;
    digits *= 10;
  }
  return true;
}

Decimal decimal_of(double value) {
  char text[40];
  const auto result = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific);
  Decimal d;
  bool negative = false, fraction = false;
  const char* at = text;
  if (*at == '-') negative = true, ++at;
  for (; at != result.ptr && *at != 'e'; ++at) {
    if (*at == '.') { fraction = true; continue; }
    d.digits = d.digits * 10 + (*at - '0');
    if (fraction) --d.exponent;
  }
  if (at != result.ptr) d.exponent += std::atoi(std::string(at + 1, static_cast<const char*>(result.ptr)).c_str());
  if (negative) d.digits = -d.digits;
  return d;
}

double double_of(const Decimal& d) {
  std::string text;
  __int128 rest = d.digits < 0 ? -d.digits : d.digits;
  do {
    text.insert(text.begin(), static_cast<char>('0' + static_cast<int>(rest % 10)));
    rest /= 10;
  } while (rest != 0);
  text += "e" + std::to_string(d.exponent);
  if (d.digits < 0) text.insert(text.begin(), '-');
  double value = 0;
  parse_go_float(text, value);
  return value;
}

std::optional<Decimal> added(Decimal a, Decimal b, int sign) {
  if (a.exponent > b.exponent) {
    if (!scale_up(a.digits, a.exponent - b.exponent)) return std::nullopt;
    a.exponent = b.exponent;
  } else if (!scale_up(b.digits, b.exponent - a.exponent)) {
    return std::nullopt;
  }
  return Decimal{a.digits + sign * b.digits, a.exponent};
}

std::optional<Decimal> multiplied(const Decimal& a, const Decimal& b) {
  const __int128 x = a.digits < 0 ? -a.digits : a.digits;
  if (x != 0 && (b.digits < 0 ? -b.digits : b.digits) > kDigitsMax / x) return std::nullopt;
  return Decimal{a.digits * b.digits, a.exponent + b.exponent};
}

// Sixteen decimal places, the last one rounded half away from zero.
std::optional<Decimal> divided(Decimal a, Decimal b) {
  const int shift = a.exponent - b.exponent + 16;
  if (!(shift >= 0 ? scale_up(a.digits, shift) : scale_up(b.digits, -shift))) return std::nullopt;
  __int128 quotient = a.digits / b.digits;
  const __int128 rest = a.digits % b.digits;
  const __int128 twice = (rest < 0 ? -rest : rest) * 2;
  if (twice >= (b.digits < 0 ? -b.digits : b.digits)) quotient += (a.digits < 0) == (b.digits < 0) ? 1 : -1;
  return Decimal{quotient, -16};
}

enum class Op { kAdd, kSub, kMul, kDiv };
FunctionResult exact(Op op, Args a) {
  double total = a.empty() ? 0 : cast_float(a[0]);
  if (!std::isfinite(total)) return Value::of(total);
  Decimal sum = decimal_of(total);
  bool is_exact = true;
  for (const Value& v : a.subspan(a.empty() ? 0 : 1)) {
    const double next = cast_float(v);
    if (op == Op::kDiv && next == 0) return function_error("decimal division by 0");
    if (!std::isfinite(next)) is_exact = false;
    if (is_exact) {
      const Decimal d = decimal_of(next);
      const auto result = op == Op::kAdd   ? added(sum, d, 1)
                          : op == Op::kSub ? added(sum, d, -1)
                          : op == Op::kMul ? multiplied(sum, d)
                                           : divided(sum, d);
      if (result) {
        sum = *result;
        total = double_of(sum);
        continue;
      }
      // Back to what a double can say, and on from there.
    }
    total = op == Op::kAdd ? total + next : op == Op::kSub ? total - next : op == Op::kMul ? total * next : total / next;
    is_exact = std::isfinite(total);
    if (is_exact) sum = decimal_of(total);
  }
  return Value::of(total);
}
FunctionResult fn_addf(Run&, Args a) { return exact(Op::kAdd, a); }
FunctionResult fn_subf(Run&, Args a) { return exact(Op::kSub, a); }
FunctionResult fn_mulf(Run&, Args a) { return exact(Op::kMul, a); }
FunctionResult fn_divf(Run&, Args a) { return exact(Op::kDiv, a); }

FunctionResult fn_bytes(Run&, Args a) {
  SKALD_TRY(const std::uint64_t bytes, parse_humanized_bytes(a[0].text));
  return Value::of(static_cast<double>(bytes));
}
FunctionResult fn_duration(Run&, Args a) {
  SKALD_TRY(const std::int64_t ns, parse_go_duration_text(a[0].text));
  return Value::of(static_cast<double>(ns / 1'000'000'000) + static_cast<double>(ns % 1'000'000'000) / 1e9);
}

constexpr Function kNumbers[] = {
    {"int", "a", 0, fn_int}, {"float64", "a", 0, fn_float64},
    {"add", "", 'a', fn_add}, {"sub", "aa", 0, fn_sub}, {"mul", "a", 'a', fn_mul}, {"div", "aa", 0, fn_div},
    {"mod", "aa", 0, fn_mod}, {"max", "a", 'a', fn_max}, {"min", "a", 'a', fn_min},
    {"addf", "", 'a', fn_addf}, {"subf", "a", 'a', fn_subf}, {"mulf", "a", 'a', fn_mulf}, {"divf", "a", 'a', fn_divf},
    {"maxf", "a", 'a', fn_maxf}, {"minf", "a", 'a', fn_minf},
    {"ceil", "a", 0, fn_ceil}, {"floor", "a", 0, fn_floor}, {"round", "ai", 'f', fn_round},
    {"bytes", "s", 0, fn_bytes}, {"duration", "s", 0, fn_duration}, {"duration_seconds", "s", 0, fn_duration},
};

}  // namespace

std::span<const Function> number_functions() { return kNumbers; }

}  // namespace skald::logql
