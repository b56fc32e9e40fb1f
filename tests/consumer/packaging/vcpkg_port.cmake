# cmake -DSOURCE=<the project> -DINSTALLED=<prefix> -DWORK=<directory> -DFEATURES=<feature>,… -P vcpkg_port.cmake --
#   <arguments of cmake>…
#
# Builds the vcpkg port of .packaging/ and installs it into INSTALLED, which holds the packages that it depends on.
# vcpkg itself is not used: the functions below are stand-ins that do what vcpkg documents of its own, for this port, on
# this machine, with the checkout in place of the release. What they can't show is what vcpkg's ports of Asio, llhttp,
# zlib and OpenSSL hold, and triplets other than that of this machine.
cmake_minimum_required(VERSION 3.25)

include("${CMAKE_CURRENT_LIST_DIR}/../arguments.cmake")

# What a port finds set.
string(REPLACE "," ";" FEATURES "${FEATURES}")
set(CURRENT_PORT_DIR "${SOURCE}/.packaging/vcpkg/downlink")
set(CURRENT_INSTALLED_DIR "${INSTALLED}")
set(CURRENT_BUILDTREES_DIR "${WORK}/buildtrees/downlink")
set(CURRENT_PACKAGES_DIR "${WORK}/packages/downlink")
file(READ "${CURRENT_PORT_DIR}/vcpkg.json" manifest)
string(JSON PORT GET "${manifest}" name)
string(JSON VERSION GET "${manifest}" version)
file(REMOVE_RECURSE "${CURRENT_BUILDTREES_DIR}" "${CURRENT_PACKAGES_DIR}")

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "the port failed: ${result}")
  endif()
endfunction()

# All arguments must be known, and those in `required` given.
macro(arguments_of function options values lists required)
  cmake_parse_arguments(PARSE_ARGV 0 arg "${options}" "${values}" "${lists}")
  foreach(name IN ITEMS ${required})
    if(NOT DEFINED arg_${name})
      message(FATAL_ERROR "${function} needs ${name}")
    endif()
  endforeach()
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "${function} knows no ${arg_UNPARSED_ARGUMENTS}")
  endif()
endmacro()

# The archive of a tag; here the checkout.
function(vcpkg_from_github)
  arguments_of(vcpkg_from_github "" "OUT_SOURCE_PATH;REPO;REF;SHA512;HEAD_REF" "PATCHES"
    "OUT_SOURCE_PATH;REPO;REF;SHA512")
  if(NOT arg_REF STREQUAL "v${VERSION}")
    message(FATAL_ERROR "the port takes ${arg_REF} and not v${VERSION}")
  endif()
  set(${arg_OUT_SOURCE_PATH} "${SOURCE}" PARENT_SCOPE)
endfunction()

# Pairs of a feature and the option that is on with it and off without.
function(vcpkg_check_features)
  arguments_of(vcpkg_check_features "" "OUT_FEATURE_OPTIONS" "FEATURES" "OUT_FEATURE_OPTIONS;FEATURES")
  set(options "")
  while(arg_FEATURES)
    list(POP_FRONT arg_FEATURES feature option)
    string(JSON declared GET "${manifest}" features "${feature}" description)
    if(feature IN_LIST FEATURES)
      list(APPEND options "-D${option}=ON")
    else()
      list(APPEND options "-D${option}=OFF")
    endif()
  endwhile()
  set(${arg_OUT_FEATURE_OPTIONS} "${options}" PARENT_SCOPE)
endfunction()

# The prefix is the package, what is found is what is installed, and nothing is downloaded.
function(vcpkg_cmake_configure)
  arguments_of(vcpkg_cmake_configure "" "SOURCE_PATH" "OPTIONS" "SOURCE_PATH")
  run("${CMAKE_COMMAND}" -S "${arg_SOURCE_PATH}" -B "${CURRENT_BUILDTREES_DIR}" ${arguments} ${arg_OPTIONS}
    -DCMAKE_BUILD_TYPE=Release "-DCMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR}" -DCMAKE_INSTALL_LIBDIR=lib
    "-DCMAKE_PREFIX_PATH=${CURRENT_INSTALLED_DIR}" -DFETCHCONTENT_FULLY_DISCONNECTED=ON)
