// Keeps the library loadable by glibc 2.28: a newer symbol that libstdc++ uses only to save atomics.

// libstdc++ from GCC 11 on reads this flag of glibc 2.32, which would make the library refuse older
// systems. Defined here it is false: reference counts are always atomic, as with a second thread.
extern "C" __attribute__((visibility("hidden"))) char __libc_single_threaded;
extern "C" char __libc_single_threaded = 0;
