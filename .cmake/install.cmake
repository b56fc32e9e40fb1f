# Install rules: headers, the CMake package, the pkg-config file, and llhttp where it was built from its sources.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(downlink_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/downlink")

install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(TARGETS downlink EXPORT downlinkTargets INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
if(TARGET downlink_boost)
  install(TARGETS downlink_boost EXPORT downlinkTargets INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
endif()
install(EXPORT downlinkTargets NAMESPACE downlink:: DESTINATION "${downlink_package_dir}")

# Under names of their own, so that they never meet another llhttp.
set(downlink_installed_llhttp_include "${CMAKE_INSTALL_INCLUDEDIR}/downlink-llhttp")
set(downlink_installed_llhttp
  "${CMAKE_INSTALL_LIBDIR}/${CMAKE_STATIC_LIBRARY_PREFIX}downlink_llhttp${CMAKE_STATIC_LIBRARY_SUFFIX}")
set(downlink_pc_requires "")
set(downlink_pc_cflags "")
set(downlink_pc_libs "")
if(TARGET downlink_llhttp)
  set_target_properties(downlink_llhttp PROPERTIES EXCLUDE_FROM_ALL OFF)
  install(TARGETS downlink_llhttp ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  install(FILES "${downlink_llhttp_include}/llhttp.h" DESTINATION "${downlink_installed_llhttp_include}")
  set(downlink_pc_cflags " -I\${prefix}/${downlink_installed_llhttp_include}")
  set(downlink_pc_libs " -L\${libdir} -ldownlink_llhttp")
elseif(DOWNLINK_LLHTTP_LIBRARY)
  set(downlink_pc_libs " ${DOWNLINK_LLHTTP_LIBRARY}")
  if(NOT DOWNLINK_LLHTTP_INCLUDE_DIR IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
    set(downlink_pc_cflags " -I${DOWNLINK_LLHTTP_INCLUDE_DIR}")
  endif()
else()
  set(downlink_pc_requires libllhttp)
endif()
if(DOWNLINK_ASIO_INCLUDE_DIR AND NOT DOWNLINK_ASIO_INCLUDE_DIR IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
  string(APPEND downlink_pc_cflags " -I${DOWNLINK_ASIO_INCLUDE_DIR}")
endif()

configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/.cmake/downlinkConfig.cmake.in" "${PROJECT_BINARY_DIR}/downlinkConfig.cmake"
  INSTALL_DESTINATION "${downlink_package_dir}"
  PATH_VARS CMAKE_INSTALL_INCLUDEDIR downlink_installed_llhttp downlink_installed_llhttp_include)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/downlinkConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
  "${PROJECT_BINARY_DIR}/downlinkConfig.cmake" "${PROJECT_BINARY_DIR}/downlinkConfigVersion.cmake"
  "${PROJECT_SOURCE_DIR}/.cmake/downlinkDependencies.cmake" "${PROJECT_SOURCE_DIR}/.cmake/embed.cmake"
  DESTINATION "${downlink_package_dir}")

# Whether a compiler without CMake finds all: not when Asio was downloaded or came as a target.
set(downlink_pc_usable OFF)
if(DOWNLINK_ASIO_INCLUDE_DIR)
  set(downlink_pc_usable ON)
endif()

# The file finds its prefix from its own place, so that the tree can be moved.
string(REGEX REPLACE "[^/]+" ".." downlink_pc_up "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
configure_file("${PROJECT_SOURCE_DIR}/.cmake/downlink.pc.in" "${PROJECT_BINARY_DIR}/downlink.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/downlink.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
