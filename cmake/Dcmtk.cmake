# DCMTK's data sets, images and codecs as target vmae::dcmtk. Debian's DCMTKConfig.cmake names every library of DCMTK (network, worklists, ...) and their dependencies.
find_path(DCMTK_INCLUDE_DIR dcmtk/dcmdata/dctk.h REQUIRED)
add_library(vmae_dcmtk INTERFACE)
add_library(vmae::dcmtk ALIAS vmae_dcmtk)
target_include_directories(vmae_dcmtk SYSTEM INTERFACE "${DCMTK_INCLUDE_DIR}")
foreach(_name dcmimage dcmjpeg dcmimgle dcmdata oflog ofstd)
  find_library(DCMTK_${_name}_LIBRARY ${_name} REQUIRED)
  target_link_libraries(vmae_dcmtk INTERFACE "${DCMTK_${_name}_LIBRARY}")
endforeach()
