#include "skald/io/file_system.h"

namespace skald::io {

Result<void> replace_file(FileSystem& fs, const std::string& path, ByteView content) {
  const std::string temporary = path + ".tmp";
  auto write = [&]() -> Result<void> {
    SKALD_TRY(auto file, fs.create(temporary));
    SKALD_TRY_VOID(file->append(content));
    return file->sync();
  };
  if (auto written = write(); !written.ok()) {
    (void)fs.remove(temporary);  // the first error is the one worth reporting
    return written;
  }
  if (auto renamed = fs.rename(temporary, path); !renamed.ok()) {
    (void)fs.remove(temporary);
    return renamed;
  }
  const auto slash = path.rfind('/');
  return fs.sync_directory(slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash));
}

}  // namespace skald::io