endfunction()

function(vcpkg_cmake_install)
  run("${CMAKE_COMMAND}" --build "${CURRENT_BUILDTREES_DIR}" --target install --parallel 1)
endfunction()

# The CMake package moves to share/<port>, and finds its prefix from there.
function(vcpkg_cmake_config_fixup)
  arguments_of(vcpkg_cmake_config_fixup "" "PACKAGE_NAME;CONFIG_PATH" "" "CONFIG_PATH")
  set(from "${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH}")
  set(to "${CURRENT_PACKAGES_DIR}/share/${PORT}")
  file(GLOB files "${from}/*")
  file(COPY ${files} DESTINATION "${to}")
  file(REMOVE_RECURSE "${from}")
  get_filename_component(parent "${from}" DIRECTORY)
  if(parent MATCHES "/cmake$")
    file(REMOVE_RECURSE "${parent}")
  endif()
  file(GLOB files "${to}/*.cmake")
  foreach(file IN LISTS files)
    file(READ "${file}" text)
    string(REGEX REPLACE "(PACKAGE_PREFIX_DIR \"\\\${CMAKE_CURRENT_LIST_DIR})(/\\.\\.)+" "\\1/../.." text "${text}")
    set(up "get_filename_component(_IMPORT_PREFIX \"\${_IMPORT_PREFIX}\" PATH)\n")
    string(REPLACE "${up}${up}${up}" "${up}${up}" text "${text}")
    file(WRITE "${file}" "${text}")
  endforeach()
endfunction()

# A .pc file finds its prefix from its own place.
function(vcpkg_fixup_pkgconfig)
  file(GLOB files "${CURRENT_PACKAGES_DIR}/lib/pkgconfig/*.pc" "${CURRENT_PACKAGES_DIR}/share/pkgconfig/*.pc")
  foreach(file IN LISTS files)
    file(READ "${file}" text)
    string(REGEX REPLACE "(^|\n)prefix=[^\n]*" "\\1prefix=\${pcfiledir}/../.." text "${text}")
    file(WRITE "${file}" "${text}")
  endforeach()
endfunction()

function(vcpkg_install_copyright)
  arguments_of(vcpkg_install_copyright "" "" "FILE_LIST" "FILE_LIST")
  file(INSTALL ${arg_FILE_LIST} DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}" RENAME copyright)
endfunction()

include("${CURRENT_PORT_DIR}/portfile.cmake")

# What vcpkg checks of every port.
foreach(file IN ITEMS share/${PORT}/copyright share/${PORT}/usage share/${PORT}/downlinkConfig.cmake include/downlink)
  if(NOT EXISTS "${CURRENT_PACKAGES_DIR}/${file}")
    message(FATAL_ERROR "the port installs no ${file}")
  endif()
endforeach()
file(GLOB_RECURSE files LIST_DIRECTORIES ON RELATIVE "${CURRENT_PACKAGES_DIR}" "${CURRENT_PACKAGES_DIR}/*")
foreach(file IN LISTS files)
  if(file MATCHES "^(debug|bin|share/cmake|lib/cmake)$|\\.(a|so|exe)$")
    message(FATAL_ERROR "the port installs ${file}, which has no place in a package of headers")
  endif()
  if(file MATCHES "\\.(cmake|pc)$")
    file(READ "${CURRENT_PACKAGES_DIR}/${file}" text)
    foreach(directory IN ITEMS "${WORK}" "${CURRENT_INSTALLED_DIR}" "${SOURCE}/")
      string(FIND "${text}" "${directory}" at)
      if(NOT at EQUAL -1)
        message(FATAL_ERROR "${file} names ${directory}, which is there on this machine alone")
      endif()
    endforeach()
  endif()
endforeach()
file(REMOVE_RECURSE "${CURRENT_INSTALLED_DIR}/include/downlink" "${CURRENT_INSTALLED_DIR}/share/${PORT}")
file(COPY "${CURRENT_PACKAGES_DIR}/" DESTINATION "${CURRENT_INSTALLED_DIR}")
