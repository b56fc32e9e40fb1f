# Only headers and CMake files are installed, which are the same for every configuration.
set(VCPKG_BUILD_TYPE release)

vcpkg_from_github(
    OUT_SOURCE_PATH SOURCE_PATH
    REPO downlink/downlink
    REF "v${VERSION}"
    SHA512 0 # of the release's archive: .packaging/release.cmake writes it here
    HEAD_REF main
)

vcpkg_check_features(OUT_FEATURE_OPTIONS FEATURE_OPTIONS
    FEATURES
        boost    DOWNLINK_BOOST
        deflate  DOWNLINK_DEFLATE
        io-uring DOWNLINK_IO_URING
        tls      DOWNLINK_TLS
)

vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS
        ${FEATURE_OPTIONS}
        -DDOWNLINK_BUILD_TESTS=OFF
        -DDOWNLINK_BUILD_EXAMPLES=OFF
        -DDOWNLINK_COMPILED=OFF
        -DDOWNLINK_FETCH_DEPENDENCIES=OFF
        -DDOWNLINK_INSTALL=ON
)

vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/downlink)
vcpkg_fixup_pkgconfig()

vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
