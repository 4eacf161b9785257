# OpenCV's core and imgproc as target vmae::opencv. Debian's OpenCVConfig.cmake is in libopencv-dev, which brings all of OpenCV (dnn with its own protobuf, highgui
# with Qt, imgcodecs with GDAL and Poppler); two libraries are all that is needed here. Static, as the shared ones bring BLAS and LAPACK: a program that has these takes
# LibTorch's away from it, whose names are the same (nothing that is used here needs them; src/image/opencv_unused.c stands in for X11).
find_path(OPENCV_INCLUDE_DIR opencv2/core.hpp PATH_SUFFIXES opencv4 REQUIRED)
find_package(TBB REQUIRED)
add_library(vmae_opencv_unused STATIC src/image/opencv_unused.c)
add_library(vmae_opencv INTERFACE)
add_library(vmae::opencv ALIAS vmae_opencv)
target_include_directories(vmae_opencv SYSTEM INTERFACE "${OPENCV_INCLUDE_DIR}")
foreach(_name imgproc core)
  find_library(OPENCV_${_name}_ARCHIVE libopencv_${_name}.a REQUIRED)
  target_link_libraries(vmae_opencv INTERFACE "${OPENCV_${_name}_ARCHIVE}")
endforeach()
target_link_libraries(vmae_opencv INTERFACE vmae_opencv_unused TBB::tbb ZLIB::ZLIB ${CMAKE_DL_LIBS})
