# cmake -DARCHIVE=downlink-0.1.0.tar.gz -DOUTPUT=packages [-DURL=https://…] -P .packaging/release.cmake
#
# Copies the vcpkg port and the Conan recipe to OUTPUT, with the hashes of a release's archive, which no file inside of
# the archive can hold. What comes out is what goes to vcpkg's ports/ and to conan-center-index's recipes/. With
# -DURL=file:///… Conan takes the archive from there, so that the recipe can be used before there is a release.
cmake_minimum_required(VERSION 3.25)

foreach(name IN ITEMS ARCHIVE OUTPUT)
  if(NOT ${name})
    message(FATAL_ERROR "release.cmake needs -D${name}=…")
  endif()
  file(REAL_PATH "${${name}}" ${name})
endforeach()
file(SHA256 "${ARCHIVE}" sha256)
file(SHA512 "${ARCHIVE}" sha512)

# Replaces what `pattern` matches, and is not content when it matches nothing.
function(replace_in file pattern replacement)
  file(READ "${file}" text)
  if(NOT text MATCHES "${pattern}")
    message(FATAL_ERROR "${file} has nothing like ${pattern}")
  endif()
  string(REGEX REPLACE "${pattern}" "${replacement}" text "${text}")
  file(WRITE "${file}" "${text}")
endfunction()

foreach(manager IN ITEMS vcpkg conan)
  file(COPY "${CMAKE_CURRENT_LIST_DIR}/${manager}" DESTINATION "${OUTPUT}"
    PATTERN __pycache__ EXCLUDE PATTERN build EXCLUDE PATTERN CMakeUserPresets.json EXCLUDE)
endforeach()
replace_in("${OUTPUT}/vcpkg/downlink/portfile.cmake" "SHA512 0[^\n]*" "SHA512 ${sha512}")
set(data "${OUTPUT}/conan/downlink/all/conandata.yml")
replace_in("${data}" "    #[^\n]*\n    sha256: \"0+\"" "    sha256: \"${sha256}\"")
if(URL)
  replace_in("${data}" "url: \"[^\"]*\"" "url: \"${URL}\"")
endif()
