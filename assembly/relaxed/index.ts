// The kernels that use relaxed dot products, a module of their own: the others must compile where relaxed SIMD is unknown.
// They import these functions as `@external("relaxed", name)`, over the same memory, and call them only where choices.ts
// says so. Data of this module lies apart from theirs (scripts/build-kernels.ts); each thread has an instance, so nothing
// here keeps state.
