# OpenCV's core and imgproc as target vmae::opencv. Debian's OpenCVConfig.cmake is in libopencv-dev, which brings all of OpenCV (dnn with its own protobuf, highgui
# with Qt, imgcodecs with GDAL and Poppler); two libraries are all that is needed here.
find_path(OPENCV_INCLUDE_DIR opencv2/core.hpp PATH_SUFFIXES opencv4 REQUIRED)
add_library(vmae_opencv INTERFACE)
add_library(vmae::opencv ALIAS vmae_opencv)
target_include_directories(vmae_opencv SYSTEM INTERFACE "${OPENCV_INCLUDE_DIR}")
foreach(_name core imgproc)
  find_library(OPENCV_${_name}_LIBRARY opencv_${_name} REQUIRED)
  target_link_libraries(vmae_opencv INTERFACE "${OPENCV_${_name}_LIBRARY}")
endforeach()
