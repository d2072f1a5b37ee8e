# The library as others get it: libfirn.so, libfirn.a, the header, and what pkg-config and
# find_package(firn) need. Both libraries define firn_* and nothing else that a host could see.

set(FIRN_SOVERSION 1)
get_property(objects GLOBAL PROPERTY FIRN_OBJECTS)

# Hidden visibility keeps internal names out of the shared library; the version script also binds
# the public ones to a version.
add_library(firn_shared SHARED ${objects})
set_target_properties(firn_shared PROPERTIES
  OUTPUT_NAME firn EXPORT_NAME firn LINKER_LANGUAGE C
  VERSION ${FIRN_SOVERSION}.${PROJECT_VERSION_MINOR}.${PROJECT_VERSION_PATCH} SOVERSION ${FIRN_SOVERSION}
  LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/firn.map)
target_link_libraries(firn_shared
  PRIVATE $<BUILD_INTERFACE:firn_flags> ${FIRN_URING_ARCHIVE} PkgConfig::ZSTD Threads::Threads m)
target_link_options(firn_shared PRIVATE
  -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/firn.map -Wl,--as-needed)
if(NOT FIRN_ASAN AND NOT FIRN_TSAN AND NOT FIRN_FUZZ)
  target_link_options(firn_shared PRIVATE -Wl,-z,defs)
endif()

# An archive has no visibility: a hidden art_insert would still clash with a host's. So the objects
# are linked into one, and its hidden symbols become local, as do those of liburing.
set(relocatable ${CMAKE_BINARY_DIR}/firn.o)
add_custom_command(OUTPUT ${relocatable}
  COMMAND ${CMAKE_LINKER} -r -o ${relocatable} ${objects} ${FIRN_URING_ARCHIVE}
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden --wildcard --localize-symbol=*io_uring_*
          ${relocatable}
  DEPENDS ${objects} COMMAND_EXPAND_LISTS VERBATIM
  COMMENT "Linking all folders into one object with firn_* symbols only")
set_source_files_properties(${relocatable} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
add_library(firn_static STATIC ${relocatable})
set_target_properties(firn_static PROPERTIES
  OUTPUT_NAME firn EXPORT_NAME firn_static LINKER_LANGUAGE C)
target_link_libraries(firn_static INTERFACE $<BUILD_INTERFACE:firn_flags>
  $<BUILD_INTERFACE:PkgConfig::ZSTD> $<INSTALL_INTERFACE:zstd> Threads::Threads m)

foreach(library firn_shared firn_static)
  target_include_directories(${library} INTERFACE
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()

include(CMakePackageConfigHelpers)
set(config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/firn)
configure_file(${CMAKE_CURRENT_LIST_DIR}/firn.pc.in ${CMAKE_BINARY_DIR}/firn.pc @ONLY)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/firnConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)

install(TARGETS firn_shared firn_static EXPORT firn
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT firn NAMESPACE firn:: FILE firnTargets.cmake DESTINATION ${config_dir})
install(FILES ${CMAKE_CURRENT_LIST_DIR}/firnConfig.cmake
  ${CMAKE_BINARY_DIR}/firnConfigVersion.cmake DESTINATION ${config_dir})
install(FILES ${CMAKE_BINARY_DIR}/firn.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${CMAKE_SOURCE_DIR}/lsm/firn.h ${CMAKE_SOURCE_DIR}/lsm/firn_lab.h
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lsm)
