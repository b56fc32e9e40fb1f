# cmake -DSOURCE=<the project> -DVERSION=… -DDESCRIPTION=… -DHOMEPAGE=… -DWORK=<directory> -P metadata.cmake
#
# Checks that the vcpkg port and the Conan recipe say the same of the project as CMakeLists.txt, and that the port's
# manifest keeps to what vcpkg documents of vcpkg.json (this much of its schema: the fields, the form of names and
# versions, that a port names its homepage and licence, and its helper ports as dependencies of the host).
cmake_minimum_required(VERSION 3.25)

set(port "${SOURCE}/.packaging/vcpkg/downlink")
set(recipe "${SOURCE}/.packaging/conan/downlink")
set(errors "")

function(expect what found wanted)
  if(NOT found STREQUAL wanted)
    list(APPEND errors "${what} is \"${found}\" and not \"${wanted}\"")
    set(errors "${errors}" PARENT_SCOPE)
  endif()
endfunction()

# --- vcpkg --------------------------------------------------------------------------------------------------------

set(identifier "^[a-z0-9]+(-[a-z0-9]+)*$")
file(READ "${port}/vcpkg.json" manifest)

# The names of the members of the object at a path.
function(members result)
  string(JSON count LENGTH "${manifest}" ${ARGN})
  set(names "")
  if(count GREATER 0)
    math(EXPR last "${count} - 1")
    foreach(index RANGE ${last})
      string(JSON name MEMBER "${manifest}" ${ARGN} ${index})
      list(APPEND names "${name}")
    endforeach()
  endif()
  set(${result} "${names}" PARENT_SCOPE)
endfunction()

# The names in the list of dependencies at a path, those for the host with "host:" before them.
function(dependencies result)
  string(JSON count LENGTH "${manifest}" ${ARGN})
  math(EXPR last "${count} - 1")
  set(names "")
  foreach(index RANGE ${last})
    string(JSON type TYPE "${manifest}" ${ARGN} ${index})
    if(type STREQUAL "OBJECT")
      string(JSON name GET "${manifest}" ${ARGN} ${index} name)
      string(JSON host ERROR_VARIABLE no_host GET "${manifest}" ${ARGN} ${index} host)
      if(host STREQUAL "ON")
        set(name "host:${name}")
      endif()
    else()
      string(JSON name GET "${manifest}" ${ARGN} ${index})
    endif()
    if(NOT name MATCHES "^(host:)?[a-z0-9]+(-[a-z0-9]+)*$")
      list(APPEND errors "vcpkg.json: \"${name}\" is no port's name")
    endif()
    list(APPEND names "${name}")
  endforeach()
  set(${result} "${names}" PARENT_SCOPE)
  set(errors "${errors}" PARENT_SCOPE)
endfunction()

set(port_fields name version port-version description homepage documentation license supports dependencies
  default-features features)
members(fields)
foreach(field IN LISTS fields)
  if(NOT field IN_LIST port_fields)
    list(APPEND errors "vcpkg.json: a port has no field \"${field}\"")
  endif()
endforeach()
foreach(pair IN ITEMS "name/downlink" "version/${VERSION}" "license/MIT")
  string(REGEX MATCH "^([^/]+)/(.*)$" pair "${pair}")
  string(JSON value GET "${manifest}" "${CMAKE_MATCH_1}")
  expect("vcpkg.json: ${CMAKE_MATCH_1}" "${value}" "${CMAKE_MATCH_2}")
endforeach()
string(JSON value GET "${manifest}" description)
expect("vcpkg.json: description" "${value}" "${DESCRIPTION}")
string(JSON value GET "${manifest}" homepage)
expect("vcpkg.json: homepage" "${value}" "${HOMEPAGE}")
dependencies(needed dependencies)
expect("vcpkg.json: dependencies" "${needed}" "asio;llhttp;host:vcpkg-cmake;host:vcpkg-cmake-config")
members(features features)
foreach(feature IN LISTS features)
  if(NOT feature MATCHES "${identifier}")
    list(APPEND errors "vcpkg.json: \"${feature}\" is no feature's name")
  endif()
  string(JSON value GET "${manifest}" features "${feature}" description)
  dependencies(needed features "${feature}" dependencies)
endforeach()
expect("vcpkg.json: features" "${features}" "boost;deflate;io-uring;tls")

file(READ "${port}/portfile.cmake" portfile)
string(REGEX MATCH "REPO ([^ \n]+)" repository "${portfile}")
expect("portfile.cmake: the repository" "https://github.com/${CMAKE_MATCH_1}" "${HOMEPAGE}")

# --- Conan --------------------------------------------------------------------------------------------------------

file(READ "${recipe}/all/conanfile.py" conanfile)
foreach(attribute IN ITEMS name/downlink license/MIT "description/${DESCRIPTION}" "homepage/${HOMEPAGE}")
  string(REGEX MATCH "^([^/]+)/(.*)$" attribute "${attribute}")
  set(wanted "${CMAKE_MATCH_2}")
  set(attribute "${CMAKE_MATCH_1}")
  string(REGEX MATCH "\n    ${attribute} = \"([^\"\n]*)\"" found "${conanfile}")
  expect("conanfile.py: ${attribute}" "${CMAKE_MATCH_1}" "${wanted}")
endforeach()
foreach(file IN ITEMS config.yml all/conandata.yml)
  file(STRINGS "${recipe}/${file}" lines REGEX "^  \"")
  expect("${file}: the versions" "${lines}" "  \"${VERSION}\":")
endforeach()
file(READ "${recipe}/all/conandata.yml" data)
string(REGEX MATCH "url: \"([^\"\n]*)\"" url "${data}")
expect("conandata.yml: the address" "${CMAKE_MATCH_1}" "${HOMEPAGE}/archive/refs/tags/v${VERSION}.tar.gz")

# --- a release ----------------------------------------------------------------------------------------------------

# Any file will do for the archive.
set(address "file://${SOURCE}/LICENSE")
file(REMOVE_RECURSE "${WORK}")
execute_process(COMMAND "${CMAKE_COMMAND}" "-DARCHIVE=${SOURCE}/LICENSE" "-DOUTPUT=${WORK}" "-DURL=${address}"
  -P "${SOURCE}/.packaging/release.cmake" COMMAND_ERROR_IS_FATAL ANY)
file(SHA512 "${SOURCE}/LICENSE" hash)
file(STRINGS "${WORK}/vcpkg/downlink/portfile.cmake" lines REGEX SHA512)
expect("the released port's hash" "${lines}" "    SHA512 ${hash}")
file(SHA256 "${SOURCE}/LICENSE" hash)
file(READ "${WORK}/conan/downlink/all/conandata.yml" data)
expect("the released recipe's source" "${data}"
  "sources:\n  \"${VERSION}\":\n    url: \"${address}\"\n    sha256: \"${hash}\"\n")

file(STRINGS "${SOURCE}/LICENSE" licence LIMIT_COUNT 1)
expect("LICENSE" "${licence}" "MIT License")

if(errors)
  list(JOIN errors "\n  " errors)
  message(FATAL_ERROR "the packages are not the project's:\n  ${errors}")
endif()
