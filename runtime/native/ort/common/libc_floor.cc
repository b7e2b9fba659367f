// Keeps the library loadable by glibc 2.28: a symbol of newer ones that libstdc++ only uses to save an atomic operation.

// libstdc++ from GCC 11 on reads this flag of glibc 2.32, which would make the library refuse older systems. Defined here
// it is false: reference counts are always atomic, as they are once a second thread runs.
extern "C" __attribute__((visibility("hidden"))) char __libc_single_threaded;
extern "C" char __libc_single_threaded = 0;
