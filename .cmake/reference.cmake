# The target `reference`: the API reference, made by Doxygen of the headers' comments, in reference/html of the build
# directory. It fails on every warning, such as one for a public name that has no comment.
find_package(Doxygen 1.9.1 QUIET)
if(NOT TARGET Doxygen::doxygen)
  message(STATUS "downlink: without the target reference, as there is no Doxygen 1.9.1 or newer")
  return()
endif()

set(downlink_reference_dir "${PROJECT_BINARY_DIR}/reference")
file(MAKE_DIRECTORY "${downlink_reference_dir}")
set(downlink_reference_more "")
if(DOXYGEN_VERSION VERSION_GREATER_EQUAL 1.9.8)
  set(downlink_reference_more "WARN_IF_UNDOC_ENUM_VAL = YES")
endif()

# The README is its first page. What that links to in the repository is not among the pages.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS README.md)
file(READ "${PROJECT_SOURCE_DIR}/README.md" readme)
string(REGEX REPLACE "([^!]\\[[^]]+\\]\\()([A-Za-z_./]+\\))" "\\1https://github.com/downlink/downlink/blob/main/\\2"
  readme "${readme}")
file(CONFIGURE OUTPUT "${downlink_reference_dir}/README.md" CONTENT "${readme}" @ONLY)

configure_file("${CMAKE_CURRENT_LIST_DIR}/Doxyfile.in" "${downlink_reference_dir}/Doxyfile" @ONLY)
add_custom_target(reference COMMAND Doxygen::doxygen "${downlink_reference_dir}/Doxyfile"
  COMMENT "Making the API reference" VERBATIM)
