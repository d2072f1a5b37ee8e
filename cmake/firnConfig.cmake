# find_package(firn) gives firn::firn (shared) and firn::firn_static.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/firnTargets.cmake)
