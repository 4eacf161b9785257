// What OpenCV's static library calls of X11's OpenGL in functions that nobody here calls: without it no X11 is needed.
#include <stdlib.h>

void glXGetCurrentContext(void) { abort(); }
void glXGetCurrentDisplay(void) { abort(); }
void glXGetProcAddressARB(void) { abort(); }
