// The template language of line_format and label_format: Go's text/template plus the functions of reference logql.md §9.
// Compiled once, executed per row; bounded in output size and steps.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "skald/base/result.h"

namespace skald::logql {

// Where a template reads its labels from. Implemented by the engine's row view; two calls per variable, no allocation.
class TemplateInput {
 public:
  virtual ~TemplateInput() = default;
  // Value of a label; false when the row has none ("" then).
  virtual bool label(std::string_view name, std::string_view& value) const = 0;
  virtual std::string_view line() const = 0;              // __line__
  virtual std::int64_t timestamp_ns() const = 0;          // __timestamp__
  // All label names of the row, sorted, for templates that use the whole dot (`{{ . }}`, range over it).
  virtual std::vector<std::string_view> label_names() const = 0;
};

// Immutable and thread-safe after parse().
class Template {
 public:
  // `name` appears in messages: "line" for line_format, "label" for label_format.
  // kInvalidArgument: the template error as Loki words it, `template: line:1: unclosed action`.
  static Result<Template> parse(std::string_view text, std::string_view name = "line");
  ~Template();
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;

  // Appends to `out`. On a runtime error `out` is restored and the error's text returned (__error_details__ of
  // TemplateFormatErr): `template: line:1:3: executing "line" at <div 1 0>: error calling div: …`.
  Result<void> execute(const TemplateInput& input, std::string& out) const;

  // Labels the template may read; `uses_all_labels` when that cannot be known.
  const std::vector<std::string>& labels_read() const;
  bool uses_all_labels() const;

  struct Program;  // inside the module only

 private:
  explicit Template(std::unique_ptr<const Program> program);
  std::unique_ptr<const Program> program_;
};

}  // namespace skald::logql
