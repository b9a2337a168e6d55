# Flags every target shares. Interface target, so that no flag is set globally by accident.
add_library(skald_flags INTERFACE)
target_include_directories(skald_flags INTERFACE ${PROJECT_SOURCE_DIR}/include)
target_compile_options(skald_flags INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -fno-omit-frame-pointer
  $<$<BOOL:${SKALD_WERROR}>:-Werror>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-dangling-pointer -Wno-restrict>)

if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  # SSE4.2 for CRC32C, and what every server of the last ten years has; wider kernels are chosen at run time.
  target_compile_options(skald_flags INTERFACE -march=x86-64-v2)
endif()

if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(skald_flags INTERFACE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -ffunction-sections -fdata-sections)
  target_link_options(skald_flags INTERFACE -Wl,--gc-sections -Wl,-z,relro -Wl,-z,now)
endif()

if(SKALD_SANITIZE)
  target_compile_options(skald_flags INTERFACE -fsanitize=${SKALD_SANITIZE} -fno-sanitize-recover=all -g1)
  target_link_options(skald_flags INTERFACE -fsanitize=${SKALD_SANITIZE})
  if(SKALD_SANITIZE MATCHES "undefined")
    # AddressSanitizer sees what these would say; without them a file compiles in three quarters of the time.
    target_compile_options(skald_flags INTERFACE -fno-sanitize=null,vptr,object-size,nonnull-attribute,returns-nonnull-attribute)
  endif()
endif()

find_program(SKALD_CCACHE ccache)
if(SKALD_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=time_macros,include_file_mtime,include_file_ctime ${SKALD_CCACHE})
endif()
find_program(SKALD_MOLD mold)
if(SKALD_MOLD)
  target_link_options(skald_flags INTERFACE -fuse-ld=mold)
endif()
